//! A dead letter processed once more, as a consumer would.
//!
//! Nothing goes through Kafka, and nothing becomes a second dead letter: what fails again stays the dead letter that it
//! is. The record's own timestamp orders its facts, so an old one takes nothing back.

use std::sync::Arc;

use serde_json::json;
use tokio::sync::Notify;

use super::{BatchOutcome, Item, Settings, batch, memory::Memory};
use crate::{
    domain::EventBody,
    store::{
        Disposition, Store, StoreError, Tx,
        audit::Actor,
        dead_letters::{self, DeadLetter, NewDeadLetter, NotReplayed, Replay, Replayed},
        event_badges::{self, RulesCache},
    },
    telemetry::Metrics,
    wire::decode::TopicTypes,
};

/// What replays dead letters. Any number of them share a database with the consumers.
pub struct Replayer {
    /// Where the dead letters are, and where facts and decisions go.
    pub store: Arc<Store>,
    /// The rules, as last read.
    pub rules: Arc<RulesCache>,
    /// As the consumers have them.
    pub settings: Settings,
    /// What events without a type are.
    pub types: TopicTypes,
    /// New awards are counted.
    pub metrics: Arc<Metrics>,
    /// Told when there are new awards to issue.
    pub awards: Arc<Notify>,
    /// Told when awards were issued that are to be announced.
    pub announcements: Arc<Notify>,
}

impl Replayer {
    /// Processes the dead letter of this id as a consumer of its topic would, in one transaction that also marks it and
    /// writes the audit log. `None`: there is none of this id.
    ///
    /// One that was replayed or dropped before is left alone. One that fails again stays, with its new reason.
    pub fn replay(&self, id: i64, actor: &Actor) -> Result<Option<Replay>, StoreError> {
        let replayed = match self.attempt(id, actor, false) {
            Err(error) if error.disposition() == Disposition::DeadLetter => {
                tracing::warn!(
                    dead_letter.id = id,
                    error.code = error.code(),
                    "the dead letter {id} is refused: {error}"
                );
                self.attempt(id, actor, true)?
            }
            done => done?,
        };
        if let Some((_, outcome)) = &replayed {
            outcome.count_decided(&self.metrics);
            outcome.wake(&self.awards, &self.announcements);
        }
        Ok(replayed.map(|(replay, _)| replay))
    }

    fn attempt(&self, id: i64, actor: &Actor, refused: bool) -> Result<Option<(Replay, BatchOutcome)>, StoreError> {
        self.store.deciding_transaction("replay", |tx| {
            let Some((letter, record)) = dead_letters::hold(tx, id)? else {
                return Ok(None);
            };
            let nothing = |refusal| Ok(Some((Err(refusal), BatchOutcome::default())));
            if let Some(at) = letter.dropped_at {
                return nothing(NotReplayed::Dropped(at));
            }
            if let Some(at) = letter.replayed_at {
                return nothing(NotReplayed::Before(at));
            }
            if let Some(at) = letter.erased_at {
                return nothing(NotReplayed::Erased(at));
            }
            let mut item = Item::of(record, &self.types);
            if refused {
                item.refuse();
            }
            if !self.settings.award && asks_for_a_badge(&item) {
                return nothing(NotReplayed::NothingAwarded);
            }
            self.write(tx, &letter, &item, actor).map(Some)
        })
    }

    fn write(
        &self,
        tx: &mut Tx<'_>,
        letter: &DeadLetter,
        item: &Item,
        actor: &Actor,
    ) -> Result<(Replay, BatchOutcome), StoreError> {
        let mut failed = None;
        let keep = |tx: &mut Tx<'_>, letters: &[NewDeadLetter<'_>]| {
            let Some(NewDeadLetter { reason, message, .. }) = letters.first() else {
                return Ok(());
            };
            failed = Some(NotReplayed::FailedAgain {
                reason: (*reason).to_owned(),
                message: (*message).to_owned(),
            });
            dead_letters::keep_failure(tx, letter.id, reason, message, actor)
        };
        let memory = Memory::default();
        let standing = event_badges::standing(tx, &self.rules, &[])?;
        let outcome = batch::work(tx, &[item], standing, &self.settings, &memory, None, keep)?.outcome;
        if let Some(refusal) = failed {
            return Ok((Err(refusal), outcome));
        }
        let name = outcome.records.first().map_or("ignored", |record| record.as_str());
        let awards = outcome.decided.values().sum();
        let details = json!({"outcome": name, "awards": awards});
        let done = Replayed {
            letter: dead_letters::mark_replayed(tx, letter.id, actor, &details)?,
            outcome: name,
            awards,
        };
        Ok((Ok(done), outcome))
    }
}

/// Without awards such an event would leave nothing behind.
fn asks_for_a_badge(item: &Item) -> bool {
    let event = item.event();
    event.is_some_and(|event| matches!(event.body, EventBody::BadgeRequested { .. }))
}
