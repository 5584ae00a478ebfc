//! What can go wrong with the database, and what is to be done then.

use diesel::result::{DatabaseErrorInformation, DatabaseErrorKind, Error};

use super::connection::{self, AnyConnection};
use crate::failpoint::Injected;

/// Why a transaction did not happen.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No connection can be had, or it broke. Nothing was done, or (for a commit) it is not known: do it again.
    #[error("the database cannot be reached: {message}")]
    Unavailable {
        /// What the driver said.
        message: String,
    },
    /// Another transaction was in the way (serialization failure, deadlock, lock or statement time-out).
    #[error("the database was busy ({sqlstate})")]
    Contention {
        /// PostgreSQL's SQLSTATE, or `SQLITE_BUSY`.
        sqlstate: &'static str,
    },
    /// The database is full, read-only, out of resources (SQLSTATE classes 25 and 53), or refuses for a reason that is
    /// not known to lie in the data: somebody must help, then go on.
    #[error("the database does not do this for now: {message}")]
    Exhausted {
        /// What the database said.
        message: String,
    },
    /// The data were refused: sent again, they are refused again.
    #[error("the database refused the data: {message}")]
    Data {
        /// What the database said.
        message: String,
        /// What diesel said.
        #[source]
        source: Error,
    },
    /// The database knows less than what was committed to it: it was restored, or a server took over that had not got
    /// everything. Nothing was written.
    #[error("the database is older than it was")]
    WentBack,
    /// A row that had to be there is not.
    #[error("not found")]
    NotFound,
    /// A stored value cannot be understood; some newer version may have written it.
    #[error("a stored value cannot be understood: {0}")]
    Corrupt(String),
    /// The tables cannot be brought to this version.
    #[error("migration failed: {0}")]
    Migration(String),
    /// The same, in a named transaction.
    #[error("{name}: {source}")]
    During {
        /// The transaction.
        name: &'static str,
        /// What went wrong in it.
        #[source]
        source: Box<StoreError>,
    },
}

/// What a loop does with a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// Wait and do it again.
    Retry,
    /// What was to be written is at fault: isolate it.
    DeadLetter,
    /// Going on would do harm.
    Stop,
}

impl StoreError {
    /// A stable name, for logs and labels.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unavailable { .. } => "database_unavailable",
            Self::Contention { .. } => "database_contention",
            Self::Exhausted { .. } => "database_exhausted",
            Self::Data { .. } => "database_data",
            Self::WentBack => "database_went_back",
            Self::NotFound => "not_found",
            Self::Corrupt(_) => "database_corrupt",
            Self::Migration(_) => "database_migration",
            Self::During { source, .. } => source.code(),
        }
    }

    /// What is to be done.
    pub fn disposition(&self) -> Disposition {
        match self {
            Self::Unavailable { .. } | Self::Contention { .. } | Self::Exhausted { .. } | Self::WentBack => {
                Disposition::Retry
            }
            Self::Data { .. } => Disposition::DeadLetter,
            Self::NotFound | Self::Corrupt(_) | Self::Migration(_) => Disposition::Stop,
            Self::During { source, .. } => source.disposition(),
        }
    }

    /// Whether the same transaction may pass when it is simply run again.
    pub fn is_contention(&self) -> bool {
        match self {
            Self::Contention { .. } => true,
            Self::During { source, .. } => source.is_contention(),
            _ => false,
        }
    }

    /// Whether the database is older than it was.
    pub fn went_back(&self) -> bool {
        match self {
            Self::WentBack => true,
            Self::During { source, .. } => source.went_back(),
            _ => false,
        }
    }

    /// Whether a row that had to be there is not.
    pub fn is_not_found(&self) -> bool {
        match self {
            Self::NotFound => true,
            Self::During { source, .. } => source.is_not_found(),
            _ => false,
        }
    }

    pub(super) fn sqlstate(&self) -> &'static str {
        match self {
            Self::Contention { sqlstate } => sqlstate,
            _ => "",
        }
    }

    pub(super) fn unavailable(error: impl std::fmt::Display) -> Self {
        Self::Unavailable {
            message: error.to_string().trim().to_owned(),
        }
    }

    pub(super) fn during(self, name: &'static str) -> Self {
        match self {
            named @ Self::During { .. } => named,
            source => Self::During {
                name,
                source: Box::new(source),
            },
        }
    }

    /// Tells a refused statement from a broken connection by asking the connection.
    pub(super) fn classified(self, conn: &mut AnyConnection) -> Self {
        match self {
            Self::Data { message, .. } | Self::Exhausted { message } if connection::ping(conn).is_err() => {
                Self::Unavailable { message }
            }
            other => other,
        }
    }
}

