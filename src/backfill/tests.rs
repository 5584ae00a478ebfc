use chrono::TimeDelta;

use super::*;
use crate::{
    clock::Clock as _,
    domain::{
        LearnerId,
        badge_class::{BadgeClassKey, COURSE_EVENTS_COMPONENT, NewBadgeClass},
        event_badges::ConfigurationTexts,
    },
    store::{
        audit::{Actor, Via},
        badge_classes, dead_letter_relay,
        dead_letters::{self, Filter},
        event_badges::{self, NewConfiguration},
        learners::{self, Learner},
        testing::{self, TestDatabase},
    },
    wire::record::Record,
};

fn backfill(database: &TestDatabase) -> Backfill {
    Backfill {
        store: database.store(),
        metrics: Arc::new(Metrics::new()),
        rules: Arc::default(),
        wake: Arc::default(),
    }
}

/// Activates one badge for one enrolment.
fn configure(database: &TestDatabase) {
    let new = NewBadgeClass {
        key: BadgeClassKey {
            slug: "one".to_owned(),
            issuing_component: COURSE_EVENTS_COMPONENT.to_owned(),
            course_id: String::new(),
        },
        mode: String::new(),
        display_name: "One".to_owned(),
        description: String::new(),
        criteria: String::new(),
        image: vec![1],
    };
    let configuration = NewConfiguration {
        texts: ConfigurationTexts {
            courses_enrolled: "1,one".to_owned(),
            ..ConfigurationTexts::default()
        },
        enabled: true,
        changed_by: String::new(),
    };
    database
        .store()
        .transaction("configure", |tx| {
            badge_classes::get_or_create(tx, &new)?;
            event_badges::insert(tx, &configuration)
        })
        .expect("committed");
}

/// Learners who are enrolled in a course, and whom nobody has evaluated.
fn enroll(database: &TestDatabase, learners: impl IntoIterator<Item = i64>) {
    let ids: Vec<LearnerId> = learners.into_iter().map(LearnerId).collect();
    database
        .store()
        .transaction("enroll", |tx| {
            let mut new: Vec<Learner> = ids.iter().copied().map(Learner::unknown).collect();
            for learner in &mut new {
                learner.progress.enrolled = 1;
            }
            learners::insert(tx, &new.iter().collect::<Vec<_>>())
        })
        .expect("committed");
}

#[tokio::test]
async fn an_activation_reaches_those_who_qualify_and_wakes_the_issue_loop() {
    let database = testing::sqlite();
    let backfill = backfill(&database);
    let stop = CancellationToken::new();
    enroll(&database, 1..=CHUNK + 1);
    configure(&database);
    let loops = tokio::spawn(backfill.clone().run(stop.clone()));
    tokio::time::timeout(Duration::from_secs(20), backfill.wake.notified())
        .await
        .expect("woken");
    stop.cancel();
    loops.await.expect("no panic").expect("no failure");
    // What the stop left is done by whoever comes next, at once.
    backfill.work(&CancellationToken::new()).await.expect("done");
    let kinds = backfill.metrics.awards_decided.with_label_values(&["courses_enrolled"]);
    let everybody = u64::try_from(CHUNK + 1).expect("positive");
    assert_eq!(
        (kinds.get(), backfill.metrics.backfill_learners.get()),
        (everybody, everybody)
    );
    assert_eq!(backfill.metrics.sweeper_repairs.get(), 0);
}

#[tokio::test]
async fn a_sweep_finds_what_was_missed_every_ten_minutes() {
    let database = testing::sqlite();
    let backfill = backfill(&database);
    let stop = CancellationToken::new();
    configure(&database);
    backfill.work(&stop).await.expect("backfilled");
    enroll(&database, [7, 8]);
    backfill.work(&stop).await.expect("nothing is due");
    assert_eq!(backfill.metrics.sweeper_repairs.get(), 0);
    for repairs in [2, 2] {
        database.clock.advance(TimeDelta::minutes(10));
        backfill.work(&stop).await.expect("swept");
        assert_eq!(backfill.metrics.sweeper_repairs.get(), repairs);
    }
}

