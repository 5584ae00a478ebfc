//! Whatever a Badgr server does: one live assertion, announced under one id.

use std::collections::BTreeSet;

use accolade::domain::award::AwardId;
use accolade::store::awards;

use crate::harness::app::TestApp;
use crate::harness::events::{Event, Learner, course};
use crate::harness::fake_badgr::{FakeBadgr, Fault, Operation, PASSWORD};
use crate::harness::world::{PATIENCE, eventually, once_each};

async fn started(badgr: &FakeBadgr) -> TestApp {
    TestApp::builder().badgr(badgr).setting("BADGR_TIMEOUT", "1").start()
}

/// Waits until this learner has so many published awards. Whatever waits for its time meanwhile gets it, and what is
/// blocked is tried again, as a person would.
async fn published(app: &TestApp, badgr: &FakeBadgr, learner: &Learner, number: usize, what: &str) {
    let of = format!("learner_id = {}", learner.id);
    eventually(what, PATIENCE, async || {
        if app.database.count("award", &format!("{of} AND state = 'published'")) == number {
            return true;
        }
        let blocked = format!("SELECT id AS line FROM award WHERE {of} AND state IN ('blocked', 'failed')");
        for id in app.database.lines(&blocked) {
            let id = AwardId(id.parse().expect("a UUID"));
            let retried = app.store.transaction("retry", |tx| awards::retry(tx, id));
            assert!(retried.expect("the database answers").is_some());
        }
        // No time passes while a request is under way, here or there: on a busy machine one that is given up after a
        // second may not have been looked at yet.
        if app
            .database
            .count("award", &format!("{of} AND state IN ('pending', 'uncertain')"))
            > 0
        {
            badgr.catches_up().await;
            app.clock.advance(chrono::TimeDelta::seconds(10));
        }
        false
    })
    .await;
}

/// Meets the faults one after the other, each with an award of another learner.
async fn each_award_is_issued_once(faults: &[Fault]) {
    let badgr = FakeBadgr::start().await;
    let app = started(&badgr).await;
    app.activate("1,one", "", "");
    for (id, fault) in (1..).zip(faults) {
        let learner = Learner::new(id);
        badgr.order(Operation::Award, fault.clone());
        app.topics
            .publish_events(&[Event::enrollment_created(&learner, &course(1))]);
        published(&app, &badgr, &learner, 1, &format!("issued after {fault:?}")).await;
        assert_eq!(badgr.faults_left(), 0, "{fault:?} was not met");
        let email = learner.email.as_deref().expect("an address");
        assert_eq!(badgr.live_assertions_of(email).len(), 1, "after {fault:?}");
    }
    assert_eq!(badgr.assertions().len(), faults.len(), "none was made and revoked");
    assert_eq!(badgr.badge_classes().len(), 1);
    app.quiet(faults.len()).await;
    let records = app.topics.awarded();
    let ids: BTreeSet<_> = once_each(&records)
        .iter()
        .filter_map(|record| record.header("ce_id"))
        .collect();
    let learners: BTreeSet<_> = records.iter().map(|record| record.key()).collect();
    assert_eq!((ids.len(), learners.len()), (faults.len(), faults.len()));
    for record in once_each(&records) {
        let assertion = record.json()["assertion"].clone();
        assert_eq!(assertion["backend"], "badgr");
        let url = assertion["assertion_url"].as_str().expect("a URL").to_owned();
        assert!(url.starts_with(&badgr.url()), "{url}");
    }
}

#[tokio::test]
async fn an_answer_with_an_error_leaves_one_live_assertion_and_one_announcement() {
    let bad_gateway = Fault::Status(502, "<html>bad gateway</html>".to_owned());
    each_award_is_issued_once(&[Fault::ErrorBefore, Fault::ErrorAfter, Fault::NotFound, bad_gateway]).await;
}

#[tokio::test]
async fn a_cut_connection_leaves_one_live_assertion_and_one_announcement() {
    each_award_is_issued_once(&[Fault::ResetBefore, Fault::ResetAfter, Fault::Truncated]).await;
}

#[tokio::test]
async fn a_request_to_come_later_leaves_one_live_assertion_and_one_announcement() {
    each_award_is_issued_once(&[Fault::Unauthorized, Fault::RetryAfter(1), Fault::Throttled(1)]).await;
}

#[tokio::test]
async fn silence_leaves_one_live_assertion_and_one_announcement() {
    each_award_is_issued_once(&[Fault::HangBefore, Fault::HangAfter]).await;
}

