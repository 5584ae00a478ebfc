//! The database: the only room that knows diesel.
//!
//! A query is a named function that takes a [`Tx`]; a [`Tx`] comes from [`Store::transaction`] or [`Store::read`], each
//! with a name. Inside a transaction there is no network I/O but the database's own. The same functions serve
//! PostgreSQL and SQLite; where the statements differ, they match on [`AnyConnection`].

pub mod api_reads;
pub mod assertions;
pub mod audit;
pub mod awards;
pub mod backfill;
pub mod badge_classes;
mod bulk;
pub mod comparison;
pub mod completion_images;
mod connection;
pub mod courses;
mod database_url;
pub mod dead_letter_relay;
pub mod dead_letters;
mod error;
pub mod event_badges;
pub mod explanation;
pub mod facts;
pub mod imports;
mod lane;
pub mod learners;
pub mod losses;
pub mod outbox;
mod patience;
mod plans;
pub mod positions;
mod prepared;
pub mod preview;
pub mod progress;
pub mod retention;
pub mod retirement;
pub mod revocations;
pub(crate) mod schema;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod time_limits;
pub mod token_cache;
mod unfold;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use chrono::{DateTime, NaiveDateTime, Utc};
use diesel::r2d2::{Pool, PooledConnection};

pub use connection::{AnyConnection, Manager};
pub use database_url::{DatabaseUrl, InvalidDatabaseUrl, PostgresUrl};
pub use error::{Disposition, StoreError};
pub use lane::Lane;
pub use patience::Patience;

use self::plans::Plans;
use crate::{clock::Clock, retry::Backoff, telemetry::Metrics};

/// So often in all is a transaction tried that others are in the way of.
const TRIES: u32 = 5;
/// No new try of a transaction, or of the transactions of one batch, begins after this long: whoever polls Kafka has to
/// come back in time, and one try may take a minute.
pub const TRIES_LAST: Duration = Duration::from_secs(90);

const RELAXED: &str = "SET LOCAL synchronous_commit = off; ";
const IN_ORDER: &str = "SET LOCAL enable_sort = off; SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off";

/// Where the database is and how much of it one process uses.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `DATABASE_URL`.
    pub url: DatabaseUrl,
    /// `DATABASE_POOL_SIZE`: connections of one process, at most.
    pub pool_size: u32,
}

/// A pool of connections to the one database.
pub struct Store {
    pool: Pool<Manager>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    /// SQLite has one writer: waiting here is fair, waiting inside SQLite is not.
    one_writer: Option<Mutex<()>>,
    /// What a batch of facts says to PostgreSQL together with `BEGIN`.
    batch_preamble: String,
}

/// One transaction (or read), and the time by the database's clock.
pub struct Tx<'a> {
    /// The connection that the transaction is open on.
    pub conn: &'a mut AnyConnection,
    now: Option<NaiveDateTime>,
    clock: &'a dyn Clock,
}

impl Store {
    /// Opens the pool. Does not connect: a database that is down is met, and waited for, by those who use it.
    pub fn open(settings: &Settings, clock: Arc<dyn Clock>, metrics: Arc<Metrics>) -> Self {
        let sqlite = settings.url.is_sqlite();
        let pool = Pool::builder()
            .max_size(if sqlite {
                settings.pool_size.min(4)
            } else {
                settings.pool_size
            })
            .min_idle(Some(0))
            .connection_timeout(std::time::Duration::from_secs(5))
            .error_handler(Box::new(connection::QuietErrors))
            .build_unchecked(Manager::new(settings.url.clone()));
        Self {
            pool,
            clock,
            metrics,
            one_writer: sqlite.then(Mutex::default),
            batch_preamble: event_badges::batch_preamble(),
        }
    }

