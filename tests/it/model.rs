//! Lives of learners, and which badges they bring: the model that the whole house is held against.

use std::collections::BTreeSet;

use serde_json::json;

use crate::harness::events::{Event, Learner, course};
use crate::harness::topics::Outgoing;
use crate::harness::world::{seed, shuffle};

/// How many learners there are, from 1.
pub const LEARNERS: i64 = 120;
/// How many records are no events.
pub const POISON: usize = 15;

/// The rules: the three texts of a configuration.
pub const ENROLLED: &str = "1,e1\n3,e3\n5,e5";
/// The second of them.
pub const COMPLETED: &str = "1,c1\n3,c3";

/// The third of them.
pub fn group() -> String {
    format!("pair,{},{}", course(1), course(2))
}

/// What happens to one learner; it all follows from the number.
pub struct Life {
    pub learner: Learner,
    enrols: Vec<u32>,
    leaves: Option<u32>,
    passes: Vec<u32>,
    fails: Option<u32>,
}

impl Life {
    pub fn of(id: i64) -> Self {
        let n = u32::try_from(id).expect("small");
        // Everybody begins elsewhere, and goes on from there.
        let courses = |count: u32| (0..count).map(|step| (n / 3 + step) % 6 + 1).collect::<Vec<u32>>();
        let (enrols, passes) = (courses(n % 5 + 1), courses((n % 3 + 1).min(n % 5 + 1)));
        Self {
            learner: Learner::new(id),
            leaves: (n % 4 == 0).then(|| enrols[0]),
            fails: (n % 7 == 0).then(|| passes[0]),
            enrols,
            passes,
        }
    }

    pub fn events(&self) -> Vec<Event> {
        let mut second = 0;
        let mut at = |event: Event| {
            second += 1;
            event.at(&format!("2026-11-01T12:00:{second:02}Z"))
        };
        let who = &self.learner;
        let mut events: Vec<Event> = self
            .enrols
            .iter()
            .map(|number| at(Event::enrollment_created(who, &course(*number))))
            .collect();
        events.extend(
            self.leaves
                .map(|number| at(Event::enrollment_deactivated(who, &course(number)))),
        );
        events.extend(
            self.passes
                .iter()
                .map(|number| at(Event::certificate_generated(who, &course(*number)))),
        );
        events.extend(
            self.fails.map(|number| {
                at(Event::certificate_generated(who, &course(number)).with("/status", json!("notpassing")))
            }),
        );
        events
    }

    /// Active enrolments and passed courses in the end.
    pub fn counters(&self) -> String {
        let (enrolled, passed) = self.last();
        format!("{} {}", enrolled.len(), passed.len())
    }

    /// Where the learner is enrolled in the end, and what is passed.
    fn last(&self) -> (Vec<u32>, Vec<u32>) {
        let without = |all: &[u32], one: Option<u32>| all.iter().copied().filter(|n| Some(*n) != one).collect();
        (without(&self.enrols, self.leaves), without(&self.passes, self.fails))
    }

    /// What the facts demand in the end, and what some order may bring besides: (slug, or the course's key).
    pub fn badges(&self) -> (BTreeSet<String>, BTreeSet<String>) {
        let earned = |enrolled: &[u32], passed: &[u32]| {
            let e = [1, 3, 5]
                .into_iter()
                .filter(|n| enrolled.len() >= *n)
                .map(|n| format!("e{n}"));
            let c = [1, 3]
                .into_iter()
                .filter(|n| passed.len() >= *n)
                .map(|n| format!("c{n}"));
            let pair = [1, 2]
                .iter()
                .all(|number| passed.contains(number))
                .then(|| "pair".to_owned());
            e.chain(c)
                .chain(pair)
                .chain(passed.iter().map(|number| course(*number)))
                .collect::<BTreeSet<String>>()
        };
        let (enrolled, passed) = self.last();
        (earned(&enrolled, &passed), earned(&self.enrols, &self.passes))
    }
}

/// All records, everything twice, shuffled; the first share of them is sent before the rules are there.
pub fn records() -> Vec<Outgoing> {
    let events: Vec<Event> = (1..=LEARNERS).flat_map(|id| Life::of(id).events()).collect();
    let mut records: Vec<Outgoing> = Vec::new();
    for (n, event) in events.iter().enumerate() {
        let mut record = Outgoing::of(event);
        if n % 2 == 0 {
            record.value = event.binary();
        }
        // Open edX keys by course: one learner's events lie on several partitions.
        record.key = Some(event.data()["course"]["id"].to_string());
        records.extend([record.clone(), record]);
    }
    let poison =
        (0..POISON).map(|n| Outgoing::raw("certificate.generated", "x", format!("{{\"poison\": {n}").as_bytes()));
    records.extend(poison);
    shuffle(&mut records, seed());
    records
}
