//! One statement for many rows, for the hot path.
//!
//! The rows travel as one parameter a column (PostgreSQL, `unnest`) or as one JSON text (SQLite, `jsonb_each`), so the
//! statement's text never depends on their number, and a connection prepares it once. Diesel's own `sql_query` is
//! prepared anew each time.

use std::{borrow::Cow, fmt, io::Write as _, marker::PhantomData, num::TryFromIntError};

use chrono::NaiveDateTime;
use diesel::{
    PgConnection, QueryResult, RunQueryDsl, SqliteConnection,
    pg::Pg,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    query_dsl::methods::LoadQuery,
    serialize::{self, IsNull, Output, ToSql},
    sql_types::{Array, BigInt, Bool, HasSqlType, Integer, Text, Timestamp},
    sqlite::Sqlite,
};
use serde::{Serialize, Serializer};

use super::{AnyConnection, StoreError, Tx};

/// The values of one column.
pub(super) enum Column<'a> {
    BigInts(Vec<i64>),
    Integers(Vec<Option<i32>>),
    Bools(Vec<Option<bool>>),
    Texts(Vec<Option<&'a str>>),
    Times(Vec<Option<NaiveDateTime>>),
}

impl fmt::Debug for Column<'_> {
    // Some values are personal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Column")
            .field("values", &len(self))
            .finish_non_exhaustive()
    }
}

/// A statement over rows: `before`, the rows as a table `x` of these columns, `after`.
///
/// `ST` is the SQL type of the rows that it returns.
pub(super) struct Statement<'a, ST = ()> {
    before: Cow<'static, str>,
    columns: Vec<(&'static str, Column<'a>)>,
    after: Cow<'static, str>,
    /// What PostgreSQL alone is told at the end, such as `FOR UPDATE`.
    after_on_postgres: &'static str,
    /// A number after that, as part of a [`Compound`].
    number: Option<i64>,
    /// The rows for SQLite.
    json: String,
    returns: PhantomData<ST>,
}

impl<'a, ST> Statement<'a, ST> {
    pub(super) fn new(
        before: impl Into<Cow<'static, str>>,
        columns: Vec<(&'static str, Column<'a>)>,
        after: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            before: before.into(),
            columns,
            after: after.into(),
            after_on_postgres: "",
            number: None,
            json: String::new(),
            returns: PhantomData,
        }
    }

    /// Adds what PostgreSQL alone is told at the end.
    pub(super) fn on_postgres(mut self, after: &'static str) -> Self {
        self.after_on_postgres = after;
        self
    }

    /// Adds what is told at the end as part of a [`Compound`], and a number to compare with.
    pub(super) fn compared(mut self, after: &'static str, number: usize) -> Self {
        self.after_on_postgres = after;
        self.number = i64::try_from(number).ok();
        self
    }

    /// Runs it and returns its rows.
    pub(super) fn load<U>(mut self, tx: &mut Tx<'_>) -> Result<Vec<U>, StoreError>
    where
        Self: LoadQuery<'a, PgConnection, U> + LoadQuery<'a, SqliteConnection, U>,
    {
        Ok(match tx.conn {
            AnyConnection::Postgres(conn) => RunQueryDsl::load(self, conn)?,
            AnyConnection::Sqlite(conn) => {
                self.json = json(&self.columns);
                RunQueryDsl::load(self, conn)?
            }
        })
    }
}

impl Statement<'_> {
    /// Runs it and returns how many rows it touched.
    pub(super) fn execute(mut self, tx: &mut Tx<'_>) -> Result<usize, StoreError> {
        Ok(match tx.conn {
            AnyConnection::Postgres(conn) => RunQueryDsl::execute(self, conn)?,
            AnyConnection::Sqlite(conn) => {
                self.json = json(&self.columns);
                RunQueryDsl::execute(self, conn)?
            }
        })
    }
}

impl<ST> QueryId for Statement<'_, ST> {
    type QueryId = ();
    // The statement is found again by its text.
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<ST> Query for Statement<'_, ST> {
    type SqlType = ST;
}

