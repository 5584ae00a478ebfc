//! How many learners a configuration would reach, without writing anything.

use diesel::{
    ExpressionMethods, QueryDsl, QueryableByName, RunQueryDsl, sql_query,
    sql_types::{BigInt, Integer},
};

use super::{StoreError, Tx, schema::course};
use crate::domain::{
    CourseKey,
    badge_class::{BadgeClassId, BadgeClassKey},
    evaluate::{Condition, Rule, Rules},
};

/// What one rule would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reach {
    /// The badge class.
    pub badge_class: BadgeClassKey,
    /// For what.
    pub condition: Condition,
    /// Learners who fulfil the condition now.
    pub learners: i64,
    /// How many of these were awarded this badge already.
    pub awarded: i64,
}

#[derive(QueryableByName)]
struct Counts {
    #[diesel(sql_type = BigInt)]
    learners: i64,
    #[diesel(sql_type = BigInt)]
    awarded: i64,
}

/// How many learners each rule reaches, in the order of the rules. Retired learners do not count.
pub fn reach(tx: &mut Tx<'_>, rules: &Rules) -> Result<Vec<Reach>, StoreError> {
    let of_rule = |rule: &Rule| {
        let counts = match &rule.condition {
            Condition::Enrolled(n) => counts(tx, &past("enrolled"), i64::from(*n), rule.badge_class)?,
            Condition::Completed(n) => counts(tx, &past("completed"), i64::from(*n), rule.badge_class)?,
            Condition::Group(courses) => match group(tx, courses)? {
                Some(reached) => counts(tx, &reached, count(courses), rule.badge_class)?,
                None => Counts {
                    learners: 0,
                    awarded: 0,
                },
            },
        };
        Ok(Reach {
            badge_class: rule.badge_class_key.clone(),
            condition: rule.condition.clone(),
            learners: counts.learners,
            awarded: counts.awarded,
        })
    };
    rules.rules.iter().map(of_rule).collect()
}

/// Who has at least `$1` of these.
fn past(counter: &str) -> String {
    format!("SELECT learner_id FROM learner WHERE {counter} >= $1 AND retired_at IS NULL")
}

/// Who has passed all of these courses, which are `$1` in number; `None` when nobody can, for one is not known here.
fn group(tx: &mut Tx<'_>, courses: &[CourseKey]) -> Result<Option<String>, StoreError> {
    let keys: Vec<&str> = courses.iter().map(CourseKey::as_str).collect();
    let ids: Vec<i32> = course::table
        .filter(course::course_key.eq_any(keys))
        .select(course::id)
        .load(tx.conn)?;
    if ids.len() < courses.len() {
        return Ok(None);
    }
    let list: Vec<String> = ids.iter().map(i32::to_string).collect();
    Ok(Some(format!(
        "SELECT f.learner_id FROM learner_course f JOIN learner l ON l.learner_id = f.learner_id \
         WHERE f.passed AND l.retired_at IS NULL AND f.course_id IN ({}) GROUP BY f.learner_id HAVING count(*) = $1",
        list.join(", "),
    )))
}

fn count(courses: &[CourseKey]) -> i64 {
    i64::try_from(courses.len()).unwrap_or(i64::MAX)
}

fn counts(tx: &mut Tx<'_>, reached: &str, n: i64, badge_class: BadgeClassId) -> Result<Counts, StoreError> {
    // An award under another key than the rules' is one that somebody asked for.
    Ok(sql_query(format!(
        "/* preview::reach */ WITH reached AS ({reached}) SELECT (SELECT count(*) FROM reached) AS learners, \
         (SELECT count(*) FROM award a JOIN reached r ON r.learner_id = a.learner_id \
         WHERE a.badge_class_id = $2 AND a.idempotency_key = '') AS awarded",
    ))
    .bind::<BigInt, _>(n)
    .bind::<Integer, _>(badge_class.0)
    .get_result(tx.conn)?)
}
