//! What became of a batch.

use std::{collections::BTreeMap, sync::Arc};

use tokio::sync::Notify;

use crate::{domain::award::RuleKind, telemetry::Metrics};

/// What became of one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// It changed what is known, or brought an award.
    Applied,
    /// Something newer, or this very event, was known already.
    Stale,
    /// It does not concern us.
    Ignored,
    /// It is kept with the dead letters.
    DeadLettered,
}

impl Outcome {
    /// The outcome's name in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Stale => "stale",
            Self::Ignored => "ignored",
            Self::DeadLettered => "dead_lettered",
        }
    }
}

/// What a committed batch did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BatchOutcome {
    /// Of each record, in their order.
    pub records: Vec<Outcome>,
    /// Records by topic and outcome.
    pub events: BTreeMap<(Arc<str>, Outcome), u64>,
    /// Dead letters by topic and reason.
    pub dead_letters: BTreeMap<(Arc<str>, &'static str), u64>,
    /// New awards by kind.
    pub decided: BTreeMap<RuleKind, u64>,
    /// Events of awards that were issued with their decision, for the relay to claim.
    pub to_announce: usize,
    /// Awards for the issue loop: new ones, and those that waited for an e-mail address.
    pub to_issue: usize,
}

impl BatchOutcome {
    /// Nothing done yet with this many records.
    pub(super) fn of(records: usize) -> Self {
        Self {
            records: vec![Outcome::Ignored; records],
            ..Self::default()
        }
    }

    /// Adds what was done with the records at these places.
    pub(super) fn add(&mut self, part: Self, places: &[usize]) {
        for (outcome, place) in part.records.into_iter().zip(places) {
            self.records[*place] = outcome;
        }
        for (label, n) in part.events {
            *self.events.entry(label).or_default() += n;
        }
        for (label, n) in part.dead_letters {
            *self.dead_letters.entry(label).or_default() += n;
        }
        for (kind, n) in part.decided {
            *self.decided.entry(kind).or_default() += n;
        }
        self.to_announce += part.to_announce;
        self.to_issue += part.to_issue;
    }

    /// Wakes who has to go on with it: the issue loop, the relay.
    pub(super) fn wake(&self, issue: &Notify, relay: &Notify) {
        if self.to_issue > 0 {
            issue.notify_one();
        }
        if self.to_announce > 0 {
            relay.notify_one();
        }
    }

    /// Counts all of it.
    pub fn count(&self, metrics: &Metrics) {
        for ((topic, outcome), n) in &self.events {
            metrics
                .events
                .with_label_values(&[&**topic, outcome.as_str()])
                .inc_by(*n);
        }
        for ((topic, reason), n) in &self.dead_letters {
            metrics.dead_letters.with_label_values(&[&**topic, reason]).inc_by(*n);
        }
        self.count_decided(metrics);
    }

    /// Counts the new awards alone: what is replayed was counted when it was read.
    pub(super) fn count_decided(&self, metrics: &Metrics) {
        for (kind, n) in &self.decided {
            metrics.awards_decided.with_label_values(&[kind.as_str()]).inc_by(*n);
        }
    }
}
