//! Blocked awards that go on.

use super::*;

#[test]
fn what_may_have_been_sent_is_not_looked_up_before_it_settled_whatever_lets_it_go_on() {
    type Resume = fn(&mut Tx<'_>, &ClaimedAward) -> Result<usize, StoreError>;
    let ways: [(&str, Resume); 3] = [
        ("no_email", |tx, award| unblock_no_email(tx, &[award.learner])),
        ("not_authorized", |tx, award| {
            unblock_badge_class(tx, award.badge_class.id)
        }),
        ("not_authorized", |tx, _| resume_blocked(tx, usize::MAX)),
    ];
    for (reason, resume) in ways {
        for database in one_award() {
            let store = database.store();
            let award = claim_all(&store).remove(0);
            let blocked = Step {
                posted: true,
                reason: Some(reason),
                ..step(&award, Blocked)
            };
            assert_eq!(apply(&store, &blocked), 1);
            database.clock.advance(TimeDelta::seconds(5));
            let resumed = store.transaction("test", |tx| resume(tx, &award));
            assert_eq!(resumed.expect("written"), 1, "{reason}");
            assert_eq!(states(&store), [(Uncertain, 1)]);
            assert!(claim_all(&store).is_empty(), "{reason}: too early to find nothing");
            database.clock.advance(TimeDelta::seconds(61));
            assert!(claim_all(&store)[0].must_look_up);
        }
    }
}

#[test]
fn what_has_been_blocked_for_long_goes_on_at_once() {
    for database in one_award() {
        let store = database.store();
        let award = claim_all(&store).remove(0);
        let blocked = Step {
            posted: true,
            ..step(&award, Blocked)
        };
        assert_eq!(apply(&store, &blocked), 1);
        database.clock.advance(TimeDelta::seconds(61));
        let resumed = store.transaction("test", |tx| resume_blocked(tx, 1));
        assert_eq!(resumed.expect("written"), 1);
        assert!(claim_all(&store)[0].must_look_up);
    }
}