impl<ST> RunQueryDsl<PgConnection> for Statement<'_, ST> {}
impl<ST> RunQueryDsl<SqliteConnection> for Statement<'_, ST> {}

impl<ST> QueryFragment<Pg> for Statement<'_, ST> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(&self.before);
        out.push_sql(" unnest(");
        for (n, (_, column)) in self.columns.iter().enumerate() {
            if n > 0 {
                out.push_sql(", ");
            }
            push_array(column, out.reborrow())?;
        }
        out.push_sql(") AS x (");
        for (n, (name, _)) in self.columns.iter().enumerate() {
            if n > 0 {
                out.push_sql(", ");
            }
            out.push_sql(name);
        }
        out.push_sql(") ");
        out.push_sql(&self.after);
        out.push_sql(self.after_on_postgres);
        if let Some(number) = &self.number {
            out.push_bind_param::<BigInt, _>(number)?;
        }
        Ok(())
    }
}

/// Several statements that change rows, in one round trip; of PostgreSQL, where a `WITH` may do so.
///
/// Each sees the tables as they were before all of them. They are carried out in no certain order, unless one reads
/// what another one, named before it, returns.
pub(super) struct Compound<'a, L> {
    parts: Vec<(&'static str, Statement<'a>)>,
    last: L,
}

impl<'a, L> Compound<'a, L> {
    /// Of these named statements, none of them without rows; `last` reads what they return.
    pub(super) fn new(parts: Vec<(&'static str, Statement<'a>)>, last: L) -> Self {
        Self { parts, last }
    }

    /// Runs it and returns the rows of its last part.
    pub(super) fn load<U>(self, conn: &mut PgConnection) -> Result<Vec<U>, StoreError>
    where
        Self: LoadQuery<'a, PgConnection, U>,
    {
        Ok(RunQueryDsl::load(self, conn)?)
    }
}

/// A query of a number that takes nothing. Diesel's own SQL literal would have the whole statement prepared anew each time.
pub(super) struct Number(pub(super) &'static str);

impl Query for Number {
    type SqlType = BigInt;
}

impl QueryFragment<Pg> for Number {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(self.0);
        Ok(())
    }
}

impl<L> QueryId for Compound<'_, L> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<L: Query> Query for Compound<'_, L> {
    type SqlType = L::SqlType;
}

impl<L> RunQueryDsl<PgConnection> for Compound<'_, L> {}

impl<L: QueryFragment<Pg>> QueryFragment<Pg> for Compound<'_, L> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("WITH ");
        for (n, (name, statement)) in self.parts.iter().enumerate() {
            if n > 0 {
                out.push_sql(", ");
            }
            out.push_sql(name);
            out.push_sql(" AS (");
            statement.walk_ast(out.reborrow())?;
            out.push_sql(")");
        }
        out.push_sql(" ");
        self.last.walk_ast(out)
    }
}

impl<ST> QueryFragment<Sqlite> for Statement<'_, ST> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        out.push_sql(&self.before);
        out.push_sql(" (SELECT ");
        for (n, (name, _)) in self.columns.iter().enumerate() {
            if n > 0 {
                out.push_sql(", ");
            }
            out.push_sql(&format!("value ->> {n} AS {name}"));
        }
        out.push_sql(" FROM jsonb_each(");
        out.push_bind_param::<Text, _>(&self.json)?;
        out.push_sql(")) AS x ");
        out.push_sql(&self.after);
        Ok(())
    }
}

fn push_array<'b>(column: &'b Column<'_>, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
    match column {
        Column::BigInts(_) => out.push_bind_param::<Array<BigInt>, _>(column),
        Column::Integers(_) => out.push_bind_param::<Array<Integer>, _>(column),
        Column::Bools(_) => out.push_bind_param::<Array<Bool>, _>(column),
        Column::Texts(_) => out.push_bind_param::<Array<Text>, _>(column),
        Column::Times(_) => out.push_bind_param::<Array<Timestamp>, _>(column),
    }
}

