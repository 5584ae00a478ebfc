//! Awards whose outcome is not known when the learner retires.

use super::*;
use crate::{
    domain::award::AwardState,
    store::api_reads::{self, AwardFilter, ListedAward, Window},
};

/// The cancelled awards, by whether they may be at the backend.
fn cancelled(database: &TestDatabase) -> (Vec<ListedAward>, Vec<ListedAward>) {
    let filter = AwardFilter {
        state: Some(AwardState::Cancelled),
        ..AwardFilter::default()
    };
    let all = Window { start: 0, length: 100 };
    let (listed, posted) = database
        .store()
        .read("test", |tx| {
            let posted: Vec<String> = award::table.filter(award::posted).select(award::id).load(tx.conn)?;
            Ok((api_reads::awards(tx, &filter, all)?, posted))
        })
        .expect("read");
    assert!(listed.iter().all(|one| one.state_reason.as_deref() == Some("retired")));
    listed.into_iter().partition(|one| posted.contains(&one.id))
}

#[test]
fn what_may_be_at_the_backend_stays_findable() {
    for database in databases() {
        let store = database.store();
        do_with(&store, |tx| badge_classes::get_or_create(tx, &new_badge_class("asked")));
        apply(&database, (1..=6).map(|offset| requested(offset, "asked")).collect());
        let claimed = testing::claim_all(&store);
        do_with(&store, |tx| {
            stored::apply_steps(tx, &[failed(&claimed[0], Uncertain), failed(&claimed[1], Failed)])
        });
        retire_by_hand(&database);
        let (maybe, surely_not) = cancelled(&database);
        assert_eq!((maybe.len(), surely_not.len()), (1, 1), "the others are in flight");
        // One comes back with an answer that was lost, one unsent, one not at all, and one with its badge.
        do_with(&store, |tx| {
            stored::apply_steps(tx, &[failed(&claimed[2], Uncertain), failed(&claimed[3], Pending)])?;
            stored::complete(tx, &[issued(&claimed[4], USERNAME)])
        });
        database.clock.advance(TimeDelta::seconds(61));
        assert!(testing::claim_all(&store).is_empty());
        let (maybe, surely_not) = cancelled(&database);
        assert_eq!((maybe.len(), surely_not.len()), (3, 2));
        for award in &maybe {
            let said = award.last_error.as_deref().unwrap_or_default();
            assert!(said.contains("revoke the badge there"), "{said}");
        }
        assert!(surely_not.iter().all(|award| award.last_error.is_none()));
        is_nowhere(&database, "retired");
    }
}
