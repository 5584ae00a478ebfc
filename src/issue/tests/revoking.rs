//! Revocations on their way.

use chrono::{NaiveDateTime, TimeDelta};
use diesel::{QueryDsl, RunQueryDsl};
use serde_json::Value;

use super::{
    Running, Scripted,
    scripted::{Call, Fault},
    until, until_all,
};
use crate::{
    domain::award::AwardState::{Issued, Pending},
    store::{
        Store,
        api_reads::Window,
        assertions,
        audit::{self, Actor, Via},
        revocations,
        schema::{assertion, outbox, revocation},
        testing::{TestDatabase, databases},
    },
};

/// Longer than what comes before the third attempt, and shorter than an attempt may take.
const PAUSE: TimeDelta = TimeDelta::seconds(25);

const REASON: &str = "a mistake, as ada@example.com says";

fn ask(store: &Store) -> String {
    let actor = Actor {
        name: "staff".to_owned(),
        via: Via::Api,
    };
    store
        .transaction("test", |tx| {
            let id: String = assertion::table.select(assertion::id).first(tx.conn)?;
            revocations::request(tx, &id, REASON, &actor)?;
            // Once more does no harm.
            revocations::request(tx, &id, "another reason", &actor)?;
            Ok(id)
        })
        .expect("asked for")
}

async fn issued(database: &TestDatabase, backend: &std::sync::Arc<Scripted>) -> Running {
    database.decide([1], &database.badge_class("three"));
    let running = Running::start(database, backend);
    until_all(&database.store(), Issued).await;
    running
}

