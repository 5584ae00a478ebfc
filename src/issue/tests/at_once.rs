//! Awards that are issued in the transaction that decides them.

use std::{sync::Arc, time::Duration};

use chrono::TimeDelta;
use diesel::{RunQueryDsl, sql_query};
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use super::{scripted::Scripted, until};
use crate::{
    backend::{
        BadgingBackend,
        builtin::{Builtin, Settings, documents::IssuerProfile},
    },
    clock::SystemClock,
    domain::{
        award::AwardState::{Issued, Pending},
        badge_class::BadgeClass,
    },
    issue::{Issuer, Settings as IssueSettings, at_once},
    store::{
        Store, assertions,
        awards::{
            self, AtOnce, AwardKey, IssuedAtOnce, IssuedDue,
            testing::{LEASE, decision},
        },
        badge_classes,
        outbox::{self, ClaimedEvent, Handover, Marked},
        testing::{TestDatabase, databases, postgres, sqlite},
    },
    telemetry::Metrics,
};

const URL: &str = "https://b.example";

fn builtin() -> Arc<dyn BadgingBackend> {
    Arc::new(Builtin::new(Settings {
        public_url: URL.to_owned(),
        issuer: IssuerProfile {
            name: "Example".to_owned(),
            url: "https://academy.example".to_owned(),
            email: "badges@academy.example".to_owned(),
            description: None,
            has_image: false,
        },
    }))
}

fn issues_at_once() -> Arc<AtOnce> {
    at_once(builtin(), URL, Arc::new(SystemClock)).expect("it needs nobody")
}

/// A badge class that the built-in issuer made.
fn made(database: &TestDatabase, slug: &str) -> BadgeClass {
    let class = database.badge_class(slug);
    let made = database.store().transaction("test", |tx| {
        let making = badge_classes::claim_making(tx, class.id, "builtin", LEASE)?.expect("nobody makes it");
        badge_classes::complete_making(tx, class.id, making, ("builtin", &class.public_id), None)
    });
    assert!(made.expect("stored"));
    class
}

/// Decides on these in one transaction and issues what can be; how many were.
fn decide(database: &TestDatabase, decisions: &[(i64, &BadgeClass)]) -> usize {
    decide_and_claim(database, decisions, None).awards
}

fn decide_and_claim(
    database: &TestDatabase,
    decisions: &[(i64, &BadgeClass)],
    lease: Option<TimeDelta>,
) -> IssuedAtOnce {
    let decisions: Vec<_> = decisions.iter().map(|(id, class)| decision(*id, class)).collect();
    let issued = database.store().transaction("test", |tx| {
        let new = awards::insert_decisions(tx, &decisions)?;
        let keys: Vec<AwardKey> = new.iter().map(awards::key_of).collect();
        awards::issue_at_once(tx, &keys, issues_at_once().as_ref(), lease)
    });
    issued.expect("stored")
}

#[test]
fn they_have_assertion_and_event_and_no_lease() {
    for database in databases() {
        let (one, two) = (made(&database, "one"), made(&database, "two"));
        database.learner(1, Some("a@example.com"));
        database.learner(2, Some("b@example.com"));
        assert_eq!(decide(&database, &[(1, &one), (2, &one)]), 2);
        assert_eq!(decide(&database, &[(1, &one), (1, &two)]), 1, "each once");
        assert_eq!(database.states(), [(Issued, 3)]);
        let store = database.store();
        let claimed = store.transaction("test", |tx| awards::claim(tx, 10, LEASE, LEASE));
        assert_eq!(claimed.expect("read").awards, [], "nothing is left to the loop");

        let mut told = Vec::new();
        loop {
            let sent = store.transaction("test", |tx| {
                let events = outbox::claim(tx, 10, LEASE)?;
                let leases: Vec<_> = events.iter().map(|event| event.lease).collect();
                outbox::mark_published(tx, &leases)?;
                Ok(events)
            });
            let sent = sent.expect("read");
            if sent.is_empty() {
                break;
            }
            told.extend(sent);
        }
        told.sort_by_key(|event| (event.lease.learner, event.lease.seq));
        let numbers: Vec<_> = told
            .iter()
            .map(|event| (event.lease.learner.0, event.lease.seq))
            .collect();
        assert_eq!(numbers, [(1, 1), (1, 2), (2, 1)]);
        for event in &told {
            let body: serde_json::Value = serde_json::from_str(&event.payload).expect("JSON");
            let id = body["assertion"]["id"].as_str().expect("an id");
            let stored = store
                .read("test", |tx| assertions::get(tx, id))
                .expect("read")
                .expect("there");
            assert_eq!(stored.learner, event.lease.learner);
            assert_eq!(body["assertion"]["assertion_url"], stored.assertion_url.as_str());
            assert!(!event.payload.contains("@example.com"), "{}", event.payload);
        }
    }
}

