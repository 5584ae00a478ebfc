//! Awarding and revoking, and what is refused.

use std::time::Duration;

use serde_json::json;

use super::{Caller, award_to, id_of, json_of, status_of, with};
use crate::harness::fake_badgr::FakeBadgr;

const DUPLICATE: &str = "A previous award of this badge already exists for this recipient.";

#[tokio::test]
async fn an_award_has_a_hashed_recipient_in_lower_case() {
    let badgr = FakeBadgr::start().await;
    let caller = Caller::new(&badgr).await;
    let class = caller.made().await;
    let body = with(
        award_to("Ada@Example.com"),
        "evidence",
        json!([{"url": "https://lms.example.com/c/1"}]),
    );
    let (status, body) = json_of(caller.award(&class, &body)).await;
    assert_eq!(status, 201, "{body}");
    let result = &body["result"][0];
    let id = id_of(&body);
    assert_eq!(result["openBadgeId"], format!("{}/public/assertions/{id}", badgr.url()));
    assert_eq!(result["recipient"]["plaintextIdentity"], "ada@example.com");
    let identity = result["recipient"]["identity"].as_str().expect("the identity is text");
    assert!(identity.starts_with("sha256$") && identity.len() == 71, "{identity}");
    assert_eq!(result["evidence"][0]["url"], "https://lms.example.com/c/1");
    assert_eq!(
        json_of(caller.get(&format!("/v2/assertions/{id}"))).await.1["result"][0],
        *result
    );
    let held = badgr.live_assertions_of("ADA@example.com");
    assert_eq!((held.len(), &held[0].entity_id, &held[0].badge_class), (1, &id, &class));
    assert_eq!((held[0].notify, &held[0].narrative), (false, &None));
    assert_eq!(held[0].evidence_url.as_deref(), Some("https://lms.example.com/c/1"));
}

#[tokio::test]
async fn an_award_is_refused_as_measured() {
    let badgr = FakeBadgr::start().await;
    let caller = Caller::new(&badgr).await;
    let class = caller.made().await;
    let ada = award_to("ada@example.com");
    for (body, errors) in [
        (
            award_to("nobody"),
            json!({"recipient": {"non_field_errors": ["Enter a valid email address."]}}),
        ),
        (
            award_to("ü@example.com"),
            json!({"recipient": {"non_field_errors": ["Enter a valid email address."]}}),
        ),
        (json!({}), json!({"recipient": ["This field is required"]})),
        (
            with(ada.clone(), "evidence", json!([{"url": null}])),
            json!({"evidence": ["This field may not be null."]}),
        ),
        (
            with(ada.clone(), "evidence", json!([{"url": "x"}])),
            json!({"evidence": [{"url": ["Enter a valid URL."]}]}),
        ),
    ] {
        let (status, answer) = json_of(caller.award(&class, &body)).await;
        assert_eq!((status, &answer["fieldErrors"]), (400, &errors), "{body}");
    }
    for (field, value, status) in [
        ("issuedOn", json!("2099-01-01T00:00:00Z"), 400),
        ("narrative", json!("![x](https://e.org)"), 400),
        ("narrative", json!("🎉"), 500),
        ("extensions", json!({"extensions:x": {}}), 500),
    ] {
        assert_eq!(
            status_of(caller.award(&class, &with(ada.clone(), field, value))).await,
            status,
            "{field}"
        );
    }
    let (status, body) = json_of(caller.award("unknown", &ada)).await;
    assert_eq!(
        (status, &body["status"]["description"]),
        (404, &json!("entity not found or insufficient privileges"))
    );
    let url = format!("{}/v2/badgeclasses/{class}/assertions", badgr.url());
    let text = caller.http.post(url).bearer_auth(&caller.token).body(ada.to_string());
    assert_eq!(status_of(text).await, 415);
    assert_eq!(status_of(caller.award(&class, &award_to("x@localhost"))).await, 201);
    assert_eq!(badgr.assertions().len(), 1);
}

#[tokio::test]
async fn a_duplicate_is_refused_only_on_demand_and_only_while_the_first_lives() {
    let badgr = FakeBadgr::start().await;
    let caller = Caller::new(&badgr).await;
    let class = caller.made().await;
    let ada = award_to("ada@example.com");
    let once = with(award_to("ADA@example.com"), "allowDuplicateAwards", json!(false));
    let first = id_of(&json_of(caller.award(&class, &ada)).await.1);
    let second = id_of(&json_of(caller.award(&class, &ada)).await.1);
    let (status, body) = json_of(caller.award(&class, &once)).await;
    assert_eq!((status, &body["validationErrors"]), (400, &json!([DUPLICATE])));
    assert_eq!(
        status_of(caller.award(&caller.made().await, &once)).await,
        201,
        "another badge class"
    );
    for id in [&first, &second] {
        assert_eq!(
            status_of(caller.revoke(id, &json!({"revocation_reason": "Error"}))).await,
            200
        );
    }
    assert_eq!(status_of(caller.award(&class, &once)).await, 201);
    assert_eq!(badgr.live_assertions_of("ada@example.com").len(), 2);
}

#[tokio::test]
async fn duplicates_at_the_same_time_are_not_seen() {
    let badgr = FakeBadgr::start().await;
    let caller = Caller::new(&badgr).await;
    let class = caller.made().await;
    let once = with(award_to("ada@example.com"), "allowDuplicateAwards", json!(false));
    badgr.delay(Duration::from_millis(200));
    let statuses = tokio::join!(
        status_of(caller.award(&class, &once)),
        status_of(caller.award(&class, &once))
    );
    assert_eq!(statuses, (201, 201));
    assert_eq!(badgr.live_assertions_of("ada@example.com").len(), 2);
}

#[tokio::test]
async fn a_revocation_needs_a_reason_and_happens_once() {
    let badgr = FakeBadgr::start().await;
    let caller = Caller::new(&badgr).await;
    let class = caller.made().await;
    let (_, made) = json_of(caller.award(&class, &award_to("ada@example.com"))).await;
    let id = id_of(&made);
    let public = made["result"][0]["openBadgeId"]
        .as_str()
        .expect("a public URL")
        .to_owned();
    let (status, body) = json_of(caller.revoke(&id, &json!({}))).await;
    assert_eq!(status, 400);
    assert!(body["fieldErrors"]["revocation_reason"].is_array(), "{body}");
    assert_eq!(
        status_of(caller.revoke(&id, &json!({"revocation_reason": "r".repeat(256)}))).await,
        500
    );
    let image = |url: &str| caller.http.get(format!("{url}/image"));
    assert_eq!(status_of(image(&public)).await, 200);

    let (status, body) = json_of(caller.revoke(&id, &json!({"revocation_reason": "Issued in error"}))).await;
    assert_eq!((status, &body["result"][0]["revoked"]), (200, &json!(true)));
    let (status, body) = json_of(caller.revoke(&id, &json!({"revocation_reason": "Again"}))).await;
    assert_eq!(
        (status, &body["validationErrors"]),
        (400, &json!(["Assertion is already revoked"]))
    );
    assert_eq!(
        status_of(caller.revoke("unknown", &json!({"revocation_reason": "x"}))).await,
        404
    );
    let (status, body) = json_of(caller.http.get(&public)).await;
    assert_eq!(
        (status, &body["revoked"], &body["revocationReason"]),
        (200, &json!(true), &json!("Issued in error"))
    );
    assert_eq!(status_of(image(&public)).await, 404);
    assert_eq!(badgr.assertions()[0].revoked.as_deref(), Some("Issued in error"));
}
