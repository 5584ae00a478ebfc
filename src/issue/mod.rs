//! Issues awards: claims them, asks the badge backend, and writes what came of it.
//!
//! Everything that must survive is in the rows. An award is `issuing` in the database before the first byte about it
//! goes out; a worker that dies leaves a lease that runs out, which counts as an unknown outcome. No transaction is
//! open while the backend is asked.

mod ahead;
mod attempt;
pub(crate) mod breaker;
pub mod comparison;
mod compose;
mod gauges;
mod making;
mod revoking;
mod run;
#[cfg(test)]
mod tests;
pub(crate) mod under_lease;
mod write;

use std::{
    sync::{Arc, Mutex, PoisonError, atomic::AtomicBool},
    time::{Duration, Instant},
};

use chrono::TimeDelta;
use tokio::sync::{Notify, mpsc};

pub use compose::at_once;
pub use gauges::{keep_gauges, refresh_gauges};

use self::{
    breaker::{Breaker, Change},
    compose::Composer,
    under_lease::Terms,
};
use crate::{
    backend::{BackendError, BadgingBackend},
    store::{Store, StoreError, awards::AtOnce, outbox::Handover},
    telemetry::Metrics,
};

/// How awards are issued.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `BACKEND_CONCURRENCY`: requests in flight at once. A local backend takes awards in batches instead.
    pub concurrency: usize,
    /// How often due awards are looked for when nothing wakes the loop.
    pub poll: Duration,
    /// `ADOPT_EXISTING_ASSERTIONS`
    pub adopt_existing: bool,
    /// `PUBLIC_URL`
    pub public_url: String,
}

/// Why issuing cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// The database answered with something that waiting does not mend.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl IssueError {
    /// A stable name, for logs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Store(error) => error.code(),
        }
    }
}

/// The issue loop of one process. Any number of them share a database.
pub struct Issuer {
    store: Arc<Store>,
    backend: Arc<dyn BadgingBackend>,
    settings: Settings,
    metrics: Arc<Metrics>,
    /// Told that awards were decided.
    wake: Arc<Notify>,
    /// Told that there is something to publish.
    published_wake: Arc<Notify>,
    composer: Composer,
    /// The way to the relay of this process, if it has one.
    relay: Option<mpsc::Sender<Handover>>,
    /// For a backend that asks nobody.
    at_once: Option<Arc<AtOnce>>,
    breaker: Mutex<Breaker>,
    /// One badge class at a time is made by one process: the others wait and find it made.
    making: tokio::sync::Mutex<()>,
    /// Told that the backend answers again.
    answers_again: Notify,
    /// Blocked awards were let go on, to see whether what blocked them is gone.
    probing: AtomicBool,
}

impl Issuer {
    /// A loop that is woken by `wake` and wakes with `published_wake`; both may be shared with others.
    pub fn new(
        store: Arc<Store>,
        backend: Arc<dyn BadgingBackend>,
        settings: Settings,
        metrics: Arc<Metrics>,
        wake: Arc<Notify>,
        published_wake: Arc<Notify>,
    ) -> Self {
        let settings = Settings {
            concurrency: settings.concurrency.max(1),
            ..settings
        };
        Self {
            composer: Composer::new(backend.name(), &settings.public_url),
            at_once: at_once(Arc::clone(&backend), &settings.public_url, Arc::clone(store.clock())),
            breaker: Mutex::new(Breaker::new(settings.concurrency)),
            relay: None,
            making: tokio::sync::Mutex::new(()),
            answers_again: Notify::new(),
            probing: AtomicBool::new(false),
            store,
            backend,
            settings,
            metrics,
            wake,
            published_wake,
        }
    }

    /// The same with a way to the relay of this process, which sends at once what is issued without a claim.
    pub fn handing_over(self, relay: Option<mpsc::Sender<Handover>>) -> Self {
        Self { relay, ..self }
    }

    fn terms(&self) -> Terms {
        let backend = &self.backend;
        Terms::new(backend.timeout(), backend.settle_time(), self.settings.adopt_existing)
    }

    /// How long a claim lasts.
    fn lease(&self) -> Duration {
        self.terms().lease
    }

    fn breaker(&self) -> std::sync::MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the breaker what came of a call.
    fn noted<T>(&self, result: Result<T, BackendError>) -> Result<T, BackendError> {
        let said = result.as_ref().map(|_| ());
        let change = self.breaker().note(said, Instant::now(), rand::random());
        let name = self.backend.name();
        match (change, &result) {
            (Some(Change::Opened), Err(error)) => {
                self.metrics.backend_breaker_open.set(1);
                tracing::warn!(
                    backend.name = name,
                    error.code = error.code(),
                    "leaving the badge backend {name} alone for a while: {error}"
                );
            }
            (Some(_), _) => {
                self.metrics.backend_breaker_open.set(0);
                self.answers_again.notify_one();
                tracing::info!(backend.name = name, "the badge backend {name} answers again");
            }
            (None, _) => {}
        }
        result
    }
}

/// The longest duration that is told to the database is a day.
fn delta(duration: Duration) -> TimeDelta {
    TimeDelta::from_std(duration).map_or(TimeDelta::days(1), |delta| delta.min(TimeDelta::days(1)))
}
