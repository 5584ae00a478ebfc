//! Several at once, about the same learner.

use std::sync::Barrier;

use serde_json::json;

use super::support::{activate, awards, counters, enrollment, item, item_of, writer};
use crate::{
    domain::{EventBody, LearnerId},
    ingest::{Content, Item},
    store::{
        awards::{Completed, complete, testing as in_tests},
        testing::{self, dump::dump},
    },
};

#[test]
fn of_racing_pairs_each_reaches_its_threshold() {
    for database in testing::databases() {
        activate(&database, "2,two", "", "");
        let mut writers = [writer(&database), writer(&database)];
        // Courses and learners are there, so that nothing but the lock on a learner makes one wait for the other.
        for (course, writer) in writers.iter_mut().enumerate() {
            let known: Vec<Item> = (1..=20)
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
        assert_eq!(awards(&database).len(), 20);
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
