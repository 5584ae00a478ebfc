//! Learners who lose what they qualified with, and learners who leave, over real sockets and topics.

use serde_json::{Value, json};

use crate::harness::app::TestApp;
use crate::harness::events::{Event, Learner, course};
use crate::harness::fake_badgr::FakeBadgr;
use crate::harness::tokens::Token;
use crate::harness::topics::{Incoming, Outgoing};
use crate::harness::world::{PATIENCE, World, eventually};

fn enrolment(learner: &Learner, number: u32, time: &str) -> Event {
    Event::enrollment_created(learner, &course(number)).at(&format!("2026-11-01T{time}Z"))
}

/// Waits for so many `badge.revoked`, and returns them.
async fn revoked(world: &World, number: usize) -> Vec<Incoming> {
    eventually("revocations are told of", PATIENCE, async || {
        world.topics.read("badge.revoked").len() >= number
    })
    .await;
    let told = world.topics.read("badge.revoked");
    assert_eq!(told.len(), number);
    told
}

fn sequence(record: &Incoming) -> i64 {
    let sequence = record.header("ce_sequence").expect("a sequence");
    sequence.parse().expect("a number")
}

#[tokio::test]
async fn a_badge_that_is_lost_is_revoked_at_badgr_and_told_of_after_its_award() {
    let badgr = FakeBadgr::start().await;
    let app = TestApp::builder()
        .badgr(&badgr)
        .setting("REVOKE_ON_LOSS", "true")
        .start();
    app.activate("2,two", "", "");
    let ada = Learner::new(42);
    let passed = Event::certificate_generated(&ada, &course(1)).at("2026-11-01T12:02:00Z");
    app.topics
        .publish_events(&[enrolment(&ada, 1, "12:00:00"), enrolment(&ada, 2, "12:01:00"), passed]);
    eventually("both are announced", PATIENCE, async || app.announced().len() == 2).await;
    app.topics.publish_events(&[
        Event::enrollment_deactivated(&ada, &course(2)).at("2026-11-01T13:00:00Z"),
        Event::certificate_revoked(&ada, &course(1)).at("2026-11-01T13:01:00Z"),
    ]);
    let told = revoked(&app, 2).await;
    let awarded = app.topics.awarded();
    let mut reasons = Vec::new();
    for record in &told {
        let said = record.json();
        let of = |record: &&Incoming| record.json()["assertion"]["id"] == said["assertion"]["id"];
        let before = awarded.iter().find(of).expect("it was awarded");
        assert!(sequence(record) > sequence(before));
        assert_eq!(said["user"], json!({"id": 42, "username": "learner42"}));
        reasons.push(said["revocation"]["reason"].as_str().expect("a reason").to_owned());
    }
    reasons.sort();
    let expected = [
        "Courses enrolled: 1 now; this badge takes at least 2.".to_owned(),
        format!("No longer passed: {}.", course(1)),
    ];
    assert_eq!(reasons, expected);
    let assertions = badgr.assertions();
    let mut at_badgr: Vec<String> = assertions
        .iter()
        .filter_map(|assertion| assertion.revoked.clone())
        .collect();
    at_badgr.sort();
    assert_eq!((assertions.len(), at_badgr), (2, reasons));

    // What was lost is not awarded again by itself.
    app.topics.publish_events(&[enrolment(&ada, 2, "14:00:00")]);
    app.quiet(6).await;
    assert_eq!((app.announced().len(), badgr.assertions().len()), (2, 2));
    let explained = app.cli(&["explain", "--user", "learner42", "--badge", "two"]);
    assert!(
        explained.contains("revoked on") && explained.contains("2 so far: met"),
        "{explained}"
    );
}

async fn retire_by_hand(world: &World, username: &str) -> u16 {
    let token = Token::of_administrator("staff").hs256();
    let url = format!("{}/api/badges/v1/learners/{username}/", world.http);
    let request = world.client.delete(url).header("Authorization", format!("JWT {token}"));
    request.send().await.expect("the service answers").status().as_u16()
}

