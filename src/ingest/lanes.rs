//! Which records of a large batch go into which transaction, so that the consumers of a process seldom wait for each
//! other.
//!
//! Learners come to all consumers in any order, and a learner's row is held until the commit: of two large batches each
//! holds somebody whom the other needs, and one waits out the other's whole transaction. So a large batch is written in
//! a transaction for each lane, a share of all learners, and each consumer begins with another lane. Nothing rests on
//! it: whoever meets all the same waits.

use super::Item;
use crate::domain::EventBody;

/// Below this many records a lane a batch is written at once: it is over soon, and two commits cost more.
const LEAST: usize = 200;

/// Where a consumer begins.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lanes {
    first: usize,
    number: usize,
}

impl Lanes {
    /// As many as there are consumers in the process.
    pub(super) fn of_consumer(consumer: usize, consumers: usize) -> Self {
        let number = consumers.max(1);
        Self {
            first: consumer % number,
            number,
        }
    }

    /// The places of the records of each transaction, in the order in which to run them; each keeps the order of the
    /// records.
    ///
    /// All but the last hold nothing but facts: what must not be kept twice when a later one fails, dead letters and
    /// positions, belongs to the last.
    pub(super) fn split(self, items: &[Item]) -> Vec<Vec<usize>> {
        if self.number == 1 || items.len() < LEAST * self.number {
            return vec![(0..items.len()).collect()];
        }
        let mut lanes: Vec<Vec<usize>> = vec![Vec::new(); self.number];
        for (n, item) in items.iter().enumerate() {
            let lane = fact_of(item).map_or(self.number - 1, |learner| {
                (learner.wrapping_add(self.number - self.first)) % self.number
            });
            lanes[lane].push(n);
        }
        let last = lanes.len() - 1;
        let empty = |(n, lane): &(usize, Vec<usize>)| *n != last && lane.is_empty();
        let lanes = lanes.into_iter().enumerate().filter(|lane| !empty(lane));
        lanes.map(|(_, lane)| lane).collect()
    }
}

/// Whose fact a record brings, where that is all it brings.
fn fact_of(item: &Item) -> Option<usize> {
    match &item.event()?.body {
        EventBody::Enrollment { learner, .. } | EventBody::Certificate { learner, .. } => {
            usize::try_from(learner.id.0).ok()
        }
        _ => None,
    }
}
