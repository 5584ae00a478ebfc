//! Events that those who wrote them hand over.

use std::time::{Duration, Instant};

use diesel::{QueryDsl, RunQueryDsl};

use super::{AWARDED, Running, broker, header, until};
use crate::{
    domain::{award::AwardState::Published, badge_class::BadgeClass},
    kafka::ProducerOptions,
    store::{
        Store,
        awards::{
            self, AwardKey,
            testing::{completed, decision, states},
        },
        outbox::{self, Handover},
        schema::outbox as outbox_rows,
        testing::{TestDatabase, databases},
    },
    wire::record::Record,
};

/// It never looks for work by itself.
fn start(store: std::sync::Arc<Store>) -> Running {
    let never = Duration::from_hours(1);
    Running::that_looks(never, outbox::LEASE, broker(), store, &[], ProducerOptions::default())
}

/// Awards of these, issued with their decision.
fn issued(database: &TestDatabase, whose: &[(i64, &BadgeClass)], claimed_at: Instant) -> Handover {
    let decisions: Vec<_> = whose.iter().map(|(id, class)| decision(*id, class)).collect();
    let issued = database.store().transaction("test", |tx| {
        let new = awards::insert_decisions(tx, &decisions)?;
        let keys: Vec<AwardKey> = new.iter().map(awards::key_of).collect();
        awards::issue_at_once(tx, &keys, &|award| Some(completed(award)), Some(outbox::LEASE))
    });
    Handover {
        events: issued.expect("stored").claimed,
        claimed_at,
    }
}

fn named(records: &[Record]) -> Vec<(String, String)> {
    let mut named: Vec<(String, String)> = records
        .iter()
        .map(|record| (header(record, "ce_subject"), header(record, "ce_sequence")))
        .collect();
    named.sort();
    named
}

#[tokio::test(flavor = "multi_thread")]
async fn they_go_out_without_a_look_and_the_later_ones_of_their_learners_after_them() {
    for database in databases() {
        let store = database.store();
        let [one, two] = ["one", "two"].map(|slug| database.badge_class(slug));
        for id in [1, 2] {
            database.learner(id, Some("a@example.com"));
        }
        let running = start(database.store());
        let handover = issued(&database, &[(1, &one), (1, &two), (2, &one)], Instant::now());
        assert_eq!(handover.events.len(), 2);
        running.relay.send(handover).await.expect("it runs");
        until("published", || states(&store) == [(Published, 3)]).await;
        let records = tokio::task::block_in_place(|| running.read(AWARDED, 3));
        let expected = [("1", "1"), ("1", "2"), ("2", "1")].map(|(id, seq)| (id.to_owned(), seq.to_owned()));
        assert_eq!(named(&records), expected);
        running.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_handed_over_before_the_end_goes_out() {
    for database in databases() {
        let store = database.store();
        let one = database.badge_class("one");
        let running = start(database.store());
        for learner in 1..=3 {
            database.learner(learner, Some("a@example.com"));
            let handover = issued(&database, &[(learner, &one)], Instant::now());
            running.relay.send(handover).await.expect("it runs");
        }
        running.stop().await;
        assert_eq!(states(&store), [(Published, 3)]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waited_too_long_is_given_back() {
    for database in databases() {
        let store = database.store();
        let one = database.badge_class("one");
        database.learner(1, Some("a@example.com"));
        let running = Running::start(&database, 1_000_000);
        let long_ago = Instant::now().checked_sub(Duration::from_secs(60)).expect("it was on");
        let handover = issued(&database, &[(1, &one)], long_ago);
        running.relay.send(handover).await.expect("it runs");
        until("published", || states(&store) == [(Published, 1)]).await;
        let token = store.read("test", |tx| {
            Ok(outbox_rows::table
                .select(outbox_rows::lease_token)
                .first::<i64>(tx.conn)?)
        });
        assert_eq!(token.expect("read"), 3, "given back, and claimed again");
        running.stop().await;
    }
}
