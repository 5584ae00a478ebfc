//! How a loop bears a database that does not answer.

use tokio_util::sync::CancellationToken;

use super::{Disposition, StoreError};
use crate::retry::Backoff;

/// Waits longer after each failure in a row, and says only when the trouble begins and when it is over.
#[derive(Debug)]
pub struct Patience {
    who: &'static str,
    failures: u32,
}

impl Patience {
    /// For the loop of this name.
    pub fn new(who: &'static str) -> Self {
        Self { who, failures: 0 }
    }

    /// After a success.
    pub fn rest(&mut self) {
        if self.failures > 0 {
            tracing::info!(loop.name = self.who, "{}: the database answers again", self.who);
        }
        self.failures = 0;
    }

    /// After a failure: waits, less when told to stop; an error that waiting does not mend comes back.
    pub async fn wait(&mut self, error: StoreError, stop: &CancellationToken) -> Result<(), StoreError> {
        if error.disposition() != Disposition::Retry {
            return Err(error);
        }
        if self.failures == 0 {
            tracing::warn!(loop.name = self.who, error.code = error.code(), "{} waits: {error}", self.who);
        }
        self.failures = self.failures.saturating_add(1);
        let delay = Backoff::DEPENDENCY.delay(self.failures, rand::random());
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(delay) => {}
        }
        Ok(())
    }
}
