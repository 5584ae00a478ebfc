//! The whole way of an event on an embedded broker: from `enrollment.created` to `badge.awarded`.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::harness::app::TestApp;
use crate::harness::events::{Event, Learner, course};
use crate::harness::tokens::Token;
use crate::harness::topics::{Incoming, Outgoing};
use crate::harness::world::{PATIENCE, eventually, seed, shuffle};

fn badge(learner: &Learner, slug: &str) -> (String, String) {
    (learner.id.to_string(), slug.to_owned())
}

/// The slug of a completion badge of `course(number)` in mode `verified`, by the formula of the contract.
fn completion(number: u32) -> String {
    use sha2::{Digest, Sha256};
    let digest = Sha256::digest(format!("{}verified", course(number)));
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("course-v1edxcourse{number}2026_verified_{}", &hex[..7])
}

fn enrolments(learner: &Learner, courses: impl IntoIterator<Item = u32>) -> Vec<Event> {
    let enrol = |number| Event::enrollment_created(learner, &course(number));
    courses.into_iter().map(enrol).collect()
}

#[tokio::test]
async fn the_enrolment_that_reaches_the_threshold_brings_the_badge() {
    let app = TestApp::builder().start();
    app.activate("3,three", "", "");
    let ada = Learner::new(42);
    app.topics.publish_events(&enrolments(&ada, [1, 2]));
    app.quiet(2).await;
    assert_eq!(app.announced(), []);
    let explained = app.cli(&["explain", "--user", "learner42", "--badge", "three"]);
    assert!(
        explained.contains("at least 3 courses enrolled; 2 so far: 1 to go"),
        "{explained}"
    );
    assert!(explained.contains("award: none"), "{explained}");
    app.topics.publish_events(&enrolments(&ada, [2, 3]));
    app.expect_announced(&[badge(&ada, "three")]).await;
    app.quiet(4).await;

    let records = app.topics.awarded();
    assert_eq!(records.len(), 1, "announced once");
    check_announcement(&records[0]);
    let assertion = records[0].json()["assertion"].clone();
    let own = Token::of("learner42");
    let (status, page) = app.get("/api/badges/v1/assertions/user/learner42/", Some(&own)).await;
    assert_eq!((status, &page["count"]), (200, &json!(1)), "{page}");
    assert_eq!(page["results"][0]["badge_class"]["slug"], "three");
    for url in ["assertion_url", "image_url"] {
        assert_eq!(page["results"][0][url], assertion[url]);
        let public = assertion[url].as_str().expect("a URL");
        assert!(public.starts_with(&app.http), "{public} is not below {}", app.http);
        assert_eq!(app.get(public, None).await.0, 200, "{public}");
    }
    let awards = app.database.lines("SELECT state || ' ' || rule AS line FROM award");
    assert_eq!(awards, ["published courses_enrolled"]);
}

/// What `badge.awarded` carries.
fn check_announcement(record: &Incoming) {
    let header = |name| record.header(name).unwrap_or_else(|| panic!("{name} is missing"));
    assert_eq!(record.key(), "42");
    assert_eq!(
        (header("ce_specversion"), header("ce_type")),
        ("1.0".to_owned(), "badge.awarded".to_owned())
    );
    assert!(header("content-type").starts_with("application/json"));
    assert!(uuid::Uuid::parse_str(&header("ce_id")).is_ok());
    assert!(chrono::DateTime::parse_from_rfc3339(&header("ce_time")).is_ok());
    for name in ["ce_source", "ce_subject", "ce_sequence"] {
        assert!(!header(name).is_empty(), "{name}");
    }
    let body = record.json();
    assert_eq!(body["user"], json!({"id": 42, "username": "learner42"}));
    let reason = &body["reason"];
    assert_eq!(
        (&reason["kind"], &reason["threshold"], &reason["count"]),
        (&json!("courses_enrolled"), &json!(3), &json!(3))
    );
    assert!(reason["configuration_id"].is_i64());
    let class = &body["badge_class"];
    assert_eq!(
        (&class["slug"], &class["issuing_component"]),
        (&json!("three"), &json!("openedx__course"))
    );
    assert_eq!((&class["course_id"], &class["mode"]), (&Value::Null, &json!("")));
    assert_eq!(
        (&class["description"], &class["criteria"]),
        (&json!("About three"), &json!("Earn three"))
    );
    assert_eq!(body["assertion"]["backend"], "builtin");
    assert!(
        !body.to_string().contains('@') || !body.to_string().contains("learner42@"),
        "no address leaves: {body}"
    );
}

