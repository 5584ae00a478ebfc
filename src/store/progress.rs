//! How far a learner is from each badge of the active configuration.

use std::collections::{HashMap, HashSet};

use diesel::{ExpressionMethods, QueryDsl, RunQueryDsl};

use super::{
    StoreError, Tx, badge_classes,
    event_badges::{self, RulesCache},
    facts,
    schema::{award, learner},
};
use crate::domain::{
    CourseKey, LearnerId,
    badge_class::BadgeClass,
    evaluate::{Condition, Rule},
};

/// How far a learner is from one badge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleProgress {
    /// The badge class.
    pub badge_class: BadgeClass,
    /// For what.
    pub condition: Condition,
    /// How many courses count so far.
    pub count: i32,
    /// How many are needed.
    pub needed: i32,
    /// Which courses of a group are still to be passed.
    pub missing: Vec<CourseKey>,
    /// Where the award stands, if there is one; it stays when the count falls.
    pub award_state: Option<String>,
}

/// The learner's progress, in the order of the configuration's lines; empty where no configuration is active.
pub fn of_learner(tx: &mut Tx<'_>, id: LearnerId) -> Result<Vec<RuleProgress>, StoreError> {
    let Some(rules) = event_badges::active_rules(tx, &RulesCache::default())? else {
        return Ok(Vec::new());
    };
    let (enrolled, completed): (i32, i32) = learner::table
        .find(id.0)
        .select((learner::enrolled, learner::completed))
        .first(tx.conn)?;
    let passed = facts::passed_courses(tx, &[id])?.remove(&id).unwrap_or_default();
    let states: Vec<(i32, String)> = award::table
        .filter(award::learner_id.eq(id.0))
        .filter(award::idempotency_key.eq(""))
        .select((award::badge_class_id, award::state))
        .load(tx.conn)?;
    let states: HashMap<i32, String> = states.into_iter().collect();
    let mut all = Vec::new();
    for rule in &rules.rules {
        let Some(badge_class) = badge_classes::get(tx, rule.badge_class)? else {
            continue;
        };
        let (count, needed, missing) = far(rule, (enrolled, completed), &passed);
        all.push(RuleProgress {
            badge_class,
            condition: rule.condition.clone(),
            count,
            needed,
            missing,
            award_state: states.get(&rule.badge_class.0).cloned(),
        });
    }
    Ok(all)
}

fn far(rule: &Rule, (enrolled, completed): (i32, i32), passed: &HashSet<CourseKey>) -> (i32, i32, Vec<CourseKey>) {
    match &rule.condition {
        Condition::Enrolled(n) => (enrolled, *n, Vec::new()),
        Condition::Completed(n) => (completed, *n, Vec::new()),
        Condition::Group(courses) => {
            let missing: Vec<CourseKey> = courses.iter().filter(|key| !passed.contains(*key)).cloned().collect();
            let number = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
            (number(courses.len() - missing.len()), number(courses.len()), missing)
        }
    }
}
