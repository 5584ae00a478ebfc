//! What is stored, compared with what Badgr holds, by the command and by the service itself.

use std::time::Duration;

use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::harness::app::TestApp;
use crate::harness::events::{Event, Learner, course};
use crate::harness::fake_badgr::{ACCOUNT, Assertion, FakeBadgr, Fault, Operation};
use crate::harness::world::{PATIENCE, eventually};

async fn started(badgr: &FakeBadgr) -> TestApp {
    TestApp::builder().badgr(badgr).setting("BADGR_TIMEOUT", "1").start()
}

/// Learners who got a badge each; the events that brought them.
async fn awarded(app: &TestApp, learners: std::ops::RangeInclusive<i64>) -> Vec<Event> {
    app.activate("1,one", "", "");
    let events: Vec<Event> = learners
        .map(|id| Event::enrollment_created(&Learner::new(id), &course(1)))
        .collect();
    app.topics.publish_events(&events);
    eventually("all are announced", PATIENCE, async || {
        app.announced().len() == events.len()
    })
    .await;
    events
}

/// As if the first request of each award had been lost, and sent again.
fn sent_again(app: &TestApp) {
    app.database.change("UPDATE award SET attempts = 2");
}

fn live(badgr: &FakeBadgr, learner: i64) -> Vec<String> {
    let live = badgr.live_assertions_of(&format!("learner{learner}@example.com"));
    live.into_iter().map(|assertion| assertion.entity_id).collect()
}

/// The ids at Badgr of what is stored and holds.
fn stored(app: &TestApp) -> Vec<String> {
    let sql = "SELECT backend_id AS line FROM assertion WHERE revoked_at IS NULL ORDER BY learner_id";
    app.database.lines(sql)
}

fn found(text: &str) -> Vec<Value> {
    serde_json::from_str(text).expect("a JSON list")
}

#[tokio::test]
async fn a_request_that_is_carried_out_too_late_leaves_one_live_assertion() {
    let badgr = FakeBadgr::start().await;
    let app = started(&badgr).await;
    app.activate("1,one", "", "");
    // Its connection is given up after a second; it is done when the award is long issued by another.
    badgr.order(Operation::Award, Fault::Slow(Duration::from_secs(10)));
    app.topics
        .publish_events(&[Event::enrollment_created(&Learner::new(1), &course(1))]);
    eventually("its outcome is unknown", PATIENCE, async || {
        app.database.count("award", "state = 'uncertain'") == 1
    })
    .await;
    app.clock.advance(TimeDelta::minutes(2));
    eventually("announced", PATIENCE, async || app.announced().len() == 1).await;
    let kept = stored(&app);
    eventually("carried out twice", PATIENCE, async || live(&badgr, 1).len() == 2).await;

    assert!(app.cli_fails(&["audit-backend"]).contains("1 differences"));
    assert_eq!(live(&badgr, 1).len(), 2, "nothing is changed");
    app.clock.advance(TimeDelta::days(1) + TimeDelta::hours(1));
    eventually("the service has revoked one", PATIENCE, async || {
        live(&badgr, 1).len() == 1
    })
    .await;
    assert_eq!((live(&badgr, 1), stored(&app)), (kept.clone(), kept));
    let counted = "accolade_badgr_duplicate_assertions_total 1";
    eventually("counted", PATIENCE, async || {
        app.text("/metrics").await.contains(counted)
    })
    .await;
    app.quiet(1).await;
    assert!(app.topics.read("badge.revoked").is_empty(), "the badge holds");
    assert!(app.cli(&["audit-backend"]).contains("nothing differs"));
}

#[tokio::test]
async fn a_second_assertion_is_revoked_on_request_and_one_of_others_is_not() {
    let badgr = FakeBadgr::start().await;
    let app = started(&badgr).await;
    awarded(&app, 1..=4).await;
    sent_again(&app);
    app.database
        .change("UPDATE award SET attempts = 1 WHERE learner_id = 3");
    let kept = stored(&app);
    let surplus = badgr.made_again(&kept[0], ACCOUNT);
    let foreign = badgr.made_again(&kept[1], "staff");
    let sent_once = badgr.made_again(&kept[2], ACCOUNT);

    let before: Vec<Assertion> = badgr.assertions();
    assert!(app.cli_fails(&["audit-backend"]).contains("3 differences"));
    assert_eq!(badgr.assertions().len(), before.len());
    assert!(badgr.assertions().iter().all(|assertion| assertion.revoked.is_none()));

    assert!(
        app.cli_fails(&["audit-backend", "--repair"])
            .contains("2 differences are left")
    );
    assert_eq!(live(&badgr, 1), [kept[0].clone()]);
    assert_eq!(live(&badgr, 2), [kept[1].clone(), foreign]);
    assert_eq!(live(&badgr, 3), [kept[2].clone(), sent_once]);
    assert_eq!(live(&badgr, 4), kept[3..]);
    let revoked = badgr.assertions().into_iter().find(|one| one.entity_id == surplus);
    let reason = revoked.and_then(|one| one.revoked).expect("revoked");
    assert!(reason.contains("Issued twice"), "{reason}");
    assert_eq!(stored(&app), kept);
    let audited = app
        .database
        .lines("SELECT target AS line FROM audit WHERE action = 'assertion.revoke'");
    assert_eq!(audited, [surplus]);
}

