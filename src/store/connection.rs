//! Connections to PostgreSQL and SQLite behind one type, and the migrations of both.

use std::time::{Duration, Instant};

use chrono::NaiveDateTime;
use diesel::{
    Connection as _, PgConnection, QueryableByName, RunQueryDsl, SqliteConnection,
    connection::SimpleConnection,
    migration::{Migration, MigrationSource},
    r2d2::{HandleError, ManageConnection},
    sql_types::{BigInt, Text, Timestamp},
};
use diesel_migrations::{EmbeddedMigrations, HarnessWithOutput, MigrationHarness, embed_migrations};

use super::{
    DatabaseUrl, StoreError,
    plans::{FORGET, KeptPlans, Plans},
    prepared::Prepare,
    time_limits,
};

const POSTGRES_MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations/postgres");
const SQLITE_MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations/sqlite");

/// Two processes that migrate at once wait for each other under this advisory lock.
const MIGRATION_LOCK: i64 = 0x6163_636f_6c61_6401;

/// How long a statement may take and wait, in everything but a migration.
const LIMITS: &str = "SET statement_timeout = '60s'; SET lock_timeout = '30s'";

/// A connection to either database.
#[derive(diesel::MultiConnection)]
pub enum AnyConnection {
    /// PostgreSQL 14 or later.
    Postgres(PgConnection),
    /// SQLite, in WAL mode.
    Sqlite(SqliteConnection),
}

/// How long a connection that answered is taken for a good one.
const GOOD_FOR: Duration = Duration::from_secs(1);

/// A connection of the pool, and when it last answered for sure.
pub struct Pooled {
    /// The connection.
    pub conn: AnyConnection,
    answered: Option<Instant>,
    pub(super) kept_plans: KeptPlans,
    /// Another connection may lead to a server that does more: one that was promoted meanwhile.
    given_up: bool,
    plans: Plans,
}

impl Pooled {
    fn new(conn: AnyConnection) -> Self {
        Self {
            conn,
            answered: Some(Instant::now()),
            kept_plans: KeptPlans::new(),
            given_up: false,
            plans: Plans::EachTime,
        }
    }

    /// Has its statements planned so.
    pub(super) fn plan(&mut self, plans: Plans) -> Result<(), StoreError> {
        let AnyConnection::Postgres(conn) = &mut self.conn else {
            return Ok(());
        };
        let mut told = Ok(());
        if self.plans != plans {
            told = plans.set(conn);
        }
        if told.is_ok() && plans == Plans::Kept && self.kept_plans.are_too_old(0) {
            told = conn.batch_execute(FORGET);
        }
        told.map_err(|error| self.doubted(error.into()))?;
        self.plans = plans;
        Ok(())
    }

    /// After this error it may be broken, and is asked before anybody gets it again. Says what the error is: the
    /// statement's or the connection's.
    pub(super) fn doubted(&mut self, error: StoreError) -> StoreError {
        self.answered = None;
        let error = error.classified(&mut self.conn);
        self.given_up |= matches!(error, StoreError::Exhausted { .. });
        error
    }
}

/// Makes connections for the pool; unlike diesel's own it says why one cannot be had.
#[derive(Debug)]
pub struct Manager {
    url: DatabaseUrl,
}

impl Manager {
    pub(super) fn new(url: DatabaseUrl) -> Self {
        Self { url }
    }
}

impl ManageConnection for Manager {
    type Connection = Pooled;
    type Error = StoreError;

    fn connect(&self) -> Result<Pooled, StoreError> {
        match &self.url {
            DatabaseUrl::Postgres(url) => {
                let limited = time_limits::added_to(url.as_str());
                let established = PgConnection::establish(&limited);
                let mut conn =
                    established.map_err(|error| StoreError::unavailable(url.redacted(&error.to_string())))?;
                // The thresholds rest on READ COMMITTED whatever the server's default is. A plan made while a table was
                // nearly empty must not be kept, and no plan is worth compiling: it would run once.
                // Who may not set lc_messages gets the server's language.
                conn.batch_execute(&format!(
                    "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED; SET TIME ZONE 'UTC'; \
                     SET plan_cache_mode = force_custom_plan; SET client_min_messages = warning; SET jit = off; \
                     SET idle_in_transaction_session_timeout = '60s'; {LIMITS}"
                ))?;
                drop(conn.batch_execute("SET lc_messages = 'C'"));
                Ok(Pooled::new(AnyConnection::Postgres(conn)))
            }
            DatabaseUrl::Sqlite(path) => {
                let mut conn = SqliteConnection::establish(path).map_err(StoreError::unavailable)?;
                conn.batch_execute(
                    "PRAGMA busy_timeout = 10000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
                     PRAGMA wal_autocheckpoint = 20000; PRAGMA cache_size = -16000;",
                )?;
                Ok(Pooled::new(AnyConnection::Sqlite(conn)))
            }
        }
    }

