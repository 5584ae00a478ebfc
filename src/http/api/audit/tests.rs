use serde_json::json;

use crate::{
    http::testing::Site,
    store::audit::{self, Action, Actor, Via},
};

const PATH: &str = "/api/badges/v1/audit/";

fn with_entries() -> Site {
    let site = Site::new();
    let actor = |name: &str, via| Actor {
        name: name.to_owned(),
        via,
    };
    let written = site.store().transaction("test", |tx| {
        let details = json!({"slug": "three"});
        audit::record(tx, &actor("ada", Via::Api), Action::CreateBadgeClass, "7", &details)?;
        audit::record(
            tx,
            &actor("bob", Via::CommandLine),
            Action::RetryAward,
            "w1",
            &json!({}),
        )
    });
    written.expect("written");
    site
}

#[tokio::test]
async fn administrators_see_who_changed_what() {
    let site = with_entries();
    let log = site.get_as("staff", PATH).await.json();
    assert_eq!(
        (&log["count"], &log["results"][0]["action"]),
        (&json!(2), &json!("award.retry"))
    );
    let mut first = log["results"][1].clone();
    assert!(first["created"].take().as_str().is_some_and(|time| time.ends_with('Z')));
    let expected = json!({
        "id": 1, "created": null, "actor": "ada", "via": "api", "action": "badge_class.create", "target": "7",
        "details": {"slug": "three"}});
    assert_eq!(first, expected);
    for (query, count) in [
        ("actor=ada", 1),
        ("actor=eve", 0),
        ("action=award.retry", 1),
        ("target=7&actor=bob", 0),
        ("since=2020-01-01", 2),
        ("since=9000-01-01T00:00:00Z", 0),
        ("until=2020-01-01", 0),
    ] {
        let found = site.get_as("staff", &format!("{PATH}?{query}")).await.json();
        assert_eq!(found["count"], count, "{query}");
    }
}

#[tokio::test]
async fn nobody_else_does_and_wrong_filters_are_named() {
    let site = with_entries();
    assert_eq!(site.get_as("ada", PATH).await.problem().0, 403);
    assert_eq!(site.get(PATH, &[]).await.problem().0, 401);
    let long = "x".repeat(256);
    for (field, value) in [
        ("action", "juggle"),
        ("since", "yesterday"),
        ("until", "2026-13-01"),
        ("actor", &long),
        ("target", &long),
    ] {
        let reply = site.get_as("staff", &format!("{PATH}?{field}={value}")).await;
        assert_eq!(reply.problem(), (400, field.to_owned()));
    }
}