/// Diesel's own arrays write each value to a buffer first, and are three times as slow.
impl<ST> ToSql<Array<ST>, Pg> for Column<'_>
where
    Pg: HasSqlType<ST>,
{
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        let kind = <Pg as HasSqlType<ST>>::metadata(out.metadata_lookup()).oid()?;
        let bytes = match self {
            Self::BigInts(values) => array(kind, values, |value| Some(value.to_be_bytes())),
            Self::Integers(values) => array(kind, values, |value| value.map(i32::to_be_bytes)),
            Self::Bools(values) => array(kind, values, |value| value.map(|value| [u8::from(value)])),
            Self::Texts(values) => array(kind, values, |value| *value),
            Self::Times(values) => array(kind, values, |value| value.map(|time| micros(time).to_be_bytes())),
        };
        out.write_all(&bytes?)?;
        Ok(IsNull::No)
    }
}

/// An array of one dimension as PostgreSQL receives it (`array_recv`): a header, then each value after its length.
fn array<T, B: AsRef<[u8]>>(
    kind: u32,
    values: &[T],
    bytes_of: impl Fn(&T) -> Option<B>,
) -> Result<Vec<u8>, TryFromIntError> {
    let length = |values: usize| i32::try_from(values).map(i32::to_be_bytes);
    let (dimensions, flags, lower_bound) = (1_i32, 0_i32, 1_i32);
    let mut array = Vec::with_capacity(20 + 12 * values.len());
    array.extend(dimensions.to_be_bytes());
    array.extend(flags.to_be_bytes());
    array.extend(kind.to_be_bytes());
    array.extend(length(values.len())?);
    array.extend(lower_bound.to_be_bytes());
    for value in values {
        match bytes_of(value) {
            Some(bytes) => {
                array.extend(length(bytes.as_ref().len())?);
                array.extend(bytes.as_ref());
            }
            None => array.extend((-1_i32).to_be_bytes()),
        }
    }
    Ok(array)
}

/// A time as PostgreSQL receives it: microseconds since the year 2000.
fn micros(time: NaiveDateTime) -> i64 {
    const YEAR_2000: i64 = 946_684_800_000_000;
    time.and_utc().timestamp_micros() - YEAR_2000
}

/// A JSON array of rows, each an array in the order of the columns.
fn json(columns: &[(&'static str, Column<'_>)]) -> String {
    let count = columns.first().map_or(0, |(_, column)| len(column));
    let rows = Rows((0..count).map(|row| Row { columns, row }));
    serde_json::to_string(&rows).expect("numbers and texts are JSON")
}

/// Written as they come: all of them as values first would take several times their memory.
struct Rows<I>(I);

struct Row<'a> {
    columns: &'a [(&'static str, Column<'a>)],
    row: usize,
}

struct Value<'a> {
    column: &'a Column<'a>,
    row: usize,
}

impl<'a, I: Iterator<Item = Row<'a>> + Clone> Serialize for Rows<I> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.clone())
    }
}

impl Serialize for Row<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { columns, row } = *self;
        serializer.collect_seq(columns.iter().map(|(_, column)| Value { column, row }))
    }
}

impl Serialize for Value<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.column {
            Column::BigInts(values) => values[self.row].serialize(serializer),
            Column::Integers(values) => values[self.row].serialize(serializer),
            Column::Bools(values) => values[self.row].serialize(serializer),
            Column::Texts(values) => values[self.row].serialize(serializer),
            // As diesel writes times to SQLite.
            Column::Times(values) => match values[self.row] {
                Some(time) => serializer.collect_str(&time.format("%F %T%.f")),
                None => serializer.serialize_none(),
            },
        }
    }
}

fn len(column: &Column<'_>) -> usize {
    match column {
        Column::BigInts(values) => values.len(),
        Column::Integers(values) => values.len(),
        Column::Bools(values) => values.len(),
        Column::Texts(values) => values.len(),
        Column::Times(values) => values.len(),
    }
}
