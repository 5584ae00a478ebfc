//! Badges that a component asks for: made, awarded, held, revoked, over real sockets and topics.

use serde_json::{Value, json};

use crate::harness::app::TestApp;
use crate::harness::events::{Event, Learner, course};
use crate::harness::fake_badgr::FakeBadgr;
use crate::harness::tokens::Token;
use crate::harness::world::{PATIENCE, World, badge_class, eventually};

const CLASSES: &str = "/api/badges/v1/badge-classes/";

/// Posts as an administrator: status and JSON (null if it is none).
pub async fn post(world: &World, path: &str, body: &Value) -> (u16, Value) {
    let token = Token::of_administrator("staff").hs256();
    let request = world.client.post(format!("{}{path}", world.http)).json(body);
    let response = request.header("Authorization", format!("Bearer {token}")).send().await;
    let response = response.expect("the service answers");
    let status = response.status().as_u16();
    (status, response.json().await.unwrap_or(Value::Null))
}

/// A learner whom an event told of, and a badge class; its address.
async fn prepare(world: &World) -> String {
    world
        .topics
        .publish_events(&[Event::enrollment_created(&Learner::new(1), &course(1))]);
    eventually("the learner is known", PATIENCE, async || {
        world.database.count("learner", "learner_id = 1") == 1
    })
    .await;
    let (status, class) = post(world, CLASSES, &badge_class("first_post", "forum", 7)).await;
    assert_eq!(status, 201, "{class}");
    assert_eq!(
        post(world, CLASSES, &badge_class("first_post", "forum", 8)).await,
        (200, class.clone())
    );
    format!("{CLASSES}{}/", class["id"])
}

async fn awarded_once_and_revoked(world: &World) -> Value {
    let path = prepare(world).await;
    let body = json!({"username": "learner1", "evidence_url": "https://forum.example.com/1"});
    let award = format!("{path}award/?wait=30");
    let (status, assertion) = post(world, &award, &body).await;
    assert_eq!(
        (status, &assertion["badge_class"]["slug"]),
        (200, &json!("first_post")),
        "{assertion}"
    );
    assert_eq!(
        post(world, &award, &body).await,
        (200, assertion.clone()),
        "the same once more"
    );
    let own = Token::of("learner1");
    let (status, held) = world
        .get(&format!("{path}assertions/?username=learner1"), Some(&own))
        .await;
    assert_eq!(
        (status, &held["count"], &held["results"][0]),
        (200, &json!(1), &assertion)
    );
    let body = json!({"user_id": 1, "idempotency_key": "again"});
    assert_eq!(post(world, &award, &body).await.0, 200);
    eventually("both are announced", PATIENCE, async || world.announced().len() == 2).await;

    let sql = "SELECT id AS line FROM assertion ORDER BY created_at LIMIT 1";
    let id = world.database.lines(sql)[0].clone();
    let (status, revoked) = post(
        world,
        &format!("/api/badges/v1/assertions/{id}/revoke/"),
        &json!({"reason": "by mistake"}),
    )
    .await;
    assert_eq!((status, &revoked["revoked"]), (200, &json!(true)), "{revoked}");
    eventually("it is told of", PATIENCE, async || {
        world.topics.read("badge.revoked").len() == 1
    })
    .await;
    let told = world.topics.read("badge.revoked").remove(0);
    assert_eq!(
        (told.header("ce_type").as_deref(), told.key().as_str()),
        (Some("badge.revoked"), "1")
    );
    assert_eq!(told.json()["revocation"]["reason"], "by mistake");
    assert_eq!(told.json()["assertion"]["id"], json!(id));
    assert!(
        world.text(&format!("/badges/{id}")).await.contains("by mistake"),
        "the page says it"
    );
    let (_, held) = world
        .get(&format!("{path}assertions/?username=learner1"), Some(&own))
        .await;
    assert_eq!(held["count"], 1, "the other one is left");
    json!(id)
}

#[tokio::test]
async fn a_requested_badge_of_the_built_in_issuer_is_awarded_once_and_revoked() {
    let app = TestApp::builder().start();
    let id = awarded_once_and_revoked(&app).await;
    let url = format!("{}/ob2/assertions/{}", app.http, id.as_str().expect("an id"));
    let document = app
        .client
        .get(url)
        .header("Accept", "application/json")
        .send()
        .await
        .expect("an answer");
    assert_eq!(document.status().as_u16(), 410);
    let explained = app.cli(&["explain", "--user", "learner1", "--badge", "first_post"]);
    for part in [
        "enrolled in 1 courses, 0 completed",
        "published",
        "revoked on",
        "nothing: it is done",
    ] {
        assert!(explained.contains(part), "{part}: {explained}");
    }
    assert!(!explained.contains('@'), "no address: {explained}");
    // Once more, and by the command.
    let said = app.cli(&["revoke", id.as_str().expect("an id"), "--reason", "again"]);
    assert!(said.contains("revoked already"), "{said}");
    let second = app
        .database
        .lines("SELECT id AS line FROM assertion WHERE revoked_at IS NULL")
        .remove(0);
    let said = app.cli(&[
        "revoke",
        &format!("{}/badges/{second}", app.http),
        "--reason",
        "this too",
    ]);
    assert!(said.contains("is revoked"), "{said}");
    let audit = app.database.lines("SELECT action AS line FROM audit ORDER BY id");
    assert_eq!(
        audit,
        [
            "badge_class.create",
            "award.request",
            "award.request",
            "assertion.revoke",
            "assertion.revoke"
        ]
    );
}

#[tokio::test]
async fn a_requested_badge_of_badgr_is_awarded_once_and_revoked() {
    let badgr = FakeBadgr::start().await;
    let app = TestApp::builder().badgr(&badgr).start();
    awarded_once_and_revoked(&app).await;
    let assertions = badgr.assertions();
    let revoked = assertions
        .iter()
        .filter(|assertion| assertion.revoked.is_some())
        .count();
    assert_eq!((assertions.len(), revoked), (2, 1));
}
