//! Revocations that are in flight when the learner retires.

use super::*;

/// A badge of the learner whose revocation is claimed, and why it is revoked.
fn in_flight(database: &TestDatabase) -> revocations::ClaimedRevocation {
    let store = database.store();
    do_with(&store, |tx| badge_classes::get_or_create(tx, &new_badge_class("asked")));
    apply(database, vec![requested(1, "asked")]);
    let claimed = testing::claim_all(&store);
    let revoking = do_with(&store, |tx| {
        stored::complete(tx, &[issued(&claimed[0], USERNAME)])?;
        let assertion = assertions::of_award(tx, claimed[0].learner, claimed[0].award)?.expect("issued");
        let reason = format!("{USERNAME} cheated");
        revocations::request(tx, &assertion.id.to_string(), &reason, &staff("admin"))?;
        revocations::claim(tx, 1, TimeDelta::seconds(60))
    });
    assert!(revoking[0].reason.contains(USERNAME));
    revoking[0].clone()
}

#[test]
fn a_revocation_in_flight_brings_no_name_back() {
    for database in databases() {
        let revoking = in_flight(&database);
        retire_by_hand(&database);
        is_nowhere(&database, "retired");
        let error = format!("no {USERNAME} here");
        do_with(&database.store(), |tx| {
            revocations::put_off(tx, &revoking, TimeDelta::zero(), &error)
        });
        is_nowhere(&database, "put off");
        assert!(do_with(&database.store(), |tx| revocations::complete(tx, &revoking)));
        is_nowhere(&database, "completed");
    }
}

/// What the backend says arrives while the retirement is under way: it waits, and then knows of it.
#[test]
fn an_error_that_comes_during_the_retirement_is_not_kept() {
    let Some(database) = crate::store::testing::postgres() else {
        return;
    };
    let revoking = in_flight(&database);
    let store = database.store();
    std::thread::scope(|scope| {
        let (at_work, has_erased) = std::sync::mpsc::channel();
        let retiring = scope.spawn(|| {
            let at_work = at_work;
            store.transaction("test", |tx| {
                retirement::retire(tx, USERNAME, &staff("admin"))?;
                at_work.send(()).expect("heard");
                crate::store::testing::wait_for_a_waiter(tx)
            })
        });
        has_erased.recv().expect("erased");
        let error = format!("no {USERNAME} here");
        do_with(&store, |tx| {
            revocations::put_off(tx, &revoking, TimeDelta::zero(), &error)
        });
        retiring.join().expect("no panic").expect("retired");
    });
    is_nowhere(&database, "put off");
}
