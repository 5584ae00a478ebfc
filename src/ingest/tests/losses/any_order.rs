//! In any order and cut anywhere, learners hold in the end what the facts demand.

use std::collections::BTreeSet;

use diesel::{ExpressionMethods, JoinOnDsl, QueryDsl, RunQueryDsl};
use proptest::prelude::*;

use super::{
    super::{
        histories::{Told, history, holds, items, mixed, model, prepared},
        support::{awards, course_details},
    },
    issue, taking,
};
use crate::{
    domain::completion,
    ingest::Item,
    store::{
        Tx,
        schema::{award, badge_class, revocation},
        testing::{TestDatabase, sqlite},
    },
};

/// The badges that the facts of a history demand for a learner, with the rules of [`prepared`].
fn demanded(told: &[Told], learner: i64) -> BTreeSet<String> {
    let (enrolled, completed, group) = model(told, learner);
    let rules = [
        ("e1", enrolled >= 1),
        ("e2", enrolled >= 2),
        ("e3", enrolled >= 3),
        ("c1", completed >= 1),
        ("c2", completed >= 2),
        ("c4", completed >= 4),
        ("g", group),
    ];
    let rules = rules.into_iter().filter(|rule| rule.1).map(|rule| rule.0.to_owned());
    let passed = (1..5).filter(|course| holds(told, learner, *course, false));
    let completions = passed.map(|course| completion::badge_class_key(&course_details(course).key, "honor").slug);
    rules.chain(completions).collect()
}

/// Applies the events, told by this history in some order, in batches of `cut`, and compares what the learners hold.
fn in_the_end_they_hold_what_is_demanded(
    told: &[Told],
    events: &[Item],
    cut: usize,
    issues: bool,
) -> Result<(), TestCaseError> {
    let database = sqlite();
    prepared(&database);
    let mut writer = taking(&database);
    for batch in events.chunks(cut) {
        writer.apply(batch).expect("applied");
        if issues {
            issue(&database);
        }
    }
    let lost: BTreeSet<String> = to_revoke_of(&database);
    for learner in [1, 2] {
        let demanded = demanded(told, learner);
        let awards = awards(&database).into_iter().filter(|award| award.0 == learner);
        let standing: BTreeSet<String> = awards
            .filter(|award| award.3 != "cancelled")
            .map(|award| award.1)
            .collect();
        if !issues {
            prop_assert_eq!(&standing, &demanded, "nothing was done that cannot be undone");
        }
        prop_assert!(demanded.is_subset(&standing));
        let kept = standing
            .iter()
            .filter(|slug| !lost.contains(&format!("{learner} {slug}")));
        let kept: BTreeSet<String> = kept.cloned().collect();
        prop_assert_eq!(kept, demanded, "no revocation was carried out: each can be withdrawn");
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn in_any_order_who_qualifies_was_awarded_and_who_does_not_holds_nothing(
        told in history(), twice in any::<prop::sample::Index>(), cut in 1usize..9, seed in any::<u64>(),
        issues in any::<bool>(),
    ) {
        in_the_end_they_hold_what_is_demanded(&told, &items(&told), cut, issues)?;
        in_the_end_they_hold_what_is_demanded(&told, &mixed(&told, twice, seed), cut, issues)?;
    }
}

/// Found by the property above: a certificate that is told twice in one batch is two events of one award.
#[test]
fn a_certificate_that_is_told_twice_at_once_is_awarded_once_and_kept() {
    let told = [(1, 1, false, true)];
    let events: Vec<Item> = [items(&told), items(&told)].into_iter().flatten().collect();
    in_the_end_they_hold_what_is_demanded(&told, &events, 3, true).expect("what is demanded");
}

/// "LEARNER SLUG" of what is to be revoked.
fn to_revoke_of(database: &TestDatabase) -> BTreeSet<String> {
    let read = |tx: &mut Tx<'_>| {
        let rows: Vec<(i64, String)> = revocation::table
            .inner_join(award::table.on(award::id.eq(revocation::award_id)))
            .inner_join(badge_class::table.on(badge_class::id.eq(award::badge_class_id)))
            .select((revocation::learner_id, badge_class::slug))
            .load(tx.conn)?;
        Ok(rows)
    };
    let rows = database.store().read("test", read).expect("read");
    rows.into_iter()
        .map(|(learner, slug)| format!("{learner} {slug}"))
        .collect()
}
