//! Databases for unit tests: SQLite in a temporary file, and PostgreSQL where `ACCOLADE_TEST_POSTGRES_URL` names one,
//! with a clock that a test can move.

pub(crate) mod dump;
pub(crate) mod seed;

use std::{
    sync::{Arc, LazyLock},
    time::{Duration, Instant},
};

use diesel::{
    Connection as _, PgConnection, QueryableByName, RunQueryDsl, SqliteConnection, connection::SimpleConnection,
    sql_query, sql_types::BigInt,
};

use super::{Settings, Store, StoreError, Tx};
use crate::{
    clock::{Clock, ManualClock},
    telemetry::Metrics,
};

/// A migrated database that is gone with this value.
pub(crate) struct TestDatabase {
    url: String,
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
    fn new(url: &str, held: Held) -> Self {
        let clock = Arc::new(ManualClock::default());
        Self {
            url: url.to_owned(),
            store: Arc::new(opened(url, clock.clone(), 4)),
            clock,
            _held: held,
        }
    }

    /// The store.
    pub(crate) fn store(&self) -> Arc<Store> {
        Arc::clone(&self.store)
    }

    /// The store of another process on the same database, with a clock of its own and so many connections.
    pub(crate) fn another(&self, clock: Arc<dyn Clock>, connections: u32) -> Arc<Store> {
        Arc::new(opened(&self.url, clock, connections))
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
    /// The migrations run once, the file is copied.
    static MIGRATED: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let file = directory.path().join("test.db");
        migrated(&format!("sqlite://{}", file.display()));
        let mut conn = SqliteConnection::establish(&file.display().to_string()).expect("a database");
        conn.batch_execute("PRAGMA wal_checkpoint(TRUNCATE)")
            .expect("the log is moved into the file");
        std::fs::read(file).expect("the file can be read")
    });
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("test.db");
    std::fs::write(&file, &*MIGRATED).expect("the file can be written");
    let url = format!("sqlite://{}", file.display());
    TestDatabase::new(&url, Held::Directory { _directory: directory })
}

/// A new, empty, migrated PostgreSQL database, where the environment names a server.
pub(crate) fn postgres() -> Option<TestDatabase> {
    /// The migrations run once; nobody is connected to this one when it is copied.
    static MIGRATED: LazyLock<String> = LazyLock::new(|| {
        let server = server().expect("it was asked for");
        let name = create(&server, "template0");
        migrated(of_server(&server, &name).as_str());
        name
    });
    let server = server()?;
    let name = create(&server, &MIGRATED);
    let url = of_server(&server, &name);
    Some(TestDatabase::new(&url, Held::Postgres { server, name }))
}

fn server() -> Option<String> {
    std::env::var("ACCOLADE_TEST_POSTGRES_URL").ok()
}

/// Makes a database and returns its name.
fn create(server: &str, template: &str) -> String {
    let name = format!("t{}", uuid::Uuid::new_v4().simple());
    let mut conn = PgConnection::establish(server).expect("ACCOLADE_TEST_POSTGRES_URL names a server");
    conn.batch_execute(&format!("CREATE DATABASE {name} TEMPLATE {template}"))
        .expect("created");
    name
}

fn of_server(server: &str, name: &str) -> String {
    let mut url = url::Url::parse(server).expect("a URL");
    url.set_path(name);
    url.into()
}

/// Gives a PostgreSQL database another isolation by default, as an administrator may. Before anything else is asked: the pool holds one
/// connection then.
pub(crate) fn isolate_by_default(database: &TestDatabase, isolation: &str) {
    let Held::Postgres { name, .. } = &database._held else {
        panic!("SQLite has no such setting");
    };
    let change = format!("ALTER DATABASE {name} SET default_transaction_isolation = '{isolation}'");
    let changed = database.store().read("isolate", |tx| {
        sql_query(change).execute(tx.conn)?;
        // This connection has the old one already.
        sql_query(format!("SET default_transaction_isolation = '{isolation}'")).execute(tx.conn)?;
        Ok(())
    });
    changed.expect("changed");
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

fn opened(url: &str, clock: Arc<dyn Clock>, pool_size: u32) -> Store {
    let settings = Settings {
        url: url.parse().expect("a URL"),
        pool_size,
    };
    Store::open(&settings, clock, Arc::new(Metrics::new()))
}

/// Makes the tables of a database, and leaves it.
fn migrated(url: &str) {
    let store = opened(url, Arc::new(ManualClock::default()), 1);
    store.migrate().expect("migrations run");
}
