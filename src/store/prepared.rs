//! Statements that a connection prepares once, by their text.
//!
//! Diesel prepares a `sql_query` anew each time it runs, a round trip to PostgreSQL and a parse of its own. A statement
//! whose text is always the same, or one of a few, is spared that.

use diesel::{
    QueryResult, QueryableByName, RunQueryDsl,
    backend::Backend,
    deserialize,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    query_dsl::methods::LoadQuery,
    row::NamedRow,
    sql_types::Untyped,
};

use super::AnyConnection;

/// Marks a statement as one whose text comes again.
pub(super) trait Prepare: Sized {
    /// The same statement, kept prepared. Not for texts that numbers or lists are written into.
    fn prepared(self) -> Prepared<Self>;
}

/// A statement that is kept prepared: to be loaded, or run by [`Prepared::run`]. Diesel's `execute` takes it by
/// reference, and does not see then that it may be kept.
pub(super) struct Prepared<Q>(Q);

/// The rows of a statement that returns none.
struct Nothing;

impl<DB: Backend> QueryableByName<DB> for Nothing {
    fn build<'a>(_: &impl NamedRow<'a, DB>) -> deserialize::Result<Self> {
        Ok(Self)
    }
}

impl<Q> Prepared<Q> {
    /// Runs a statement that returns nothing.
    #[expect(private_bounds, reason = "nobody sees the rows")]
    pub(super) fn run<'q>(self, conn: &mut AnyConnection) -> QueryResult<()>
    where
        Self: LoadQuery<'q, AnyConnection, Nothing>,
    {
        self.load::<Nothing>(conn).map(drop)
    }
}

impl<Q: Query<SqlType = Untyped>> Prepare for Q {
    fn prepared(self) -> Prepared<Self> {
        Prepared(self)
    }
}

impl<Q> QueryId for Prepared<Q> {
    type QueryId = ();
    // The statement is found again by its text.
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<Q> Query for Prepared<Q> {
    type SqlType = Untyped;
}

impl<Q, Conn> RunQueryDsl<Conn> for Prepared<Q> {}

impl<Q: QueryFragment<DB>, DB: Backend> QueryFragment<DB> for Prepared<Q> {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        self.0.walk_ast(out)
    }

    fn is_safe_to_cache_prepared(&self, _: &DB) -> QueryResult<bool> {
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use diesel::{
        sql_query,
        sql_types::{BigInt, Text},
    };

    use super::*;
    use crate::store::{Tx, testing};

    #[derive(QueryableByName)]
    struct Count {
        #[diesel(sql_type = BigInt)]
        number: i64,
    }

    fn count(tx: &mut Tx<'_>, sql: &str) -> i64 {
        sql_query(sql).get_result::<Count>(tx.conn).expect("counted").number
    }

    #[test]
    fn a_statement_without_a_result_is_carried_out_each_time_and_prepared_once() {
        for database in testing::databases() {
            let run = |tx: &mut Tx<'_>| {
                for key in ["edX/A/1", "edX/B/1"] {
                    sql_query("/* kept */ INSERT INTO course (course_key) VALUES ($1)")
                        .bind::<Text, _>(key)
                        .prepared()
                        .run(tx.conn)?;
                }
                assert_eq!(count(tx, "SELECT count(*) AS number FROM course"), 2);
                if matches!(tx.conn, AnyConnection::Postgres(_)) {
                    let kept =
                        "SELECT count(*) AS number FROM pg_prepared_statements WHERE statement LIKE '%kept%INSERT%'";
                    assert_eq!(count(tx, kept), 1);
                }
                Ok(())
            };
            database.store().transaction("test", run).expect("committed");
        }
    }
}