#[tokio::test]
async fn a_jump_past_several_thresholds_brings_each_of_them() {
    let app = TestApp::builder().start();
    app.activate("1,one\n3,three\n5,five", "2,two", "");
    let (ada, bob) = (Learner::new(1), Learner::new(2));
    let mut events = enrolments(&ada, 1..=4);
    // Not at once and not yet passed: Bob left two of his three courses, and his certificates do not count.
    events.extend(enrolments(&bob, [1]));
    events.push(Event::enrollment_deactivated(&bob, &course(2)));
    events.push(Event::certificate_generated(&bob, &course(1)).with("/status", json!("notpassing")));
    app.topics.publish_events(&events);
    app.expect_announced(&[badge(&ada, "one"), badge(&ada, "three"), badge(&bob, "one")])
        .await;
    app.quiet(events.len()).await;
}

#[tokio::test]
async fn an_activation_reaches_those_who_qualify_already_and_takes_nothing_away() {
    let app = TestApp::builder().start();
    app.activate("2,two", "", "");
    let (ada, bob) = (Learner::new(1), Learner::new(2));
    let events = [enrolments(&ada, 1..=3), enrolments(&bob, 1..=1)].concat();
    app.topics.publish_events(&events);
    app.expect_announced(&[badge(&ada, "two")]).await;
    app.activate("1,one\n3,three", "", "");
    let all = [
        badge(&ada, "one"),
        badge(&ada, "three"),
        badge(&ada, "two"),
        badge(&bob, "one"),
    ];
    app.expect_announced(&all).await;
    let late = app
        .topics
        .awarded()
        .into_iter()
        .filter(|record| record.json()["badge_class"]["slug"] != "two");
    for record in late {
        let reason = record.json()["reason"].clone();
        assert_eq!(
            (&reason["kind"], &reason["rule"]),
            (&json!("backfill"), &json!("courses_enrolled")),
            "{reason}"
        );
    }
}

#[tokio::test]
async fn a_group_is_complete_with_its_last_course_and_each_course_has_a_badge() {
    let app = TestApp::builder().start();
    app.activate("", "2,two", &format!("pair,{},{}", course(1), course(2)));
    let ada = Learner::new(7);
    let passes = |number| Event::certificate_generated(&ada, &course(number));
    app.topics.publish_events(&[passes(1), passes(3)]);
    app.expect_announced(&[
        badge(&ada, &completion(1)),
        badge(&ada, &completion(3)),
        badge(&ada, "two"),
    ])
    .await;
    app.topics.publish_events(&[passes(2)]);
    let mut all = vec![badge(&ada, "pair"), badge(&ada, "two")];
    all.extend((1..=3).map(|number| badge(&ada, &completion(number))));
    app.expect_announced(&all).await;
    app.quiet(3).await;
    let of_course = app.topics.awarded().into_iter().map(|record| record.json());
    let of_course = of_course.filter(|body| body["badge_class"]["course_id"] == course(1));
    let bodies: Vec<Value> = of_course.collect();
    assert_eq!(bodies.len(), 1);
    assert_eq!(bodies[0]["reason"]["kind"], "course_completion");
    assert_eq!(bodies[0]["badge_class"]["mode"], "verified");
    assert_eq!(
        bodies[0]["badge_class"]["display_name"],
        format!("Badge for About {}", course(1))
    );
    let evidence = bodies[0]["assertion"]["evidence_url"]
        .as_str()
        .expect("the certificate's URL");
    assert!(
        evidence.starts_with("https://lms.example.com/certificates/"),
        "{evidence}"
    );
}

#[tokio::test]
async fn a_course_that_issues_no_badges_still_counts() {
    let app = TestApp::builder().start();
    app.activate("", "1,one", "");
    app.topics.publish_events(&[Event::course_updated(&course(1), false)]);
    app.quiet(1).await;
    let ada = Learner::new(7);
    app.topics
        .publish_events(&[Event::certificate_generated(&ada, &course(1))]);
    app.expect_announced(&[badge(&ada, "one")]).await;
    app.quiet(2).await;
    assert_eq!(app.database.count("award", "1 = 1"), 1);
}

#[tokio::test]
async fn an_award_without_an_address_waits_for_the_event_that_brings_one() {
    let app = TestApp::builder().start();
    app.activate("1,one", "", "");
    let ada = Learner::new(7).without_email();
    app.topics.publish_events(&enrolments(&ada, [1]));
    eventually("the award is blocked", PATIENCE, async || {
        app.database
            .count("award", "state = 'blocked' AND state_reason = 'no_email'")
            == 1
    })
    .await;
    assert_eq!(app.announced(), []);
    let administrator = Token::of_administrator("root");
    let (status, page) = app
        .get("/api/badges/v1/awards/?state=blocked", Some(&administrator))
        .await;
    assert_eq!(
        (status, &page["results"][0]["reason"]),
        (200, &json!("no_email")),
        "{page}"
    );
    app.topics.publish_events(&[Event::learner_updated(&Learner::new(7))]);
    app.expect_announced(&[badge(&ada, "one")]).await;
    app.quiet(2).await;
}

