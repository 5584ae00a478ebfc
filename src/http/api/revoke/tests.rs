use axum::http::{Method, StatusCode};
use serde_json::json;

use crate::{
    http::testing::{Site, badge_class},
    store::testing::seed,
};

const ID: &str = "0d9c7d6c-3f3c-4f0e-9c57-0b1f2f3a4b5c";
const PATH: &str = "/api/badges/v1/assertions/0d9c7d6c-3f3c-4f0e-9c57-0b1f2f3a4b5c/revoke/";

fn site() -> Site {
    let site = Site::new();
    let store = site.store();
    seed::learner(&store, 1, "ada", 10);
    let three = badge_class(&site, "three", "", "");
    seed::assertion(&store, 1, ID, &three, 1);
    site
}

#[tokio::test]
async fn what_is_revoked_already_is_said_to_be_so() {
    let site = site();
    seed::revoke(&site.store(), ID, "an earlier reason");
    let reply = site
        .send_as("staff", Method::POST, PATH, &json!({"reason": "again"}))
        .await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    assert_eq!(
        (&reply.json()["revoked"], &reply.json()["reason"]),
        (&json!(true), &json!("an earlier reason"))
    );
}

#[tokio::test]
async fn a_reason_is_needed_and_an_assertion_too() {
    let site = site();
    for body in [json!({}), json!({"reason": ""}), json!({"reason": 7})] {
        let reply = site.send_as("staff", Method::POST, PATH, &body).await;
        assert_eq!(
            (reply.status, &reply.json()["field"]),
            (StatusCode::BAD_REQUEST, &json!("reason"))
        );
    }
    let body = json!({"reason": "a mistake"});
    for path in [
        "/api/badges/v1/assertions/nothing/revoke/",
        "/api/badges/v1/assertions/%00/revoke/",
    ] {
        assert_eq!(
            site.send_as("staff", Method::POST, path, &body).await.status,
            StatusCode::NOT_FOUND,
            "{path}"
        );
    }
    let refused = site.send_as("ada", Method::POST, PATH, &body).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
}
