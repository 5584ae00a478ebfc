//! Many rows as one parameter: a JSON text that both databases unfold into a table.

use chrono::NaiveDateTime;
use serde::Serialize;

use super::AnyConnection;

/// A table expression named `x` with these columns (and their PostgreSQL types), read from the JSON array of objects
/// in the named parameter.
pub(super) fn rows(conn: &AnyConnection, parameter: &str, columns: &[(&str, &str)]) -> String {
    match conn {
        AnyConnection::Postgres(_) => {
            let typed: Vec<String> = columns.iter().map(|(name, kind)| format!("{name} {kind}")).collect();
            format!("jsonb_to_recordset({parameter}::jsonb) AS x ({})", typed.join(", "))
        }
        AnyConnection::Sqlite(_) => {
            let named: Vec<String> = columns
                .iter()
                .map(|(name, _)| format!("value ->> '{name}' AS {name}"))
                .collect();
            format!("(SELECT {} FROM jsonb_each({parameter})) AS x", named.join(", "))
        }
    }
}

/// A subquery of the integers in the JSON array in the named parameter.
pub(super) fn integers(conn: &AnyConnection, parameter: &str) -> String {
    match conn {
        AnyConnection::Postgres(_) => {
            format!("(SELECT value::bigint FROM jsonb_array_elements_text({parameter}::jsonb))")
        }
        AnyConnection::Sqlite(_) => format!("(SELECT value FROM json_each({parameter}))"),
    }
}

/// The rows as the JSON text that a statement unfolds.
pub(super) fn json<T: Serialize + ?Sized>(rows: &T) -> String {
    serde_json::to_string(rows).expect("rows of texts and numbers are JSON")
}

/// A time as both databases read it from a text, and as SQLite stores it.
pub(super) fn time(time: NaiveDateTime) -> String {
    time.format("%F %T%.f").to_string()
}

/// What a statement adds so that it passes over rows that others hold, and holds its own; SQLite has one writer.
pub(super) fn skip_locked(conn: &AnyConnection) -> &'static str {
    match conn {
        AnyConnection::Postgres(_) => "FOR UPDATE SKIP LOCKED",
        AnyConnection::Sqlite(_) => "",
    }
}
