use axum::http::Method;
use serde_json::{Value, json};

use crate::{
    http::testing::{Site, badge_class},
    store::{api_reads::Window, audit, testing::seed},
};

const PATH: &str = "/api/badges/v1/awards/";

#[tokio::test]
async fn administrators_see_why_awards_wait() {
    let site = Site::new();
    let store = site.store();
    seed::learner(&store, 42, "ada", 1);
    let class = badge_class(&site, "three", "openedx__course", "");
    seed::award(&store, 42, "w1", &class, ("blocked", Some("no_email")), 1);
    seed::award(&store, 42, "w2", &class, ("published", None), 2);
    let all = site.get_as("staff", PATH).await.json();
    assert_eq!((&all["count"], &all["results"][0]["id"]), (&json!(2), &json!("w2")));
    let blocked = site.get_as("staff", &format!("{PATH}?state=blocked")).await.json();
    let expected = json!([{
        "id": "w1", "state": "blocked", "reason": "no_email", "rule": "requested",
        "user": {"id": 42, "username": "ada"},
        "badge_class": {"id": class.id.0, "slug": "three", "issuing_component": "openedx__course", "course_id": null,
            "display_name": "Badge three"},
        "attempts": 2, "last_error": "not sent", "next_attempt_at": "2026-11-01T00:01:00Z",
        "created": "2026-11-01T00:01:00Z"}]);
    assert_eq!((&blocked["count"], &blocked["results"]), (&json!(1), &expected));
    let none = site.get_as("staff", &format!("{PATH}?state=dead")).await.json();
    assert_eq!((&none["count"], &none["results"]), (&json!(0), &Value::Array(vec![])));
}

#[tokio::test]
async fn nobody_else_does() {
    let site = Site::new();
    assert_eq!(site.get_as("ada", PATH).await.problem().0, 403);
    assert_eq!(site.get(PATH, &[]).await.problem().0, 401);
    let problem = site.get_as("staff", &format!("{PATH}?state=waiting")).await.problem();
    assert_eq!(problem, (400, "state".to_owned()));
}

const IDS: [&str; 4] = [
    "00000000-0000-4000-8000-000000000001",
    "00000000-0000-4000-8000-000000000002",
    "00000000-0000-4000-8000-000000000003",
    "00000000-0000-4000-8000-000000000004",
];

fn retry_path(id: &str) -> String {
    format!("{PATH}{id}/retry/")
}

#[tokio::test]
async fn an_award_is_tried_again_and_a_repetition_does_no_harm() {
    let site = Site::new();
    let store = site.store();
    seed::learner(&store, 42, "ada", 1);
    let class = badge_class(&site, "three", "openedx__course", "");
    seed::award(&store, 42, IDS[0], &class, ("failed", Some("refused")), 1);
    seed::award(&store, 42, IDS[1], &class, ("published", None), 2);
    seed::award(&store, 42, IDS[2], &class, ("cancelled", Some("by_hand")), 3);
    let retry = async |id: &str| site.send_as("staff", Method::POST, &retry_path(id), &json!({})).await;
    let first = retry(IDS[0]).await;
    assert_eq!(first.status, 200, "{}", first.text());
    assert_eq!(
        (&first.json()["state"], &first.json()["reason"]),
        (&json!("pending"), &Value::Null)
    );
    assert_eq!(first.json()["attempts"], 2);
    let listed = site
        .get_as("staff", &format!("{PATH}?state=pending&username=ada&slug=three"))
        .await;
    assert_eq!(listed.json()["results"], json!([first.json()]));
    assert_eq!(retry(IDS[0]).await.json(), first.json());
    assert_eq!(retry(IDS[1]).await.json()["state"], "published");
    assert_eq!(retry(IDS[2]).await.problem().0, 409);
    assert_eq!(retry(IDS[3]).await.problem().0, 404);
    assert_eq!(retry("x").await.problem().0, 404);
    let log = store.read("test", |tx| audit::list(tx, Window { start: 0, length: 9 }));
    let log: Vec<_> = log
        .expect("read")
        .into_iter()
        .map(|entry| (entry.action, entry.target))
        .collect();
    assert_eq!(log, [("award.retry".to_owned(), IDS[0].to_owned())]);
    let learner = site.send_as("ada", Method::POST, &retry_path(IDS[0]), &json!({})).await;
    assert_eq!(learner.problem().0, 403);
}

#[tokio::test]
async fn filters_that_fit_nothing_leave_an_empty_list() {
    let site = Site::new();
    seed::learner(&site.store(), 42, "ada", 1);
    let class = badge_class(&site, "three", "openedx__course", "");
    seed::award(&site.store(), 42, "w1", &class, ("pending", None), 1);
    for (query, count) in [
        ("username=ada", 1),
        ("username=bob", 0),
        ("slug=three", 1),
        ("slug=four", 0),
    ] {
        let listed = site.get_as("staff", &format!("{PATH}?{query}")).await.json();
        assert_eq!(listed["count"], count, "{query}");
    }
    let long = "x".repeat(256);
    for field in ["username", "slug"] {
        let reply = site.get_as("staff", &format!("{PATH}?{field}={long}")).await;
        assert_eq!(reply.problem(), (400, field.to_owned()));
    }
}