fn events(store: &Store) -> Vec<(i64, String, Value)> {
    let read = store.read("test", |tx| {
        let rows: Vec<(i64, String, String)> = outbox::table
            .select((outbox::seq, outbox::event_type, outbox::payload))
            .order(outbox::seq)
            .load(tx.conn)?;
        Ok(rows)
    });
    let parsed =
        |(seq, kind, payload): (i64, String, String)| (seq, kind, serde_json::from_str(&payload).expect("JSON"));
    read.expect("read").into_iter().map(parsed).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_revoked_at_the_backend_is_told_after_what_was_awarded() {
    for database in databases() {
        let (backend, store) = (Scripted::remote(), database.store());
        let running = issued(&database, &backend).await;
        let id = ask(&store);
        let revoked = || {
            let found = store.read("test", |tx| assertions::get(tx, &id)).expect("read");
            found.and_then(|assertion| assertion.revoked)
        };
        until("revoked", || revoked().is_some()).await;
        assert_eq!(revoked().expect("revoked").1, REASON);
        running.stop().await;
        assert_eq!(backend.count(Call::Revoke), 1);
        let told = events(&store);
        let kinds: Vec<(i64, &str)> = told.iter().map(|(seq, kind, _)| (*seq, kind.as_str())).collect();
        assert_eq!(kinds, [(1, "badge.awarded"), (2, "badge.revoked")]);
        assert_eq!(told[1].2["assertion"], told[0].2["assertion"]);
        assert_eq!(told[1].2["revocation"]["reason"], "a mistake, as [e-mail] says");
        let left: i64 = store
            .read("test", |tx| Ok(revocation::table.count().get_result(tx.conn)?))
            .expect("read");
        assert_eq!(left, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_fails_is_asked_again_and_nothing_is_told_before() {
    for database in databases() {
        let (backend, store) = (Scripted::remote(), database.store());
        let running = issued(&database, &backend).await;
        backend.script(Call::Revoke, [Fault::NotSent, Fault::Lost]);
        ask(&store);
        for asked in 1..=2 {
            until("asked", || backend.count(Call::Revoke) == asked).await;
            let waits = || {
                let read = store.read("test", |tx| {
                    let now = tx.now()?;
                    let row: (i32, Option<String>, NaiveDateTime) = revocation::table
                        .select((
                            revocation::attempts,
                            revocation::last_error,
                            revocation::next_attempt_at,
                        ))
                        .first(tx.conn)?;
                    Ok((row.0, row.1, row.2 - now))
                });
                read.expect("read")
            };
            // The attempt itself holds it for longer than the pause.
            until("put off", || {
                let (attempts, error, wait) = waits();
                usize::try_from(attempts) == Ok(asked) && error.is_some() && wait <= PAUSE
            })
            .await;
            assert_eq!(events(&store).len(), 1);
            database.clock.advance(PAUSE);
        }
        until("told", || events(&store).len() == 2).await;
        running.stop().await;
        assert_eq!(backend.count(Call::Revoke), 3);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_address_in_a_link_is_told_and_our_own_record_stays_whole() {
    let evidence = "https://lms.example.com/c?for=a@example.com&n=1";
    for database in databases() {
        let (backend, store) = (Scripted::remote(), database.store());
        database.decide([1], &database.badge_class("three"));
        change(&store, &format!("UPDATE award SET evidence_url = '{evidence}'"));
        let running = Running::start(&database, &backend);
        until_all(&store, Issued).await;
        let id = ask(&store);
        until("told", || events(&store).len() == 2).await;
        running.stop().await;
        for (_, kind, event) in events(&store) {
            let told = &event["assertion"]["evidence_url"];
            assert_eq!(told, "https://lms.example.com/c?for=%5Be-mail%5D&n=1", "{kind}");
            assert!(!event.to_string().contains('@'), "{event}");
        }
        let read = store.read("test", |tx| {
            let stored: Option<String> = assertion::table.select(assertion::evidence_url).first(tx.conn)?;
            Ok((stored, assertions::get(tx, &id)?))
        });
        let (stored, found) = read.expect("read");
        assert_eq!(stored.as_deref(), Some(evidence));
        assert_eq!(found.expect("there").revoked.expect("revoked").1, REASON);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_badge_is_revoked_also_where_nothing_is_awarded() {
    for database in databases() {
        let (backend, store) = (Scripted::remote(), database.store());
        let class = database.badge_class("three");
        issued(&database, &backend).await.stop().await;
        database.decide([2], &class);
        ask(&store);
        let running = Running::that_only_revokes(&database, &backend);
        until("told", || events(&store).len() == 2).await;
        running.stop().await;
        assert_eq!((backend.count(Call::Revoke), backend.count(Call::Award)), (1, 1));
        assert!(database.states().contains(&(Pending, 1)), "{:?}", database.states());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_again_hastens_what_failed() {
    for database in databases() {
        let store = database.store();
        issued(&database, &Scripted::remote()).await.stop().await;
        ask(&store);
        let work = |tx: &mut crate::store::Tx<'_>| {
            let claimed = revocations::claim(tx, 1, PAUSE)?;
            revocations::put_off(tx, &claimed[0], TimeDelta::hours(1), "not now")?;
            assert_eq!(revocations::claim(tx, 1, PAUSE)?, []);
            Ok(claimed[0].clone())
        };
        let failed = store.transaction("test", work).expect("put off");
        ask(&store);
        let again = store.transaction("test", |tx| {
            assert_eq!(revocations::last_error(tx, failed.learner, failed.award)?, None);
            let claimed = revocations::claim(tx, 1, PAUSE)?;
            assert!(!revocations::complete(tx, &failed)?, "the older lease is over");
            let audited = audit::list(tx, Window { start: 0, length: 100 })?;
            Ok((claimed, audited.len()))
        });
        let (claimed, audited) = again.expect("claimed");
        assert_eq!((claimed.len(), claimed[0].reason.as_str()), (1, REASON));
        assert_eq!(audited, 2, "asked for, and hastened");
    }
}

/// The loop ends with an error, and soon, although nobody told it to stop.
async fn ends_by_itself(running: Running) {
    let ended = tokio::time::timeout(std::time::Duration::from_secs(10), running.task).await;
    let ended = ended.expect("never half alive").expect("no panic");
    assert!(ended.is_err(), "what it does not understand is an error");
}

fn change(store: &Store, sql: &str) {
    let changed = store.transaction("test", |tx| Ok(diesel::sql_query(sql).execute(tx.conn)?));
    assert_eq!(changed.expect("changed"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn issuing_that_cannot_go_on_ends_revoking_too() {
    for backend in [Scripted::local(), Scripted::remote()] {
        for database in databases() {
            database.decide([1], &database.badge_class("three"));
            change(&database.store(), "UPDATE award SET rule = 'of another version'");
            ends_by_itself(Running::start(&database, &backend)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn revoking_that_cannot_go_on_ends_issuing_too() {
    for backend in [Scripted::local(), Scripted::remote()] {
        for database in databases() {
            change(
                &database.store(),
                "INSERT INTO assertion (learner_id, award_id, id, badge_class_id, backend, image_url, assertion_url, \
                 issuer, data, created_at) VALUES (1, 'no id', 'a', 1, 'b', '', '', '', '{}', '2020-01-01 00:00:00')",
            );
            change(
                &database.store(),
                "INSERT INTO revocation (learner_id, award_id, reason, created_at, next_attempt_at) \
                 VALUES (1, 'no id', 'r', '2020-01-01 00:00:00', '2020-01-01 00:00:00')",
            );
            ends_by_itself(Running::start(&database, &backend)).await;
        }
    }
}
