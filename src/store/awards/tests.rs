mod resuming;

use std::collections::HashSet;

use chrono::TimeDelta;
use diesel::{RunQueryDsl, sql_query};

use super::{
    testing::{claim_all, completed, decision, states},
    *,
};
use crate::{
    domain::award::AwardState::{Blocked, Cancelled, Dead, Failed, Issued, Issuing, Pending, Published, Uncertain},
    store::{
        Store, assertions, outbox,
        testing::{TestDatabase, databases},
    },
};

fn step(award: &ClaimedAward, state: AwardState) -> Step {
    Step {
        learner: award.learner,
        award: award.award,
        lease_token: award.lease_token,
        state,
        reason: Some("because"),
        after: TimeDelta::seconds(10),
        posted: state == Uncertain,
        counted: true,
        error: Some("what happened".to_owned()),
    }
}

fn apply(store: &Store, step: &Step) -> usize {
    let applied = store.transaction("test", |tx| apply_steps(tx, std::slice::from_ref(step)));
    applied.expect("written").len()
}

fn complete_all(store: &Store, awards: &[ClaimedAward]) -> usize {
    let completed: Vec<Completed> = awards.iter().map(completed).collect();
    let written = store.transaction("test", |tx| complete(tx, &completed));
    written.expect("written").len()
}

fn one_award() -> impl Iterator<Item = TestDatabase> {
    databases().inspect(|database| database.decide([1], &database.badge_class("three")))
}

#[test]
fn a_decision_is_stored_once() {
    for database in databases() {
        let badge = database.badge_class("three");
        for id in [1, 2] {
            database.learner(id, None);
        }
        let store = database.store();
        let insert = |ids: &[i64]| {
            let decisions: Vec<Decision> = ids.iter().map(|id| decision(*id, &badge)).collect();
            let new = store.transaction("test", |tx| insert_decisions(tx, &decisions));
            new.expect("stored").iter().map(|new| new.learner.0).collect::<Vec<_>>()
        };
        assert_eq!(insert(&[2]), [2]);
        assert_eq!(insert(&[2, 1, 1]), [1]);
        assert_eq!(database.states(), [(Pending, 2)]);
    }
}

#[test]
fn two_workers_claim_different_awards() {
    for database in databases() {
        database.decide(1..=40, &database.badge_class("three"));
        let store = database.store();
        let worker = || {
            let mut mine = Vec::new();
            loop {
                let claimed = store.transaction("test", |tx| claim(tx, 3, testing::LEASE, TimeDelta::zero()));
                let claimed = claimed.expect("claimed").awards;
                if claimed.is_empty() {
                    break mine;
                }
                mine.extend(claimed.into_iter().map(|award| award.award));
            }
        };
        let (one, two) = std::thread::scope(|scope| {
            let (one, two) = (scope.spawn(worker), scope.spawn(worker));
            (one.join().expect("ended"), two.join().expect("ended"))
        });
        let all: HashSet<_> = one.iter().chain(&two).collect();
        assert_eq!((one.len() + two.len(), all.len()), (40, 40));
    }
}

#[test]
fn a_claim_carries_what_issuing_needs() {
    for database in one_award() {
        let awards = claim_all(&database.store());
        let [award] = awards.as_slice() else {
            panic!("one is due")
        };
        assert_eq!((award.learner.0, award.username.as_str()), (1, "learner1"));
        assert_eq!(award.recipient, "a@example.com");
        assert_eq!(award.badge_class.key.slug, "three");
        assert_eq!(award.reason, decision(1, &award.badge_class).reason);
        assert_eq!((award.attempts, award.posted, award.must_look_up), (1, false, false));
        assert_eq!(database.states(), [(Issuing, 1)]);
        assert!(!format!("{award:?}").contains('@'));
    }
}

#[test]
fn the_address_of_the_first_claim_stays() {
    for database in one_award() {
        let store = database.store();
        let award = claim_all(&store).remove(0);
        assert_eq!(apply(&store, &step(&award, Uncertain)), 1);
        let moved = store.transaction("test", |tx| {
            Ok(sql_query("UPDATE learner SET email = 'new@example.com'").execute(tx.conn)?)
        });
        assert_eq!(moved.expect("written"), 1);
        database.clock.advance(TimeDelta::seconds(11));
        assert_eq!(claim_all(&store)[0].recipient, "a@example.com");
    }
}

