//! Two batches at once, about the same learner.

use std::sync::Barrier;

use super::support::{activate, awards, counters, enrollment, item, writer};
use crate::{ingest::Item, store::testing};

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
