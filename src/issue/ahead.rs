//! The loop for a backend behind a network: so many requests in flight as it may have, and as many more awards at hand as
//! keep it that way while the next ones are claimed.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    sync::{Notify, mpsc},
    task::{JoinError, JoinHandle, JoinSet},
};
use tokio_util::sync::CancellationToken;

use super::{
    Issuer,
    attempt::Done,
    run::{BATCH, rethrow},
};
use crate::store::{
    Patience, StoreError,
    awards::{Claim, ClaimedAward},
};

/// What happens is told; this is in case that nothing does.
const RECHECK: Duration = Duration::from_secs(1);

impl Issuer {
    /// Issues awards until told to stop; then gives back those that nothing was asked of, lets the requests in flight
    /// end, and writes what came of them.
    pub(super) async fn run_remote(self: &Arc<Self>, stop: &CancellationToken) -> Result<(), StoreError> {
        let (results, mut inbox) = mpsc::channel::<Done>(self.settings.concurrency * 2);
        let writer = {
            let (issuer, stop) = (Arc::clone(self), stop.clone());
            tokio::spawn(async move {
                let mut batch = Vec::new();
                while inbox.recv_many(&mut batch, BATCH).await > 0 {
                    issuer.write(std::mem::take(&mut batch), &stop).await?;
                }
                Ok::<(), StoreError>(())
            })
        };
        let mut ahead = Ahead::new(Arc::clone(self), results);
        let claiming = ahead.run(&writer, stop).await;
        ahead.finish().await;
        let writing = writer
            .await
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()));
        claiming.and(writing)
    }
}

/// What is claimed and not written yet.
struct Ahead {
    issuer: Arc<Issuer>,
    results: mpsc::Sender<Done>,
    /// Claimed when, and nothing asked of them yet.
    claimed: VecDeque<(Instant, ClaimedAward)>,
    /// One at a time.
    claiming: JoinSet<(Instant, Result<Claim, StoreError>)>,
    asking: JoinSet<()>,
    /// Told that a request ended.
    freed: Arc<Notify>,
}

impl Ahead {
    fn new(issuer: Arc<Issuer>, results: mpsc::Sender<Done>) -> Self {
        Self {
            issuer,
            results,
            claimed: VecDeque::new(),
            claiming: JoinSet::new(),
            asking: JoinSet::new(),
            freed: Arc::new(Notify::new()),
        }
    }

    async fn run(
        &mut self,
        writer: &JoinHandle<Result<(), StoreError>>,
        stop: &CancellationToken,
    ) -> Result<(), StoreError> {
        let issuer = Arc::clone(&self.issuer);
        let mut patience = Patience::new("issue");
        // Nothing was due any more: until woken, or then.
        let mut idle_until: Option<Instant> = None;
        while !stop.is_cancelled() && !writer.is_finished() {
            let now = Instant::now();
            let wait = match self.ask(now) {
                Ok(()) => RECHECK,
                Err(wait) => {
                    if issuer.breaker().is_open() {
                        // Nobody knows for how long, and their leases would run out.
                        self.give_back().await;
                    }
                    wait
                }
            };
            if idle_until.is_none_or(|until| until <= now) {
                idle_until = None;
                self.claim(now);
            }
            let until = idle_until.map_or(now + wait, |until| until.min(now + wait));
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.freed.notified() => {}
                () = issuer.wake.notified(), if idle_until.is_some() => idle_until = None,
                () = tokio::time::sleep_until(until.into()) => {}
                Some(claimed) = self.claiming.join_next() => match self.take(claimed) {
                    Ok(more) => {
                        patience.rest();
                        idle_until = (!more).then(|| Instant::now() + issuer.settings.poll);
                    }
                    Err(error) => patience.wait(error, stop).await?,
                },
            }
        }
        Ok(())
    }

    /// Asks the backend of as many as it may be asked now; if of none, how long this holds when nothing happens.
    fn ask(&mut self, now: Instant) -> Result<(), Duration> {
        while let Some(ended) = self.asking.try_join_next() {
            rethrow(ended);
        }
        let allowed = self.issuer.breaker().allowance(now, self.asking.len())?;
        let number = allowed.min(self.claimed.len());
        for (claimed_at, award) in self.claimed.drain(..number) {
            let (issuer, results, freed) = (Arc::clone(&self.issuer), self.results.clone(), Arc::clone(&self.freed));
            self.asking.spawn(async move {
                match issuer.attempt(&award, claimed_at).await {
                    // The writer ends early only by failing, which ends the loop too.
                    Ok(done) => drop(results.send(done).await),
                    Err(error) => tracing::warn!(
                        award.id = %award.award.0,
                        error.code = error.code(),
                        "award {} waits for its lease to run out: {error}",
                        award.award.0
                    ),
                }
                freed.notify_one();
            });
        }
        Ok(())
    }

    /// Begins to claim what is missing, unless that is going on or too few are: a claim is a transaction, whatever it brings.
    fn claim(&mut self, now: Instant) {
        let wanted = self.issuer.breaker().wanted(now, self.asking.len(), self.claimed.len());
        if wanted > 0 && self.claiming.is_empty() {
            let issuer = Arc::clone(&self.issuer);
            self.claiming.spawn(async move { (now, issuer.claim(wanted).await) });
        }
    }

    /// Whether there may be more.
    fn take(&mut self, claimed: Result<(Instant, Result<Claim, StoreError>), JoinError>) -> Result<bool, StoreError> {
        let (claimed_at, claim) = claimed.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
        let Claim { awards, more } = claim?;
        self.claimed.extend(awards.into_iter().map(|award| (claimed_at, award)));
        Ok(more)
    }

    async fn give_back(&mut self) {
        for (_, award) in std::mem::take(&mut self.claimed) {
            // Without a writer their leases run out.
            let _ = self.results.send(self.issuer.unused(&award)).await;
        }
    }

    async fn finish(mut self) {
        while let Some(claimed) = self.claiming.join_next().await {
            if let Err(error) = self.take(claimed) {
                tracing::debug!(error.code = error.code(), "nothing was claimed at the end: {error}");
            }
        }
        self.give_back().await;
        while let Some(ended) = self.asking.join_next().await {
            rethrow(ended);
        }
    }
}
