use axum::{
    body::Body,
    http::{Method, StatusCode},
};
use serde_json::Value;

use crate::{
    http::testing::{Reply, Site, badge_class},
    store::{api_reads::Window, audit, testing::seed},
};

const ID: &str = "0d9c7d6c-3f3c-4f0e-9c57-0b1f2f3a4b5c";

async fn delete(site: &Site, caller: &str, username: &str) -> Reply {
    let path = format!("/api/badges/v1/learners/{username}/");
    site.send_as(caller, Method::DELETE, &path, &Value::Null).await
}

fn site() -> Site {
    let site = Site::new();
    let store = site.store();
    seed::learner(&store, 7, "ada", 10);
    seed::learner(&store, 42, "ada", 20);
    let three = badge_class(&site, "three", "", "");
    seed::assertion(&store, 42, ID, &three, 1);
    seed::award(
        &store,
        42,
        "a0000000-0000-4000-8000-000000000001",
        &three,
        ("dead", Some("too_old")),
        1,
    );
    site
}

#[tokio::test]
async fn a_retired_learner_is_nobody_any_more() {
    let site = site();
    let reply = delete(&site, "staff", "ada").await;
    assert_eq!((reply.status, reply.body), (StatusCode::NO_CONTENT, Vec::new()));
    let page = site.get(&format!("/badges/{ID}"), &[]).await;
    assert_eq!(page.status, StatusCode::OK);
    let page = page.text();
    assert!(
        !page.contains("ada") && page.contains("a learner") && page.contains("was retired"),
        "{page}"
    );
    let document = site.get(&format!("/ob2/assertions/{ID}"), &[]).await;
    assert_eq!(document.status, StatusCode::GONE);
    assert_eq!(
        (&document.json()["revoked"], &document.json()["recipient"]),
        (&Value::Bool(true), &Value::Null)
    );
    let image = site.get(&format!("/ob2/assertions/{ID}/image.png"), &[]).await;
    assert_eq!(image.status, StatusCode::GONE);
    let listed = site
        .get_as("staff", "/api/badges/v1/awards/?state=cancelled")
        .await
        .json();
    assert_eq!(
        (&listed["count"], &listed["results"][0]["reason"]),
        (&Value::from(1), &Value::from("retired"))
    );
    let window = Window { start: 0, length: 10 };
    let log = site.store().read("test", |tx| audit::list(tx, window)).expect("read");
    let told: Vec<(&str, &str, &str)> = log
        .iter()
        .map(|entry| (entry.actor.as_str(), entry.action.as_str(), entry.target.as_str()))
        .collect();
    assert_eq!(told, [("staff", "learner.retire", "42")]);
}

#[tokio::test]
async fn a_username_is_the_one_whose_newest_event_carries_it_and_then_nobody() {
    let site = site();
    assert_eq!(delete(&site, "staff", "ada").await.status, StatusCode::NO_CONTENT);
    let other = "/api/badges/v1/assertions/user/ada/";
    assert_eq!(
        site.get_as("staff", other).await.json()["count"],
        0,
        "the other of this name"
    );
    assert_eq!(delete(&site, "staff", "ada").await.status, StatusCode::NO_CONTENT);
    assert_eq!(delete(&site, "staff", "ada").await.problem().0, 404);
    assert_eq!(site.get_as("staff", other).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn only_administrators_retire_learners() {
    let site = site();
    for username in ["ada", "nobody"] {
        assert_eq!(delete(&site, "ada", username).await.problem().0, 403);
    }
    let path = "/api/badges/v1/learners/ada/";
    let unknown = site.send(Method::DELETE, path, &[], Body::empty()).await;
    assert_eq!(unknown.problem().0, 401);
    assert_eq!(delete(&site, "staff", "nobody").await.problem().0, 404);
    assert_eq!(
        delete(&site, "staff", "%00").await.problem(),
        (400, "username".to_owned())
    );
    assert_eq!(
        delete(&site, "staff", &"a".repeat(256)).await.problem(),
        (400, "username".to_owned())
    );
    assert_eq!(site.get_as("staff", path).await.status, StatusCode::METHOD_NOT_ALLOWED);
}