    /// The clock by which this store reckons.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// Runs the closure in one READ COMMITTED transaction (SQLite: `BEGIN IMMEDIATE`) and commits what it did.
    ///
    /// After a serialization failure or a deadlock the closure runs again, up to five times in all: it must not keep
    /// state from one run to the next. `name` goes to logs and errors.
    pub fn transaction<T>(
        &self,
        name: &'static str,
        work: impl FnMut(&mut Tx<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.transaction_after("", name, work)
    }

    /// The same for decisions on facts: under the shared fence of the configuration, and with statements that find each
    /// row by its index. Until its tables are large, PostgreSQL would rather read them whole, twenty milliseconds a batch
    /// instead of one.
    pub fn deciding_transaction<T>(
        &self,
        name: &'static str,
        work: impl FnMut(&mut Tx<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.transaction_after(&self.batch_preamble, name, work)
    }

    /// The same for a batch of so many records, whose statements are the same each time: their plans are kept for a
    /// while. Its tries are bounded from when the whole batch `begun`.
    pub fn batch_transaction<T>(
        &self,
        name: &'static str,
        begun: Instant,
        records: usize,
        lane: Option<Lane>,
        mut work: impl FnMut(&mut Tx<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let preamble = lane.map(Lane::lock).unwrap_or_default() + &self.batch_preamble;
        self.retried(name, begun, || {
            let begin = |conn: &mut connection::Pooled| conn.kept_plans.before_batch(records) + &preamble;
            self.try_transaction(begin, &mut work)
        })
    }

    /// The same for who takes the first of what waits, in order: with statements that read no further than that, by
    /// index. PostgreSQL would rather sort all that waits where it believes that to be little, as it does of a backlog
    /// that is new. `relaxed` as in [`Store::relaxed_transaction`].
    pub fn claim_transaction<T>(
        &self,
        name: &'static str,
        relaxed: bool,
        work: impl FnMut(&mut Tx<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let durability = if relaxed { RELAXED } else { "" };
        self.transaction_after(&format!("{durability}{IN_ORDER}"), name, work)
    }

    /// The same for what may as well be done again: it does not wait for the disk, and a crash of PostgreSQL, not one of
    /// this process, may undo what was committed within the last second.
    pub fn relaxed_transaction<T>(
        &self,
        name: &'static str,
        work: impl FnMut(&mut Tx<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.transaction_after(RELAXED, name, work)
    }

    fn transaction_after<T>(
        &self,
        preamble: &str,
        name: &'static str,
        mut work: impl FnMut(&mut Tx<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.retried(name, Instant::now(), || {
            self.try_transaction(|_| preamble.to_owned(), &mut work)
        })
    }

    fn retried<T>(
        &self,
        name: &'static str,
        begun: Instant,
        mut attempt: impl FnMut() -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut tries = 1;
        loop {
            match attempt() {
                Err(error) if error.is_contention() && may_try_again(tries, begun.elapsed()) => {
                    self.metrics.db_retries.with_label_values(&[error.sqlstate()]).inc();
                    tracing::debug!(
                        store.transaction = name,
                        error.code = error.code(),
                        "retrying {name}: {error}"
                    );
                    std::thread::sleep(Backoff::CONTENTION.delay(tries, rand::random()));
                    tries += 1;
                }
                other => return other.map_err(|error| error.during(name)),
            }
        }
    }

    /// Runs the closure in a transaction and takes back all that it did: what it would do. As with a transaction, it runs
    /// again when another was in the way.
    pub fn rehearsal<T>(
        &self,
        name: &'static str,
        mut work: impl FnMut(&mut Tx<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.retried(name, Instant::now(), || {
            let _writer = self.writer();
            self.connect().and_then(|mut conn| {
                let mut open = connection::OpenTransaction::begin(&mut conn.conn, "")?;
                let mut tx = Tx {
                    conn: open.connection(),
                    now: None,
                    clock: &*self.clock,
                };
                let result = work(&mut tx);
                open.roll_back();
                result.map_err(|error| conn.doubted(error))
            })
        })
    }

    /// Runs the closure on a connection without a transaction: each statement sees what is committed.
    pub fn read<T>(
        &self,
        name: &'static str,
        work: impl FnOnce(&mut Tx<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.read_by(Plans::EachTime, name, work)
    }

    /// The same for what is asked often and finds its few rows by an index, on any table: PostgreSQL keeps the plans of
    /// those statements that are kept prepared.
    pub fn look_up<T>(
        &self,
        name: &'static str,
        work: impl FnOnce(&mut Tx<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.read_by(Plans::Kept, name, work)
    }

    fn read_by<T>(
        &self,
        plans: Plans,
        name: &'static str,
        work: impl FnOnce(&mut Tx<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut conn = self.connect_for(plans).map_err(|error| error.during(name))?;
        let mut tx = Tx {
            conn: &mut conn.conn,
            now: None,
            clock: &*self.clock,
        };
        let result = work(&mut tx);
        result.map_err(|error| conn.doubted(error).during(name))
    }

    /// The same from an async task: the closure runs where blocking is allowed.
    pub async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let store = Arc::clone(self);
        tokio::task::spawn_blocking(move || work(&store))
            .await
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
    }

    /// Runs the pending migrations, one process at a time, and says which ran.
    pub fn migrate(&self) -> Result<Vec<String>, StoreError> {
        let _writer = self.writer();
        let mut conn = self.connect()?;
        connection::migrate(&mut conn.conn).map_err(|error| conn.doubted(error))
    }

    /// The migrations that are still to run.
    pub fn pending_migrations(&self) -> Result<Vec<String>, StoreError> {
        let mut conn = self.connect()?;
        connection::pending_migrations(&mut conn.conn).map_err(|error| conn.doubted(error))
    }

    /// Answers whether the database answers.
    pub fn ping(&self) -> Result<(), StoreError> {
        self.read("ping", |tx| connection::ping(tx.conn))
    }

    /// Connections at most.
    pub fn pool_size(&self) -> usize {
        self.pool.max_size() as usize
    }

    /// Connections in use and idle.
    pub fn pool_state(&self) -> (u32, u32) {
        let state = self.pool.state();
        (
            state.connections.saturating_sub(state.idle_connections),
            state.idle_connections,
        )
    }

    fn connect(&self) -> Result<PooledConnection<Manager>, StoreError> {
        self.connect_for(Plans::EachTime)
    }

    fn connect_for(&self, plans: Plans) -> Result<PooledConnection<Manager>, StoreError> {
        let mut conn = self.pool.get().map_err(StoreError::unavailable)?;
        conn.plan(plans)?;
        Ok(conn)
    }

    fn writer(&self) -> Option<std::sync::MutexGuard<'_, ()>> {
        self.one_writer
            .as_ref()
            .map(|lock| lock.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn try_transaction<T>(
        &self,
        preamble: impl FnOnce(&mut connection::Pooled) -> String,
        work: &mut impl FnMut(&mut Tx<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let _writer = self.writer();
        let mut conn = self.connect()?;
        let pooled = &mut *conn;
        let preamble = preamble(pooled);
        let result = self.in_transaction(&mut pooled.conn, &preamble, work);
        result.map_err(|error| pooled.doubted(error))
    }

    fn in_transaction<T>(
        &self,
        conn: &mut AnyConnection,
        preamble: &str,
        work: &mut impl FnMut(&mut Tx<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut open = connection::OpenTransaction::begin(conn, preamble)?;
        let mut tx = Tx {
            conn: open.connection(),
            now: None,
            clock: &*self.clock,
        };
        match work(&mut tx) {
            Ok(done) => open.commit().map(|()| done),
            Err(error) => {
                open.roll_back();
                Err(error)
            }
        }
    }
}

/// Whether a transaction that another was in the way of is tried again, after so many tries that took so long.
fn may_try_again(tries: u32, took: Duration) -> bool {
    tries < TRIES && took < TRIES_LAST
}

impl Tx<'_> {
    /// The time by the database's clock (and the test clock's skew), asked once a transaction.
    pub fn now(&mut self) -> Result<NaiveDateTime, StoreError> {
        if let Some(now) = self.now {
            return Ok(now);
        }
        let now = connection::now(self.conn)? + self.clock.skew();
        self.now = Some(now);
        Ok(now)
    }

    /// The same as [`Tx::now`], with its zone.
    pub fn now_utc(&mut self) -> Result<DateTime<Utc>, StoreError> {
        Ok(self.now()?.and_utc())
    }
}
