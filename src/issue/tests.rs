//! The issue loop against a backend that does what a test tells it, on each database.

mod at_once;
mod crash;
mod making;
mod revoking;
mod scripted;
mod transitions;
mod trouble;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{sync::Notify, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use self::scripted::Scripted;
use super::{IssueError, Issuer, Settings};
use crate::{
    domain::award::AwardState,
    store::{Store, awards::testing::states, testing::TestDatabase},
    telemetry::Metrics,
};

/// A running issue loop.
struct Running {
    stop: CancellationToken,
    metrics: Arc<Metrics>,
    task: JoinHandle<Result<(), IssueError>>,
}

impl Running {
    fn start(database: &TestDatabase, backend: &Arc<Scripted>) -> Self {
        Self::with(database, backend, true)
    }

    fn with(database: &TestDatabase, backend: &Arc<Scripted>, adopt_existing: bool) -> Self {
        let (issuer, metrics) = Self::issuer(database, backend, adopt_existing);
        let stop = CancellationToken::new();
        let task = tokio::spawn(issuer.run(stop.clone()));
        Self { stop, metrics, task }
    }

    /// One that awards nothing.
    fn that_only_revokes(database: &TestDatabase, backend: &Arc<Scripted>) -> Self {
        let (issuer, metrics) = Self::issuer(database, backend, true);
        let stop = CancellationToken::new();
        let task = tokio::spawn(issuer.run_revocations(stop.clone()));
        Self { stop, metrics, task }
    }

    fn issuer(database: &TestDatabase, backend: &Arc<Scripted>, adopt_existing: bool) -> (Issuer, Arc<Metrics>) {
        let metrics = Arc::new(Metrics::new());
        let issuer = Issuer::new(
            database.store(),
            backend.clone(),
            Settings {
                concurrency: 4,
                poll: Duration::from_millis(10),
                adopt_existing,
                public_url: "https://badges.example".to_owned(),
            },
            Arc::clone(&metrics),
            Arc::new(Notify::new()),
            Arc::new(Notify::new()),
        );
        (issuer, metrics)
    }

    /// Stops it as a signal would.
    async fn stop(self) {
        self.stop.cancel();
        self.task.await.expect("no panic").expect("no error");
    }
}

/// Waits until this is so, at most ten seconds.
async fn until(what: &str, so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !so() {
        assert!(Instant::now() < deadline, "never came: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Waits until all awards there are stand in this state.
async fn until_all(store: &Store, state: AwardState) {
    until(state.as_str(), || {
        let states = states(store);
        !states.is_empty() && states.iter().all(|(other, _)| *other == state)
    })
    .await;
}
