//! Databases for unit tests: SQLite in a temporary file, and PostgreSQL where `ACCOLADE_TEST_POSTGRES_URL` names one,
//! with a clock that a test can move.

pub(crate) mod dump;
pub(crate) mod seed;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use diesel::{
    Connection as _, PgConnection, QueryableByName, RunQueryDsl, connection::SimpleConnection, sql_query,
    sql_types::BigInt,
};

use super::{Settings, Store, StoreError, Tx};
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

/// Returns when another transaction waits for a lock in this database; PostgreSQL alone knows.
pub(crate) fn wait_for_a_waiter(tx: &mut Tx<'_>) -> Result<(), StoreError> {
    #[derive(QueryableByName)]
    struct Waiters {
        #[diesel(sql_type = BigInt)]
        count: i64,
    }
    let deadline = Instant::now() + Duration::from_secs(20);
    while Instant::now() < deadline {
        // Who is connected is otherwise read once a transaction.
        sql_query("SELECT pg_stat_clear_snapshot()").execute(tx.conn)?;
        let waiters: Waiters = sql_query(
            "SELECT count(*) AS count FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid \
             WHERE NOT l.granted AND a.datname = current_database()",
        )
        .get_result(tx.conn)?;
        if waiters.count > 0 {
            return Ok(());
        }
        std::thread::yield_now();
    }
    panic!("nobody waits");
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