impl From<Injected> for StoreError {
    fn from(injected: Injected) -> Self {
        Self::unavailable(injected)
    }
}

impl From<Error> for StoreError {
    fn from(error: Error) -> Self {
        match error {
            Error::NotFound => Self::NotFound,
            Error::DatabaseError(DatabaseErrorKind::SerializationFailure, _) => Self::Contention { sqlstate: "40001" },
            Error::DatabaseError(
                DatabaseErrorKind::ClosedConnection | DatabaseErrorKind::UnableToSendCommand,
                info,
            ) => Self::unavailable(info.message()),
            Error::DatabaseError(DatabaseErrorKind::ReadOnlyTransaction, info) => Self::Exhausted {
                message: info.message().to_owned(),
            },
            Error::DatabaseError(DatabaseErrorKind::Unknown, info) => unknown(info),
            other => Self::Data {
                message: other.to_string(),
                source: other,
            },
        }
    }
}

/// Diesel keeps the SQLSTATE to itself; what it does not name is told by PostgreSQL's and SQLite's own messages, which
/// every connection asks for in English.
fn unknown(info: Box<dyn DatabaseErrorInformation + Send + Sync>) -> StoreError {
    const CONTENTION: [(&str, &str); 5] = [
        ("deadlock detected", "40P01"),
        ("canceling statement due to lock timeout", "55P03"),
        ("canceling statement due to statement timeout", "57014"),
        ("database is locked", "SQLITE_BUSY"),
        ("database table is locked", "SQLITE_LOCKED"),
    ];
    // SQLSTATE classes 22 and 54. Whatever else may be wrong, it is not the record that is to blame.
    const DATA: [&str; 14] = [
        "invalid byte sequence for encoding",
        "unsupported Unicode escape sequence",
        "cannot be converted to text",
        "invalid input syntax",
        "value too long for type",
        "out of range",
        "index row size",
        "index row requires",
        "row is too big",
        "string too long",
        "string or blob too big",
        "datatype mismatch",
        "malformed JSON",
        "integer overflow",
    ];
    let message = info.message();
    if let Some((_, sqlstate)) = CONTENTION.iter().find(|(text, _)| message.contains(text)) {
        return StoreError::Contention { sqlstate };
    }
    if DATA.iter().any(|text| message.contains(text)) {
        return StoreError::Data {
            message: message.to_owned(),
            source: Error::DatabaseError(DatabaseErrorKind::Unknown, info),
        };
    }
    StoreError::Exhausted {
        message: message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use diesel::connection::SimpleConnection;

    use super::Disposition::{self, DeadLetter, Retry};
    use crate::store::testing;

    fn disposition(sql: &str) -> Option<Disposition> {
        let database = testing::postgres()?;
        let refused = database
            .store()
            .transaction("test", |tx| Ok(tx.conn.batch_execute(sql)?))
            .expect_err("it is refused");
        Some(refused.disposition())
    }

    #[test]
    fn only_what_lies_in_the_data_is_the_fault_of_the_data() {
        // Disk full, out of shared memory, too many connections, cancelled by hand, temporary files, rights, internal
        // error, read-only, and one that nobody ever heard of; in another language.
        for sqlstate in [
            "53100", "53200", "53300", "57014", "53400", "42501", "XX000", "25006", "ZZ123",
        ] {
            let raise = format!("DO $$ BEGIN RAISE EXCEPTION 'irgendetwas' USING ERRCODE = '{sqlstate}'; END $$");
            let found = disposition(&raise);
            assert!(found.is_none_or(|found| found == Retry), "{sqlstate}: {found:?}");
        }
        for data in [
            "SELECT 'x'::integer",
            "SELECT 99999999999::integer",
            "SELECT 'abc'::varchar(2)::varchar(1), '1999-99-99'::timestamp",
            r#"SELECT '"\u0000"'::jsonb ->> 0, '["\u0000"]'::jsonb ->> 0"#,
            "INSERT INTO learner (learner_id) VALUES (1), (1)",
            "INSERT INTO learner (learner_id, username) VALUES (1, NULL)",
            "INSERT INTO learner (learner_id, username) SELECT 1, string_agg(md5(n::text), '') FROM generate_series(1, 9999) n",
        ] {
            let found = disposition(data);
            assert!(found.is_none_or(|found| found == DeadLetter), "{data}: {found:?}");
        }
    }
}
