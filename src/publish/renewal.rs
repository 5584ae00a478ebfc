//! Leases that last as long as Kafka takes.

use std::{
    future::Future,
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::TimeDelta;

use super::Publisher;
use crate::store::{StoreError, Tx};

/// A lease is renewed when this part of it is over.
pub(crate) const THIRDS: i32 = 3;
/// A renewal that failed is tried again after so long.
const AGAIN: Duration = Duration::from_secs(1);
/// Longer than the producer tries to deliver a dead letter and then its digest (120 s each): who has heard nothing by then
/// has no broker, or no thread that listens to it, and others may try.
const AT_MOST: Duration = Duration::from_mins(5);

impl Publisher {
    /// Waits for the work and has the leases of what it sends renewed meanwhile, for some minutes at most: other relays
    /// leave it alone, and what a process that died was sending is free soon.
    pub(super) async fn renewing<T>(
        &self,
        work: impl Future<Output = T>,
        renew: impl Fn(&mut Tx<'_>, TimeDelta) -> Result<(), StoreError> + Send + Sync + 'static,
    ) -> T {
        let lease = self.settings.lease;
        let every = (lease / THIRDS).to_std().unwrap_or(AGAIN);
        let (mut work, renew) = (pin!(work), Arc::new(renew));
        let (begun, mut wait, mut said) = (Instant::now(), every, false);
        while begun.elapsed() < AT_MOST {
            let renewal = async {
                tokio::time::sleep(wait).await;
                let renew = Arc::clone(&renew);
                self.store
                    .run(move |store| store.relaxed_transaction("renew_leases", |tx| renew(tx, lease)))
                    .await
            };
            tokio::select! {
                biased;
                output = &mut work => return output,
                renewed = renewal => match renewed {
                    Ok(()) => wait = every,
                    Err(error) => {
                        wait = AGAIN;
                        if !std::mem::replace(&mut said, true) {
                            tracing::warn!(
                                error.code = error.code(),
                                "what Kafka takes its time for may be sent by another, too: its lease is not renewed: {error}"
                            );
                        }
                    }
                },
            }
        }
        work.await
    }
}
