//! How many learners a configuration would reach, without writing anything.

use diesel::{ExpressionMethods, QueryDsl, QueryableByName, RunQueryDsl, sql_query, sql_types::BigInt};

use super::{
    StoreError, Tx,
    schema::{award, course, learner},
};
use crate::domain::{
    CourseKey,
    badge_class::BadgeClassKey,
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
    /// Learners who were awarded this badge already, whether or not they still fulfil it.
    pub awarded: i64,
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    learners: i64,
}

/// How many learners each rule reaches, in the order of the rules. Retired learners do not count.
pub fn reach(tx: &mut Tx<'_>, rules: &Rules) -> Result<Vec<Reach>, StoreError> {
    let of_rule = |rule: &Rule| {
        let present = learner::table.filter(learner::retired_at.is_null());
        let learners = match &rule.condition {
            Condition::Enrolled(n) => present.filter(learner::enrolled.ge(n)).count().get_result(tx.conn)?,
            Condition::Completed(n) => present.filter(learner::completed.ge(n)).count().get_result(tx.conn)?,
            Condition::Group(courses) => in_group(tx, courses)?,
        };
        let awarded = award::table
            .filter(award::badge_class_id.eq(rule.badge_class.0))
            .count()
            .get_result(tx.conn)?;
        Ok(Reach {
            badge_class: rule.badge_class_key.clone(),
            condition: rule.condition.clone(),
            learners,
            awarded,
        })
    };
    rules.rules.iter().map(of_rule).collect()
}

fn in_group(tx: &mut Tx<'_>, courses: &[CourseKey]) -> Result<i64, StoreError> {
    let keys: Vec<&str> = courses.iter().map(CourseKey::as_str).collect();
    let ids: Vec<i32> = course::table
        .filter(course::course_key.eq_any(keys))
        .select(course::id)
        .load(tx.conn)?;
    if ids.len() < courses.len() {
        return Ok(0);
    }
    let list: Vec<String> = ids.iter().map(i32::to_string).collect();
    let counted: Count = sql_query(format!(
        "/* preview::reach */ SELECT count(*) AS learners FROM (SELECT f.learner_id FROM learner_course f \
         JOIN learner l ON l.learner_id = f.learner_id WHERE f.passed AND l.retired_at IS NULL \
         AND f.course_id IN ({}) GROUP BY f.learner_id HAVING count(*) = $1) reached",
        list.join(", "),
    ))
    .bind::<BigInt, _>(i64::try_from(courses.len()).unwrap_or(i64::MAX))
    .get_result(tx.conn)?;
    Ok(counted.learners)
}
