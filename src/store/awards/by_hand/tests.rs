use chrono::TimeDelta;

use super::*;
use crate::store::{
    Store,
    api_reads::{self, AwardFilter, ListedAward, Window},
    audit::Via,
    awards::{
        Completed, Step, apply_steps, complete,
        testing::{claim_all, completed},
    },
    testing::databases,
};

fn event(store: &Store) -> Vec<outbox::ClaimedEvent> {
    let claimed = store.transaction("test", |tx| outbox::claim(tx, 9, TimeDelta::seconds(60)));
    claimed.expect("claimed")
}

fn listed(store: &Store) -> ListedAward {
    let all = Window { start: 0, length: 9 };
    let listed = store.read("test", |tx| api_reads::awards(tx, &AwardFilter::default(), all));
    listed.expect("read").remove(0)
}

#[test]
fn an_event_that_was_set_aside_is_seen_with_its_award_and_goes_out_after_a_retry() {
    for database in databases() {
        let store = database.store();
        database.decide([1], &database.badge_class("three"));
        let done: Vec<Completed> = claim_all(&store).iter().map(completed).collect();
        let issue = store.transaction("test", |tx| complete(tx, &done));
        assert_eq!(issue.expect("written").len(), 1);
        let award = listed(&store);
        let id = AwardId(award.id.parse().expect("an id"));
        assert_eq!(award.state_reason, None);

        let parked = event(&store).remove(0).lease;
        let park = store.transaction("test", |tx| outbox::park(tx, parked, "too_large"));
        park.expect("written");
        assert_eq!(listed(&store).state_reason.as_deref(), Some("event_refused"));
        assert_eq!(event(&store), []);

        let actor = Actor {
            name: "ada".to_owned(),
            via: Via::CommandLine,
        };
        let retried = || store.transaction("test", |tx| retry_by(tx, id, &actor));
        let first = retried().expect("written").expect("an award");
        assert_eq!((first.award.state, first.changed), (AwardState::Issued, true));
        assert_eq!(listed(&store).state_reason, None);
        let again = event(&store).remove(0).lease;
        assert_eq!((again.learner, again.seq), (parked.learner, parked.seq));
        assert!(!retried().expect("written").expect("an award").changed);
        assert_eq!(store.read("test", audit::count).expect("read"), 1);
    }
}

#[test]
fn a_retry_takes_the_new_address_unless_the_old_one_may_have_been_sent() {
    for (posted, told) in [(false, "new@example.com"), (true, "a@example.com")] {
        for database in databases() {
            let store = database.store();
            database.decide([1], &database.badge_class("three"));
            let claimed = claim_all(&store).remove(0);
            assert_eq!(claimed.recipient, "a@example.com");
            let refused = Step {
                learner: claimed.learner,
                award: claimed.award,
                lease_token: claimed.lease_token,
                state: AwardState::Failed,
                reason: Some("refused"),
                after: TimeDelta::zero(),
                posted,
                counted: true,
                error: None,
            };
            let changed = store.transaction("test", |tx| {
                apply_steps(tx, std::slice::from_ref(&refused))?;
                Ok(sql_query("UPDATE learner SET email = 'new@example.com'").execute(tx.conn)?)
            });
            assert_eq!(changed.expect("written"), 1);
            let retried = store.transaction("test", |tx| retry(tx, claimed.award));
            assert!(retried.expect("written").is_some());
            database.all_are_due();
            assert_eq!(claim_all(&store).remove(0).recipient, told);
        }
    }
}