    /// Asks the connection, unless it answered a moment ago: asking costs a round trip each time.
    fn is_valid(&self, pooled: &mut Pooled) -> Result<(), StoreError> {
        if pooled.answered.is_some_and(|at| at.elapsed() < GOOD_FOR) {
            return Ok(());
        }
        ping(&mut pooled.conn)?;
        pooled.answered = Some(Instant::now());
        Ok(())
    }

    fn has_broken(&self, pooled: &mut Pooled) -> bool {
        pooled.given_up
    }
}

/// The pool's own complaints: whoever wanted a connection is told, and says so once.
#[derive(Debug)]
pub(super) struct QuietErrors;

impl HandleError<StoreError> for QuietErrors {
    fn handle_error(&self, error: StoreError) {
        tracing::debug!(error.code = error.code(), "no connection to the database: {error}");
    }
}

/// A transaction that is rolled back unless it was committed, also when its closure panics.
pub(super) struct OpenTransaction<'a> {
    conn: &'a mut AnyConnection,
    open: bool,
}

impl<'a> OpenTransaction<'a> {
    /// Begins, and says `preamble` in the same breath where the database is PostgreSQL.
    pub(super) fn begin(conn: &'a mut AnyConnection, preamble: &str) -> Result<Self, StoreError> {
        let mut begun = Self { conn, open: true };
        match &mut begun.conn {
            AnyConnection::Postgres(conn) => {
                conn.batch_execute(&format!("BEGIN ISOLATION LEVEL READ COMMITTED; {preamble}"))?;
            }
            AnyConnection::Sqlite(conn) => conn.batch_execute("BEGIN IMMEDIATE")?,
        }
        Ok(begun)
    }

    pub(super) fn connection(&mut self) -> &mut AnyConnection {
        self.conn
    }

    pub(super) fn commit(mut self) -> Result<(), StoreError> {
        let committed = self.conn.batch_execute("COMMIT");
        self.open = committed.is_err();
        // Whether a failed COMMIT took effect is not known; every transaction may be run again.
        Ok(committed?)
    }

    pub(super) fn roll_back(self) {
        drop(self);
    }
}

impl Drop for OpenTransaction<'_> {
    fn drop(&mut self) {
        if self.open {
            drop(self.conn.batch_execute("ROLLBACK"));
        }
    }
}

#[derive(QueryableByName)]
struct Now {
    #[diesel(sql_type = Timestamp)]
    now: NaiveDateTime,
}

pub(super) fn now(conn: &mut AnyConnection) -> Result<NaiveDateTime, StoreError> {
    let sql = format!("/* now */ SELECT {} AS now", now_in_sql(conn));
    Ok(diesel::sql_query(sql).prepared().get_result::<Now>(conn)?.now)
}

/// The time by the database's clock, UTC.
pub(super) fn now_in_sql(conn: &AnyConnection) -> &'static str {
    match conn {
        AnyConnection::Postgres(_) => "clock_timestamp() AT TIME ZONE 'UTC'",
        AnyConnection::Sqlite(_) => "strftime('%Y-%m-%d %H:%M:%f', 'now')",
    }
}

pub(super) fn ping(conn: &mut AnyConnection) -> Result<(), StoreError> {
    conn.batch_execute("SELECT 1").map_err(StoreError::unavailable)
}