/// One learner retires by the API, another by an event; then everything comes once more.
async fn who_leaves_is_forgotten(world: &World) {
    world.activate("1,one", "", "");
    let learners = [Learner::new(1), Learner::new(2)];
    let events = learners.each_ref().map(|learner| enrolment(learner, 1, "12:00:00"));
    let broken = Outgoing::raw("enrollment.created", "k", br#"{"user": {"username": "learner1", "#);
    world.topics.publish_events(&events);
    world.topics.publish(std::slice::from_ref(&broken));
    eventually("both are announced", PATIENCE, async || world.announced().len() == 2).await;
    world.quiet(3).await;
    let ids = world.database.lines("SELECT id AS line FROM assertion");

    assert_eq!(retire_by_hand(world, "learner1").await, 204);
    assert_eq!(retire_by_hand(world, "learner1").await, 404);
    let retired = Event::learner_retired(&learners[1]).at("2026-11-01T12:30:00Z");
    world.topics.publish_events(std::slice::from_ref(&retired));
    for record in revoked(world, 2).await {
        let said = record.json();
        let user = json!({"id": record.key().parse::<i64>().expect("an id"), "username": ""});
        assert_eq!(said["user"], user);
        assert_eq!((&said["assertion"]["data"], sequence(&record)), (&json!({}), 2));
    }
    for id in &ids {
        let page = world.text(&format!("/badges/{id}")).await;
        assert!(
            page.contains("was retired") && !page.contains("learner1") && !page.contains("learner2"),
            "{page}"
        );
    }

    world.topics.publish_events(&events);
    world
        .topics
        .publish_events(&[retired, enrolment(&learners[0], 2, "18:00:00")]);
    world.quiet(8).await;
    assert_eq!(world.announced().len(), 2, "nothing new");
    let known = "username <> '' OR email IS NOT NULL OR full_name IS NOT NULL";
    assert_eq!(world.database.count("learner", known), 0);
    assert_eq!(world.database.count("learner", "learner_id = 1 AND enrolled = 2"), 1);
    assert_eq!(
        world
            .database
            .count("dead_letter", "record_value IS NULL AND headers = '[]'"),
        1
    );
    for table in [
        "outbox WHERE payload",
        "award WHERE coalesce(recipient, last_error, '')",
        "assertion WHERE data",
    ] {
        let (table, column) = table.split_once(" WHERE ").expect("a condition");
        let names = format!("{column} LIKE '%learner1%' OR {column} LIKE '%learner2%'");
        assert_eq!(world.database.count(table, &names), 0, "{table}");
    }
    let audit = world
        .database
        .lines("SELECT action || ' ' || target AS line FROM audit ORDER BY id DESC LIMIT 1");
    assert_eq!(audit, ["learner.retire 1"]);
    let token = Token::of_administrator("staff");
    let (status, problem): (u16, Value) = world
        .get("/api/badges/v1/assertions/user/learner1/", Some(&token))
        .await;
    assert_eq!(status, 404, "{problem}");
}

#[tokio::test]
async fn who_leaves_is_forgotten_by_the_built_in_issuer() {
    let app = TestApp::builder().dead_letters(1).start();
    who_leaves_is_forgotten(&app).await;
    let url = app
        .database
        .lines("SELECT assertion_url AS line FROM assertion LIMIT 1")
        .remove(0);
    let gone = app
        .client
        .get(url)
        .header("Accept", "application/json")
        .send()
        .await
        .expect("an answer");
    assert_eq!(gone.status().as_u16(), 410);
    let document: Value = gone.json().await.expect("JSON");
    assert_eq!(
        (&document["revoked"], &document["recipient"]),
        (&json!(true), &Value::Null)
    );
}

#[tokio::test]
async fn who_leaves_is_revoked_at_badgr() {
    let badgr = FakeBadgr::start().await;
    let app = TestApp::builder().badgr(&badgr).dead_letters(1).start();
    who_leaves_is_forgotten(&app).await;
    let assertions = badgr.assertions();
    assert_eq!(assertions.len(), 2);
    assert!(
        assertions
            .iter()
            .all(|assertion| assertion.revoked.as_deref() == Some("The learner's account was retired."))
    );
}
