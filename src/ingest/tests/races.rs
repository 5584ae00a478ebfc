//! Several at once, about the same learner.

use std::sync::Barrier;

use serde_json::json;

use super::support::{activate, awards, counters, enrollment, item, item_of, new_badge_class, slugs, writer};
use crate::{
    domain::{EventBody, LearnerId, event_badges::ConfigurationTexts},
    ingest::{Content, Item},
    store::{
        awards::{Completed, complete, testing as in_tests},
        badge_classes,
        event_badges::{self, NewConfiguration},
        testing::{self, TestDatabase, dump::dump},
    },
};

/// Twenty learners, of each of whom two writers apply an enrolment at the same time; two are needed. Courses are known,
/// and these learners, so that nothing but the lock on a learner, or its making, makes one wait for the other.
fn race_in_pairs(database: &TestDatabase, known: std::ops::RangeInclusive<i64>) {
    activate(database, "2,two", "", "");
    let mut writers = [writer(database), writer(database)];
    for (course, writer) in writers.iter_mut().enumerate() {
        let known: Vec<Item> = known
            .clone()
            .map(|learner| item(0, enrollment(learner, course, false)))
            .collect();
        writer.apply(&known).expect("applied");
    }
    let barrier = Barrier::new(2);
    std::thread::scope(|scope| {
        for (course, writer) in writers.iter_mut().enumerate() {
            let barrier = &barrier;
            scope.spawn(move || {
                for learner in 1..=20 {
                    barrier.wait();
                    writer
                        .apply(&[item(1, enrollment(learner, course, true))])
                        .expect("applied");
                }
            });
        }
    });
    assert_eq!(awards(database).len(), 20);
}

#[test]
fn of_racing_pairs_each_reaches_its_threshold() {
    for database in testing::databases() {
        race_in_pairs(&database, 1..=20);
    }
}

#[test]
fn of_racing_pairs_that_make_their_learner_each_reaches_its_threshold() {
    for database in testing::databases() {
        race_in_pairs(&database, 21..=21);
    }
}

#[test]
fn of_racing_pairs_each_reaches_its_threshold_whatever_the_isolation_is_by_default() {
    for isolation in ["repeatable read", "serializable"] {
        let Some(database) = testing::postgres() else { return };
        testing::isolate_by_default(&database, isolation);
        race_in_pairs(&database, 1..=20);
    }
}

#[test]
fn a_batch_waits_for_an_activation_and_decides_by_the_new_rules() {
    let Some(database) = testing::postgres() else { return };
    activate(&database, "5,five", "", "");
    let mut batch = writer(&database);
    // It knows the rules of before.
    batch.apply(&[item(0, enrollment(1, 1, true))]).expect("applied");
    let store = database.store();
    let (begin, begun) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        let batch = &mut batch;
        let applying = scope.spawn(move || {
            begun.recv().expect("it is told to");
            batch.apply(&[item(0, enrollment(2, 1, true))]).map(drop)
        });
        let activated = store.transaction("activation", |tx| {
            event_badges::fence_exclusive(tx)?;
            begin.send(()).expect("somebody waits");
            testing::wait_for_a_waiter(tx)?;
            assert!(
                !applying.is_finished(),
                "a batch decides while an activation is under way"
            );
            badge_classes::get_or_create(tx, &new_badge_class("one"))?;
            let texts = ConfigurationTexts {
                courses_enrolled: "1,one".to_owned(),
                ..ConfigurationTexts::default()
            };
            let new = NewConfiguration {
                texts,
                enabled: true,
                changed_by: String::new(),
            };
            event_badges::insert(tx, &new).map(drop)
        });
        activated.expect("activated");
        applying.join().expect("no panic").expect("applied");
    });
    assert_eq!(slugs(&database, 2), ["one"]);
}

#[test]
fn what_was_decided_before_a_threshold_was_raised_is_issued() {
    for database in testing::databases() {
        activate(&database, "1,one", "", "");
        writer(&database)
            .apply(&[item(0, enrollment(1, 1, true))])
            .expect("applied");
        let claimed = || in_tests::claim_all(&database.store()).len();
        for (enrolled, learner) in [("5,one", 2), ("", 3)] {
            activate(&database, enrolled, "", "");
            writer(&database)
                .apply(&[item(0, enrollment(learner, 1, true))])
                .expect("applied");
            assert_eq!(slugs(&database, learner), [""; 0], "by the rules of now");
        }
        assert_eq!(slugs(&database, 1), ["one"]);
        assert_eq!(claimed(), 1);
    }
}

#[test]
fn crossing_batches_do_not_deadlock() {
    for database in testing::databases() {
        let up: Vec<Item> = (1..100).map(|learner| item(1, enrollment(learner, 1, true))).collect();
        let down: Vec<Item> = (1..100)
            .rev()
            .map(|learner| item(1, enrollment(learner, 2, true)))
            .collect();
        std::thread::scope(|scope| {
            for batch in [&up, &down, &up, &down] {
                let mut writer = writer(&database);
                scope.spawn(move || writer.apply(batch).expect("applied"));
            }
        });
        assert_eq!(counters(&database, 50), (2, 0));
        assert_eq!(database.deadlocks(), 0);
    }
}

/// A record of no use that names this learner.
fn broken(learner: i64) -> Item {
    let mut item = item_of(Content::Unprocessable {
        reason: "schema",
        message: "data.course: missing".to_owned(),
    });
    let said = json!({"user": {"id": learner, "username": format!("user{learner}")}});
    item.record.value = Some(said.to_string().into_bytes());
    item.record.offset = learner;
    item
}

#[test]
fn who_retires_while_records_and_badges_arrive_is_forgotten_all_the_same() {
    for database in testing::databases() {
        activate(&database, "1,one", "", "");
        let learners = 10..30;
        let known: Vec<Item> = learners
            .clone()
            .map(|learner| item(0, enrollment(learner, 1, true)))
            .collect();
        writer(&database).apply(&known).expect("applied");
        let mut in_flight: Vec<Completed> = in_tests::claim_all(&database.store())
            .iter()
            .map(|award| Completed {
                payload: json!({"user": {"id": award.learner.0, "username": award.username}}).to_string(),
                ..in_tests::completed(award)
            })
            .collect();
        in_flight.sort_by_key(|done| done.assertion.learner);
        assert_eq!(in_flight.len(), 20);
        let (mut retiring, mut reading, store) = (writer(&database), writer(&database), database.store());
        let barrier = Barrier::new(3);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for learner in learners.clone() {
                    barrier.wait();
                    let mut leaves = item(1, EventBody::LearnerRetired(LearnerId(learner)));
                    leaves.record.partition = 1;
                    retiring.apply(&[leaves]).expect("applied");
                }
            });
            scope.spawn(|| {
                for learner in learners.clone() {
                    barrier.wait();
                    reading.apply(&[broken(learner)]).expect("applied");
                }
            });
            scope.spawn(|| {
                for done in &in_flight {
                    barrier.wait();
                    let written = store.transaction("test", |tx| complete(tx, std::slice::from_ref(done)));
                    assert_eq!(written.expect("written").len(), 1);
                }
            });
        });
        for table in dump(&store) {
            let named: Vec<i64> = learners
                .clone()
                .filter(|learner| table.holds(&format!("user{learner}")))
                .collect();
            assert_eq!(named, [] as [i64; 0], "{}", table.name);
        }
        assert_eq!(database.deadlocks(), 0);
    }
}
