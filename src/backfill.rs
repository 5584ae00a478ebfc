//! Every learner against the active configuration: after an activation at once, when a person asks for it, and every ten
//! minutes again to find what a bug may have missed. The same loop deletes what is old.
//!
//! Completion badges are not looked for: whether one was due is told by its course's switch as it stood when the
//! certificate came, and that is not kept.

mod by_hand;
mod tidying;

use std::{sync::Arc, time::Duration};

use chrono::TimeDelta;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

pub use self::by_hand::End;
use self::tidying::Tidying;
use crate::{
    domain::award::Decision,
    failpoint::{Place, hit},
    retry::Backoff,
    store::{
        Disposition, Store, StoreError,
        backfill::{self, CHUNK, Chunk, Claim, Due},
        event_badges::RulesCache,
    },
    telemetry::Metrics,
};

/// How often it is asked whether there is something to do.
const POLL: Duration = Duration::from_secs(1);
/// A process that dies holds the backfill up for at most this long. One that takes longer over a chunk loses nothing:
/// it holds the configuration's row meanwhile.
const LEASE: TimeDelta = TimeDelta::seconds(10);

/// What the loop works with.
#[derive(Clone)]
pub struct Backfill {
    /// The database.
    pub store: Arc<Store>,
    /// Where progress and repairs are counted.
    pub metrics: Arc<Metrics>,
    /// Rules that were resolved before.
    pub rules: Arc<RulesCache>,
    /// Told when there are new awards.
    pub wake: Arc<Notify>,
}

impl Backfill {
    /// Runs until it is stopped; a chunk under way is finished first, and another process may go on from there.
    ///
    /// A failure of the database is waited out; one that says that going on would do harm is returned.
    pub async fn run(self, stop: CancellationToken) -> Result<(), StoreError> {
        let mut failures = 0;
        let mut tidying = Tidying::begun(self.store.clock().now());
        loop {
            let worked = match self.work(&stop).await {
                Ok(()) => tidying.work(&self, &stop).await,
                failed => failed,
            };
            let pause = match worked {
                Ok(()) => {
                    failures = 0;
                    POLL
                }
                Err(error) if error.disposition() == Disposition::Stop => return Err(error),
                Err(error) => {
                    failures += 1;
                    tracing::warn!(
                        error.code = error.code(),
                        "the backfill waits for the database: {error}"
                    );
                    Backoff::DEPENDENCY.delay(failures, rand::random()).max(POLL)
                }
            };
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Does what is due now: a whole backfill, a whole sweep, or nothing.
    pub async fn work(&self, stop: &CancellationToken) -> Result<(), StoreError> {
        match self
            .store
            .run(|store| store.read("backfill_due", backfill::due))
            .await?
        {
            Due::Nothing => Ok(()),
            Due::Backfill => self.backfill(stop).await,
            Due::Sweep => self.sweep(stop).await,
        }
    }

    async fn backfill(&self, stop: &CancellationToken) -> Result<(), StoreError> {
        let Some(claim) = self.claim().await? else {
            return Ok(());
        };
        let id = claim.configuration_id;
        tracing::info!(
            configuration.id = id,
            "evaluating every learner against configuration {id}"
        );
        let (mut learners, mut new) = (0, 0);
        while !stop.is_cancelled() {
            let (evaluated, last) = match self.chunk(claim).await? {
                Chunk::More(evaluated) => (evaluated, false),
                Chunk::Last(evaluated) => (evaluated, true),
                Chunk::Lost => return Ok(()),
            };
            learners += evaluated.learners;
            new += evaluated.new.len();
            if last {
                tracing::info!(
                    configuration.id = id,
                    "evaluated {learners} learners against configuration {id}: {new} new awards"
                );
                return Ok(());
            }
        }
        self.release(claim).await
    }

    /// Evaluates the next learners of a claimed backfill.
    async fn chunk(&self, claim: Claim) -> Result<Chunk, StoreError> {
        let rules = Arc::clone(&self.rules);
        let chunk = move |store: &Store| {
            store.deciding_transaction("backfill", |tx| {
                let chunk = backfill::evaluate_chunk(tx, &claim, &rules, CHUNK, LEASE)?;
                hit(Place::SliceEvaluated)?;
                Ok(chunk)
            })
        };
        let chunk = self.store.run(chunk).await?;
        hit(Place::SliceKept)?;
        if let Chunk::More(evaluated) | Chunk::Last(evaluated) = &chunk {
            self.metrics
                .backfill_learners
                .inc_by(u64::try_from(evaluated.learners).unwrap_or(u64::MAX));
            self.decided(&evaluated.new);
        }
        Ok(chunk)
    }

    /// Takes the backfill of the active configuration, if it is open and nobody holds it.
    async fn claim(&self) -> Result<Option<Claim>, StoreError> {
        self.store
            .run(|store| store.transaction("claim_backfill", |tx| backfill::claim_backfill(tx, LEASE)))
            .await
    }

    /// Lets another process go on at once.
    async fn release(&self, claim: Claim) -> Result<(), StoreError> {
        self.store
            .run(move |store| store.transaction("release_backfill", |tx| backfill::release(tx, &claim)))
            .await
    }

    async fn sweep(&self, stop: &CancellationToken) -> Result<(), StoreError> {
        let claim = |store: &Store| store.transaction("claim_sweep", backfill::claim_sweep);
        let Some(claim) = self.store.run(claim).await? else {
            return Ok(());
        };
        let mut after = None;
        while !stop.is_cancelled() {
            let rules = Arc::clone(&self.rules);
            let part = move |store: &Store| sweep_part(store, &claim, &rules, after);
            let Some((repaired, next)) = self.store.run(part).await? else {
                return Ok(());
            };
            if !repaired.is_empty() {
                let count = repaired.len();
                tracing::warn!(
                    configuration.id = claim.configuration_id,
                    "the sweep found {count} awards that were missing"
                );
                self.metrics
                    .sweeper_repairs
                    .inc_by(u64::try_from(count).unwrap_or(u64::MAX));
                self.decided(&repaired);
            }
            match next {
                Some(_) => after = next,
                None => return Ok(()),
            }
        }
        Ok(())
    }

    fn decided(&self, new: &[Decision]) {
        for decision in new {
            let kind = decision.reason.rule.as_str();
            self.metrics.awards_decided.with_label_values(&[kind]).inc();
        }
        if !new.is_empty() {
            self.wake.notify_one();
        }
    }
}

/// What a part of a sweep repaired, and where the next begins; `None` if the sweep is over because another
/// configuration is active.
type Part = Option<(Vec<Decision>, Option<i64>)>;

fn sweep_part(store: &Store, claim: &Claim, cache: &RulesCache, after: Option<i64>) -> Result<Part, StoreError> {
    let found = store.read("sweep", |tx| {
        backfill::rules_of(tx, claim, cache)?
            .map(|rules| backfill::suspects(tx, &rules, after, CHUNK))
            .transpose()
    })?;
    let Some(found) = found else {
        return Ok(None);
    };
    let repaired = match found.learners.is_empty() {
        true => Some(Vec::new()),
        false => store.transaction("sweep_repair", |tx| backfill::repair(tx, claim, cache, &found.learners))?,
    };
    Ok(repaired.map(|repaired| (repaired, found.next)))
}

#[cfg(test)]
mod tests;