#[test]
fn with_a_lease_of_each_learner_the_first_event_is_claimed_as_it_is_written() {
    for database in databases() {
        let [one, two, three] = ["one", "two", "three"].map(|slug| made(&database, slug));
        database.learner(1, Some("a@example.com"));
        database.learner(2, Some("b@example.com"));
        let claim = |limit| {
            let store = database.store();
            store
                .transaction("test", |tx| outbox::claim(tx, limit, LEASE))
                .expect("read")
        };
        let names = |events: &[ClaimedEvent]| {
            let names = events.iter().map(|event| (event.lease.learner.0, event.lease.seq));
            names.collect::<Vec<_>>()
        };
        assert_eq!(decide(&database, &[(2, &one)]), 1);
        let issued = decide_and_claim(&database, &[(1, &one), (1, &two), (2, &two)], Some(LEASE));
        assert_eq!(issued.awards, 3);
        assert_eq!(names(&issued.claimed), [(1, 1)], "of 2 an earlier one is unpublished");
        let relay = claim(10);
        assert_eq!(names(&relay), [(2, 1)], "what is claimed is not claimed once more");

        let leases = issued
            .claimed
            .iter()
            .chain(&relay)
            .map(|event| event.lease)
            .collect::<Vec<_>>();
        let store = database.store();
        let marked = store
            .transaction("test", |tx| outbox::mark_published(tx, &leases))
            .expect("stored");
        assert_eq!(marked, Marked { events: 2, more: true });
        let later = claim(10);
        assert_eq!(names(&later), [(1, 2), (2, 2)]);
        let leases = later.iter().map(|event| event.lease).collect::<Vec<_>>();
        let marked = store
            .transaction("test", |tx| outbox::mark_published(tx, &leases))
            .expect("stored");
        assert_eq!(marked, Marked { events: 2, more: false });

        let again = decide_and_claim(&database, &[(1, &three)], Some(TimeDelta::milliseconds(-1)));
        assert_eq!(names(&again.claimed), [(1, 3)]);
        let relay = claim(10);
        assert_eq!(names(&relay), [(1, 3)], "the lease is over");
        assert!(relay[0].lease.token > again.claimed[0].lease.token);
        assert_eq!(
            (relay[0].event_id, &relay[0].payload),
            (again.claimed[0].event_id, &again.claimed[0].payload)
        );
        assert_eq!(relay[0].created_at, again.claimed[0].created_at);
        assert_eq!(relay[0].event_time, again.claimed[0].event_time);
    }
}

#[test]
fn what_lacks_something_is_left_to_the_loop() {
    for database in databases() {
        let (made, unmade) = (made(&database, "made"), database.badge_class("unmade"));
        database.learner(1, None);
        database.learner(2, Some("b@example.com"));
        assert_eq!(decide(&database, &[(1, &made), (2, &unmade)]), 0);
        assert_eq!(database.states(), [(Pending, 2)]);
    }
}

#[test]
fn who_retired_is_issued_nothing() {
    for database in databases() {
        let class = made(&database, "one");
        database.decide([1], &class);
        database.retire(1);
        let keys = [awards::key_of(&decision(1, &class))];
        let issued = database.store().transaction("test", |tx| {
            awards::issue_at_once(tx, &keys, issues_at_once().as_ref(), None)
        });
        assert_eq!(issued.expect("stored"), IssuedAtOnce::default());
        assert_eq!(database.states(), [(Pending, 1)]);
    }
}

#[test]
fn a_backend_that_asks_a_server_issues_nothing_at_once() {
    for backend in [Scripted::remote(), Scripted::local()] {
        let at_once = at_once(backend.clone(), URL, Arc::new(SystemClock));
        assert_eq!(at_once.is_some(), backend.is_local());
        let database = sqlite();
        database.decide([1], &database.badge_class("one"));
        let keys = [awards::key_of(&decision(1, &database.badge_class("one")))];
        if let Some(at_once) = at_once {
            let issued = database
                .store()
                .transaction("test", |tx| awards::issue_at_once(tx, &keys, at_once.as_ref(), None));
            assert_eq!(issued.expect("stored"), IssuedAtOnce::default());
        }
        assert_eq!(backend.calls(), [], "it is not even asked");
    }
}

