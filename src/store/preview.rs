//! How many learners a configuration would reach, without writing anything.
//!
//! Thresholds, however many, take one look at everybody's counters and one at the awards; a group takes a look at those
//! who passed its courses.

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

/// Whom something reaches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, QueryableByName)]
pub struct Counts {
    /// Learners who fulfil what it asks for now.
    #[diesel(sql_type = BigInt)]
    pub learners: i64,
    /// How many of these were awarded it already.
    #[diesel(sql_type = BigInt)]
    pub awarded: i64,
}

/// Learners who stand at the same counts, and how many of them were awarded a badge.
#[derive(QueryableByName)]
struct Standing {
    /// 0 for the learners themselves.
    #[diesel(sql_type = Integer)]
    badge_class_id: i32,
    #[diesel(sql_type = Integer)]
    enrolled: i32,
    #[diesel(sql_type = Integer)]
    completed: i32,
    #[diesel(sql_type = BigInt)]
    learners: i64,
}

/// How many learners each rule reaches, in the order of the rules. Retired learners do not count.
pub fn reach(tx: &mut Tx<'_>, rules: &Rules) -> Result<Vec<Reach>, StoreError> {
    let standings = standings(tx, rules)?;
    let of_rule = |rule: &Rule| {
        let counts = counts(tx, &standings, &[rule])?;
        Ok(Reach {
            badge_class: rule.badge_class_key.clone(),
            condition: rule.condition.clone(),
            learners: counts.learners,
            awarded: counts.awarded,
        })
    };
    rules.rules.iter().map(of_rule).collect()
}

/// How many learners each badge reaches, in the order of [`Rules::by_badge`]; whoever fulfils several of its rules counts
/// once.
pub fn reach_of_badges(tx: &mut Tx<'_>, rules: &Rules) -> Result<Vec<Counts>, StoreError> {
    let standings = standings(tx, rules)?;
    let badges = rules.by_badge();
    badges.iter().map(|badge| counts(tx, &standings, badge)).collect()
}

/// Of some rules of one badge.
fn counts(tx: &mut Tx<'_>, standings: &[Standing], rules: &[&Rule]) -> Result<Counts, StoreError> {
    let Some(badge_class) = rules.first().map(|rule| rule.badge_class) else {
        return Ok(Counts::default());
    };
    if rules.iter().any(|rule| matches!(rule.condition, Condition::Group(_))) {
        return any(tx, rules, badge_class);
    }
    let is_past = |standing: &Standing| {
        rules.iter().any(|rule| match rule.condition {
            Condition::Enrolled(n) => standing.enrolled >= n,
            Condition::Completed(n) => standing.completed >= n,
            Condition::Group(_) => false,
        })
    };
    Ok(past(standings, badge_class, is_past))
}

fn past(standings: &[Standing], badge_class: BadgeClassId, is_past: impl Fn(&Standing) -> bool) -> Counts {
    let of = |badge: i32| {
        let past = standings
            .iter()
            .filter(|standing| standing.badge_class_id == badge && is_past(standing));
        past.map(|standing| standing.learners).sum()
    };
    Counts {
        learners: of(0),
        awarded: of(badge_class.0),
    }
}

/// The awards that stand in the way of another by a rule: none under another key, which somebody asked for, and none that
/// was lost before anything of it was done, which may be decided again.
const BY_RULE: &str = "a.idempotency_key = '' AND coalesce(a.state_reason, '') <> 'lost'";

/// For the rules with a threshold.
fn standings(tx: &mut Tx<'_>, rules: &Rules) -> Result<Vec<Standing>, StoreError> {
    let with_threshold = rules
        .rules
        .iter()
        .filter(|rule| !matches!(rule.condition, Condition::Group(_)));
    let badges: Vec<String> = with_threshold.map(|rule| rule.badge_class.0.to_string()).collect();
    if badges.is_empty() {
        return Ok(Vec::new());
    }
    Ok(sql_query(format!(
        "/* preview::standings */ SELECT 0 AS badge_class_id, enrolled, completed, count(*) AS learners FROM learner \
         WHERE retired_at IS NULL GROUP BY enrolled, completed \
         UNION ALL SELECT a.badge_class_id, l.enrolled, l.completed, count(*) FROM award a \
         JOIN learner l ON l.learner_id = a.learner_id \
         WHERE a.badge_class_id IN ({}) AND {BY_RULE} AND l.retired_at IS NULL \
         GROUP BY a.badge_class_id, l.enrolled, l.completed",
        badges.join(", "),
    ))
    .load(tx.conn)?)
}

/// Who fulfils any of these rules, of which some are groups.
fn any(tx: &mut Tx<'_>, rules: &[&Rule], badge_class: BadgeClassId) -> Result<Counts, StoreError> {
    let mut reached = Vec::with_capacity(rules.len());
    for rule in rules {
        match &rule.condition {
            Condition::Enrolled(n) => reached.push(format!("SELECT learner_id FROM learner WHERE enrolled >= {n}")),
            Condition::Completed(n) => reached.push(format!("SELECT learner_id FROM learner WHERE completed >= {n}")),
            Condition::Group(courses) => reached.extend(passed(tx, courses)?),
        }
    }
    if reached.is_empty() {
        return Ok(Counts::default());
    }
    Ok(sql_query(format!(
        "/* preview::any */ WITH reached AS ({}) \
         SELECT count(*) AS learners, count(a.learner_id) AS awarded FROM reached p \
         JOIN learner l ON l.learner_id = p.learner_id \
         LEFT JOIN award a ON a.learner_id = p.learner_id AND a.badge_class_id = {} AND {BY_RULE} \
         WHERE l.retired_at IS NULL",
        reached.join(" UNION "),
        badge_class.0,
    ))
    .get_result(tx.conn)?)
}

/// The query of those who have passed all of these courses; `None`, for nobody, where one is not known here.
fn passed(tx: &mut Tx<'_>, courses: &[CourseKey]) -> Result<Option<String>, StoreError> {
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
        "SELECT learner_id FROM learner_course WHERE passed AND course_id IN ({}) \
         GROUP BY learner_id HAVING count(*) = {}",
        list.join(", "),
        ids.len(),
    )))
}
