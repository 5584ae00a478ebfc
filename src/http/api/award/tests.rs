use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    http::testing::{Reply, Site, badge_class},
    store::{
        awards::{complete, testing},
        testing::seed,
    },
};

async fn ask(site: &Site, query: &str, body: &Value) -> Reply {
    let path = format!("/api/badges/v1/badge-classes/1/award/{query}");
    site.send_as("staff", Method::POST, &path, body).await
}

fn site() -> Site {
    prepared(Site::new())
}

fn prepared(site: Site) -> Site {
    badge_class(&site, "three", "my_block", "");
    seed::learner(&site.store(), 1, "ada", 10);
    seed::learner(&site.store(), 2, "bob", 10);
    site
}

/// Issues what is pending, as the issue loop does.
fn issue(site: &Site) {
    let store = site.store();
    let done: Vec<_> = testing::claim_all(&store).iter().map(testing::completed).collect();
    store.transaction("test", |tx| complete(tx, &done)).expect("completed");
}

#[tokio::test]
async fn an_award_is_made_once_for_each_key() {
    let site = site();
    let first = ask(
        &site,
        "",
        &json!({"username": "ada", "evidence_url": "https://example.com/e"}),
    )
    .await;
    assert_eq!(first.status, StatusCode::ACCEPTED, "{}", first.text());
    let award = first.json();
    assert_eq!(
        (&award["state"], &award["user"]["id"], &award["rule"]),
        (&json!("pending"), &json!(1), &json!("requested"))
    );
    for body in [
        json!({"username": "ada"}),
        json!({"user_id": 1}),
        json!({"user_id": 1, "username": "ada"}),
    ] {
        assert_eq!(ask(&site, "", &body).await.json()["id"], award["id"]);
    }
    let other = ask(&site, "", &json!({"username": "ada", "idempotency_key": "second"}))
        .await
        .json();
    assert_ne!(other["id"], award["id"]);
    let listed = site.get_as("staff", "/api/badges/v1/awards/").await.json();
    assert_eq!(listed["count"], 2);
}

#[tokio::test]
async fn an_award_that_was_asked_for_is_counted_once() {
    let site = site();
    let counted = || {
        site.state
            .metrics()
            .awards_decided
            .with_label_values(&["requested"])
            .get()
    };
    for (body, expected) in [
        (json!({"username": "nobody"}), 0),
        (json!({"username": "ada"}), 1),
        (json!({"user_id": 1}), 1),
        (json!({"username": "ada", "idempotency_key": "second"}), 2),
        (json!({"username": "bob"}), 3),
    ] {
        ask(&site, "", &body).await;
        assert_eq!(counted(), expected, "{body}");
    }
}

#[tokio::test]
async fn where_badges_are_switched_off_it_says_so_and_stores_nothing() {
    let site = prepared(Site::without_awards());
    for query in ["", "?wait=5"] {
        let reply = ask(&site, query, &json!({"username": "ada"})).await;
        assert_eq!(reply.problem().0, 409, "{}", reply.text());
        assert!(reply.text().contains("ENABLE_OPENBADGES"), "{}", reply.text());
    }
    assert_eq!(ask(&site, "", &json!({})).await.problem().0, 400);
    assert_eq!(site.get_as("staff", "/api/badges/v1/awards/").await.json()["count"], 0);
    assert_eq!(site.get_as("staff", "/api/badges/v1/audit/").await.json()["count"], 0);
}

#[tokio::test]
async fn who_waits_gets_the_assertion() {
    let site = site();
    ask(&site, "", &json!({"username": "ada"})).await;
    issue(&site);
    let reply = ask(&site, "?wait=5", &json!({"username": "ada"})).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    assert_eq!(reply.json()["assertion_url"], "https://b.example/a");
    let not_in_time = ask(&site, "?wait=0.1", &json!({"username": "bob"})).await;
    assert_eq!(not_in_time.status, StatusCode::ACCEPTED);
    let path = "/api/badges/v1/badge-classes/1/assertions/?username=ada";
    for caller in ["ada", "staff"] {
        let held = site.get_as(caller, path).await;
        assert_eq!(
            (held.status, &held.json()["count"]),
            (StatusCode::OK, &json!(1)),
            "{}",
            held.text()
        );
    }
    assert_eq!(site.get_as("bob", path).await.status, StatusCode::FORBIDDEN);
    let none = site
        .get_as("bob", "/api/badges/v1/badge-classes/1/assertions/?username=bob")
        .await;
    assert_eq!(none.json()["count"], 0);
}

#[tokio::test]
async fn who_waits_is_told_why_it_will_not_come() {
    let site = site();
    let award = ask(&site, "", &json!({"username": "ada"})).await.json();
    site.store()
        .transaction("test", |tx| {
            use diesel::RunQueryDsl as _;
            diesel::sql_query("UPDATE award SET state = 'blocked', state_reason = 'no_email'").execute(tx.conn)?;
            Ok(())
        })
        .expect("blocked");
    let reply = ask(&site, "?wait=60", &json!({"username": "ada"})).await;
    assert_eq!(reply.status, StatusCode::CONFLICT);
    assert!(
        reply.json()["detail"]
            .as_str()
            .is_some_and(|detail| detail.contains("no_email")),
        "{}",
        reply.text()
    );
    let without = ask(&site, "", &json!({"username": "ada"})).await;
    assert_eq!(
        (without.status, &without.json()["id"]),
        (StatusCode::ACCEPTED, &award["id"])
    );
}

#[tokio::test]
async fn wrong_requests_are_refused_by_name() {
    let site = site();
    for (query, body, field) in [
        ("", json!({}), "username"),
        ("", json!({"username": ""}), "username"),
        ("", json!({"username": 7}), "username"),
        ("", json!({"username": "x".repeat(256)}), "username"),
        ("", json!({"user_id": "1"}), "user_id"),
        ("", json!({"user_id": 2, "username": "ada"}), "user_id"),
        (
            "",
            json!({"username": "ada", "evidence_url": "javascript:x"}),
            "evidence_url",
        ),
        (
            "",
            json!({"username": "ada", "idempotency_key": "x".repeat(256)}),
            "idempotency_key",
        ),
        ("?wait=61", json!({"username": "ada"}), "wait"),
        ("?wait=-1", json!({"username": "ada"}), "wait"),
        ("?wait=soon", json!({"username": "ada"}), "wait"),
        ("?wait=NaN", json!({"username": "ada"}), "wait"),
    ] {
        let reply = ask(&site, query, &body).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{query} {body}");
        assert_eq!(reply.json()["field"], field, "{query} {body}: {}", reply.text());
    }
    for body in [json!({"username": "nobody"}), json!({"user_id": 99})] {
        assert_eq!(ask(&site, "", &body).await.status, StatusCode::NOT_FOUND);
    }
    let unknown = "/api/badges/v1/badge-classes/99/award/";
    let reply = site
        .send_as("staff", Method::POST, unknown, &json!({"username": "ada"}))
        .await;
    assert_eq!(reply.status, StatusCode::NOT_FOUND);
    let reply = site
        .send_as(
            "ada",
            Method::POST,
            "/api/badges/v1/badge-classes/1/award/",
            &json!({"username": "ada"}),
        )
        .await;
    assert_eq!(reply.status, StatusCode::FORBIDDEN);
    assert_eq!(site.get_as("staff", "/api/badges/v1/awards/").await.json()["count"], 0);
}
