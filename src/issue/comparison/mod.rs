//! What is stored, compared with what the backend holds: once a day, after a time in which the backend did not answer,
//! and when a person asks for it.
//!
//! A request that was carried out long after nobody waited for it leaves a second live assertion: it is revoked where it
//! is surely our own. An assertion that was revoked at the backend itself, or is gone there, is marked as revoked, and
//! told of; it is never issued again. What is under way is left alone: whatever is to be written or revoked is asked for
//! at the backend once more, and read from the database again in the transaction that decides.

mod class;
mod finding;
mod holdings;
mod schedule;

use std::{future::Future, time::Instant};

use tokio_util::sync::CancellationToken;

pub use self::finding::{Compared, Finding, Mode, Repair};
use super::{Issuer, delta};
use crate::{
    backend::BackendError,
    store::{
        StoreError, Tx,
        comparison::{self, Claim, EVERY},
    },
};

/// Whoever wants to know what was found, as soon as it is.
pub type Told<'a> = &'a (dyn Fn(&Finding) + Send + Sync);

/// What was not answered is asked for again after so many hours.
const AGAIN: i64 = 1;

/// Why a comparison ends before its end.
enum Ended {
    /// The process stops.
    Stopped,
    /// The backend is left alone for a while.
    Away,
    /// Another process compares.
    Lost,
    /// The database failed.
    Store(StoreError),
}

impl From<StoreError> for Ended {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// A comparison on its way.
struct Comparison<'a> {
    issuer: &'a Issuer,
    mode: &'a Mode,
    claim: Option<Claim>,
    stop: &'a CancellationToken,
    told: Told<'a>,
    so_far: Compared,
    /// Something was not answered that may be answered soon.
    is_to_be_repeated: bool,
}

impl Issuer {
    /// Compares everything that this backend issued with what it holds, and repairs what `mode` says. `None` when
    /// another process repairs; a comparison that only reports disturbs none.
    ///
    /// # Errors
    /// The database's. What the backend fails at is told as a [`Finding`].
    pub async fn compare(
        &self,
        mode: &Mode,
        stop: &CancellationToken,
        told: Told<'_>,
    ) -> Result<Option<Compared>, StoreError> {
        let claim = match mode {
            Mode::Report => None,
            Mode::ByItself | Mode::ByHand(_) => match self.claim_comparison(mode).await? {
                Some(claim) => Some(claim),
                None => return Ok(None),
            },
        };
        let mut comparison = Comparison {
            issuer: self,
            mode,
            claim,
            stop,
            told,
            so_far: Compared::default(),
            is_to_be_repeated: false,
        };
        let ended = comparison.all().await;
        comparison.so_far.is_whole = ended.is_ok();
        let within = match &ended {
            Ok(()) if !comparison.is_to_be_repeated => EVERY,
            Ok(()) | Err(Ended::Away) => chrono::TimeDelta::hours(AGAIN),
            Err(Ended::Stopped | Ended::Lost | Ended::Store(_)) => chrono::TimeDelta::zero(),
        };
        if let Some(claim) = comparison.claim.take() {
            self.store
                .run(move |store| store.transaction("finish_comparison", |tx| comparison::finish(tx, &claim, within)))
                .await?;
        }
        match ended {
            Err(Ended::Store(error)) => Err(error),
            Err(Ended::Lost) => Ok(None),
            Ok(()) | Err(Ended::Stopped | Ended::Away) => Ok(Some(comparison.so_far)),
        }
    }

    async fn claim_comparison(&self, mode: &Mode) -> Result<Option<Claim>, StoreError> {
        let (backend, lease, by_hand) = (self.backend.name(), self.comparison_lease(), *mode != Mode::ByItself);
        self.store
            .run(move |store| {
                store.transaction("claim_comparison", |tx| match by_hand {
                    true => comparison::claim_by_hand(tx, backend, lease),
                    false => comparison::claim(tx, backend, lease),
                })
            })
            .await
    }

    /// Renewed before each call.
    fn comparison_lease(&self) -> chrono::TimeDelta {
        delta(self.lease())
    }
}

impl Comparison<'_> {
    async fn all(&mut self) -> Result<(), Ended> {
        let backend = self.issuer.backend.name();
        let mut after = None;
        loop {
            let classes = self
                .read("compared_badge_classes", move |tx| {
                    comparison::badge_classes(tx, backend, after)
                })
                .await?;
            let Some(last) = classes.last() else { return Ok(()) };
            after = Some(last.id);
            for class in &classes {
                self.class(class).await?;
                self.so_far.badge_classes += 1;
            }
        }
    }

    /// Asks the backend, unless it is left alone; the claim then lasts for longer than the call.
    async fn ask<T>(
        &self,
        call: impl Future<Output = Result<T, BackendError>>,
    ) -> Result<Result<T, BackendError>, Ended> {
        if self.stop.is_cancelled() {
            return Err(Ended::Stopped);
        }
        let allowed = self.issuer.breaker().allowance(Instant::now(), 0);
        if allowed.is_err() {
            return Err(Ended::Away);
        }
        if let Some(claim) = self.claim.clone() {
            let lease = self.issuer.comparison_lease();
            let renew = move |tx: &mut Tx<'_>| comparison::renew(tx, &claim, lease);
            if !self.write("renew_comparison", renew).await? {
                return Err(Ended::Lost);
            }
        }
        tokio::select! {
            () = self.stop.cancelled() => Err(Ended::Stopped),
            said = self.issuer.call(call) => Ok(said),
        }
    }

    async fn read<T: Send + 'static>(
        &self,
        name: &'static str,
        read: impl Fn(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.issuer.store.run(move |store| store.read(name, read)).await
    }

    async fn write<T: Send + 'static>(
        &self,
        name: &'static str,
        write: impl Fn(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.issuer.store.run(move |store| store.transaction(name, write)).await
    }

    fn tell(&mut self, finding: Finding) {
        self.so_far.count(&finding);
        (self.told)(&finding);
    }
}