fn issue_due(store: &Store, limit: usize, lease: Option<TimeDelta>) -> IssuedDue {
    let issued = store.claim_transaction("test", false, |tx| {
        awards::issue_due(tx, limit, issues_at_once().as_ref(), lease)
    });
    issued.expect("written")
}

#[test]
fn what_is_due_is_issued_without_a_claim_and_the_rest_left_to_one() {
    for database in databases() {
        let (one, unmade) = (made(&database, "one"), database.badge_class("unmade"));
        database.decide(1..=3, &one);
        database.decide([4], &unmade);
        let store = database.store();
        let change = |sql: &str| {
            let changed = store.transaction("test", |tx| Ok(sql_query(sql).execute(tx.conn)?));
            assert_eq!(changed.expect("written"), 1);
        };
        change("UPDATE learner SET email = NULL WHERE learner_id = 2");
        change("UPDATE award SET posted = true WHERE learner_id = 3");
        let due = issue_due(&store, 10, None);
        assert_eq!((due.issued.awards, due.issued.claimed, due.more), (1, vec![], false));
        assert_eq!(database.states(), [(Pending, 3), (Issued, 1)]);
        assert_eq!(store.read("test", outbox::backlog).expect("read").0, 1);
        assert_eq!(issue_due(&store, 3, None).issued.awards, 0, "each once");
        assert!(issue_due(&store, 1, None).more, "those that are left are due");
    }
}

#[test]
fn what_another_holds_is_passed_over() {
    let Some(database) = postgres() else { return };
    let one = made(&database, "one");
    database.decide(1..=3, &one);
    let (store, others) = (database.store(), database.another(Arc::new(SystemClock), 1));
    let meanwhile = others.transaction("test", |tx| {
        sql_query("SELECT 1 FROM learner WHERE learner_id = 1 FOR NO KEY UPDATE").execute(tx.conn)?;
        sql_query("SELECT 1 FROM award WHERE learner_id = 2 FOR UPDATE").execute(tx.conn)?;
        Ok(issue_due(&store, 10, None).issued.awards)
    });
    assert_eq!(meanwhile.expect("read"), 1);
    assert_eq!(issue_due(&store, 10, None).issued.awards, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_due_is_handed_to_the_relay_while_there_is_room() {
    for database in databases() {
        let store = database.store();
        let [one, two] = ["one", "two"].map(|slug| made(&database, slug));
        database.decide([1, 2], &one);
        let second = store.transaction("test", |tx| awards::insert_decisions(tx, &[decision(2, &two)]));
        assert_eq!(second.expect("stored").len(), 1);
        let wake = Arc::new(Notify::new());
        let settings = IssueSettings {
            concurrency: 1,
            poll: Duration::from_millis(10),
            adopt_existing: false,
            public_url: URL.to_owned(),
        };
        let metrics = Arc::new(Metrics::new());
        let (relay, mut handed) = mpsc::channel(1);
        let issuer = Issuer::new(
            store.clone(),
            builtin(),
            settings,
            metrics,
            Arc::default(),
            wake.clone(),
        );
        let stop = CancellationToken::new();
        let task = tokio::spawn(issuer.handing_over(Some(relay)).run(stop.clone()));
        wake.notified().await;
        until("issued", || database.states() == [(Issued, 3)]).await;
        // Nobody has taken them yet: there is no room for more.
        database.decide([3], &one);
        wake.notified().await;
        let claimed = store.transaction("test", |tx| outbox::claim(tx, 10, LEASE));
        let whose = |events: &[ClaimedEvent]| -> Vec<i64> {
            let whose = events.iter().map(|event| event.lease.learner.0);
            whose.collect()
        };
        assert_eq!(
            whose(&claimed.expect("claimed")),
            [3],
            "the rest is claimed, or comes after what is"
        );
        let handover: Handover = handed.try_recv().expect("handed over");
        let mut of = whose(&handover.events);
        of.sort_unstable();
        assert_eq!(of, [1, 2], "the first event of each");
        stop.cancel();
        task.await.expect("no panic").expect("no error");
    }
}
