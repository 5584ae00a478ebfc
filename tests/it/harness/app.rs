//! The whole service in this process, on a thread and a runtime of its own.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use accolade::app::{App, roles::Roles};
use accolade::clock::ManualClock;
use accolade::config::Settings;
use accolade::store::Store;
use tokio_util::sync::CancellationToken;

use super::binary::{READY, readiness};
use super::database::Database;
use super::fake_badgr::FakeBadgr;
use super::kafka::RealKafka;
use super::logs::{self, Log};
use super::process::wait_until;
use super::world::{PATIENCE, Plan, World};

/// A running service. Dropping it stops it as a signal would, and fails the test when something panicked, a dead
/// letter is there that nobody expected, or the log says what it must not.
pub struct TestApp {
    world: World,
    /// The service's clock.
    pub clock: Arc<ManualClock>,
    /// The service's store.
    pub store: Arc<Store>,
    stop: CancellationToken,
    thread: Option<JoinHandle<anyhow::Result<()>>>,
    log_start: usize,
    panics_before: usize,
}

/// What to start a service with.
pub struct Builder {
    plan: Plan,
}

impl Builder {
    /// On this database.
    pub fn database(mut self, database: Database) -> Self {
        self.plan.database(database);
        self
    }

    /// Issue by this Badgr; the default is the built-in issuer.
    pub fn badgr(mut self, badgr: &FakeBadgr) -> Self {
        self.plan.badgr(badgr);
        self
    }

    /// On this broker; the default is an embedded one.
    pub fn kafka(mut self, kafka: &RealKafka) -> Self {
        self.plan.kafka(kafka);
        self
    }

    /// Any setting.
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.plan.set(name, value);
        self
    }

    /// So many dead letters are right.
    pub fn dead_letters(mut self, number: usize) -> Self {
        self.plan.dead_letters = number;
        self
    }

    /// Starts the service; it takes events when this returns.
    pub fn start(mut self) -> TestApp {
        self.plan
            .settings
            .entry("HTTP_LISTEN".to_owned())
            .or_insert_with(|| "127.0.0.1:0".to_owned());
        let environment: HashMap<String, String> = self.plan.settings.clone().into_iter().collect();
        let settings = Settings::load(None, &environment).unwrap_or_else(|errors| panic!("{errors:?}"));
        let log_start = Log::of_this_process().len();
        let panics_before = logs::panics().len();
        let clock = Arc::new(ManualClock::default());
        let stop = CancellationToken::new();
        let (started, start) = mpsc::channel();
        let (its_clock, its_stop) = (Arc::clone(&clock), stop.clone());
        let thread = std::thread::Builder::new()
            .name("the service".to_owned())
            .spawn(move || {
                let runtime = tokio::runtime::Builder::new_multi_thread()
                    .worker_threads(2)
                    .enable_all()
                    .build()?;
                let outcome = runtime.block_on(async {
                    let app = App::start(settings, Roles::ALL, its_clock).await?;
                    let facts = (
                        app.http_address(),
                        app.bootstrap_servers().to_owned(),
                        Arc::clone(app.store()),
                    );
                    started.send(facts).expect("someone waits");
                    let until = async move {
                        its_stop.cancelled().await;
                        Ok(())
                    };
                    app.run(until).await
                });
                runtime.shutdown_timeout(std::time::Duration::from_secs(10));
                outcome
            })
            .expect("threads can be spawned");
        let Ok((address, bootstrap, store)) = start.recv() else {
            let outcome = thread.join().expect("the service does not panic at its start");
            panic!(
                "the service does not start: {:#}",
                outcome.expect_err("it said nothing of itself")
            );
        };
        let http = address.map_or_else(String::new, |address| format!("http://{address}"));
        wait_until("the service is ready, or has ended", PATIENCE, || {
            let ready =
                |address: SocketAddr| readiness(&address.to_string()).is_ok_and(|answer| answer.starts_with(READY));
            thread.is_finished() || address.is_none_or(ready)
        });
        if thread.is_finished() {
            panic!("the service ended at its start: {:?}", thread.join());
        }
        TestApp {
            world: World::new(self.plan, &bootstrap, http),
            clock,
            store,
            stop,
            thread: Some(thread),
            log_start,
            panics_before,
        }
    }
}

impl TestApp {
    /// The built-in issuer on an embedded broker, with the database that the environment says.
    pub fn builder() -> Builder {
        Builder { plan: Plan::new() }
    }

    /// What the service said so far.
    pub fn log(&self) -> String {
        Log::of_this_process().since(self.log_start)
    }

    /// Stops it, as SIGTERM does; again does nothing.
    pub fn stop(&mut self) {
        let Some(thread) = self.thread.take() else {
            return;
        };
        let leak = if thread.is_finished() || std::thread::panicking() {
            None
        } else {
            logs::leak_by_http(&self.world.http)
        };
        self.stop.cancel();
        let ended = thread.join();
        if std::thread::panicking() {
            let log = self.log();
            let from = log.len().saturating_sub(8_000);
            eprintln!(
                "the end of the log:\n{}",
                String::from_utf8_lossy(&log.as_bytes()[from..])
            );
            return;
        }
        let outcome = ended.expect("the service does not panic");
        outcome.unwrap_or_else(|error| panic!("the service ended with: {error:#}"));
        let panics = logs::panics();
        assert_eq!(panics.len(), self.panics_before, "something panicked: {panics:?}");
        assert_eq!(logs::leak(&self.log()), None, "the log says what it must not");
        assert_eq!(leak, None, "HTTP says what it must not");
        let letters = self.world.letters();
        assert_eq!(letters.len(), self.world.dead_letters, "dead letters: {letters:?}");
    }
}

impl Deref for TestApp {
    type Target = World;

    fn deref(&self) -> &World {
        &self.world
    }
}

impl Drop for TestApp {
    fn drop(&mut self) {
        self.stop();
    }
}
