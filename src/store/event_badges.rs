//! The active configuration of the course event badges, as its rules, and the fence around its activation.

use std::sync::{Arc, Mutex, PoisonError};

use diesel::{ExpressionMethods, OptionalExtension, QueryDsl, RunQueryDsl, connection::SimpleConnection};

use super::{AnyConnection, StoreError, Tx, badge_classes, schema::event_badges_configuration as configuration};
use crate::domain::{
    badge_class::{BadgeClassKey, COURSE_EVENTS_COMPONENT},
    evaluate::{Condition, Rule, Rules},
};

/// The rules of the configuration that was last seen active. A configuration's row never changes but for `enabled`.
#[derive(Debug, Default)]
pub struct RulesCache(Mutex<Option<Arc<Rules>>>);

/// Lets an activation wait for this transaction, and this transaction for an activation that is under way.
pub fn fence_shared(tx: &mut Tx<'_>) -> Result<(), StoreError> {
    if let AnyConnection::Postgres(conn) = tx.conn {
        conn.batch_execute(
            "/* event_badges::fence_shared */ SELECT pg_advisory_xact_lock_shared(7018141452138476546)",
        )?;
    }
    Ok(())
}

/// The rules of the active configuration: the enabled one that was activated last.
pub fn active_rules(tx: &mut Tx<'_>, cache: &RulesCache) -> Result<Option<Arc<Rules>>, StoreError> {
    let active: Option<(i32, String, String, String)> = configuration::table
        .filter(configuration::enabled.eq(true))
        .filter(configuration::activated_at.is_not_null())
        .order((configuration::activated_at.desc(), configuration::id.desc()))
        .select((
            configuration::id,
            configuration::courses_enrolled,
            configuration::courses_completed,
            configuration::course_groups,
        ))
        .first(tx.conn)
        .optional()?;
    let Some((id, enrolled, completed, groups)) = active else {
        return Ok(None);
    };
    let cached = cache.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
    if let Some(rules) = cached.filter(|rules| rules.configuration_id == id) {
        return Ok(Some(rules));
    }
    let mut rules = Vec::new();
    for line in lines(&enrolled) {
        rules.extend(counted(tx, &line, Condition::Enrolled)?);
    }
    for line in lines(&completed) {
        rules.extend(counted(tx, &line, Condition::Completed)?);
    }
    for line in lines(&groups) {
        let keys = line[1..].iter().filter_map(|key| key.parse().ok()).collect();
        rules.extend(rule(tx, &line[0], Condition::Group(keys))?);
    }
    let rules = Arc::new(Rules {
        configuration_id: id,
        rules,
    });
    *cache.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&rules));
    Ok(Some(rules))
}

fn lines(text: &str) -> Vec<Vec<String>> {
    text.lines()
        .map(|line| line.split(',').map(|part| part.trim().to_owned()).collect())
        .filter(|line: &Vec<String>| line.len() > 1)
        .collect()
}

fn counted(tx: &mut Tx<'_>, line: &[String], condition: fn(i32) -> Condition) -> Result<Option<Rule>, StoreError> {
    match line[0].parse() {
        Ok(count) => rule(tx, &line[1], condition(count)),
        Err(_) => Ok(None),
    }
}

fn rule(tx: &mut Tx<'_>, slug: &str, condition: Condition) -> Result<Option<Rule>, StoreError> {
    let key = BadgeClassKey {
        slug: slug.to_lowercase(),
        issuing_component: COURSE_EVENTS_COMPONENT.to_owned(),
        course_id: String::new(),
    };
    Ok(badge_classes::find(tx, &key)?.map(|found| Rule {
        badge_class: found.id,
        badge_class_key: found.key,
        condition,
    }))
}
