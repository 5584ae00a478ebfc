//! Access tokens: asked for once however many need them, renewed early, shared by replicas.
//!
//! Measured at a real Badgr: a refresh token is good for one use, and using it kills the access token that came with it;
//! a password grant leaves other tokens alone. A failed refresh blocks every refresh from the same address for a while,
//! a failed password grant every one of the same user, each time for twice as long.

use std::{
    sync::{Arc, Mutex as StdMutex, MutexGuard, PoisonError},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use tokio::{sync::Mutex, time::Instant};

use super::{
    sealed::Seal,
    token_cache::{Cached, Lease, TokenCache, TokenCacheError},
};
use crate::{
    backend::{BackendError, BoxFuture},
    clock::Clock,
    failpoint::{Place, hit},
    retry::Backoff,
    secret::Secret,
};

/// After a user name or password was refused: so often at most, and a corrected password is not kept waiting for long.
const REFUSED: Backoff = Backoff {
    base: Duration::from_secs(4),
    cap: Duration::from_secs(300),
};
/// A token that the API refuses is replaced so often at most.
const FORCED: TimeDelta = TimeDelta::seconds(30);
/// How often one looks whether another replica has come back with tokens.
const POLL: Duration = Duration::from_millis(100);

/// What a token is asked for with.
#[derive(Debug, Clone)]
pub(super) enum Grant {
    Password,
    Refresh(Secret),
}

/// What the token endpoint said.
#[derive(Debug, Clone)]
pub(super) enum Granted {
    Tokens {
        access: Secret,
        refresh: Option<Secret>,
        expires_in: Duration,
    },
    /// The password or the refresh token is not good.
    Refused { detail: String },
    /// Too many attempts.
    Throttled { wait: Duration },
    /// Not reached, or no answer that can be read.
    Failed { detail: String },
}

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

#[derive(Default)]
struct Held {
    pair: Option<Pair>,
    /// The access token that the API refused last.
    rejected: Option<String>,
    forced_at: Option<DateTime<Utc>>,
    not_before: Option<DateTime<Utc>>,
    failures: u32,
    /// Refreshes are throttled or fail: a password grant is not blocked by that.
    no_refresh: bool,
}

#[derive(Clone, Serialize, Deserialize)]
struct Pair {
    access: String,
    refresh: Option<String>,
    /// When it is time for another: at four fifths of its life.
    renew_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
}

impl Held {
    fn rejects(&self, pair: &Pair) -> bool {
        self.rejected.as_ref() == Some(&pair.access)
    }
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
        let mut held = self.0.held();
        if held.pair.as_ref().is_some_and(|pair| pair.access == access.expose()) {
            held.rejected = Some(access.expose().to_owned());
        }
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
            Err(error) => self.valid().ok_or(error),
        }
    }

    async fn renew(&self) -> Result<Secret, BackendError> {
        self.check_wait()?;
        if let Some(access) = self.take_over(&self.cache.load().await.map_err(unanswered)?)? {
            return Ok(access);
        }
        let forced = self.check_forced()?;
        let give_up = Instant::now() + self.lease;
        let (lease, cached) = loop {
            if let Some(leased) = self.cache.lease(self.lease).await.map_err(unanswered)? {
                break leased;
            }
            if Instant::now() >= give_up {
                return Err(not_sent("another replica is asking Badgr for a token", None));
            }
            tokio::time::sleep(POLL).await;
            if let Some(access) = self.take_over(&self.cache.load().await.map_err(unanswered)?)? {
                return Ok(access);
            }
        };
        match self.take_over(&cached) {
            Ok(None) => self.ask_under(lease, forced).await,
            done => {
                self.release(lease, cached.wait).await;
                done.and_then(|access| access.ok_or_else(|| not_sent("no token", None)))
            }
        }
    }

    /// Asks with the refresh token while its pair holds, else with the password. A refused refresh is followed by the
    /// password at once; whoever says "later" is obeyed.
    async fn ask_under(&self, lease: Lease, forced: bool) -> Result<Secret, BackendError> {
        if forced {
            self.held().forced_at = Some(self.clock.now());
        }
        let mut granted = None;
        if let Some(refresh) = self.refresh_token() {
            match (self.ask)(Grant::Refresh(refresh)).await {
                Granted::Refused { detail } => {
                    tracing::warn!("Badgr refuses to refresh the token, asking with the password: {detail}");
                }
                Granted::Throttled { wait } => {
                    self.held().no_refresh = true;
                    return Err(self.back_off(lease, wait, "Badgr throttles refreshes").await);
                }
                other => granted = Some(other),
            }
        }
        let granted = match granted {
            Some(granted) => granted,
            None => (self.ask)(Grant::Password).await,
        };
        match granted {
            Granted::Tokens {
                access,
                refresh,
                expires_in,
            } => Ok(self.keep(lease, access, refresh, expires_in).await),
            Granted::Refused { detail } => {
                let wait = REFUSED.delay(self.failed(), rand::random());
                let detail = format!("Badgr refuses BADGR_USERNAME and BADGR_PASSWORD: {detail}");
                Err(self.back_off(lease, wait, &detail).await)
            }
            Granted::Throttled { wait } => {
                let wait = wait.max(Duration::from_secs(1));
                Err(self.back_off(lease, wait, "Badgr throttles logins").await)
            }
            Granted::Failed { detail } => {
                let wait = Backoff::DEPENDENCY.delay(self.failed(), rand::random());
                Err(self.back_off(lease, wait, &detail).await)
            }
        }
    }

    async fn keep(&self, lease: Lease, access: Secret, refresh: Option<Secret>, expires_in: Duration) -> Secret {
        let now = self.clock.now();
        let life = TimeDelta::from_std(expires_in)
            .unwrap_or(TimeDelta::days(1))
            .max(TimeDelta::seconds(1));
        let pair = Pair {
            access: access.expose().to_owned(),
            refresh: refresh.map(|refresh| refresh.expose().to_owned()),
            renew_at: now + life * 4 / 5,
            expires_at: now + life,
        };
        let plain = serde_json::to_vec(&pair).expect("texts and times can be written as JSON");
        {
            let mut held = self.held();
            *held = Held {
                pair: Some(pair),
                forced_at: held.forced_at,
                ..Held::default()
            };
        }
        // The tokens are good whether or not the others hear of them.
        if let Err(error) = self.cache.save(lease, self.seal.seal(&plain)).await {
            tracing::warn!("new Badgr tokens are not shared: {error}");
        }
        access
    }

    /// Takes over the pair in the cache if it is newer; the token, if it or the one in hand can be used.
    fn take_over(&self, cached: &Cached) -> Result<Option<Secret>, BackendError> {
        let pair = cached.sealed.as_deref().and_then(|sealed| self.seal.open(sealed));
        let pair = pair.and_then(|plain| serde_json::from_slice::<Pair>(&plain).ok());
        if let Some(pair) = pair {
            let mut held = self.held();
            let known = held.pair.as_ref().filter(|known| !held.rejects(known));
            let newer = known.is_none_or(|known| pair.renew_at > known.renew_at);
            if newer && !held.rejects(&pair) {
                held.pair = Some(pair);
            }
        }
        if let Some(access) = self.usable() {
            return Ok(Some(access));
        }
        if cached.wait.is_zero() {
            return Ok(None);
        }
        self.wait_until(cached.wait);
        Err(not_sent("Badgr was asked for tokens too often", Some(cached.wait)))
    }

    async fn back_off(&self, lease: Lease, wait: Duration, detail: &str) -> BackendError {
        self.wait_until(wait);
        self.release(lease, wait).await;
        not_sent(detail, Some(wait))
    }

    async fn release(&self, lease: Lease, wait: Duration) {
        if let Err(error) = self.cache.release(lease, wait).await {
            tracing::debug!("the lease of the token cache runs out by itself: {error}");
        }
    }

    fn wait_until(&self, wait: Duration) {
        let wait = TimeDelta::from_std(wait).unwrap_or(TimeDelta::days(1));
        self.held().not_before = Some(self.clock.now() + wait);
    }

    fn failed(&self) -> u32 {
        let mut held = self.held();
        held.failures = held.failures.saturating_add(1);
        held.failures
    }

    fn check_wait(&self) -> Result<(), BackendError> {
        let left = self
            .held()
            .not_before
            .and_then(|at| (at - self.clock.now()).to_std().ok());
        match left.filter(|left| !left.is_zero()) {
            Some(left) => Err(not_sent("Badgr is asked for tokens again later", Some(left))),
            None => Ok(()),
        }
    }

    /// Whether the API refused the token in hand; an error when the last one was replaced for that reason just now.
    fn check_forced(&self) -> Result<bool, BackendError> {
        let held = self.held();
        let forced = held.pair.as_ref().is_some_and(|pair| held.rejects(pair));
        let free_at = held.forced_at.map(|at| at + FORCED);
        match free_at.and_then(|at| (at - self.clock.now()).to_std().ok()) {
            Some(left) if forced && !left.is_zero() => {
                Err(not_sent("Badgr does not take the token that it gave", Some(left)))
            }
            _ => Ok(forced),
        }
    }

    fn refresh_token(&self) -> Option<Secret> {
        let held = self.held();
        let pair = held.pair.as_ref().filter(|_| !held.no_refresh)?;
        (self.good_until(&held)? > self.clock.now()).then(|| pair.refresh.clone().map(Secret::new))?
    }

    /// A token whose time for another has not come.
    fn usable(&self) -> Option<Secret> {
        let held = self.held();
        self.good_until(&held)?;
        let pair = held.pair.as_ref()?;
        (self.clock.now() < pair.renew_at).then(|| Secret::new(pair.access.clone()))
    }

    /// A token that should still be taken.
    fn valid(&self) -> Option<Secret> {
        let held = self.held();
        let until = self.good_until(&held)?;
        let pair = held.pair.as_ref()?;
        (self.clock.now() < until).then(|| Secret::new(pair.access.clone()))
    }

    /// When the pair in hand ends; `None` without one, or when the API refused it.
    fn good_until(&self, held: &Held) -> Option<DateTime<Utc>> {
        let pair = held.pair.as_ref()?;
        (!held.rejects(pair)).then_some(pair.expires_at)
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unanswered(error: TokenCacheError) -> BackendError {
    not_sent(&error.to_string(), None)
}

fn not_sent(detail: &str, retry_after: Option<Duration>) -> BackendError {
    BackendError::NotSent {
        detail: detail.to_owned(),
        retry_after,
    }
}

#[cfg(test)]
mod tests;
