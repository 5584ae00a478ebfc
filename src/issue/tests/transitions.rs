//! Every way of the state machine that the loop can take.

use std::sync::atomic::Ordering;

use chrono::TimeDelta;
use tokio_util::sync::CancellationToken;

use super::{
    Running, Scripted,
    scripted::{Call, Fault},
    until, until_all,
};
use crate::{
    domain::{
        LearnerId,
        award::{
            AwardId,
            AwardState::{Blocked, Dead, Failed, Issued, Issuing, Pending, Uncertain},
        },
    },
    issue::attempt::Done,
    store::{
        assertions, awards,
        awards::{Step, testing::LEASE},
        outbox,
        testing::{TestDatabase, databases},
    },
};

fn one_award() -> impl Iterator<Item = TestDatabase> {
    databases().inspect(|database| database.decide([1], &database.badge_class("three")))
}

fn the_award(database: &TestDatabase) -> AwardId {
    AwardId::of(LearnerId(1), &database.badge_class("three").key, "")
}

fn reason(database: &TestDatabase) -> Option<String> {
    let id = the_award(database);
    let award = database.store().read("test", |tx| awards::get(tx, id));
    award.expect("read").expect("there").reason
}

#[tokio::test(flavor = "multi_thread")]
async fn an_award_becomes_an_assertion_and_an_event() {
    for database in databases() {
        for backend in [Scripted::remote(), Scripted::local()] {
            let store = database.store();
            let learner = if backend.calls().is_empty() && database.states().is_empty() {
                1
            } else {
                2
            };
            let badge = database.badge_class("three");
            database.decide([learner], &badge);
            let running = Running::start(&database, &backend);
            until_all(&store, Issued).await;
            running.stop().await;
            assert_eq!(backend.calls(), [Call::Award]);

            let award = (LearnerId(learner), AwardId::of(LearnerId(learner), &badge.key, ""));
            let stored = store.read("test", |tx| assertions::of_award(tx, award.0, award.1));
            let stored = stored.expect("read").expect("there");
            assert_eq!(stored.backend, "scripted");
            assert_eq!(stored.issuer, "https://backend.example/issuer");
            let by_id = store.read("test", |tx| assertions::get(tx, &stored.id.to_string()));
            assert_eq!(by_id.expect("read").as_ref(), Some(&stored));

            let events = store
                .transaction("test", |tx| outbox::claim(tx, 10, LEASE))
                .expect("claimed");
            let event = events
                .iter()
                .find(|event| event.lease.learner.0 == learner)
                .expect("an event");
            assert_eq!(event.event_id, award.1.event_id("badge.awarded"));
            assert!(!event.payload.contains('@'), "{}", event.payload);
            let payload: serde_json::Value = serde_json::from_str(&event.payload).expect("JSON");
            assert_eq!(payload["assertion"]["id"], stored.id.to_string());
            assert_eq!(payload["badge_class"]["backend_id"], "backend-three");
            assert_eq!(payload["user"]["id"], learner);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_surely_not_sent_is_sent_later_without_a_look_up() {
    for database in one_award() {
        let (backend, store) = (Scripted::remote(), database.store());
        backend.script(Call::Award, [Fault::NotSent]);
        let running = Running::start(&database, &backend);
        until("an attempt", || backend.count(Call::Award) == 1).await;
        until_all(&store, Pending).await;
        database.clock.advance(TimeDelta::seconds(10));
        until_all(&store, Issued).await;
        running.stop().await;
        assert_eq!(backend.calls(), [Call::Award, Call::Award]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_was_lost_is_looked_up_and_found() {
    for database in one_award() {
        let (backend, store) = (Scripted::remote(), database.store());
        backend.script(Call::Award, [Fault::Unseen]);
        let running = Running::with(&database, &backend, false);
        until_all(&store, Uncertain).await;
        assert_eq!(backend.calls(), [Call::Award], "nothing before it has settled");
        database.clock.advance(TimeDelta::seconds(31));
        until_all(&store, Issued).await;
        running.stop().await;
        assert_eq!(backend.calls(), [Call::Award, Call::LookUp]);
        assert_eq!(backend.issued(), [1]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_was_lost_is_looked_up_and_sent_again() {
    for database in one_award() {
        let (backend, store) = (Scripted::remote(), database.store());
        backend.script(Call::Award, [Fault::Lost]);
        backend.script(Call::LookUp, [Fault::Lost, Fault::NotSent]);
        let running = Running::start(&database, &backend);
        for looked in 0..3 {
            until("looked up", || backend.count(Call::LookUp) == looked).await;
            until_all(&store, Uncertain).await;
            database.clock.advance(TimeDelta::seconds(41));
        }
        until_all(&store, Issued).await;
        running.stop().await;
        assert_eq!(
            backend.calls(),
            [Call::Award, Call::LookUp, Call::LookUp, Call::LookUp, Call::Award]
        );
        assert_eq!(backend.issued(), [1]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_badge_from_before_counts_as_ours_where_that_is_wanted() {
    for (adopt, state) in [(true, Issued), (false, Failed)] {
        for database in one_award() {
            let (backend, store) = (Scripted::remote(), database.store());
            backend.holds(&database.badge_class("three"), 1);
            let running = Running::with(&database, &backend, adopt);
            until_all(&store, state).await;
            running.stop().await;
            let expected = (!adopt).then(|| "foreign_award".to_owned());
            assert_eq!(reason(&database), expected);
            assert_eq!(backend.count(Call::Award), 1);
            assert_eq!(backend.count(Call::LookUp), usize::from(adopt));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_ends_when_its_cause_is_gone() {
    for database in one_award() {
        let (backend, store) = (Scripted::remote(), database.store());
        backend.always(Call::Award, Fault::Blocked);
        let running = Running::start(&database, &backend);
        until_all(&store, Blocked).await;
        running.stop().await;
        assert_eq!(reason(&database).as_deref(), Some("not_authorized"));
        backend.always(Call::Award, Fault::None);
        let running = Running::start(&database, &backend);
        until_all(&store, Issued).await;
        running.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_issued_to_try_frees_those_that_wait_for_the_same_badge_class() {
    for database in databases() {
        database.decide([1, 2], &database.badge_class("three"));
        let (store, (issuer, _)) = (database.store(), Running::issuer(&database, &Scripted::remote(), true));
        let claim = store.transaction("test", |tx| awards::claim(tx, 2, LEASE, TimeDelta::zero()));
        let claimed = claim.expect("written").awards;
        let blocked = Step {
            learner: claimed[0].learner,
            award: claimed[0].award,
            lease_token: claimed[0].lease_token,
            state: Blocked,
            reason: Some("not_authorized"),
            after: TimeDelta::zero(),
            posted: false,
            counted: true,
            error: None,
        };
        let stop = CancellationToken::new();
        issuer.write(vec![Done::Step(blocked)], &stop).await.expect("written");
        assert_eq!(database.states(), [(Issuing, 1), (Blocked, 1)]);
        issuer.probing.store(true, Ordering::Relaxed);
        let issued = Done::Issued(Box::new(awards::testing::completed(&claimed[1])));
        issuer.write(vec![issued], &stop).await.expect("written");
        assert_eq!(database.states(), [(Pending, 1), (Issued, 1)]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_waits_for_a_person() {
    for database in one_award() {
        let (backend, store) = (Scripted::remote(), database.store());
        backend.script(Call::Award, [Fault::Refused]);
        let running = Running::start(&database, &backend);
        until_all(&store, Failed).await;
        database.clock.advance(TimeDelta::days(1));
        let id = the_award(&database);
        let failed = store.transaction("test", |tx| awards::retry(tx, id));
        let retried = failed.expect("written").expect("there");
        assert_eq!((retried.state, retried.attempts), (Pending, 1));
        until_all(&store, Issued).await;
        running.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_old_is_given_up() {
    for database in one_award() {
        let (backend, store) = (Scripted::remote(), database.store());
        backend.always(Call::Award, Fault::NotSent);
        let running = Running::start(&database, &backend);
        until("an attempt", || backend.count(Call::Award) == 1).await;
        until_all(&store, Pending).await;
        database.clock.advance(TimeDelta::days(8));
        until_all(&store, Dead).await;
        running.stop().await;
        assert_eq!(reason(&database).as_deref(), Some("too_old"));
    }
}
