//! Transactions that are in each other's way, on PostgreSQL.

mod clocks;
mod connections;

use std::{
    sync::{Barrier, mpsc::channel},
    time::Duration,
};

use diesel::{RunQueryDsl, sql_query, sql_types::BigInt};

use super::{
    Disposition, StoreError, Tx, may_try_again,
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

#[test]
fn what_stays_locked_is_tried_five_times_and_then_left_for_later() {
    let Some(database) = postgres() else { return };
    let store = database.store();
    seed::learner(&store, 1, "ada", 0);
    for (limit, sqlstate) in [("lock_timeout", "55P03"), ("statement_timeout", "57014")] {
        let mut tries = 0;
        let held = store.transaction("holder", |tx| {
            touch(tx, 1)?;
            let waited = store.transaction_after(&format!("SET LOCAL {limit} = '20ms'"), "waiter", |tx| {
                tries += 1;
                touch(tx, 1)
            });
            Ok(waited)
        });
        let error = held.expect("nobody is in its way").expect_err("it is locked");
        assert_eq!(
            (error.code(), error.disposition()),
            ("database_contention", Disposition::Retry)
        );
        assert_eq!(tries, 5);
        assert_eq!(store.metrics.db_retries.with_label_values(&[sqlstate]).get(), 4);
    }
}

#[test]
fn what_is_locked_for_a_while_passes() {
    let Some(database) = postgres() else { return };
    let store = database.store();
    seed::learner(&store, 1, "ada", 0);
    std::thread::scope(|scope| {
        let ((holds, held), (release, released)) = (channel(), channel::<()>());
        let other = &store;
        let mut holder = Some(scope.spawn(move || {
            let passed = other.transaction("holder", |tx| {
                touch(tx, 1)?;
                holds.send(()).expect("somebody waits");
                released.recv().expect("it is told to go on");
                Ok(())
            });
            passed.expect("nobody is in its way");
        }));
        held.recv().expect("it is locked");
        let mut tries = 0;
        let passed = store.transaction_after("SET LOCAL lock_timeout = '20ms'", "waiter", |tx| {
            tries += 1;
            if tries == 3 {
                release.send(()).expect("it waits");
                holder.take().expect("once").join().expect("no panic");
            }
            touch(tx, 1)
        });
        passed.expect("it passes in the end");
        assert_eq!(tries, 3);
    });
}

#[test]
fn nobody_tries_for_longer_than_kafka_waits() {
    let second = Duration::from_secs(1);
    assert!(may_try_again(4, 89 * second));
    assert!(!may_try_again(5, second));
    // One try more may take a minute, and a poll is due within five.
    assert!(!may_try_again(1, 90 * second));
}