#[tokio::test]
async fn what_cannot_be_processed_is_passed_on_whole_and_blocks_nothing() {
    let app = TestApp::builder().dead_letters(4).start();
    app.activate("1,one", "", "");
    let ada = Learner::new(7);
    let bad = |event: Event| Outgoing::of(&event);
    let mut headed = Outgoing::raw(
        "enrollment.created",
        "9",
        b"{\"user\": {\"id\": 9, \"username\": \"nine\"",
    );
    headed.value.headers = vec![
        ("trace".to_owned(), "a".to_owned()),
        ("trace".to_owned(), "b".to_owned()),
    ];
    let poison = [
        headed,
        bad(Event::enrollment_created(&ada, "no course at all")),
        bad(Event::certificate_generated(&ada, &course(1)).with("/user/id", json!("seven"))),
        bad(Event::badge_requested(&ada, "no-such-badge", "xblock", "")),
    ];
    app.topics.publish(&poison);
    app.topics.publish_events(&enrolments(&ada, [1]));
    app.expect_announced(&[badge(&ada, "one")]).await;
    app.quiet(5).await;
    eventually("the dead letters are there", PATIENCE, async || {
        app.topics.read("badges.dead-letters").len() >= 4
    })
    .await;

    let letters = app.topics.read("badges.dead-letters");
    assert_eq!(letters.len(), poison.len());
    for sent in &poison {
        let letter = letters
            .iter()
            .find(|letter| letter.body == sent.value.body)
            .expect("the value is as it came");
        assert_eq!(Some(letter.key()), sent.key);
        let own: Vec<(String, String)> = letter.headers[..sent.value.headers.len()]
            .iter()
            .map(|(name, value)| (name.clone(), String::from_utf8_lossy(value).into_owned()))
            .collect();
        assert_eq!(
            own, sent.value.headers,
            "all headers of the record, in their order, before the others"
        );
        let header = |name: &str| letter.header(name).unwrap_or_else(|| panic!("{name} is missing"));
        assert_eq!(header("__connect.errors.topic"), app.topics.name(&sent.topic));
        eventually("the record can be read", PATIENCE, async || {
            let there = app.topics.read(&sent.topic);
            there.iter().any(|record| record.body == sent.value.body)
        })
        .await;
        let original = app.topics.read(&sent.topic);
        let original = original
            .iter()
            .find(|record| record.body == sent.value.body)
            .expect("it was written");
        assert_eq!(header("__connect.errors.partition"), original.partition.to_string());
        assert_eq!(header("__connect.errors.offset"), original.offset.to_string());
        let message = header("__connect.errors.exception.message");
        assert!(
            !message.is_empty() && !message.contains("seven") && !message.contains("no course"),
            "{message}"
        );
        assert!(!header("accolade-reason").is_empty());
    }
    let reasons: BTreeSet<String> = letters
        .iter()
        .filter_map(|letter| letter.header("accolade-reason"))
        .collect();
    let stored = app.database.lines("SELECT DISTINCT reason AS line FROM dead_letter");
    assert_eq!(reasons, stored.into_iter().collect());
    assert!(reasons.contains("unknown_badge_class"), "{reasons:?}");
}

#[tokio::test]
async fn everything_twice_and_in_any_order_brings_each_badge_once() {
    let app = TestApp::builder().setting("INGEST_CONSUMERS", "2").start();
    app.activate("1,one\n4,four", "2,two", &format!("pair,{},{}", course(1), course(3)));
    let mut events = Vec::new();
    let mut expected = Vec::new();
    for id in 1..=6 {
        let learner = Learner::new(id);
        let count = u32::try_from(id).expect("small");
        events.extend(enrolments(&learner, 1..=count));
        events.extend((1..=count / 2).map(|number| Event::certificate_generated(&learner, &course(number))));
        expected.push(badge(&learner, "one"));
        expected.extend((count >= 4).then(|| badge(&learner, "four")));
        expected.extend((count / 2 >= 2).then(|| badge(&learner, "two")));
        expected.extend((count / 2 >= 3).then(|| badge(&learner, "pair")));
        expected.extend((1..=count / 2).map(|number| badge(&learner, &completion(number))));
    }
    let mut records: Vec<Outgoing> = events.iter().chain(&events).map(Outgoing::of).collect();
    shuffle(&mut records, seed());
    app.topics.publish(&records);
    app.expect_announced(&expected).await;
    app.quiet(records.len()).await;
    app.expect_announced(&expected).await;
    assert_eq!(app.database.count("award", "1 = 1"), expected.len());
    assert_eq!(app.database.count("assertion", "1 = 1"), expected.len());
}
