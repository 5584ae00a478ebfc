use axum::http::Method;
use serde_json::{Value, json};

use crate::{
    http::testing::{Reply, Site},
    store::{api_reads::Window, audit, testing::seed},
    wire::record::{Header, Record},
};

const PATH: &str = "/api/badges/v1/dead-letters/";

/// A dead letter of this reason; its id.
fn letter(site: &Site, reason: &str) -> i64 {
    let record = Record {
        topic: "enrollment.created".into(),
        partition: 3,
        offset: 17,
        timestamp: Some("2026-11-01T00:00:00.5Z".parse().expect("a time")),
        key: Some(b"42".to_vec()),
        value: Some(vec![0xff]),
        headers: vec![Header::text("ce_type", "x")],
    };
    seed::dead_letter(&site.store(), &record, reason, "user.id: missing")
}

async fn post(site: &Site, username: &str, id: impl ToString, what: &str) -> Reply {
    let path = format!("{PATH}{}/{what}/", id.to_string());
    site.send_as(username, Method::POST, &path, &json!({})).await
}

fn log(site: &Site) -> Vec<(String, String)> {
    let window = Window { start: 0, length: 9 };
    let entries = site.store().read("test", |tx| audit::list(tx, window)).expect("read");
    entries.into_iter().map(|entry| (entry.action, entry.target)).collect()
}

#[tokio::test]
async fn administrators_list_and_read_them() {
    let site = Site::new();
    let (first, second) = (letter(&site, "schema"), letter(&site, "mended"));
    let all = site.get_as("staff", PATH).await.json();
    assert_eq!((&all["count"], &all["results"][1]["id"]), (&json!(2), &json!(first)));
    let mut listed = all["results"][0].clone();
    assert_ne!(listed["created"].take(), Value::Null);
    let expected = json!({
        "id": second, "state": "waiting", "reason": "mended", "message": "user.id: missing",
        "topic": "enrollment.created", "partition": 3, "offset": 17, "time": "2026-11-01T00:00:00.500Z",
        "created": null, "sent_at": null, "replays": 0, "replayed_at": null, "dropped_at": null, "erased_at": null});
    assert_eq!(listed, expected);
    let whole = site.get_as("staff", &format!("{PATH}{second}/")).await.json();
    assert_eq!(
        (&whole["id"], &whole["key"], &whole["value"], &whole["value_base64"]),
        (&json!(second), &json!("42"), &Value::Null, &json!("/w=="))
    );
    assert_eq!(whole["headers"], json!([{"name": "ce_type", "value": "x"}]));

    post(&site, "staff", first, "drop").await;
    post(&site, "staff", second, "replay").await;
    for (query, ids) in [
        ("state=waiting", json!([])),
        ("state=dropped", json!([first])),
        ("state=replayed", json!([second])),
        ("reason=schema", json!([first])),
        ("topic=enrollment.created", json!([second, first])),
        ("topic=nowhere", json!([])),
    ] {
        let listed = site.get_as("staff", &format!("{PATH}?{query}")).await.json();
        let found: Vec<_> = listed["results"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|item| &item["id"])
            .collect();
        assert_eq!(json!(found), ids, "{query}");
    }
}

#[tokio::test]
async fn one_is_replayed_once() {
    let site = Site::new();
    let id = letter(&site, "mended");
    let done = post(&site, "staff", id, "replay").await;
    assert_eq!(done.status, 200, "{}", done.text());
    let done = done.json();
    assert_eq!(
        (&done["state"], &done["replays"], &done["outcome"], &done["awards"]),
        (&json!("replayed"), &json!(1), &json!("applied"), &json!(1))
    );
    let again = post(&site, "staff", id, "replay").await;
    assert_eq!(again.problem().0, 409);
    assert!(again.text().contains("replayed already, on 20"), "{}", again.text());
    assert_eq!(log(&site), [("dead_letter.replay".to_owned(), id.to_string())]);
}

#[tokio::test]
async fn one_that_fails_again_stays_and_says_why() {
    let site = Site::new();
    let id = letter(&site, "unknown_badge_class");
    let failed = post(&site, "staff", id, "replay").await;
    assert_eq!(failed.problem().0, 409);
    assert!(
        failed.text().contains("failed again (schema): user.id: missing"),
        "{}",
        failed.text()
    );
    let left = site.get_as("staff", &format!("{PATH}{id}/")).await.json();
    assert_eq!(
        (&left["state"], &left["reason"], &left["replays"], &left["value_base64"]),
        (&json!("waiting"), &json!("schema"), &json!(1), &json!("/w=="))
    );
    let request = letter(&site, "request");
    let refused = post(&site, "staff", request, "replay").await;
    assert_eq!(refused.problem().0, 409);
    assert!(refused.text().contains("ENABLE_OPENBADGES"), "{}", refused.text());
}

#[tokio::test]
async fn a_dropped_one_is_not_replayed_and_a_repetition_does_no_harm() {
    let site = Site::new();
    let id = letter(&site, "mended");
    let dropped = post(&site, "staff", id, "drop").await;
    assert_eq!(
        (dropped.status.as_u16(), &dropped.json()["state"]),
        (200, &json!("dropped"))
    );
    assert_eq!(post(&site, "staff", id, "drop").await.json(), dropped.json());
    let replayed = post(&site, "staff", id, "replay").await;
    assert_eq!(replayed.problem().0, 409);
    assert!(replayed.text().contains("was dropped on"), "{}", replayed.text());
    assert_eq!(log(&site), [("dead_letter.drop".to_owned(), id.to_string())]);
}

#[tokio::test]
async fn nobody_else_may_and_wrong_input_is_named() {
    let site = Site::new();
    let id = letter(&site, "mended");
    for path in [PATH.to_owned(), format!("{PATH}{id}/"), format!("{PATH}{}/", id + 1)] {
        assert_eq!(site.get_as("ada", &path).await.problem().0, 403, "{path}");
        assert_eq!(site.get(&path, &[]).await.problem().0, 401, "{path}");
    }
    for what in ["replay", "drop"] {
        assert_eq!(post(&site, "ada", id, what).await.problem().0, 403);
        for unknown in [(id + 1).to_string(), "x".to_owned(), "99999999999999999999".to_owned()] {
            assert_eq!(post(&site, "staff", &unknown, what).await.problem().0, 404, "{unknown}");
        }
    }
    assert_eq!(site.get_as("staff", &format!("{PATH}x/")).await.problem().0, 404);
    let long = "x".repeat(256);
    for (field, value) in [("state", "lost"), ("reason", &long), ("topic", &long), ("page", "0")] {
        let reply = site.get_as("staff", &format!("{PATH}?{field}={value}")).await;
        assert_eq!(reply.status, 400, "{field}");
        assert!(reply.text().contains(field), "{}", reply.text());
    }
    assert_eq!(log(&site), []);
}
