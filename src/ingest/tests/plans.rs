//! How PostgreSQL finds what a batch is about, in a database that was empty a moment ago.

use diesel::{
    QueryableByName, RunQueryDsl,
    connection::SimpleConnection,
    sql_query,
    sql_types::{BigInt, Text},
};

use super::support::{enrollment, item, writer};
use crate::{
    ingest::Item,
    store::{Store, testing::postgres},
};

const BATCH: i64 = 1_000;

#[derive(QueryableByName)]
struct Reads {
    #[diesel(sql_type = Text)]
    relname: String,
    /// Rows that were read.
    #[diesel(sql_type = BigInt)]
    rows: i64,
    /// How often something was looked up by an index.
    #[diesel(sql_type = BigInt)]
    look_ups: i64,
}

/// Up to now, as the one connection that was used counted them.
fn reads(store: &Store) -> Vec<Reads> {
    let flushed = store.read("flush", |tx| {
        Ok(sql_query("SELECT pg_stat_force_next_flush()").execute(tx.conn)?)
    });
    flushed.expect("asked");
    let sql = "SELECT relname::text, seq_tup_read + idx_tup_fetch AS rows, idx_scan AS look_ups \
               FROM pg_stat_user_tables WHERE relname IN ('learner', 'learner_course') ORDER BY 1";
    let reads = store.read("reads", |tx| Ok(sql_query(sql).load(tx.conn)?));
    reads.expect("counted")
}

/// Half of its learners are of the batch before.
fn batch(number: i64) -> Vec<Item> {
    let first = number * BATCH / 2;
    let learners = first..first + BATCH;
    learners
        .map(|learner| item(number, enrollment(learner + 1, 1, number % 2 == 0)))
        .collect()
}

/// What suits a table of one row must not last while it grows.
#[test]
fn a_batch_does_not_keep_to_the_plans_of_a_small_table() {
    let Some(database) = postgres() else { return };
    let store = database.store();
    let mut writer = writer(&database);
    writer.apply(&batch(0)[..1]).expect("applied");
    let told = store.read("analyze", |tx| {
        Ok(tx.conn.batch_execute("ANALYZE learner; ANALYZE learner_course")?)
    });
    told.expect("it knows of one row each");
    for number in 0..=10 {
        writer.apply(&batch(number)).expect("applied");
    }
    let before = reads(&store);
    writer.apply(&batch(11)).expect("applied");
    let after = reads(&store);
    assert_eq!(after.len(), 2);
    for (before, after) in before.iter().zip(&after) {
        let (rows, look_ups) = (after.rows - before.rows, after.look_ups - before.look_ups);
        let told = format!("{}: {rows} rows read, {look_ups} look-ups", after.relname);
        assert!(rows <= 3 * BATCH, "{told}");
        assert!(look_ups >= BATCH / 2, "{told}");
    }
}