/// Meets the faults one after the other, each with another badge class of one learner.
async fn each_badge_class_is_made_once(faults: &[Fault]) {
    let badgr = FakeBadgr::start().await;
    let app = started(&badgr).await;
    let ada = Learner::new(1);
    for (number, fault) in (1..).zip(faults) {
        badgr.order(Operation::MakeBadgeClass, fault.clone());
        app.topics
            .publish_events(&[Event::certificate_generated(&ada, &course(number))]);
        let so_far = usize::try_from(number).expect("small");
        published(&app, &badgr, &ada, so_far, &format!("issued after {fault:?}")).await;
        assert_eq!(badgr.faults_left(), 0, "{fault:?} was not met");
        assert_eq!(badgr.badge_classes().len(), so_far, "after {fault:?}");
    }
    assert_eq!(badgr.live_assertions_of("learner1@example.com").len(), faults.len());
}

#[tokio::test]
async fn an_answer_with_an_error_leaves_one_badge_class() {
    each_badge_class_is_made_once(&[Fault::ErrorBefore, Fault::ErrorAfter, Fault::Truncated]).await;
}

#[tokio::test]
async fn silence_and_a_cut_connection_leave_one_badge_class() {
    each_badge_class_is_made_once(&[Fault::ResetBefore, Fault::ResetAfter, Fault::HangAfter]).await;
}

#[tokio::test]
async fn many_awards_cost_one_token_and_an_expired_one_is_replaced() {
    let badgr = FakeBadgr::start().await;
    let app = started(&badgr).await;
    app.activate("1,one", "", "");
    let enrol = |ids: std::ops::Range<i64>| -> Vec<Event> {
        ids.map(|id| Event::enrollment_created(&Learner::new(id), &course(1)))
            .collect()
    };
    app.topics.publish_events(&enrol(1..20));
    eventually("all are published", PATIENCE, async || {
        app.database.count("award", "state = 'published'") == 19
    })
    .await;
    assert_eq!(badgr.token_requests().len(), 1);
    badgr.expire_tokens();
    app.topics.publish_events(&enrol(20..30));
    eventually("all are published", PATIENCE, async || {
        let waiting = app.database.count("award", "state IN ('pending', 'uncertain')");
        if waiting > 0 {
            app.clock.advance(chrono::TimeDelta::seconds(1));
        }
        app.database.count("award", "state = 'published'") == 29
    })
    .await;
    assert!(badgr.token_requests().len() <= 3, "{:?}", badgr.token_requests());
    assert_eq!(badgr.assertions().len(), 29);
}

#[tokio::test]
async fn a_redirect_is_followed_nowhere() {
    let (badgr, other) = (FakeBadgr::start().await, FakeBadgr::start().await);
    let app = started(&badgr).await;
    app.activate("1,one", "", "");
    for (id, (operation, status)) in (1..).zip([
        (Operation::Award, 302),
        (Operation::Award, 307),
        (Operation::Award, 308),
        (Operation::MakeBadgeClass, 307),
        (Operation::Token, 307),
    ]) {
        if operation == Operation::Token {
            badgr.expire_tokens();
        }
        let learner = Learner::new(id);
        badgr.order(operation, Fault::Redirect(status, format!("{}/elsewhere", other.url())));
        let event = match operation {
            Operation::MakeBadgeClass => Event::certificate_generated(&learner, &course(1)),
            _ => Event::enrollment_created(&learner, &course(1)),
        };
        app.topics.publish_events(&[event]);
        published(&app, &badgr, &learner, 1, &format!("issued after {status}")).await;
        assert_eq!(badgr.faults_left(), 0, "{operation:?} {status} was not met");
    }
    for method in ["GET", "POST", "PUT", "DELETE", "HEAD"] {
        assert!(
            other.requests(method, "/").is_empty(),
            "{method}: a redirect was followed"
        );
    }
}

#[tokio::test]
async fn a_password_that_is_replaced_in_its_file_needs_no_restart() {
    let badgr = FakeBadgr::start().await;
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("password");
    std::fs::write(&file, "an old one\n").expect("written");
    let app = TestApp::builder()
        .badgr(&badgr)
        // Empty counts as not set.
        .setting("BADGR_PASSWORD", "")
        .setting("BADGR_PASSWORD_FILE", &file.display().to_string())
        .start();
    app.activate("1,one", "", "");
    let ada = Learner::new(1);
    app.topics
        .publish_events(&[Event::enrollment_created(&ada, &course(1))]);
    eventually("the old password is refused", PATIENCE, async || {
        app.database
            .count("award", "last_error LIKE '%refuses BADGR_USERNAME and BADGR_PASSWORD%'")
            == 1
    })
    .await;
    std::fs::write(&file, format!("{PASSWORD}\n")).expect("written");
    published(&app, &badgr, &ada, 1, "issued with the new password").await;
    assert!(!app.log().contains("an old one"), "a password is in the log");
}