#[tokio::test]
async fn what_was_revoked_or_is_gone_at_badgr_is_marked_and_never_issued_again() {
    let badgr = FakeBadgr::start().await;
    let app = started(&badgr).await;
    let events = awarded(&app, 1..=3).await;
    let at_badgr = stored(&app);
    let ids = app
        .database
        .lines("SELECT id AS line FROM assertion ORDER BY learner_id");
    badgr.revoked_by_hand(&at_badgr[0], "left the course");
    badgr.loses(&at_badgr[1]);

    assert!(app.cli_fails(&["audit-backend"]).contains("2 differences"));
    assert_eq!(stored(&app), at_badgr, "nothing is changed");
    let report = app.cli(&["audit-backend", "--repair", "--json"]);
    let mut kinds: Vec<(Value, Value)> = found(&report)
        .iter()
        .map(|one| (one["kind"].clone(), one["assertion"].clone()))
        .collect();
    kinds.sort_by_key(|(_, id)| ids.iter().position(|other| *id == json!(other)));
    assert_eq!(kinds, [(json!("gone"), json!(ids[0])), (json!("gone"), json!(ids[1]))]);
    assert_eq!(found(&app.cli(&["audit-backend", "--json"])), Vec::<Value>::new());

    assert_eq!(stored(&app), at_badgr[2..]);
    let page = app.text(&format!("/badges/{}", ids[0])).await;
    assert!(page.contains("Revoked where it was issued: left the course"), "{page}");
    eventually("revocations are told of", PATIENCE, async || {
        app.topics.read("badge.revoked").len() == 2
    })
    .await;
    let made = badgr.requests("POST", "/v2/badgeclasses").len();
    app.topics.publish_events(&events);
    app.quiet(6).await;
    app.clock.advance(TimeDelta::hours(1));
    app.quiet(6).await;
    assert_eq!(badgr.requests("POST", "/v2/badgeclasses").len(), made);
    assert_eq!(app.database.count("award", "state = 'published'"), 3);
}

#[tokio::test]
async fn the_service_leaves_it_to_a_person_when_nearly_everything_is_gone() {
    let badgr = FakeBadgr::start().await;
    let app = started(&badgr).await;
    awarded(&app, 1..=25).await;
    for id in stored(&app) {
        badgr.loses(&id);
    }
    app.clock.advance(TimeDelta::days(1) + TimeDelta::hours(1));
    eventually("the service says so", PATIENCE, async || {
        app.log().contains("a person must say so")
    })
    .await;
    assert_eq!(stored(&app).len(), 25);
    app.cli(&["audit-backend", "--repair"]);
    assert_eq!(stored(&app), Vec::<String>::new());
}

#[tokio::test]
async fn a_badge_class_that_badgr_does_not_show_is_skipped() {
    let badgr = FakeBadgr::start().await;
    let app = started(&badgr).await;
    awarded(&app, 1..=2).await;
    let all = stored(&app);
    let other = "UPDATE badge_class SET backend_id = 'of-another-server'";
    app.database.change(other);
    badgr.loses(&all[0]);
    let told = app.cli_fails(&["audit-backend", "--repair"]);
    assert!(told.contains("could not be compared"), "{told}");
    assert_eq!(stored(&app), all, "nothing is marked");
}

#[tokio::test]
async fn what_was_imported_from_another_server_is_left_alone() {
    let badgr = FakeBadgr::start().await;
    let app = started(&badgr).await;
    awarded(&app, 1..=2).await;
    app.database.change(
        "UPDATE assertion SET backend_id = 'there', data = '{\"badgeclass\": \"of-another-server\"}' WHERE learner_id = 1",
    );
    let all = stored(&app);
    assert!(app.cli(&["audit-backend", "--repair"]).contains("nothing differs"));
    assert_eq!(stored(&app), all);
}

#[tokio::test]
async fn what_is_issued_by_ourselves_needs_no_comparison() {
    let app = TestApp::builder().start();
    assert!(app.cli(&["audit-backend"]).contains("nothing to compare"));
}

#[tokio::test]
async fn a_badgr_that_does_not_answer_is_named_and_nothing_is_marked() {
    let badgr = FakeBadgr::start().await;
    let app = started(&badgr).await;
    awarded(&app, 1..=1).await;
    badgr.loses(&stored(&app)[0]);
    badgr.always(Operation::LookUp, Fault::ErrorBefore);
    let told = app.cli_fails(&["audit-backend", "--repair"]);
    assert!(told.contains("accolade check"), "{told}");
    assert_eq!(stored(&app).len(), 1);
    badgr.clear_faults();
    app.cli(&["audit-backend", "--repair"]);
    assert_eq!(stored(&app).len(), 0);
}
