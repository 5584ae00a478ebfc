//! Which records of a large batch go into which transaction, so that consumers do not get into each other's way.
//!
//! Learners come to all consumers in any order, and a learner's row is held until the commit: of two large batches each
//! holds somebody whom the other needs, and one waits out the other's whole transaction, or both make the same new
//! learner, and one does all its work again. So a large batch is written in a transaction for each lane, a share of all
//! learners, and a lane is written by one consumer at a time: those of a process take whichever is free, and those of
//! other processes wait for it in the database ([`Lane`]). Nothing but speed rests on it.

use std::{
    collections::BTreeMap,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::Item;
use crate::{domain::EventBody, store::Lane};

/// Below this many records a lane a batch is written at once: it is over soon, and two commits cost more.
const LEAST: usize = 200;
/// Lanes of a database that many write to: enough for who is done with one to find another one free.
const NUMBER: u16 = 4;
/// Nobody waits longer for a lane: the other one may be waiting for its database.
const PATIENCE: Duration = Duration::from_secs(1);

/// The lanes as one process knows them; its consumers share them.
#[derive(Debug)]
pub struct Lanes {
    busy: Mutex<Vec<bool>>,
    freed: Condvar,
    pub(super) patience: Duration,
}

/// The places of a batch's records, each with the order of the records.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Shares {
    /// What brings nothing but facts, by its lane.
    pub(super) lanes: BTreeMap<usize, Vec<usize>>,
    /// All else, to be written last.
    pub(super) rest: Vec<usize>,
}

/// A lane that this consumer alone writes, unless its patience was over.
#[derive(Debug)]
pub(super) struct Held<'a> {
    lanes: &'a Lanes,
    pub(super) number: usize,
    is_ours: bool,
}

impl Shares {
    /// Makes one share of them all.
    pub(super) fn join(&mut self) {
        let lanes = std::mem::take(&mut self.lanes);
        self.rest.extend(lanes.into_values().flatten());
        self.rest.sort_unstable();
    }
}

impl Lanes {
    /// The lanes of a database, or a single one where it takes one writer at a time.
    pub fn of(one_writer: bool) -> Self {
        Self::divided(if one_writer { 1 } else { NUMBER })
    }

    pub(super) fn divided(number: u16) -> Self {
        Self {
            busy: Mutex::new(vec![false; number.into()]),
            freed: Condvar::new(),
            patience: PATIENCE,
        }
    }

    fn busy(&self) -> MutexGuard<'_, Vec<bool>> {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Divides a batch, if it is large and there are lanes.
    pub(super) fn split(&self, items: &[Item]) -> Shares {
        let number = self.busy().len();
        let mut shares = Shares {
            lanes: BTreeMap::new(),
            rest: Vec::new(),
        };
        if number == 1 || items.len() < LEAST * number || items.iter().any(changes_what_follows) {
            shares.rest = (0..items.len()).collect();
            return shares;
        }
        for (n, item) in items.iter().enumerate() {
            match fact_of(item) {
                Some(learner) => shares.lanes.entry(learner % number).or_default().push(n),
                None => shares.rest.push(n),
            }
        }
        shares
    }

    /// Holds the first of these lanes that is free, and waits for one if need be.
    ///
    /// # Panics
    /// When there is none to choose from.
    pub(super) fn hold(&self, wanted: &BTreeMap<usize, Vec<usize>>) -> Held<'_> {
        let free = |busy: &[bool]| wanted.keys().copied().find(|lane| !busy[*lane]);
        let waited = self
            .freed
            .wait_timeout_while(self.busy(), self.patience, |busy| free(busy).is_none());
        let (mut busy, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let found = free(&busy);
        let number = found
            .or_else(|| wanted.keys().next().copied())
            .expect("a lane is wanted");
        busy[number] = true;
        Held {
            lanes: self,
            number,
            is_ours: found.is_some(),
        }
    }
}

impl Default for Lanes {
    fn default() -> Self {
        Self::divided(1)
    }
}

impl Held<'_> {
    /// What a transaction holds that writes this lane; nothing where another consumer of this process may be at it.
    pub(super) fn lane(&self) -> Option<Lane> {
        let of = u16::try_from(self.lanes.busy().len()).ok()?;
        let number = u16::try_from(self.number).ok()?;
        self.is_ours.then_some(Lane { number, of })
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if self.is_ours {
            self.lanes.busy()[self.number] = false;
            self.lanes.freed.notify_all();
        }
    }
}

/// Whether other learners' facts, or what is awarded for them, depend on whether they come before it.
fn changes_what_follows(item: &Item) -> bool {
    let body = item.event().map(|event| &event.body);
    matches!(
        body,
        Some(EventBody::CourseUpdated { .. } | EventBody::LearnerRetired(_))
    )
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
