//! Where replicas share their tokens.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};

use crate::{backend::BoxFuture, clock::Clock};

/// The tokens as they are kept, and whether the server may be asked for others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cached {
    /// What was saved last, sealed.
    pub sealed: Option<Vec<u8>>,
    /// How long nobody may ask for tokens; zero when anybody may.
    pub wait: Duration,
}

/// The right to ask for tokens. Tells one lease from earlier and later ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease(pub i64);

/// The cache does not answer: try again later.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the token cache does not answer: {0}")]
pub struct TokenCacheError(pub String);

/// One pair of tokens, shared by every replica. One replica at a time may ask for another pair, since each refresh kills
/// the pair before it.
///
/// A replica that dies with the lease holds the others up until it runs out, and no longer.
pub trait TokenCache: Send + Sync + 'static {
    /// What is kept now.
    fn load(&self) -> BoxFuture<'_, Result<Cached, TokenCacheError>>;

    /// Takes the right to ask, for so long, and says what is kept now; `None` while another has it.
    fn lease(&self, lasting: Duration) -> BoxFuture<'_, Result<Option<(Lease, Cached)>, TokenCacheError>>;

    /// Keeps new tokens and gives the right back. Keeps nothing when the right has passed to another.
    fn save(&self, lease: Lease, sealed: Vec<u8>) -> BoxFuture<'_, Result<(), TokenCacheError>>;

    /// Gives the right back without new tokens; nobody may ask for `wait` from now on.
    fn release(&self, lease: Lease, wait: Duration) -> BoxFuture<'_, Result<(), TokenCacheError>>;
}

/// A cache in memory: for commands that need one token and leave nothing behind.
pub struct MemoryTokenCache {
    clock: Arc<dyn Clock>,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    sealed: Option<Vec<u8>>,
    lease: i64,
    leased_until: Option<DateTime<Utc>>,
    not_before: Option<DateTime<Utc>>,
}

impl MemoryTokenCache {
    /// An empty one.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            held: Mutex::default(),
        }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cached(&self, held: &Held) -> Cached {
        let wait = held.not_before.map(|at| at - self.clock.now());
        Cached {
            sealed: held.sealed.clone(),
            wait: wait.and_then(|wait| wait.to_std().ok()).unwrap_or_default(),
        }
    }

    fn later(&self, by: Duration) -> DateTime<Utc> {
        self.clock.now() + TimeDelta::from_std(by).unwrap_or(TimeDelta::days(1))
    }
}

impl TokenCache for MemoryTokenCache {
    fn load(&self) -> BoxFuture<'_, Result<Cached, TokenCacheError>> {
        Box::pin(async { Ok(self.cached(&self.held())) })
    }

    fn lease(&self, lasting: Duration) -> BoxFuture<'_, Result<Option<(Lease, Cached)>, TokenCacheError>> {
        Box::pin(async move {
            let mut held = self.held();
            if held.leased_until.is_some_and(|until| self.clock.now() < until) {
                return Ok(None);
            }
            held.lease += 1;
            held.leased_until = Some(self.later(lasting));
            Ok(Some((Lease(held.lease), self.cached(&held))))
        })
    }

    fn save(&self, lease: Lease, sealed: Vec<u8>) -> BoxFuture<'_, Result<(), TokenCacheError>> {
        Box::pin(async move {
            let mut held = self.held();
            if held.lease == lease.0 {
                held.sealed = Some(sealed);
                held.leased_until = None;
                held.not_before = None;
            }
            Ok(())
        })
    }

    fn release(&self, lease: Lease, wait: Duration) -> BoxFuture<'_, Result<(), TokenCacheError>> {
        Box::pin(async move {
            let mut held = self.held();
            if held.lease == lease.0 {
                held.leased_until = None;
                held.not_before = (!wait.is_zero()).then(|| self.later(wait));
            }
            Ok(())
        })
    }
}
