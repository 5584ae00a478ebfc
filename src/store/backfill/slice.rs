//! The next learners, and who of them seems to miss a badge. Takes no lock.
//!
//! That is enough: an award is decided on what the learner's row says once it is held, and what changes after this look
//! is decided on by whoever changes it, under the same rules.

use std::collections::{HashMap, HashSet};

use diesel::{
    BoolExpressionMethods, ExpressionMethods, QueryDsl, QueryableByName, RunQueryDsl, sql_query,
    sql_types::{BigInt, Integer},
};

use super::tally::{Reached, reached_by};
use crate::{
    domain::{
        CourseKey, LearnerId,
        award::Decision,
        evaluate::{Condition, LearnerChange, Progress, Rules, evaluate},
    },
    store::{
        StoreError, Tx, courses,
        losses::LOST,
        schema::{award, learner},
    },
};

/// A part of all learners, in ascending order.
#[derive(Debug, Default)]
pub(super) struct Slice {
    /// How many there are, retired ones among them.
    pub(super) learners: usize,
    /// The last of them.
    pub(super) last: Option<i64>,
    /// Whether there may be more behind it.
    pub(super) is_full: bool,
    /// What they have reached, had or not.
    pub(super) reached: HashSet<Reached>,
    /// Who has reached what they were never awarded, in ascending order.
    pub(super) suspects: Vec<LearnerId>,
}

#[derive(QueryableByName)]
struct Passed {
    #[diesel(sql_type = BigInt)]
    learner_id: i64,
    #[diesel(sql_type = Integer)]
    course_id: i32,
}

/// The next `size` learners after this id.
pub(super) fn slice(tx: &mut Tx<'_>, rules: &Rules, after: Option<i64>, size: i64) -> Result<Slice, StoreError> {
    let mut next = learner::table
        .order(learner::learner_id)
        .select((
            learner::learner_id,
            learner::enrolled,
            learner::completed,
            learner::retired_at.is_null(),
        ))
        .limit(size)
        .into_boxed();
    if let Some(after) = after {
        next = next.filter(learner::learner_id.gt(after));
    }
    let rows: Vec<(i64, i32, i32, bool)> = next.load(tx.conn)?;
    let (Some(first), Some(last)) = (rows.first(), rows.last()) else {
        return Ok(Slice::default());
    };
    let progress: Vec<(LearnerId, Progress)> = rows
        .iter()
        .filter(|(.., is_active)| *is_active)
        .map(|&(id, enrolled, completed, _)| (LearnerId(id), Progress { enrolled, completed }))
        .collect();
    let passed = passed_between(tx, rules, first.0, last.0)?;
    let awarded = awarded_between(tx, rules, first.0, last.0)?;
    let reached: HashSet<Reached> = reached(rules, &progress, &passed).iter().map(reached_by).collect();
    let missing = reached
        .iter()
        .filter(|(learner, badge)| !awarded.contains(&(learner.0, badge.0)));
    let mut suspects: Vec<LearnerId> = missing.map(|(learner, _)| *learner).collect();
    suspects.sort_unstable();
    suspects.dedup();
    Ok(Slice {
        learners: rows.len(),
        last: Some(last.0),
        is_full: i64::try_from(rows.len()).is_ok_and(|found| found == size),
        reached,
        suspects,
    })
}

/// All that these learners have reached, whatever they have already. They are in ascending order, and the caller holds
/// their rows.
pub(super) fn reached_by_held(
    tx: &mut Tx<'_>,
    rules: &Rules,
    learners: &[(LearnerId, Progress)],
) -> Result<Vec<Decision>, StoreError> {
    let (Some((first, _)), Some((last, _))) = (learners.first(), learners.last()) else {
        return Ok(Vec::new());
    };
    let passed = passed_between(tx, rules, first.0, last.0)?;
    Ok(reached(rules, learners, &passed))
}

fn reached(
    rules: &Rules,
    learners: &[(LearnerId, Progress)],
    passed: &HashMap<LearnerId, HashSet<CourseKey>>,
) -> Vec<Decision> {
    let nothing = HashSet::new();
    let of_learner = |(learner, progress): &(LearnerId, Progress)| {
        let passed = passed.get(learner).unwrap_or(&nothing);
        let newly_passed: Vec<CourseKey> = passed.iter().cloned().collect();
        let change = LearnerChange {
            learner: *learner,
            before: Progress::default(),
            after: *progress,
            newly_passed: &newly_passed,
            passed,
            cause: None,
        };
        evaluate(rules, &change)
    };
    learners.iter().flat_map(of_learner).collect()
}

fn grouped(rules: &Rules) -> HashSet<&CourseKey> {
    let groups = rules.rules.iter().filter_map(|rule| match &rule.condition {
        Condition::Group(courses) => Some(courses),
        Condition::Enrolled(_) | Condition::Completed(_) => None,
    });
    groups.flatten().collect()
}

/// The courses of some group that these learners have passed.
fn passed_between(
    tx: &mut Tx<'_>,
    rules: &Rules,
    first: i64,
    last: i64,
) -> Result<HashMap<LearnerId, HashSet<CourseKey>>, StoreError> {
    let known = courses::get(tx, &grouped(rules).into_iter().collect::<Vec<_>>())?;
    if known.is_empty() {
        return Ok(HashMap::new());
    }
    let ids: Vec<String> = known.iter().map(|course| course.id.0.to_string()).collect();
    // The numbers are written out so that both databases see that the index of passed courses serves.
    let rows: Vec<Passed> = sql_query(format!(
        "/* backfill::passed_between */ SELECT learner_id, course_id FROM learner_course \
         WHERE passed AND course_id IN ({}) AND learner_id BETWEEN {first} AND {last}",
        ids.join(", "),
    ))
    .load(tx.conn)?;
    let key: HashMap<i32, &CourseKey> = known.iter().map(|course| (course.id.0, &course.key)).collect();
    let mut passed: HashMap<LearnerId, HashSet<CourseKey>> = HashMap::new();
    for row in rows {
        let of_learner = passed.entry(LearnerId(row.learner_id)).or_default();
        of_learner.extend(key.get(&row.course_id).copied().cloned());
    }
    Ok(passed)
}

/// Which of these badges who of these learners was awarded. An award under another key than the rules' is one that
/// somebody asked for, and one that was lost before anything of it was done may be decided again.
fn awarded_between(tx: &mut Tx<'_>, rules: &Rules, first: i64, last: i64) -> Result<HashSet<(i64, i32)>, StoreError> {
    let badges = rules.rules.iter().map(|rule| rule.badge_class.0);
    let rows: Vec<(i64, i32)> = award::table
        .filter(award::learner_id.between(first, last))
        .filter(award::badge_class_id.eq_any(badges.collect::<Vec<_>>()))
        .filter(award::idempotency_key.eq(""))
        .filter(award::state_reason.is_null().or(award::state_reason.ne(LOST)))
        .select((award::learner_id, award::badge_class_id))
        .load(tx.conn)?;
    Ok(rows.into_iter().collect())
}