#[tokio::test]
async fn what_is_old_is_deleted_once_a_day() {
    let database = testing::sqlite();
    let backfill = backfill(&database);
    let stop = CancellationToken::new();
    let mut tidying = Tidying::begun(database.clock.now());
    let waiting = |count: i64| {
        let letters = database
            .store()
            .read("test", |tx| dead_letters::count(tx, &Filter::default()));
        assert_eq!(letters.expect("read"), count);
    };
    let dealt_with = || {
        let record = Record {
            topic: "t".into(),
            partition: 0,
            offset: 1,
            timestamp: None,
            key: None,
            value: None,
            headers: Vec::new(),
        };
        let id = testing::seed::dead_letter(&database.store(), &record, "schema", "wrong");
        let sent = database.store().transaction("test", |tx| {
            dead_letters::drop_by(tx, id, &actor())?;
            let claimed = dead_letter_relay::claim(tx, 1, 1, TimeDelta::seconds(1))?;
            dead_letter_relay::mark_published(tx, &[claimed[0].lease])
        });
        assert_eq!(sent.expect("sent"), 1);
    };
    dealt_with();
    database.clock.advance(TimeDelta::days(31));
    tidying.work(&backfill, &stop).await.expect("deleted");
    waiting(0);
    dealt_with();
    database.clock.advance(TimeDelta::hours(1));
    tidying.work(&backfill, &stop).await.expect("not yet");
    waiting(1);
    for left in [1, 0] {
        database.clock.advance(TimeDelta::days(16));
        tidying.work(&backfill, &stop).await.expect("deleted");
        waiting(left);
    }
}

fn actor() -> Actor {
    Actor {
        name: "ada".to_owned(),
        via: Via::CommandLine,
    }
}

#[tokio::test]
async fn by_hand_it_stops_after_the_learners_at_hand_and_goes_on_from_there() {
    let database = testing::sqlite();
    let backfill = backfill(&database);
    assert_eq!(backfill.begin(actor()).await.expect("read"), None);
    enroll(&database, 1..=CHUNK + 1);
    configure(&database);
    let stop = CancellationToken::new();
    let begun = backfill.begin(actor()).await.expect("begun").expect("one is active");
    let end = backfill.see_through(begun, &stop, |_, is_own| {
        assert!(is_own);
        stop.cancel();
    });
    let End::Stopped(tally) = end.await.expect("no failure") else {
        panic!("it did not stop");
    };
    assert_eq!((tally.learners, tally.decided()), (CHUNK, CHUNK));
    let begun = backfill.begin(actor()).await.expect("begun").expect("one is active");
    assert_eq!((begun.claim.is_some(), begun.tally.learners), (true, CHUNK));
    let on = CancellationToken::new();
    let end = backfill.see_through(begun, &on, |_, _| {});
    let End::Done(tally) = end.await.expect("no failure") else {
        panic!("it did not come to the end");
    };
    assert_eq!((tally.learners, tally.decided()), (CHUNK + 1, CHUNK + 1));
}

#[tokio::test]
async fn by_hand_it_follows_another_process_and_takes_over_when_that_is_no_more() {
    let database = testing::sqlite();
    let backfill = backfill(&database);
    enroll(&database, [7, 8]);
    configure(&database);
    let other = backfill.claim().await.expect("claimed");
    assert!(other.is_some());
    let begun = backfill.begin(actor()).await.expect("begun").expect("one is active");
    assert_eq!(begun.claim, None);
    let mut followed = 0;
    let on = CancellationToken::new();
    let end = backfill.see_through(begun, &on, |_, is_own| {
        assert!(!is_own);
        followed += 1;
        // Not at once: it is followed before.
        if followed == 2 {
            database.clock.advance(LEASE);
        }
    });
    let End::Done(tally) = end.await.expect("no failure") else {
        panic!("it did not come to the end");
    };
    assert_eq!((tally.learners, tally.decided(), followed), (2, 2, 2));
}

#[tokio::test]
async fn by_hand_it_ends_when_another_configuration_is_activated() {
    let database = testing::sqlite();
    let backfill = backfill(&database);
    enroll(&database, 1..=CHUNK + 1);
    configure(&database);
    let begun = backfill.begin(actor()).await.expect("begun").expect("one is active");
    let on = CancellationToken::new();
    let end = backfill.see_through(begun, &on, |_, _| configure(&database));
    assert_eq!(end.await.expect("no failure"), End::Superseded);
}
