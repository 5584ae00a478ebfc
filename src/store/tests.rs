//! Transactions that are in each other's way, on PostgreSQL.

use std::sync::Barrier;

use diesel::{RunQueryDsl, sql_query, sql_types::BigInt};

use super::{
    StoreError, Tx,
    testing::{postgres, seed},
};

fn touch(tx: &mut Tx<'_>, learner: i64) -> Result<(), StoreError> {
    sql_query("UPDATE learner SET enrolled = enrolled + 1 WHERE learner_id = $1")
        .bind::<BigInt, _>(learner)
        .execute(tx.conn)?;
    Ok(())
}

#[test]
fn a_deadlock_is_tried_again() {
    let Some(database) = postgres() else { return };
    let store = database.store();
    seed::learner(&store, 1, "ada", 0);
    seed::learner(&store, 2, "bob", 0);
    let both_hold_one = Barrier::new(2);
    std::thread::scope(|scope| {
        for (first, second) in [(1, 2), (2, 1)] {
            let (store, both_hold_one) = (&store, &both_hold_one);
            scope.spawn(move || {
                let mut tries = 0;
                let passed = store.transaction("cross", |tx| {
                    tries += 1;
                    touch(tx, first)?;
                    if tries == 1 {
                        both_hold_one.wait();
                    }
                    touch(tx, second)
                });
                passed.expect("it passes in the end");
            });
        }
    });
    assert_eq!(database.deadlocks(), 1);
}

#[test]
fn a_serialization_failure_is_tried_again() {
    let Some(database) = postgres() else { return };
    let store = database.store();
    seed::learner(&store, 1, "ada", 0);
    let mut tries = 0;
    let isolated = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ";
    let passed = store.transaction_after(isolated, "late", |tx| {
        tries += 1;
        // From here on it does not see what others do.
        sql_query("SELECT 1 FROM learner").execute(tx.conn)?;
        if tries == 1 {
            store.transaction("early", |tx| touch(tx, 1))?;
        }
        touch(tx, 1)
    });
    passed.expect("it passes in the end");
    assert_eq!(tries, 2);
    assert_eq!(store.metrics.db_retries.with_label_values(&["40001"]).get(), 1);
}
