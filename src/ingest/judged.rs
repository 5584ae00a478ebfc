//! What becomes of each record of a batch, and the sum of it.

use std::sync::Arc;

use super::{BatchOutcome, Content, Item, Outcome};
use crate::{domain::award::Decision, store::dead_letters::NewDeadLetter};

pub(super) const UNKNOWN_BADGE_CLASS: (&str, &str) = (
    "unknown_badge_class",
    "no badge class has this slug, issuing component and course",
);

/// What is to become of a record.
#[derive(Clone, Copy)]
pub(super) enum Judged {
    Outcome(Outcome),
    Unprocessable(&'static str),
}

impl Judged {
    fn outcome(self) -> Outcome {
        match self {
            Self::Outcome(outcome) => outcome,
            Self::Unprocessable(_) => Outcome::DeadLettered,
        }
    }

    pub(super) fn letter<'a>(self, item: &'a Item) -> Option<NewDeadLetter<'a>> {
        let Self::Unprocessable(reason) = self else {
            return None;
        };
        let message = match &item.content {
            Content::Unprocessable { message, .. } => message,
            Content::Event(_) | Content::Ignored => UNKNOWN_BADGE_CLASS.1,
        };
        Some(NewDeadLetter {
            record: &item.record,
            reason,
            message,
        })
    }
}

/// Counts what became of these records, and the new awards.
pub(super) fn tally(items: &[&Item], judged: &[Judged], new: &[Decision]) -> BatchOutcome {
    let mut outcome = BatchOutcome::default();
    // A handful of kinds: they are found sooner in a list.
    let mut events: Vec<(&Arc<str>, Outcome, u64)> = Vec::new();
    for (item, judged) in items.iter().zip(judged) {
        let (topic, kind) = (&item.record.topic, judged.outcome());
        outcome.records.push(kind);
        match events.iter_mut().find(|event| (event.1, event.0) == (kind, topic)) {
            Some(event) => event.2 += 1,
            None => events.push((topic, kind, 1)),
        }
        if let Judged::Unprocessable(reason) = judged {
            *outcome.dead_letters.entry((Arc::clone(topic), *reason)).or_default() += 1;
        }
    }
    let events = events
        .into_iter()
        .map(|(topic, kind, n)| ((Arc::clone(topic), kind), n));
    outcome.events.extend(events);
    for decision in new {
        *outcome.decided.entry(decision.reason.rule).or_default() += 1;
    }
    outcome
}
