//! Large batches, a transaction for each lane.

use std::sync::Arc;

use diesel::{QueryDsl, RunQueryDsl};

use super::support::{activate, awards, certificate, enrollment, facts, item, item_of, learner_details, requested};
use crate::{
    domain::EventBody,
    ingest::{Batch, BatchOutcome, Content, Item, Outcome, Settings, lanes::Lanes},
    store::{
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

fn written(database: &TestDatabase, consumers: usize) -> BatchOutcome {
    activate(database, "1,one\n2,two", "1,passed", "");
    let settings = Settings {
        award: true,
        consumer: consumers - 1,
        consumers,
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
fn each_record_is_in_one_lane_and_a_learner_s_facts_in_one() {
    let items = records();
    let learner = |place: &usize| {
        items[*place]
            .event()
            .and_then(|event| event.body.learner())
            .map(|learner| learner.id)
    };
    for consumer in 0..3 {
        let lanes = Lanes::of_consumer(consumer, 3).split(&items);
        assert_eq!(lanes.len(), 3);
        let mut all: Vec<usize> = lanes.iter().flatten().copied().collect();
        all.sort_unstable();
        assert_eq!(all, (0..items.len()).collect::<Vec<_>>());
        for lane in &lanes {
            assert!(lane.is_sorted(), "in the order of the records");
        }
        let begun = learner(&lanes[0][0]).expect("facts only").0;
        assert_eq!(
            usize::try_from(begun).expect("small") % 3,
            consumer,
            "each begins elsewhere"
        );
        for (n, lane) in lanes[..2].iter().enumerate() {
            let others = lanes.iter().enumerate().filter(|(other, _)| *other != n);
            let mut others = others.flat_map(|(_, lane)| lane);
            let theirs = |place: &&usize| {
                let body = &items[**place].event()?.body;
                matches!(body, EventBody::Enrollment { .. } | EventBody::Certificate { .. }).then(|| learner(place))?
            };
            let mine: Vec<_> = lane.iter().map(learner).collect();
            assert!(!others.any(|place| theirs(&place).is_some_and(|id| mine.contains(&Some(id)))));
        }
    }
}

#[test]
fn a_small_batch_is_written_at_once() {
    let items = records();
    assert_eq!(Lanes::of_consumer(1, 2).split(&items[..399]).len(), 1);
    assert_eq!(Lanes::of_consumer(0, 1).split(&items).len(), 1);
    assert_eq!(Lanes::of_consumer(0, 64).split(&items).len(), 1);
    assert_eq!(Lanes::of_consumer(0, 2).split(&[]), [Vec::<usize>::new()]);
}
