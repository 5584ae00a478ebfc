//! Databases for unit tests: SQLite in a temporary file, and PostgreSQL where `ACCOLADE_TEST_POSTGRES_URL` names one,
//! with a clock that a test can move.

pub(crate) mod dump;
pub(crate) mod seed;

use std::sync::Arc;

use diesel::{Connection as _, PgConnection, connection::SimpleConnection};

use super::{Settings, Store};
use crate::{clock::ManualClock, telemetry::Metrics};

/// A migrated database that is gone with this value.
pub(crate) struct TestDatabase {
    store: Arc<Store>,
    /// The clock of its store.
    pub(crate) clock: Arc<ManualClock>,
    _held: Held,
}

enum Held {
    Directory { _directory: tempfile::TempDir },
    Postgres { server: String, name: String },
}

impl TestDatabase {
    /// The store.
    pub(crate) fn store(&self) -> Arc<Store> {
        Arc::clone(&self.store)
    }

    /// How many transactions ran again after a deadlock.
    pub(crate) fn deadlocks(&self) -> u64 {
        self.store.metrics.db_retries.with_label_values(&["40P01"]).get()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Self::Postgres { server, name } = self
            && let Ok(mut conn) = PgConnection::establish(server)
        {
            drop(conn.batch_execute(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")));
        }
    }
}

/// A new, empty, migrated SQLite database.
pub(crate) fn sqlite() -> TestDatabase {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let url = format!("sqlite://{}", directory.path().join("test.db").display());
    open(&url, Held::Directory { _directory: directory })
}

/// A new, empty, migrated PostgreSQL database, where the environment names a server.
pub(crate) fn postgres() -> Option<TestDatabase> {
    let server = std::env::var("ACCOLADE_TEST_POSTGRES_URL").ok()?;
    let name = format!("t{}", uuid::Uuid::new_v4().simple());
    let mut conn = PgConnection::establish(&server).expect("ACCOLADE_TEST_POSTGRES_URL names a server");
    conn.batch_execute(&format!("CREATE DATABASE {name} TEMPLATE template0"))
        .expect("created");
    let mut url = url::Url::parse(&server).expect("a URL");
    url.set_path(&name);
    Some(open(url.as_str(), Held::Postgres { server, name }))
}

/// One of each kind that there is.
pub(crate) fn databases() -> impl Iterator<Item = TestDatabase> {
    [Some(sqlite()), postgres()].into_iter().flatten()
}

fn open(url: &str, held: Held) -> TestDatabase {
    let clock = Arc::new(ManualClock::default());
    let settings = Settings {
        url: url.parse().expect("a URL"),
        pool_size: 4,
    };
    let store = Arc::new(Store::open(&settings, clock.clone(), Arc::new(Metrics::new())));
    store.migrate().expect("migrations run");
    TestDatabase {
        store,
        clock,
        _held: held,
    }
}