pub(super) fn migrate(conn: &mut AnyConnection) -> Result<Vec<String>, StoreError> {
    let ran = match conn {
        AnyConnection::Postgres(conn) => {
            // Another process may be at it for as long as it takes.
            conn.batch_execute(&format!(
                "SET lock_timeout = 0; SET statement_timeout = 0; SELECT pg_advisory_lock({MIGRATION_LOCK})"
            ))?;
            let ran = run(conn, POSTGRES_MIGRATIONS);
            // A connection that broke has given its lock and its settings up.
            drop(conn.batch_execute(&format!("SELECT pg_advisory_unlock({MIGRATION_LOCK}); {LIMITS}")));
            ran
        }
        AnyConnection::Sqlite(conn) => run(conn, SQLITE_MIGRATIONS),
    };
    ran.map_err(|error| match ping(conn) {
        Ok(()) => StoreError::Migration(error.to_string()),
        Err(_) => StoreError::unavailable(error),
    })
}

fn run<DB: diesel::backend::Backend, C: MigrationHarness<DB> + 'static>(
    conn: &mut C,
    migrations: EmbeddedMigrations,
) -> diesel::migration::Result<Vec<String>> {
    let names = names::<DB>(&migrations)?;
    let mut harness = HarnessWithOutput::new(conn, std::io::sink());
    let ran = harness.run_pending_migrations(migrations)?;
    let ran: Vec<String> = ran.iter().map(ToString::to_string).collect();
    Ok(names.into_iter().filter(|name| is_one_of(name, &ran)).collect())
}

/// Whether a migration, named after its version and what it does, has one of these versions.
fn is_one_of(name: &str, versions: &[String]) -> bool {
    let version = name.split('_').next().unwrap_or(name);
    versions.iter().any(|ran| ran == version)
}

/// Looks only: the harness would make its table, and trip over a migration that makes it at the same time.
pub(super) fn pending_migrations(conn: &mut AnyConnection) -> Result<Vec<String>, StoreError> {
    let all = match conn {
        AnyConnection::Postgres(_) => names::<diesel::pg::Pg>(&POSTGRES_MIGRATIONS),
        AnyConnection::Sqlite(_) => names::<diesel::sqlite::Sqlite>(&SQLITE_MIGRATIONS),
    }?;
    let exists = match conn {
        AnyConnection::Postgres(_) => {
            "/* pending_migrations */ SELECT count(*) AS number FROM pg_tables \
             WHERE schemaname = current_schema() AND tablename = '__diesel_schema_migrations'"
        }
        AnyConnection::Sqlite(_) => {
            "/* pending_migrations */ SELECT count(*) AS number FROM sqlite_master \
             WHERE type = 'table' AND name = '__diesel_schema_migrations'"
        }
    };
    if diesel::sql_query(exists).get_result::<Number>(conn)?.number == 0 {
        return Ok(all);
    }
    let ran: Vec<Version> =
        diesel::sql_query("/* pending_migrations */ SELECT version FROM __diesel_schema_migrations").load(conn)?;
    let ran: Vec<String> = ran.into_iter().map(|row| row.version).collect();
    Ok(all.into_iter().filter(|name| !is_one_of(name, &ran)).collect())
}

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    number: i64,
}

#[derive(QueryableByName)]
struct Version {
    #[diesel(sql_type = Text)]
    version: String,
}

fn names<DB: diesel::backend::Backend>(migrations: &EmbeddedMigrations) -> Result<Vec<String>, StoreError> {
    let all: Vec<Box<dyn Migration<DB>>> = migrations
        .migrations()
        .map_err(|error| StoreError::Migration(error.to_string()))?;
    let mut names: Vec<String> = all.iter().map(|migration| migration.name().to_string()).collect();
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing;

    #[test]
    fn looking_for_pending_migrations_changes_nothing() {
        let mut conn = AnyConnection::Sqlite(SqliteConnection::establish(":memory:").expect("a database"));
        let pending = pending_migrations(&mut conn).expect("it looks");
        assert_eq!(pending.first().map(String::as_str), Some("0001_tables"));
        let tables = diesel::sql_query("SELECT count(*) AS number FROM sqlite_master")
            .get_result::<Number>(&mut conn)
            .expect("it counts");
        assert_eq!(tables.number, 0, "two that make a table at once trip over each other");
    }

    #[test]
    fn after_a_migration_nothing_is_pending() {
        for database in testing::databases() {
            assert_eq!(
                database.store().pending_migrations().expect("it looks"),
                Vec::<String>::new()
            );
        }
    }
}
