//! Writes what came of awards: everything that is at hand in one transaction.

use std::{collections::HashSet, sync::atomic::Ordering};

use chrono::TimeDelta;
use tokio_util::sync::CancellationToken;

use super::{Issuer, attempt::Done};
use crate::{
    domain::award::AwardState,
    failpoint::{Place, hit},
    store::{
        Disposition, Patience, StoreError,
        awards::{self, Completed, Step},
    },
};

/// How often writing is tried again after the process was told to stop.
const LAST_TRIES: u32 = 3;

impl Issuer {
    /// Writes these results, waiting for a database that is down. Told to stop, it soon gives up: what is not written
    /// is looked up after its lease ran out.
    pub(super) async fn write(&self, done: Vec<Done>, stop: &CancellationToken) -> Result<(), StoreError> {
        let mut completed = Vec::new();
        let mut steps = Vec::new();
        for one in done {
            match one {
                Done::Issued(issued) => completed.push(*issued),
                Done::Step(step) => steps.push(step),
            }
        }
        let count = completed.len() + steps.len();
        if count == 0 {
            return Ok(());
        }
        let written = match self.write_patiently(completed.clone(), steps.clone(), stop).await {
            Err(error) if error.disposition() == Disposition::DeadLetter => {
                self.write_one_by_one(completed, steps, stop).await?
            }
            written => written?,
        };
        if written < count {
            let stale = count - written;
            tracing::warn!(
                awards.stale = stale,
                "{stale} awards had lost their lease; nothing was written of them"
            );
        }
        Ok(())
    }

    /// One of them holds what the database refuses: the others are written without it.
    async fn write_one_by_one(
        &self,
        completed: Vec<Completed>,
        steps: Vec<Step>,
        stop: &CancellationToken,
    ) -> Result<usize, StoreError> {
        let mut written = self.write_patiently(Vec::new(), steps, stop).await?;
        for one in completed {
            let refused = Step {
                learner: one.assertion.learner,
                award: one.assertion.award,
                lease_token: one.lease_token,
                state: AwardState::Failed,
                reason: Some("cannot_be_stored"),
                after: TimeDelta::zero(),
                posted: true,
                counted: true,
                error: None,
            };
            written += match self.write_patiently(vec![one], Vec::new(), stop).await {
                Err(error) if error.disposition() == Disposition::DeadLetter => {
                    tracing::error!(
                        award.id = %refused.award.0,
                        error.code = error.code(),
                        "award {}: {error}",
                        refused.award.0
                    );
                    self.write_patiently(Vec::new(), vec![refused], stop).await?
                }
                written => written?,
            };
        }
        Ok(written)
    }

    async fn write_patiently(
        &self,
        completed: Vec<Completed>,
        steps: Vec<Step>,
        stop: &CancellationToken,
    ) -> Result<usize, StoreError> {
        let mut patience = Patience::new("issue: writing results");
        let mut last_tries = 0;
        let issued: HashSet<_> = completed.iter().map(|one| one.assertion.badge_class).collect();
        // A backend that issues again what was blocked has been repaired.
        let repaired = if !issued.is_empty() && self.probing.load(Ordering::Relaxed) {
            issued
        } else {
            HashSet::new()
        };
        loop {
            let (completed, steps, repaired) = (completed.clone(), steps.clone(), repaired.clone());
            let written = self
                .store
                .run(move |store| {
                    store.transaction("write_results", |tx| {
                        let issued = awards::complete(tx, &completed)?.len();
                        let moved = awards::apply_steps(tx, &steps)?.len();
                        for badge_class in &repaired {
                            awards::unblock_badge_class(tx, *badge_class)?;
                        }
                        Ok((issued, moved))
                    })
                })
                .await
                .and_then(|written| Ok(hit(Place::Issued).map(|()| written)?));
            match written {
                Ok((issued, moved)) => {
                    patience.rest();
                    if issued > 0 {
                        self.published_wake.notify_one();
                    }
                    return Ok(issued + moved);
                }
                Err(error) if stop.is_cancelled() && last_tries == LAST_TRIES => {
                    tracing::warn!(
                        error.code = error.code(),
                        "results were not written, their awards will be looked up: {error}"
                    );
                    return Ok(0);
                }
                Err(error) => {
                    if stop.is_cancelled() {
                        last_tries += 1;
                    }
                    // Told to stop, it still waits between its last tries.
                    patience.wait(error, &CancellationToken::new()).await?;
                }
            }
        }
    }
}
