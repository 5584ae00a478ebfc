//! The loop: claim, ask, write; in batches with a local backend, in parallel with one behind a network (`ahead`).

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use tokio::task::{JoinError, JoinHandle};
use tokio_util::sync::CancellationToken;

use super::{IssueError, Issuer, delta};
use crate::{
    failpoint::{Place, hit},
    store::{
        Patience, StoreError, Tx,
        awards::{self, Claim, IssuedDue},
        outbox::{LEASE, Room},
    },
};

/// Awards that a local backend issues in one transaction.
pub(super) const BATCH: usize = 256;
/// The transaction in which a batch is claimed.
const CLAIM: &str = "claim_awards";
/// How often it is tried whether what blocked awards is gone, and with how many of them.
const PROBE_EVERY: Duration = Duration::from_secs(600);
const PROBES: usize = 16;

impl Issuer {
    /// Issues awards until told to stop; then lets the requests in flight end and writes what came of them.
    pub async fn run(self, stop: CancellationToken) -> Result<(), IssueError> {
        let issuer = Arc::new(self);
        // Whichever ends first ends the other: never half alive.
        let either = stop.child_token();
        let probing = beside(&either, {
            let (issuer, either) = (Arc::clone(&issuer), either.clone());
            async move { issuer.probe(&either).await }
        });
        let revoking = beside(&either, Arc::clone(&issuer).revoke_all(either.clone()));
        let comparing = issuer.backend.can_be_compared().then(|| {
            let comparing = Arc::clone(&issuer).compare_by_schedule(either.clone());
            beside(&either, comparing)
        });
        let ended = {
            let _ends = either.clone().drop_guard();
            if issuer.backend.is_local() {
                issuer.run_local(&either).await
            } else {
                issuer.run_remote(&either).await
            }
        };
        probing.abort();
        let probed = probing.await;
        let revoked = revoking.await;
        let compared = match comparing {
            Some(comparing) => comparing.await,
            None => Ok(Ok(())),
        };
        ended?;
        rethrow(probed);
        for ended in [revoked, compared] {
            ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))?;
        }
        Ok(())
    }

    /// Only revokes, until told to stop: for a service that awards nothing.
    pub async fn run_revocations(self, stop: CancellationToken) -> Result<(), IssueError> {
        Arc::new(self).revoke_all(stop).await
    }

    async fn run_local(&self, stop: &CancellationToken) -> Result<(), StoreError> {
        let mut patience = Patience::new("issue");
        while !stop.is_cancelled() {
            match self.issue_due().await {
                Ok(true) => {
                    patience.rest();
                    continue;
                }
                Ok(false) => {}
                Err(error) => {
                    patience.wait(error, stop).await?;
                    continue;
                }
            }
            let claimed_at = Instant::now();
            let Claim { awards, more } = match self.claim(BATCH).await {
                Ok(claim) => claim,
                Err(error) => {
                    patience.wait(error, stop).await?;
                    continue;
                }
            };
            patience.rest();
            let mut done = Vec::with_capacity(awards.len());
            for award in &awards {
                match self.attempt(award, claimed_at).await {
                    Ok(one) => done.push(one),
                    Err(error) => {
                        patience.wait(error, stop).await?;
                        break;
                    }
                }
            }
            self.write(done, stop).await?;
            if !more {
                self.idle(self.settings.poll, stop).await;
            }
        }
        Ok(())
    }

    /// Issues what needs no claim, a batch of it. Returns whether there was enough of it to come again.
    async fn issue_due(&self) -> Result<bool, StoreError> {
        let Some(issue) = self.at_once.clone() else {
            return Ok(false);
        };
        let room = Room::with(self.relay.as_ref());
        let lease = room.as_ref().map(|_| LEASE);
        let work = move |tx: &mut Tx<'_>| awards::issue_due(tx, BATCH, issue.as_ref(), lease);
        let IssuedDue { issued, more } = self
            .store
            .run(move |store| store.claim_transaction("issue_due", false, work))
            .await?;
        if issued.awards > 0 {
            hit(Place::Issued)?;
            let left = issued.awards - issued.claimed.len();
            if let Some(room) = room {
                room.hand_over(issued.claimed);
            }
            if left > 0 {
                self.published_wake.notify_one();
            }
        }
        Ok(more && issued.awards > 0)
    }

    pub(super) async fn claim(&self, limit: usize) -> Result<Claim, StoreError> {
        let (lease, settle) = (delta(self.lease()), delta(self.backend.settle_time()));
        let claim = move |tx: &mut Tx<'_>| awards::claim(tx, limit, lease, settle);
        // What the backend is asked outside this process must be known to have been asked.
        let local = self.backend.is_local();
        let claim = self
            .store
            .run(move |store| store.claim_transaction(CLAIM, local, claim))
            .await?;
        if !claim.awards.is_empty() {
            hit(Place::Claimed)?;
        }
        Ok(claim)
    }

    /// Waits to be woken, or a while.
    async fn idle(&self, at_most: Duration, stop: &CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.wake.notified() => {}
            () = tokio::time::sleep(at_most) => {}
        }
    }

    /// Lets blocked awards go on: all of them at the start, for the settings may have changed, and then a few from time
    /// to time; when one of these is issued, its badge class's others follow.
    async fn probe(&self, stop: &CancellationToken) {
        let mut limit = usize::MAX;
        while !stop.is_cancelled() {
            let resumed = self
                .store
                .run(move |store| store.transaction("resume_blocked", |tx| awards::resume_blocked(tx, limit)))
                .await;
            let pause = match resumed {
                Ok(resumed) => {
                    limit = PROBES;
                    self.probing.store(resumed > 0, Ordering::Relaxed);
                    if resumed > 0 {
                        self.wake.notify_one();
                    }
                    PROBE_EVERY
                }
                Err(error) => {
                    tracing::debug!(error.code = error.code(), "blocked awards stay blocked: {error}");
                    self.settings.poll
                }
            };
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }
}

/// Runs a task whose end, and be it a panic, ends `either`.
fn beside<T: Send + 'static>(
    either: &CancellationToken,
    task: impl Future<Output = T> + Send + 'static,
) -> JoinHandle<T> {
    let ends = either.clone().drop_guard();
    tokio::spawn(async move {
        let _ends = ends;
        task.await
    })
}

/// A task that panicked takes the loop down with it.
pub(super) fn rethrow(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && let Ok(panic) = error.try_into_panic()
    {
        std::panic::resume_unwind(panic);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_panics_or_ends_ends_those_beside_it() {
        let either = CancellationToken::new();
        let panicked = beside(&either, async { panic!("planted") });
        let panicked: Result<(), JoinError> = panicked.await;
        assert!(panicked.is_err_and(|error| error.is_panic()));
        assert!(either.is_cancelled());
    }
}