#[test]
fn each_step_leads_where_the_diagram_says() {
    for (state, due_again, looks) in [
        (Pending, true, false),
        (Uncertain, true, true),
        (Blocked, false, false),
        (Failed, false, false),
        (Dead, false, false),
    ] {
        for database in one_award() {
            let store = database.store();
            let award = claim_all(&store).remove(0);
            assert_eq!(apply(&store, &step(&award, state)), 1);
            assert_eq!(database.states(), [(state, 1)]);
            let stored = store
                .read("test", |tx| get(tx, award.award))
                .expect("read")
                .expect("there");
            assert_eq!(stored.reason.as_deref(), Some("because"));
            assert_eq!(stored.last_error.as_deref(), Some("what happened"));
            assert!(claim_all(&store).is_empty(), "not before it is due");
            database.clock.advance(TimeDelta::seconds(11));
            let again = claim_all(&store);
            assert_eq!(again.len(), usize::from(due_again), "{state:?}");
            assert!(
                again
                    .iter()
                    .all(|award| award.must_look_up == looks && award.attempts == 2)
            );
        }
    }
}

#[test]
fn a_lease_that_ran_out_is_an_unknown_outcome() {
    for database in one_award() {
        let store = database.store();
        let stale = claim_all(&store).remove(0);
        database.clock.advance(TimeDelta::seconds(61));
        assert!(claim_all(&store).is_empty(), "its effect may still appear");
        assert_eq!(database.states(), [(Uncertain, 1)]);
        database.clock.advance(TimeDelta::seconds(31));
        let award = claim_all(&store).remove(0);
        assert!(award.must_look_up && award.posted);

        assert_eq!(complete_all(&store, std::slice::from_ref(&stale)), 0);
        assert_eq!(apply(&store, &step(&stale, Failed)), 0);
        assert_eq!(database.states(), [(Issuing, 1)]);
        let nothing = store.read("test", |tx| {
            Ok((
                assertions::of_award(tx, stale.learner, stale.award)?,
                outbox::backlog(tx)?.0,
            ))
        });
        assert_eq!(nothing.expect("read"), (None, 0));
        assert_eq!(complete_all(&store, &[award]), 1);
        assert_eq!(database.states(), [(Issued, 1)]);
    }
}

#[test]
fn a_batch_stores_what_is_held_and_drops_what_is_not() {
    for database in databases() {
        database.decide(1..=3, &database.badge_class("three"));
        let store = database.store();
        let awards = claim_all(&store);
        assert_eq!(apply(&store, &step(&awards[1], Cancelled)), 1);
        assert_eq!(complete_all(&store, &awards), 2);
        assert_eq!(database.states(), [(Issued, 2), (Cancelled, 1)]);
        assert_eq!(complete_all(&store, &awards), 0, "nothing is issued twice");
        let events = store.read("test", outbox::backlog).expect("read").0;
        assert_eq!(events, 2);
    }
}

#[test]
fn an_award_without_an_address_waits_for_one() {
    for database in databases() {
        let badge = database.badge_class("three");
        database.learner(1, None);
        let store = database.store();
        let inserted = store.transaction("test", |tx| insert_decisions(tx, &[decision(1, &badge)]));
        assert_eq!(inserted.expect("stored").len(), 1);
        assert!(claim_all(&store).is_empty());
        assert_eq!(database.states(), [(Blocked, 1)]);
        let unblocked = store.transaction("test", |tx| {
            sql_query("UPDATE learner SET email = 'a@example.com'").execute(tx.conn)?;
            Ok((
                unblock_no_email(tx, &[LearnerId(2)])?,
                unblock_no_email(tx, &[LearnerId(1)])?,
            ))
        });
        assert_eq!(unblocked.expect("written"), (0, 1));
        assert_eq!(claim_all(&store).len(), 1);
    }
}

#[test]
fn a_retired_learner_gets_nothing() {
    for database in one_award() {
        let store = database.store();
        let retired = store.transaction("test", |tx| {
            Ok(sql_query("UPDATE learner SET retired_at = CURRENT_TIMESTAMP").execute(tx.conn)?)
        });
        assert_eq!(retired.expect("written"), 1);
        assert!(claim_all(&store).is_empty());
        assert_eq!(database.states(), [(Pending, 1)]);
    }
}

#[test]
fn a_person_sends_back_what_was_given_up_and_only_that() {
    for (state, after, looks) in [
        (Failed, Pending, false),
        (Dead, Pending, false),
        (Blocked, Pending, false),
        (Uncertain, Uncertain, true),
        (Cancelled, Cancelled, false),
    ] {
        for database in one_award() {
            let store = database.store();
            let award = claim_all(&store).remove(0);
            assert_eq!(apply(&store, &step(&award, state)), 1);
            let retried = store.transaction("test", |tx| retry(tx, award.award));
            let retried = retried.expect("written").expect("there");
            assert_eq!(retried.state, after);
            assert_eq!(retried.attempts == 0, state == Dead);
            database.clock.advance(TimeDelta::seconds(11));
            let again = claim_all(&store);
            assert_eq!(again.len(), usize::from(after != Cancelled));
            assert!(again.iter().all(|award| award.must_look_up == looks));
        }
    }
}

