use serde_json::{Value, json};

use crate::{
    http::testing::{Site, badge_class},
    store::testing::seed,
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
