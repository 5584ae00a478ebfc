use diesel::{QueryDsl, RunQueryDsl};
use serde_json::Value;

use super::*;
use crate::{
    domain::badge_class::BadgeClass,
    store::{
        Store,
        awards::{
            complete,
            testing::{claim_all, completed},
        },
        revocations,
        schema::outbox,
        testing::{TestDatabase, databases},
    },
};

const LEASE: TimeDelta = TimeDelta::seconds(60);

fn run<T>(store: &Store, work: impl FnMut(&mut Tx<'_>) -> Result<T, StoreError>) -> T {
    store.transaction("test", work).expect("the database answers")
}

fn take(store: &Store) -> Option<Claim> {
    let is_due = run(store, |tx| is_due(tx, "badgr"));
    let taken = run(store, |tx| claim(tx, "badgr", LEASE));
    assert!(is_due || taken.is_none(), "one that may be taken is due");
    taken
}

/// Issues what is due at Badgr, each under the id `of-LEARNER`.
fn issue(store: &Store) {
    let mut issued: Vec<_> = claim_all(store).iter().map(completed).collect();
    for one in &mut issued {
        one.assertion.backend = "badgr".into();
        one.assertion.backend_id = Some(format!("of-{}", one.assertion.learner.0));
    }
    run(store, |tx| complete(tx, &issued));
}

fn stored(store: &Store, class: &BadgeClass) -> Vec<StoredAssertion> {
    run(store, |tx| assertions(tx, class.id, "badgr", None))
}

fn issued(database: &TestDatabase, learners: impl IntoIterator<Item = i64>) -> (BadgeClass, Vec<StoredAssertion>) {
    let class = database.badge_class("three");
    database.decide(learners, &class);
    issue(&database.store());
    let stored = stored(&database.store(), &class);
    (class, stored)
}

#[test]
fn one_at_a_time_compares_once_a_day() {
    for database in databases() {
        let store = database.store();
        assert_eq!(take(&store), None, "the first is due after a day");
        assert!(!run(&store, |tx| is_due(tx, "badgr")));
        database.clock.advance(EVERY);
        let first = take(&store).expect("due");
        assert_eq!(take(&store), None, "somebody does it");
        assert_eq!(run(&store, |tx| claim_by_hand(tx, "badgr", LEASE)), None);
        database.clock.advance(LEASE - TimeDelta::seconds(10));
        assert!(run(&store, |tx| renew(tx, &first, LEASE)));
        database.clock.advance(TimeDelta::seconds(20));
        assert_eq!(take(&store), None, "it was renewed");
        run(&store, |tx| finish(tx, &first, EVERY));
        assert_eq!(take(&store), None, "done");
        assert!(run(&store, |tx| claim_by_hand(tx, "http", LEASE)).is_some(), "another");
        database.clock.advance(EVERY);
        assert!(take(&store).is_some());
    }
}

#[test]
fn one_that_was_broken_off_begins_anew_and_its_claim_is_over() {
    for database in databases() {
        let store = database.store();
        let lost = run(&store, |tx| claim_by_hand(tx, "badgr", LEASE)).expect("free");
        database.clock.advance(LEASE + TimeDelta::seconds(1));
        let next = take(&store).expect("its lease ran out");
        assert!(!run(&store, |tx| renew(tx, &lost, LEASE)));
        run(&store, |tx| finish(tx, &lost, TimeDelta::zero()));
        assert_eq!(take(&store), None);
        run(&store, |tx| finish(tx, &next, TimeDelta::minutes(5)));
        database.clock.advance(TimeDelta::minutes(6));
        assert!(take(&store).is_some(), "what could not be compared is tried again");
    }
}

#[test]
fn a_comparison_can_be_hastened_and_never_put_off() {
    for database in databases() {
        let store = database.store();
        run(&store, |tx| hasten(tx, "badgr", TimeDelta::minutes(2)));
        run(&store, |tx| hasten(tx, "badgr", TimeDelta::hours(2)));
        assert_eq!(take(&store), None);
        database.clock.advance(TimeDelta::minutes(3));
        let claimed = take(&store).expect("due");
        run(&store, |tx| hasten(tx, "badgr", TimeDelta::minutes(2)));
        run(&store, |tx| finish(tx, &claimed, EVERY));
        database.clock.advance(TimeDelta::minutes(3));
        assert!(take(&store).is_some(), "hastened while one was under way");
    }
}

#[test]
fn what_one_backend_issued_is_read_slice_by_slice() {
    for database in databases() {
        let store = database.store();
        let (class, all) = issued(&database, [1, 2, 3]);
        database.badge_class("of which there is none");
        let classes = run(&store, |tx| badge_classes(tx, "badgr", None));
        let slugs: Vec<&str> = classes.iter().map(|class| class.slug.as_str()).collect();
        assert_eq!((slugs, &classes[0].backend_id), (vec!["three"], &None));
        assert_eq!(run(&store, |tx| badge_classes(tx, "badgr", Some(class.id))), []);
        assert_eq!(run(&store, |tx| badge_classes(tx, "http", None)), []);
        let ids: Vec<_> = all.iter().filter_map(|one| one.backend_id.as_deref()).collect();
        assert_eq!(ids, ["of-1", "of-2", "of-3"]);
        let first = &all[0];
        assert_eq!((first.recipient.as_deref(), first.attempts), (Some("a@example.com"), 1));
        let after = Some((all[1].learner, all[1].award));
        let rest = run(&store, |tx| assertions(tx, class.id, "badgr", after));
        assert_eq!(rest, all[2..]);
        assert_eq!(run(&store, |tx| assertions(tx, class.id, "http", None)), []);
    }
}

#[test]
fn what_is_found_revoked_is_marked_and_told_once() {
    for database in databases() {
        let store = database.store();
        let (class, all) = issued(&database, [1]);
        let key = (all[0].learner, all[0].award);
        let found = |id: &str| run(&store, |tx| revocations::found_revoked(tx, key, id, "by hand"));
        assert!(!found("another"), "it was issued again meanwhile");
        assert!(found("of-1"));
        assert!(!found("of-1"), "once");
        assert!(stored(&store, &class)[0].is_revoked);
        let told: Vec<(i64, String, String)> = run(&store, |tx| {
            let columns = (outbox::seq, outbox::event_type, outbox::payload);
            Ok(outbox::table.select(columns).order(outbox::seq).load(tx.conn)?)
        });
        let kinds: Vec<_> = told.iter().map(|(seq, kind, _)| (*seq, kind.as_str())).collect();
        assert_eq!(kinds, [(1, "badge.awarded"), (2, "badge.revoked")]);
        let event: Value = serde_json::from_str(&told[1].2).expect("JSON");
        assert_eq!(event["revocation"]["reason"], "by hand");
        database.all_are_due();
        assert_eq!(claim_all(&store), [], "nothing is issued again");
    }
}

#[test]
fn what_is_being_revoked_by_us_is_left_to_that() {
    for database in databases() {
        let store = database.store();
        let (class, all) = issued(&database, [1]);
        let key = (all[0].learner, all[0].award);
        let asked = "INSERT INTO revocation (learner_id, award_id, reason, created_at, next_attempt_at) \
             SELECT learner_id, award_id, 'r', created_at, created_at FROM assertion";
        run(&store, |tx| Ok(sql_query(asked).execute(tx.conn)?));
        assert!(!run(&store, |tx| revocations::found_revoked(tx, key, "of-1", "gone")));
        assert!(!stored(&store, &class)[0].is_revoked);
        assert!(!run(&store, |tx| is_surplus(tx, class.id, &all[0], "surplus")));
    }
}

#[test]
fn what_may_be_another_awards_is_no_surplus() {
    for database in databases() {
        let store = database.store();
        let (class, all) = issued(&database, [1, 2]);
        let surplus = |id: &str| run(&store, |tx| is_surplus(tx, class.id, &all[0], id));
        assert!(surplus("surplus"));
        assert!(!surplus("of-2"), "it is stored");
        // Another learner with the same address.
        database.decide([3], &class);
        assert!(surplus("surplus"), "of which nothing was sent");
        let claimed = claim_all(&store);
        assert!(!surplus("surplus"), "it may be the one that is being issued");
        let issued: Vec<_> = claimed.iter().map(completed).collect();
        run(&store, |tx| complete(tx, &issued));
        assert!(surplus("surplus"));
        let key = (all[0].learner, all[0].award);
        run(&store, |tx| revocations::found_revoked(tx, key, "of-1", "by hand"));
        assert!(!surplus("surplus"), "the only one that is left");
    }
}
