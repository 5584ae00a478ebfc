//! Revocations: claimed, carried out at the backend, written; one after the other.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use super::{IssueError, Issuer, delta};
use crate::{
    backend::{BackendError, RevokeRequest},
    failpoint::{Place, hit},
    retry::Backoff,
    store::{
        Patience, StoreError,
        revocations::{self, ClaimedRevocation},
    },
};

/// Revocations of one claim.
const CLAIM: i64 = 16;
/// What does not mend by itself is tried again this often.
const SELDOM: Duration = Duration::from_secs(3600);
/// The issuer inside this service: the store says that an assertion is revoked, and its documents with it.
const BUILTIN: &str = "builtin";

impl Issuer {
    /// Revokes what is to be revoked, until told to stop.
    pub(super) async fn revoke_all(self: Arc<Self>, stop: CancellationToken) -> Result<(), IssueError> {
        let mut patience = Patience::new("revoke");
        while !stop.is_cancelled() {
            match self.revoke_due(&stop).await {
                Ok(0) => {
                    patience.rest();
                    tokio::select! {
                        () = stop.cancelled() => {}
                        () = tokio::time::sleep(self.settings.poll) => {}
                    }
                }
                Ok(_) => patience.rest(),
                Err(error) => patience.wait(error, &stop).await?,
            }
        }
        Ok(())
    }

    async fn revoke_due(&self, stop: &CancellationToken) -> Result<usize, StoreError> {
        let lease = delta(self.backend.timeout() * u32::try_from(CLAIM).unwrap_or(1) + Duration::from_secs(30));
        let claimed = self
            .store
            .run(move |store| store.transaction("claim_revocations", |tx| revocations::claim(tx, CLAIM, lease)))
            .await?;
        let number = claimed.len();
        if number > 0 {
            hit(Place::RevocationClaimed)?;
        }
        for revocation in claimed {
            // What is left is taken again when its lease runs out.
            if stop.is_cancelled() {
                break;
            }
            self.revoke(revocation).await?;
        }
        Ok(number)
    }

    async fn revoke(&self, revocation: ClaimedRevocation) -> Result<(), StoreError> {
        let outcome = self.revoke_at_backend(&revocation).await;
        hit(Place::RevokedAtBackend)?;
        let (award, attempts) = (revocation.award, revocation.attempts);
        match outcome {
            Ok(()) => {
                let written = self
                    .store
                    .run(move |store| {
                        store.transaction("complete_revocation", |tx| revocations::complete(tx, &revocation))
                    })
                    .await?;
                hit(Place::RevocationKept)?;
                if written {
                    tracing::info!(award.id = %award.0, "the assertion of award {} was revoked", award.0);
                    self.published_wake.notify_one();
                }
            }
            Err(error) => {
                let pause = match &error {
                    BackendError::NotSent { retry_after, .. } => {
                        retry_after.unwrap_or_else(|| Backoff::AWARDS.delay(attempts, rand::random()))
                    }
                    BackendError::Unknown { .. } => Backoff::AWARDS.delay(attempts, rand::random()),
                    _ => SELDOM,
                };
                tracing::warn!(
                    award.id = %award.0,
                    error.code = error.code(),
                    "the assertion of award {} is not revoked yet: {error}",
                    award.0
                );
                self.store
                    .run(move |store| {
                        store.transaction("put_off_revocation", |tx| {
                            revocations::put_off(tx, &revocation, delta(pause), &error.to_string())
                        })
                    })
                    .await?;
            }
        }
        Ok(())
    }

    async fn revoke_at_backend(&self, revocation: &ClaimedRevocation) -> Result<(), BackendError> {
        if revocation.backend == BUILTIN {
            return Ok(());
        }
        if revocation.backend != self.backend.name() {
            return Err(BackendError::Blocked {
                reason: "misconfigured",
                detail: format!(
                    "it was issued by {}, and BADGING_BACKEND is {} now",
                    revocation.backend,
                    self.backend.name()
                ),
            });
        }
        let request = RevokeRequest {
            award: revocation.award,
            backend_id: revocation.backend_id.clone(),
            assertion_url: revocation.assertion_url.clone(),
            reason: revocation.reason.clone(),
        };
        self.call(self.backend.revoke(&request)).await
    }
}
