//! Access tokens: asked for once however many need them, renewed early, shared by replicas. What is done when is decided
//! in [`super::renewal`]; here it is done.

use std::{
    sync::{Arc, Mutex as StdMutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::Mutex, time::Instant};

use super::{
    renewal::{Grant, Granted, Held, Kept, Next, Pair, Renewal, not_sent},
    sealed::Seal,
    token_cache::{Cached, Lease, TokenCache, TokenCacheError},
};
use crate::{
    backend::{BackendError, BoxFuture},
    clock::Clock,
    failpoint::{Place, hit},
    secret::Secret,
};

/// How often one looks whether another replica has come back with tokens.
const POLL: Duration = Duration::from_millis(100);

/// Asks the token endpoint, once.
pub(super) type Ask = Box<dyn Fn(Grant) -> BoxFuture<'static, Granted> + Send + Sync>;

/// The tokens of one process.
pub(super) struct Tokens(Arc<Shared>);

struct Shared {
    ask: Ask,
    cache: Arc<dyn TokenCache>,
    seal: Seal,
    clock: Arc<dyn Clock>,
    /// Longer than two requests take.
    lease: Duration,
    held: StdMutex<Held>,
    /// Held by the one that asks; the others wait, and find its answer.
    flight: Mutex<()>,
}

impl Tokens {
    /// `lease` must be longer than two requests to the token endpoint take.
    pub(super) fn new(
        ask: Ask,
        cache: Arc<dyn TokenCache>,
        seal: Seal,
        clock: Arc<dyn Clock>,
        lease: Duration,
    ) -> Self {
        Self(Arc::new(Shared {
            ask,
            cache,
            seal,
            clock,
            lease,
            held: StdMutex::default(),
            flight: Mutex::default(),
        }))
    }

    /// A token to call with; every failure is [`BackendError::NotSent`].
    ///
    /// The asking goes on when the caller gives up: a refresh whose answer nobody hears has used up its token.
    pub(super) async fn get(&self) -> Result<Secret, BackendError> {
        if let Some(access) = self.0.usable() {
            return Ok(access);
        }
        let shared = Arc::clone(&self.0);
        match tokio::spawn(async move { shared.obtain().await }).await {
            Ok(result) => {
                hit(Place::TokenFetched).map_err(|injected| not_sent(&injected.to_string(), None))?;
                result
            }
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_) => Err(not_sent("the process is stopping", None)),
        }
    }

    /// Says that the API refused this token: it is not given out again.
    pub(super) fn reject(&self, access: &Secret) {
        self.0.held().reject(access);
    }
}

impl Shared {
    async fn obtain(&self) -> Result<Secret, BackendError> {
        let _flight = self.flight.lock().await;
        if let Some(access) = self.usable() {
            return Ok(access);
        }
        match self.renew().await {
            Ok(access) => Ok(access),
            // It is early: the old one still holds.
            Err(error) => self.held().valid(self.clock.now()).ok_or(error),
        }
    }

    async fn renew(&self) -> Result<Secret, BackendError> {
        let (mut renewal, mut next) = Renewal::begin(self.lease, &self.held(), self.clock.now());
        let mut begun = None;
        let mut lease = Lease(0);
        loop {
            next = match next {
                Next::Load => {
                    let kept = self.opened(&self.cache.load().await.map_err(unanswered)?);
                    renewal.loaded(&mut self.held(), kept, self.clock.now())
                }
                Next::Lease => {
                    let begun = *begun.get_or_insert_with(Instant::now);
                    let leased = self.cache.lease(self.lease).await.map_err(unanswered)?;
                    let kept = leased.map(|(right, cached)| {
                        lease = right;
                        self.opened(&cached)
                    });
                    renewal.leased(&mut self.held(), kept, begun.elapsed(), self.clock.now())
                }
                Next::WaitAndLoad => {
                    tokio::time::sleep(POLL).await;
                    Next::Load
                }
                Next::Ask(grant) => {
                    let refreshing = matches!(grant, Grant::Refresh(_));
                    let granted = (self.ask)(grant).await;
                    if let (true, Granted::Refused { detail }) = (refreshing, &granted) {
                        tracing::warn!("Badgr refuses to refresh the token, asking with the password: {detail}");
                    }
                    renewal.granted(&mut self.held(), granted, self.clock.now(), rand::random())
                }
                Next::Save(pair, access) => {
                    self.save(lease, &pair).await;
                    Next::End(Ok(access))
                }
                Next::Release(wait, obtained) => {
                    self.release(lease, wait).await;
                    Next::End(obtained)
                }
                Next::End(obtained) => return obtained,
            };
        }
    }

    async fn save(&self, lease: Lease, pair: &Pair) {
        let plain = serde_json::to_vec(pair).expect("texts and times can be written as JSON");
        if let Err(error) = self.cache.save(lease, self.seal.seal(&plain)).await {
            tracing::warn!("new Badgr tokens are not shared: {error}");
        }
    }

    async fn release(&self, lease: Lease, wait: Duration) {
        if let Err(error) = self.cache.release(lease, wait).await {
            tracing::debug!("the lease of the token cache runs out by itself: {error}");
        }
    }

    fn opened(&self, cached: &Cached) -> Kept {
        let plain = cached.sealed.as_deref().and_then(|sealed| self.seal.open(sealed));
        Kept {
            pair: plain.and_then(|plain| serde_json::from_slice(&plain).ok()),
            wait: cached.wait,
        }
    }

    /// A token whose time for another has not come.
    fn usable(&self) -> Option<Secret> {
        self.held().usable(self.clock.now())
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unanswered(error: TokenCacheError) -> BackendError {
    not_sent(&error.to_string(), None)
}

#[cfg(test)]
mod tests;
