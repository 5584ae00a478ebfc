//! Whom leases keep off; and what a backlog costs on PostgreSQL: whoever claims, marks or writes a few events must not
//! read all that wait.

use chrono::TimeDelta;
use diesel::{QueryableByName, RunQueryDsl, sql_query, sql_types::BigInt};

use super::{EventLease, LEASE, claim, mark_published, release, renew};
use crate::store::{
    Store, StoreError, Tx,
    awards::{self, Completed, issue_at_once},
    testing::{TestDatabase, databases, postgres},
};

/// Unpublished events, each of another learner: their index has some two hundred pages.
const BACKLOG: i64 = 20_000;
/// So many of them are dealt with.
const FEW: usize = 200;
/// Pages of the table and its indexes, for each of these, at most: a look-up takes three, a new version of a row ten.
const PAGES_EACH: i64 = 25;

#[derive(QueryableByName)]
struct Pages {
    #[diesel(sql_type = BigInt)]
    pages: i64,
}

/// So many pages of the outbox did this connection ask for.
fn pages(tx: &mut Tx<'_>) -> Result<i64, StoreError> {
    let asked = "SELECT CAST(sum(pg_stat_get_xact_blocks_fetched(oid)) AS bigint) AS pages FROM pg_class \
                 WHERE relname LIKE 'outbox%'";
    Ok(sql_query(asked).get_result::<Pages>(tx.conn)?.pages)
}

/// Does it, and checks how many pages it took for so many events.
fn cheaply<T>(
    tx: &mut Tx<'_>,
    events: usize,
    work: impl FnOnce(&mut Tx<'_>) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let before = pages(tx)?;
    let done = work(tx)?;
    let asked = pages(tx)? - before;
    let most = PAGES_EACH * i64::try_from(events).expect("few");
    assert!(asked > 0, "pages are counted");
    assert!(asked <= most, "{asked} pages for {events} events of {BACKLOG}");
    Ok(done)
}

/// Nobody has analyzed the table.
fn backlog() -> Option<TestDatabase> {
    let database = postgres()?;
    let filled = database.store().transaction("test", |tx| {
        let events = "INSERT INTO outbox (learner_id, seq, event_id, event_type, award_id, payload, created_at) \
                      SELECT n, 1, CAST(gen_random_uuid() AS text), 'badge.awarded', CAST(n AS text), \
                      repeat('x', 500), timestamp '2026-11-01' + n * interval '1 ms' FROM generate_series(1, $1) n";
        Ok(sql_query(events).bind::<BigInt, _>(BACKLOG).execute(tx.conn)?)
    });
    assert_eq!(filled.expect("filled"), FEW * 100);
    Some(database)
}

fn claim_few(store: &Store) -> Vec<EventLease> {
    let claimed = store.claim_transaction("test", true, |tx| cheaply(tx, FEW, |tx| claim(tx, FEW, LEASE)));
    let leases: Vec<EventLease> = claimed.expect("claimed").iter().map(|event| event.lease).collect();
    assert_eq!(leases.len(), FEW);
    leases
}

#[test]
fn a_claim_does_not_read_the_backlog_for_each_event() {
    let Some(database) = backlog() else { return };
    let store = database.store();
    let first = claim_few(&store);
    let second = claim_few(&store);
    assert!(
        first.last().expect("some").learner < second[0].learner,
        "the oldest first"
    );
}

#[test]
fn a_mark_does_not_read_the_backlog_for_each_event() {
    let Some(database) = backlog() else { return };
    let store = database.store();
    let leases = claim_few(&store);
    let marked = store.transaction("test", |tx| cheaply(tx, FEW, |tx| mark_published(tx, &leases)));
    assert_eq!(marked.expect("marked").events, FEW);
}

/// The index of what is unpublished holds what was published since the last vacuum, too.
#[test]
fn a_mark_does_not_read_what_was_published_for_each_event() {
    let Some(database) = backlog() else { return };
    let store = database.store();
    let published = store.transaction("test", |tx| {
        let most = "UPDATE outbox SET published_at = created_at WHERE learner_id <= $1 - 1000";
        Ok(sql_query(most).bind::<BigInt, _>(BACKLOG).execute(tx.conn)?)
    });
    assert_eq!(published.expect("published"), FEW * 95);
    let leases = claim_few(&store);
    let marked = store.transaction("test", |tx| cheaply(tx, FEW, |tx| mark_published(tx, &leases)));
    assert_eq!(marked.expect("marked").events, FEW);
}

#[test]
fn an_award_at_once_does_not_read_the_backlog() {
    let Some(database) = backlog() else { return };
    let store = database.store();
    let badge_class = database.badge_class("three");
    let learners = BACKLOG + 1..=BACKLOG + 50;
    let awards: Vec<awards::AwardKey> = {
        database.decide(learners, &badge_class);
        awards::testing::claim_all(&store)
            .iter()
            .map(|award| (award.learner, award.award))
            .collect()
    };
    let issued = store.deciding_transaction("test", |tx| {
        sql_query("UPDATE award SET state = 'pending', posted = false").execute(tx.conn)?;
        let issue = |award: &awards::ClaimedAward| -> Option<Completed> { Some(awards::testing::completed(award)) };
        cheaply(tx, awards.len(), |tx| issue_at_once(tx, &awards, &issue, Some(LEASE)))
    });
    let issued = issued.expect("issued");
    assert_eq!((issued.awards, issued.claimed.len()), (50, 50));
}

#[test]
fn a_lease_lasts_while_its_holder_renews_it_and_no_longer() {
    for database in databases() {
        let store = database.store();
        database.decide([1], &database.badge_class("three"));
        let done: Vec<Completed> = awards::testing::claim_all(&store)
            .iter()
            .map(awards::testing::completed)
            .collect();
        let written = store.transaction("test", |tx| awards::complete(tx, &done));
        assert_eq!(written.expect("written").len(), 1);
        let claimed = || -> Vec<EventLease> {
            let claimed = store.transaction("test", |tx| claim(tx, FEW, LEASE));
            claimed.expect("claimed").iter().map(|event| event.lease).collect()
        };
        let renewed = |leases: &[EventLease]| {
            store
                .transaction("test", |tx| renew(tx, leases, LEASE))
                .expect("no error")
        };
        let most_of_it = LEASE * 2 / 3;
        let first = claimed();
        for _ in 0..3 {
            database.clock.advance(most_of_it);
            renewed(&first);
            assert_eq!(claimed(), []);
        }
        database.clock.advance(LEASE + TimeDelta::seconds(1));
        let second = claimed();
        assert_eq!(second.len(), 1, "its holder is gone");
        database.clock.advance(most_of_it);
        renewed(&first);
        database.clock.advance(most_of_it);
        let third = claimed();
        assert_eq!(third.len(), 1, "who lost a lease renews none");
        let given_back = store.transaction("test", |tx| release(tx, &third, TimeDelta::seconds(-1)));
        given_back.expect("written");
        renewed(&third);
        assert_eq!(claimed().len(), 1, "nor does who gave it back");
    }
}
