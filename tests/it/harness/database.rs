//! The database of one test: SQLite in a directory of its own, or PostgreSQL.

use std::sync::{Arc, Mutex, PoisonError};

use diesel::{connection::SimpleConnection, prelude::*};

use super::postgres::Postgres;

/// A database that no other test has, empty at first. It is there as long as one of its clones.
#[derive(Clone)]
pub struct Database {
    url: String,
    /// Of SQLite.
    directory: Option<Arc<tempfile::TempDir>>,
    /// Of PostgreSQL: what is asked, it is asked here. A connection for each look costs more than the look.
    session: Arc<Mutex<Option<PgConnection>>>,
}

#[derive(diesel::QueryableByName)]
struct Line {
    #[diesel(sql_type = diesel::sql_types::Text)]
    line: String,
}

impl Database {
    /// PostgreSQL if `ACCOLADE_TEST_DATABASE=postgres`, else SQLite.
    pub fn of_environment() -> Self {
        match std::env::var("ACCOLADE_TEST_DATABASE").as_deref() {
            Ok("postgres") => Self::postgres(),
            Ok("sqlite") | Err(_) => Self::sqlite(),
            Ok(other) => panic!("ACCOLADE_TEST_DATABASE is sqlite or postgres, not {other}"),
        }
    }

    /// A file.
    pub fn sqlite() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let url = format!("sqlite://{}", directory.path().join("test.db").display());
        Self {
            url,
            directory: Some(Arc::new(directory)),
            session: Arc::default(),
        }
    }

    /// One of the shared cluster.
    pub fn postgres() -> Self {
        Self::by_way_of(&Postgres::shared().database())
    }

    /// A PostgreSQL database, by any way to it.
    pub fn by_way_of(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            directory: None,
            session: Arc::default(),
        }
    }

    /// The same database of the cluster, for a second process.
    pub fn also(&self) -> Self {
        assert!(self.directory.is_none(), "a file ends with its owner");
        Self::by_way_of(&self.url)
    }

    /// `DATABASE_URL`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Carries out statements, one after the other, in one session.
    pub fn change(&self, sql: &str) {
        let changed = if self.directory.is_none() {
            let mut conn = PgConnection::establish(&self.url).expect("PostgreSQL answers");
            conn.batch_execute(sql)
        } else {
            let path = self.url.trim_start_matches("sqlite://");
            let mut conn = SqliteConnection::establish(path).expect("the file is a database");
            // The service writes, too.
            conn.batch_execute(&format!("PRAGMA busy_timeout = 30000; {sql}"))
        };
        changed.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    /// What a query answers whose only column is a text called `line`.
    pub fn lines(&self, sql: &str) -> Vec<String> {
        let lines: QueryResult<Vec<Line>> = if self.directory.is_none() {
            let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
            let kept = session.as_mut().and_then(|conn| diesel::sql_query(sql).load(conn).ok());
            match kept {
                Some(lines) => Ok(lines),
                // None yet, or the server was started anew; or it fails again.
                None => {
                    let conn = PgConnection::establish(&self.url).expect("PostgreSQL answers");
                    diesel::sql_query(sql).load(session.insert(conn))
                }
            }
        } else {
            let path = self.url.trim_start_matches("sqlite://");
            let mut conn = SqliteConnection::establish(path).expect("the file is a database");
            diesel::sql_query("PRAGMA busy_timeout = 10000")
                .execute(&mut conn)
                .expect("SQLite answers");
            diesel::sql_query(sql).load(&mut conn)
        };
        let lines = lines.unwrap_or_else(|error| panic!("{sql}: {error}"));
        lines.into_iter().map(|line| line.line).collect()
    }

    /// How many rows a table has under this condition.
    pub fn count(&self, table: &str, condition: &str) -> usize {
        let lines = self.lines(&format!(
            "SELECT CAST(count(*) AS text) AS line FROM {table} WHERE {condition}"
        ));
        lines[0].parse().expect("a number")
    }
}