#[test]
fn what_may_have_been_sent_is_looked_up_after_a_retry_too() {
    for database in one_award() {
        let store = database.store();
        let award = claim_all(&store).remove(0);
        let dead = Step {
            posted: true,
            ..step(&award, Dead)
        };
        assert_eq!(apply(&store, &dead), 1);
        let retried = store.transaction("test", |tx| retry(tx, award.award));
        assert_eq!(retried.expect("written").expect("there").state, Uncertain);
        assert!(claim_all(&store).is_empty());
        database.clock.advance(TimeDelta::seconds(61));
        assert!(claim_all(&store)[0].must_look_up);
    }
}

#[test]
fn a_repaired_badge_class_lets_its_awards_go_on() {
    for database in one_award() {
        let store = database.store();
        let award = claim_all(&store).remove(0);
        assert_eq!(apply(&store, &step(&award, Blocked)), 1);
        let unblocked = store.transaction("test", |tx| {
            Ok((
                unblock_badge_class(tx, BadgeClassId(award.badge_class.id.0 + 1))?,
                unblock_badge_class(tx, award.badge_class.id)?,
            ))
        });
        assert_eq!(unblocked.expect("written"), (0, 1));
        assert_eq!(states(&store), [(Pending, 1)]);
    }
}

fn claim_events(store: &Store) -> Vec<outbox::ClaimedEvent> {
    let claimed = store.transaction("test", |tx| outbox::claim(tx, 100, testing::LEASE));
    claimed.expect("claimed")
}

fn mark(store: &Store, events: &[outbox::ClaimedEvent]) -> usize {
    let leases: Vec<outbox::EventLease> = events.iter().map(|event| event.lease).collect();
    let marked = store.transaction("test", |tx| outbox::mark_published(tx, &leases));
    marked.expect("written").events
}

fn sequences(events: &[outbox::ClaimedEvent]) -> Vec<(i64, i64)> {
    let mut named: Vec<(i64, i64)> = events
        .iter()
        .map(|event| (event.lease.learner.0, event.lease.seq))
        .collect();
    named.sort_unstable();
    named
}

/// Learners 1 and 2 have two issued awards each.
fn two_events_each() -> impl Iterator<Item = TestDatabase> {
    databases().inspect(|database| {
        let badges = [database.badge_class("three"), database.badge_class("five")];
        database.decide([1, 2], &badges[0]);
        let second = [decision(1, &badges[1]), decision(2, &badges[1])];
        let store = database.store();
        let stored = store.transaction("test", |tx| insert_decisions(tx, &second));
        assert_eq!(stored.expect("stored").len(), 2);
        assert_eq!(complete_all(&store, &claim_all(&store)), 4);
    })
}

#[test]
fn events_of_a_learner_go_out_one_after_the_other() {
    for database in two_events_each() {
        let store = database.store();
        let first = claim_events(&store);
        assert_eq!(sequences(&first), [(1, 1), (2, 1)]);
        assert!(claim_events(&store).is_empty(), "the second ones wait for the first");
        assert_eq!(mark(&store, &first[..1]), 1);
        let next = claim_events(&store);
        assert_eq!(sequences(&next), [(first[0].lease.learner.0, 2)]);
        assert_eq!(mark(&store, &first[1..]), 1);
        assert_eq!(mark(&store, &next), 1);
        assert_eq!(mark(&store, &claim_events(&store)), 1);
        assert_eq!(database.states(), [(Published, 4)]);
        assert_eq!(store.read("test", outbox::backlog).expect("read"), (0, 0.0));
    }
}

#[test]
fn an_event_whose_lease_ran_out_is_marked_by_its_next_holder_alone() {
    for database in two_events_each() {
        let store = database.store();
        let stale = claim_events(&store);
        database.clock.advance(TimeDelta::seconds(61));
        let taken = claim_events(&store);
        assert_eq!(sequences(&taken), sequences(&stale));
        assert_eq!(mark(&store, &stale), 0);
        assert_eq!(mark(&store, &taken), 2);
    }
}

#[test]
fn a_released_event_comes_again_and_a_parked_one_holds_its_learner_back() {
    for database in two_events_each() {
        let store = database.store();
        let first = claim_events(&store);
        let leases: Vec<outbox::EventLease> = first.iter().map(|event| event.lease).collect();
        let put_back = store.transaction("test", |tx| {
            outbox::park(tx, leases[0], "too_large")?;
            outbox::release(tx, &leases[1..], TimeDelta::seconds(-1))
        });
        put_back.expect("written");
        let again = claim_events(&store);
        assert_eq!(sequences(&again), [(first[1].lease.learner.0, 1)]);
        assert_eq!(mark(&store, &again), 1);
        assert_eq!(sequences(&claim_events(&store)), [(first[1].lease.learner.0, 2)]);
        let waiting = store.read("test", outbox::backlog).expect("read").0;
        assert_eq!(waiting, 3);
    }
}
