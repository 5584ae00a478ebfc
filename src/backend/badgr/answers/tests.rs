use std::time::Duration;

use serde_json::json;
use sha2::{Digest, Sha256};

use super::*;

const EMAIL: &str = "ada@example.com";

fn answer(status: u16, body: impl ToString) -> Answer {
    Answer {
        status,
        body: Some(body.to_string().into_bytes()),
        ..Answer::default()
    }
}

fn classified(answer: &Answer) -> (&'static str, String) {
    let error = result(answer, Subject::BadgeClass, EMAIL).expect_err("an error");
    let text = match &error {
        BackendError::Blocked { reason, .. } => (*reason).to_owned(),
        other => other.to_string(),
    };
    (error.code(), text)
}

#[test]
fn each_answer_has_its_meaning() {
    let envelope = |fields: Value, validation: Value| {
        json!({"status": {"success": false, "description": "bad request"}, "result": [],
               "fieldErrors": fields, "validationErrors": validation})
    };
    let html = "<html><h1>Server Error</h1></html>";
    let duplicate = "A previous award of this badge already exists for this recipient.";
    let bad_email = json!({"recipient": {"non_field_errors": ["ada@example.com: Enter a valid email address."]}});
    let cases = [
        (answer(500, html), "unknown"),
        (answer(502, html), "unknown"),
        (answer(503, html), "unknown"),
        (answer(504, html), "unknown"),
        (answer(408, html), "unknown"),
        (answer(301, html), "blocked"),
        (answer(307, html), "blocked"),
        (answer(401, envelope(json!({}), json!([]))), "not_sent"),
        (answer(403, html), "blocked"),
        (answer(404, envelope(json!({}), json!([]))), "blocked"),
        (answer(404, html), "blocked"),
        (answer(413, html), "refused"),
        (answer(415, envelope(json!({}), json!([]))), "refused"),
        (answer(429, html), "not_sent"),
        (answer(400, envelope(json!({}), json!([duplicate]))), "already_awarded"),
        (answer(400, envelope(bad_email, json!([]))), "refused"),
        (answer(400, envelope(json!([{}, {"x": ["y"]}]), json!([]))), "refused"),
        (answer(400, html), "unknown"),
        (
            Answer {
                status: 400,
                ..Answer::default()
            },
            "unknown",
        ),
        (
            Answer {
                status: 200,
                ..Answer::default()
            },
            "unknown",
        ),
        (answer(201, html), "unknown"),
        (answer(201, "{\"result\": [{\"entity"), "unknown"),
        (answer(200, "{}"), "unknown"),
        (
            answer(200, json!({"status": {"success": false}, "result": []})),
            "unknown",
        ),
    ];
    for (given, code) in &cases {
        let (found, text) = classified(given);
        assert_eq!(found, *code, "{} {text}", given.status);
        assert!(!text.contains(EMAIL), "{text}");
    }
    assert_eq!(classified(&cases[5].0).1, "misconfigured");
    assert_eq!(classified(&cases[9].0).1, "badge_class_missing");
    assert_eq!(
        classified(&cases[15].0).1,
        "refused: Badgr answers 400: recipient.non_field_errors: [e-mail]: Enter a valid email address."
    );
}

#[test]
fn a_field_error_may_be_a_bare_text() {
    let body = json!({"fieldErrors": {"image": "Valid image file or data URI required."}, "validationErrors": []});
    let said = classified(&answer(400, body)).1;
    assert_eq!(
        said,
        "refused: Badgr answers 400: image: Valid image file or data URI required."
    );
}

#[test]
fn the_longer_of_two_waits_is_obeyed() {
    let body = json!({"error": "login attempts throttled", "expires": 8});
    let mut throttled = answer(429, &body);
    assert_eq!(throttled_for(&throttled), Some(Duration::from_secs(8)));
    throttled.retry_after = Some(Duration::from_secs(30));
    assert_eq!(throttled_for(&throttled), Some(Duration::from_secs(30)));
    assert_eq!(throttled_for(&answer(429, "<html>")), None);
    assert_eq!(
        throttled_for(&answer(429, json!({"expires": 1e300}))),
        Some(bounded_seconds(f64::MAX))
    );
}

fn assertion(recipient: Value) -> Value {
    json!({"entityId": "a1", "openBadgeId": "https://b.example/public/assertions/a1", "badgeclass": "c1",
           "image": null, "issuer": "i1", "issuerOpenBadgeId": "https://b.example/public/issuers/i1",
           "revoked": false, "recipient": recipient, "narrative": "for ada@example.com"})
}

#[test]
fn what_leaves_the_service_names_no_address() {
    let said = assertion(json!({"identity": "sha256$ab", "plaintextIdentity": EMAIL, "salt": "x"}));
    let issued = issued(&said, EMAIL).expect("an assertion");
    assert_eq!(issued.image_url, "https://b.example/public/assertions/a1/image");
    assert_eq!(issued.issuer, "https://b.example/public/issuers/i1");
    assert_eq!(issued.backend_id.as_deref(), Some("a1"));
    assert!(!issued.data.to_string().contains('@'), "{}", issued.data);
    assert!(issued.data["recipient"].get("plaintextIdentity").is_none());
    assert_eq!(
        super::issued(&json!({"entityId": "a1"}), EMAIL)
            .expect_err("no URL")
            .code(),
        "unknown"
    );
}

#[test]
fn only_a_live_assertion_of_the_same_recipient_is_adopted() {
    let digest = Sha256::digest("ada@example.comsalt");
    let hash: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let hashed = |salt: &str| json!({"identity": format!("sha256${hash}"), "hashed": true, "salt": salt});
    let plain = |email: &str| json!({"identity": "sha256$ab", "plaintextIdentity": email});
    let mut revoked = assertion(plain(EMAIL));
    revoked["revoked"] = json!(true);
    let mut elsewhere = assertion(plain(EMAIL));
    elsewhere["badgeclass"] = json!("c2");
    let cases = [
        (assertion(plain("Ada@Example.com")), true),
        (assertion(plain("bob@example.com")), false),
        (assertion(hashed("salt")), true),
        (assertion(hashed("pepper")), false),
        (assertion(json!({"identity": "ADA@example.com", "hashed": false})), true),
        (assertion(json!({})), false),
        (revoked, false),
        (elsewhere, false),
    ];
    for (said, live) in cases {
        assert_eq!(is_live_award(&said, "c1", " ADA@example.com"), live, "{said}");
    }
}

#[test]
fn only_web_addresses_are_taken() {
    let long = format!("https://badgr.example/{}", "a".repeat(2048));
    for url in ["javascript:alert(1)", "https://badgr.example/\n1", "/1", &long] {
        let error = issued(&json!({"entityId": "a", "openBadgeId": url}), EMAIL).expect_err("no address of the web");
        assert_eq!(error.code(), "unknown", "{url}");
        assert!(error.to_string().contains("openBadgeId"), "{error}");
        let assertion = json!({"entityId": "a", "openBadgeId": "https://badgr.example/a", "image": url});
        let issued = issued(&assertion, EMAIL).expect("its image has an address of its own");
        assert_eq!(issued.image_url, "https://badgr.example/a/image", "{url}");
        let made = made(&json!({"entityId": "c", "image": url})).expect("an image is not needed");
        assert_eq!(made.image_url, None, "{url}");
    }
}
