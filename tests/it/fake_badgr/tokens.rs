//! Tokens: grants, refreshes, the throttle.

use reqwest::Client;
use serde_json::{Value, json};

use super::{Caller, content_type, json_of, password_grant, refresh_grant, status_of};
use crate::harness::fake_badgr::{FakeBadgr, PASSWORD, USERNAME};

#[tokio::test]
async fn every_password_grant_is_a_new_token_and_the_older_stays_good() {
    let badgr = FakeBadgr::start().await;
    let first = Caller::new(&badgr).await;
    let second = Caller::new(&badgr).await;
    assert_ne!(first.token, second.token);
    for caller in [first, second] {
        assert_eq!(status_of(caller.get("/v2/issuers/issuer1")).await, 200);
    }
    assert_eq!(badgr.token_requests().len(), 2);
}

#[tokio::test]
async fn a_refresh_token_works_once_and_ends_the_old_access_token() {
    let badgr = FakeBadgr::start().await;
    let http = Client::new();
    let (_, old) = json_of(password_grant(&http, &badgr.url(), PASSWORD)).await;
    let refresh = old["refresh_token"].as_str().expect("a refresh token was granted");
    let (status, new) = json_of(refresh_grant(&http, &badgr.url(), refresh)).await;
    assert_eq!((status, new["expires_in"].as_u64()), (200, Some(86_400)));
    let issuer = format!("{}/v2/issuers/issuer1", badgr.url());
    let with_token = |grant: &Value| {
        http.get(&issuer)
            .bearer_auth(grant["access_token"].as_str().unwrap_or_default())
    };
    assert_eq!(status_of(with_token(&old)).await, 401);
    assert_eq!(status_of(with_token(&new)).await, 200);
    let (status, body) = json_of(refresh_grant(&http, &badgr.url(), refresh)).await;
    assert_eq!((status, body), (400, json!({"error": "invalid_grant"})));
}

#[tokio::test]
async fn a_failed_grant_throttles_its_own_key_only() {
    let badgr = FakeBadgr::start().await;
    let http = Client::new();
    let (status, body) = json_of(password_grant(&http, &badgr.url(), "wrong")).await;
    assert_eq!((status, body["error"].as_str()), (400, Some("invalid_grant")));
    assert_eq!(body["error_description"], "Invalid credentials given.");

    let throttled = password_grant(&http, &badgr.url(), PASSWORD)
        .send()
        .await
        .expect("an answer comes");
    assert_eq!(
        (throttled.status().as_u16(), content_type(&throttled)),
        (429, "text/html")
    );
    assert!(!throttled.headers().contains_key("retry-after"));
    let body: Value = throttled.json().await.expect("the answer is JSON");
    assert_eq!(
        (&body["error"], &body["expires"]),
        (&json!("login attempts throttled"), &json!(2))
    );

    let (status, _) = json_of(refresh_grant(&http, &badgr.url(), "unknown")).await;
    assert_eq!(status, 400, "a refresh has a key of its own");
    let (status, _) = json_of(refresh_grant(&http, &badgr.url(), "unknown")).await;
    assert_eq!(status, 429);
}

#[tokio::test]
async fn grants_come_in_the_body_as_a_form() {
    let badgr = FakeBadgr::start().await;
    let http = Client::new();
    let token = format!("{}/o/token", badgr.url());
    let (status, body) = json_of(http.post(format!("{token}?username=a&password=b"))).await;
    assert_eq!(status, 400);
    assert_eq!(
        body["error"],
        "Token grant parameters must be sent in post body, not query parameters"
    );
    let (status, body) = json_of(
        http.post(token)
            .json(&json!({"username": USERNAME, "password": PASSWORD})),
    )
    .await;
    assert_eq!((status, &body["error"]), (400, &json!("invalid_request")));
}

#[tokio::test]
async fn without_a_good_token_nothing_is_read() {
    let badgr = FakeBadgr::builder().expires_in(3_600).start().await;
    let caller = Caller::new(&badgr).await;
    assert_eq!(status_of(caller.get("/v2/issuers/issuer1")).await, 200);
    badgr.expire_tokens();
    let (status, body) = json_of(caller.get("/v2/issuers/issuer1")).await;
    assert_eq!(status, 401);
    assert_eq!(
        body,
        json!({
            "status": {"success": false, "description": "no valid auth token found"},
            "result": [], "fieldErrors": {}, "validationErrors": [],
        })
    );
    assert_eq!(
        status_of(Client::new().get(format!("{}/v2/issuers/issuer1", badgr.url()))).await,
        401
    );
}
