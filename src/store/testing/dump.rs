//! Everything that a database holds, as text, and what can be found in it.

use base64::{Engine as _, prelude::BASE64_STANDARD_NO_PAD};
use diesel::{QueryableByName, RunQueryDsl, sql_query, sql_types::Text};

use crate::store::{AnyConnection, Store, StoreError, Tx};

#[derive(QueryableByName)]
struct Line {
    #[diesel(sql_type = Text)]
    line: String,
}

/// The rows of a table as text, bytes as hexadecimal digits.
pub(crate) struct Table {
    /// Its name.
    pub(crate) name: String,
    rows: String,
}

/// Every table.
pub(crate) fn dump(store: &Store) -> Vec<Table> {
    let tables = |tx: &mut Tx<'_>| {
        let names = match tx.conn {
            AnyConnection::Postgres(_) => "SELECT tablename AS line FROM pg_tables WHERE schemaname = 'public'",
            AnyConnection::Sqlite(_) => "SELECT name AS line FROM sqlite_master WHERE type = 'table'",
        };
        let names = lines(tx, names)?;
        names.into_iter().map(|name| table(tx, name)).collect()
    };
    store.read("dump", tables).expect("read")
}

impl Table {
    /// Whether this text is in it: as it is, in other capitals, in bytes, or in base64.
    pub(crate) fn holds(&self, text: &str) -> bool {
        let rows = self.rows.to_lowercase();
        let hex: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
        rows.contains(&text.to_lowercase())
            || rows.contains(&hex)
            || (0..3).any(|at| self.rows.contains(&base64(text, at)))
    }
}

/// What of a text's base64 does not depend on its neighbours, where it begins at this byte of three.
fn base64(text: &str, at: usize) -> String {
    let bytes = [&b"xx"[..at], text.as_bytes()].concat();
    let whole = bytes.len() / 3 * 4;
    BASE64_STANDARD_NO_PAD.encode(&bytes)[(at * 8).div_ceil(6)..whole].to_owned()
}

fn table(tx: &mut Tx<'_>, name: String) -> Result<Table, StoreError> {
    let rows = match tx.conn {
        AnyConnection::Postgres(_) => lines(tx, &format!("SELECT t::text AS line FROM {name} t"))?,
        AnyConnection::Sqlite(_) => {
            let columns = lines(tx, &format!("SELECT name AS line FROM pragma_table_info('{name}')"))?;
            let mut rows = Vec::new();
            for column in columns {
                rows.extend(lines(
                    tx,
                    &format!("SELECT quote(\"{column}\") AS line FROM \"{name}\""),
                )?);
            }
            rows
        }
    };
    Ok(Table {
        name,
        rows: rows.join("\n"),
    })
}

fn lines(tx: &mut Tx<'_>, sql: &str) -> Result<Vec<String>, StoreError> {
    let lines: Vec<Line> = sql_query(sql).load(tx.conn)?;
    Ok(lines.into_iter().map(|line| line.line).collect())
}
