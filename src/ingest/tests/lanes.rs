//! Large batches, a transaction for each lane.

use std::{sync::Arc, time::Duration};

use diesel::{QueryDsl, RunQueryDsl};

use super::support::{
    activate, awards, certificate, course_details, enrollment, facts, item, item_of, learner_details, requested,
};
use crate::{
    domain::{EventBody, LearnerId},
    ingest::{
        Batch, BatchOutcome, Content, Item, Outcome, Settings,
        lanes::{Lanes, Shares},
    },
    store::{
        Lane,
        schema::{consumer_position, dead_letter},
        testing::{self, TestDatabase},
    },
};

/// 900 records of 150 learners, some of them no facts.
fn records() -> Vec<Item> {
    let mut items: Vec<Item> = (0..900_i64)
        .map(|n| match n {
            n if n % 100 == 7 => item_of(Content::Unprocessable {
                reason: "not_json",
                message: "no JSON".to_owned(),
            }),
            n if n % 100 == 8 => item(n, requested(n % 150, "two", "key")),
            n if n % 100 == 9 => item(n, EventBody::LearnerUpdated(learner_details(n % 7))),
            n if n % 3 == 0 => item(n, certificate(n % 150, 1, n % 2 == 0)),
            n => item(n, enrollment(n % 150, usize::try_from(n % 5).expect("small"), true)),
        })
        .collect();
    for (offset, item) in (0..).zip(&mut items) {
        item.record.offset = offset;
    }
    items
}

fn written(database: &TestDatabase, lanes: u16) -> BatchOutcome {
    activate(database, "1,one\n2,two", "1,passed", "");
    let settings = Settings {
        award: true,
        lanes: Arc::new(Lanes::divided(lanes)),
        ..Settings::default()
    };
    let mut writer = Batch::new(database.store(), Arc::default(), settings);
    writer.apply(&records()).expect("applied")
}

#[test]
fn lanes_change_nothing_of_what_is_written() {
    for ((one, two), four) in testing::databases().zip(testing::databases()).zip(testing::databases()) {
        let outcomes = [written(&one, 1), written(&two, 2), written(&four, 4)];
        for (database, outcome) in [(&two, &outcomes[1]), (&four, &outcomes[2])] {
            assert_eq!(outcome.decided, outcomes[0].decided);
            assert_eq!(outcome.dead_letters, outcomes[0].dead_letters);
            let letters = |outcome: &BatchOutcome| {
                let records = outcome.records.iter();
                records
                    .map(|record| *record == Outcome::DeadLettered)
                    .collect::<Vec<bool>>()
            };
            assert_eq!(letters(outcome), letters(&outcomes[0]), "each in its place");
            assert_eq!(facts(database), facts(&one));
            assert_eq!(awards(database), awards(&one));
            let read = |tx: &mut crate::store::Tx<'_>| {
                let letters: i64 = dead_letter::table.count().get_result(tx.conn)?;
                let positions: Vec<i64> = consumer_position::table
                    .select(consumer_position::next_offset)
                    .load(tx.conn)?;
                Ok((letters, positions))
            };
            assert_eq!(database.store().read("test", read).expect("read"), (9, vec![900]));
        }
    }
}

#[test]
fn each_record_is_in_one_share_and_a_learner_s_facts_in_one() {
    let items = records();
    let Shares { lanes, rest } = Lanes::divided(4).split(&items);
    assert_eq!(lanes.keys().copied().collect::<Vec<_>>(), [0, 1, 2, 3]);
    let mut all: Vec<usize> = lanes.values().chain([&rest]).flatten().copied().collect();
    all.sort_unstable();
    assert_eq!(all, (0..items.len()).collect::<Vec<_>>());
    for (lane, places) in &lanes {
        assert!(places.is_sorted(), "in the order of the records");
        for place in places {
            let learner = items[*place].event().and_then(|event| event.body.learner());
            let learner = usize::try_from(learner.expect("facts only").id.0).expect("small");
            assert_eq!(learner % 4, *lane);
        }
    }
    assert!(rest.is_sorted());
    assert!(rest.iter().all(|place| matches!(place % 100, 7..=9)), "no facts");
}

#[test]
fn a_small_batch_is_written_at_once() {
    let items = records();
    for (lanes, records) in [(4, 799), (1, 900), (128, 900), (4, 0)] {
        let shares = Lanes::divided(lanes).split(&items[..records]);
        assert_eq!(shares.lanes.len(), 0);
        assert_eq!(shares.rest, (0..records).collect::<Vec<_>>());
    }
}

#[test]
fn what_changes_the_meaning_of_what_follows_keeps_the_order_of_all() {
    let switch = EventBody::CourseUpdated {
        course: course_details(1),
        issue_badges: Some(false),
    };
    for body in [switch, EventBody::LearnerRetired(LearnerId(3))] {
        let mut items = records();
        items[5] = item(5, body);
        let shares = Lanes::divided(4).split(&items);
        assert_eq!((shares.lanes.len(), shares.rest.len()), (0, items.len()));
    }
}

#[test]
fn a_lane_is_held_by_one_and_who_wants_any_gets_a_free_one() {
    let lanes = Lanes::divided(4);
    let wanted = |those: &[usize]| those.iter().map(|lane| (*lane, Vec::new())).collect();
    let first = lanes.hold(&wanted(&[0, 1]));
    let second = lanes.hold(&wanted(&[0, 1]));
    assert_eq!((first.number, second.number), (0, 1));
    assert_eq!(second.lane(), Some(Lane { number: 1, of: 4 }));
    std::thread::scope(|scope| {
        let third = scope.spawn(|| lanes.hold(&wanted(&[0, 1])).number);
        drop(second);
        assert_eq!(third.join().expect("no panic"), 1, "the one that was given back");
    });
}

#[test]
fn a_lane_is_not_waited_for_without_end() {
    let mut lanes = Lanes::divided(4);
    lanes.patience = Duration::ZERO;
    let wanted = |those: &[usize]| those.iter().map(|lane| (*lane, Vec::new())).collect();
    let first = lanes.hold(&wanted(&[0]));
    // Who holds it may be waiting for a database: one goes on, and takes nothing away from it.
    assert_eq!(lanes.hold(&wanted(&[0])).lane(), None);
    assert_eq!(lanes.hold(&wanted(&[0, 3])).number, 3, "it is still held");
    drop(first);
    assert_eq!(lanes.hold(&wanted(&[0, 3])).number, 0);
}

#[test]
fn joined_shares_are_the_batch_in_its_order() {
    let items = records();
    let mut shares = Lanes::divided(4).split(&items);
    assert!(!shares.lanes.is_empty());
    shares.join();
    assert_eq!(shares.lanes.len(), 0);
    assert_eq!(shares.rest, (0..items.len()).collect::<Vec<_>>());
}

#[test]
fn a_database_with_one_writer_has_one_lane() {
    let items = records();
    assert_eq!(Lanes::of(true).split(&items).lanes.len(), 0);
    assert_eq!(Lanes::of(false).split(&items).lanes.len(), 4);
}
