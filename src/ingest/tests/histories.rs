//! Any order, any repetition: the same facts, and every badge that they demand.

use proptest::prelude::*;

use super::support::{activate, awards, certificate, counters, enrollment, facts, item, supply_images, writer};
use crate::{
    ingest::Item,
    store::testing::{self, TestDatabase},
};

/// (learner, course, enrolment or certificate, holds).
pub type Told = (i64, usize, bool, bool);

pub fn history() -> impl Strategy<Value = Vec<Told>> {
    proptest::collection::vec((1i64..3, 1usize..5, any::<bool>(), any::<bool>()), 1..25)
}

pub fn items(told: &[Told]) -> Vec<Item> {
    told.iter()
        .zip(0..)
        .map(|((learner, course, enrolls, holds), n)| {
            let body = if *enrolls { enrollment } else { certificate };
            // Some at the same time: the ids decide.
            let mut item = item(n / 2, body(*learner, *course, *holds));
            if let crate::ingest::Content::Event(event) = &mut item.content {
                event.stamp.event_id = format!("{n:03}");
            }
            item
        })
        .collect()
}

/// Whether a learner is enrolled in a course, or has passed it, as a list of events says.
pub fn holds(told: &[Told], learner: i64, course: usize, enrolls: bool) -> bool {
    let of = |t: &&Told| t.0 == learner && t.1 == course && t.2 == enrolls;
    told.iter().rev().find(of).is_some_and(|t| t.3)
}

/// (enrolled, completed) as a list of events says, and whether both courses of the group are passed.
pub fn model(told: &[Told], learner: i64) -> (i32, i32, bool) {
    let last = |course: usize, enrolls: bool| holds(told, learner, course, enrolls);
    let count = |enrolls| (1..5).filter(|course| last(*course, enrolls)).count();
    let number = |count: usize| i32::try_from(count).expect("small");
    (
        number(count(true)),
        number(count(false)),
        last(1, false) && last(2, false),
    )
}

/// The same in another order, and one of them twice.
pub fn mixed(told: &[Told], twice: prop::sample::Index, seed: u64) -> Vec<Item> {
    let mut events = items(told);
    let repeated = events[twice.index(events.len())].clone();
    events.push(repeated);
    let count = events.len() as u64;
    let key = |n: u64| (n + 1).wrapping_mul(seed | 1).rotate_left(29) % 1009;
    let mut mixed: Vec<(u64, Item)> = (0..count).map(key).zip(events).collect();
    mixed.sort_by_key(|(key, _)| *key);
    mixed.into_iter().map(|(_, item)| item).collect()
}

pub fn prepared(database: &TestDatabase) {
    activate(
        database,
        "1,e1\n2,e2\n3,e3",
        "1,c1\n2,c2\n4,c4",
        "g,course-v1:edX+C1+1,course-v1:edX+C2+1",
    );
    supply_images(database);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn order_and_repetition_change_nothing(
        told in history(),
        order in any::<prop::sample::Index>(),
        cut in 1usize..9,
        seed in any::<u64>(),
    ) {
        let straight = testing::sqlite();
        prepared(&straight);
        writer(&straight).apply(&items(&told)).expect("applied");

        let shuffled = testing::sqlite();
        prepared(&shuffled);
        let mixed = mixed(&told, order, seed);
        let mut writer = writer(&shuffled);
        for batch in mixed.chunks(cut) {
            writer.apply(batch).expect("applied");
        }

        prop_assert_eq!(facts(&straight), facts(&shuffled));
        for learner in [1, 2] {
            let (enrolled, completed, group) = model(&told, learner);
            if !told.iter().any(|t| t.0 == learner) {
                continue;
            }
            for database in [&straight, &shuffled] {
                prop_assert_eq!(counters(database, learner), (enrolled, completed));
                let got: Vec<String> = awards(database).into_iter().filter(|a| a.0 == learner).map(|a| a.1).collect();
                for (slug, demanded) in [
                    ("e1", enrolled >= 1), ("e2", enrolled >= 2), ("e3", enrolled >= 3),
                    ("c1", completed >= 1), ("c2", completed >= 2), ("c4", completed >= 4), ("g", group),
                ] {
                    prop_assert!(!demanded || got.iter().any(|s| s == slug), "{slug} is missing: {got:?}");
                }
            }
            let at_once: Vec<String> = awards(&straight).into_iter().filter(|a| a.0 == learner).map(|a| a.1).collect();
            prop_assert_eq!(at_once.iter().any(|s| s == "c4"), completed == 4, "no more than the facts demand");
        }
    }
}
