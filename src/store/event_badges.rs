//! The configurations of the course event badges, the rules of the active one, and the fence around its activation.

mod listed;
mod written;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use chrono::{DateTime, NaiveDateTime, Utc};
use diesel::{
    ExpressionMethods, OptionalExtension, QueryDsl, Queryable, RunQueryDsl, Selectable, SelectableHelper,
    connection::SimpleConnection,
    sql_types::{BigInt, Integer, Nullable, Timestamp},
};

pub use self::listed::{count, list, page};
pub use self::written::{Refused, set, try_out};
use super::{
    AnyConnection, StoreError, Tx,
    bulk::Statement,
    connection,
    positions::{self, NextOffset},
    schema::{badge_class, event_badges_configuration as configuration},
};
use crate::domain::{
    badge_class::{BadgeClassId, BadgeClassKey, COURSE_EVENTS_COMPONENT},
    evaluate::Rules,
    event_badges::{ConfigurationError, ConfigurationTexts},
};

/// The lock that activations hold alone, and all who decide by the active configuration share.
const FENCE: i64 = 0x6163_636f_6c61_6402;

/// A configuration that a person writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewConfiguration {
    /// Its texts, as written; [`check`]ed before.
    pub texts: ConfigurationTexts,
    /// Whether it is to be activated.
    pub enabled: bool,
    /// Who wrote it.
    pub changed_by: String,
}

/// A configuration as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Configuration {
    /// Its row.
    pub id: i32,
    /// When it was written.
    pub created_at: DateTime<Utc>,
    /// By whom.
    pub changed_by: String,
    /// Its texts, as written.
    pub texts: ConfigurationTexts,
    /// Whether it is the active one.
    pub enabled: bool,
    /// When it was last activated.
    pub activated_at: Option<DateTime<Utc>>,
    /// Learners up to this id are evaluated by its backfill.
    pub backfill_cursor: Option<i64>,
    /// When its backfill had evaluated every learner.
    pub backfill_done_at: Option<DateTime<Utc>>,
}

/// The rules of the configuration that was last seen active. A configuration's texts never change, nor do the ids of
/// badge classes; but one that a line names in vain may be made at any time.
#[derive(Debug, Default)]
pub struct RulesCache(Mutex<Option<Known>>);

#[derive(Debug, Clone)]
struct Known {
    rules: Arc<Rules>,
    /// What is wrong with the lines that were left out.
    left_out: Vec<ConfigurationError>,
}

/// What decisions rest on that people change.
#[derive(Debug)]
pub struct Standing {
    /// The rules of the active configuration; `None` where none is active.
    pub rules: Option<Arc<Rules>>,
    /// The newest entry of the audit log, 0 where there is none: another one says that something was done by hand since.
    pub by_hand: i64,
}

type StandingRow = (NaiveDateTime, Option<i64>, Option<i32>, i64);
type StandingType = (Timestamp, Nullable<BigInt>, Nullable<Integer>, BigInt);

#[derive(Queryable, Selectable)]
#[diesel(table_name = configuration)]
struct Row {
    id: i32,
    created_at: NaiveDateTime,
    changed_by: String,
    courses_enrolled: String,
    courses_completed: String,
    course_groups: String,
    enabled: bool,
    activated_at: Option<NaiveDateTime>,
    backfill_cursor: Option<i64>,
    backfill_done_at: Option<NaiveDateTime>,
}

impl From<Row> for Configuration {
    fn from(row: Row) -> Self {
        Self {
            id: row.id,
            created_at: row.created_at.and_utc(),
            changed_by: row.changed_by,
            texts: ConfigurationTexts {
                courses_enrolled: row.courses_enrolled,
                courses_completed: row.courses_completed,
                course_groups: row.course_groups,
            },
            enabled: row.enabled,
            activated_at: row.activated_at.map(|time| time.and_utc()),
            backfill_cursor: row.backfill_cursor,
            backfill_done_at: row.backfill_done_at.map(|time| time.and_utc()),
        }
    }
}

/// Lets an activation wait for this transaction, and this transaction for an activation that is under way.
///
/// The first lock of every transaction that decides by the active configuration. SQLite has one writer and needs none.
pub fn fence_shared(tx: &mut Tx<'_>) -> Result<(), StoreError> {
    fence(
        tx,
        "/* event_badges::fence_shared */ SELECT pg_advisory_xact_lock_shared",
    )
}

/// What a batch of facts begins with on PostgreSQL: the shared fence, and plans by index.
pub(super) fn batch_preamble() -> String {
    format!(
        "SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off; \
         SELECT pg_advisory_xact_lock_shared({FENCE})"
    )
}

/// Waits for all who decide by the active configuration, and keeps them out until this transaction ends.
pub fn fence_exclusive(tx: &mut Tx<'_>) -> Result<(), StoreError> {
    fence(tx, "/* event_badges::fence_exclusive */ SELECT pg_advisory_xact_lock")
}

/// What the texts say once their slugs are badge classes, or all that is wrong with them.
pub fn check(
    tx: &mut Tx<'_>,
    texts: &ConfigurationTexts,
) -> Result<Result<Rules, Vec<ConfigurationError>>, StoreError> {
    let known = badge_classes(tx)?;
    Ok(texts.check(0, |slug| known.get(slug).cloned()))
}

/// Adds a configuration, and activates it if it says so. Returns its id.
///
/// The texts are stored as they are: [`check`] them in the same transaction, and do not come here with errors.
pub fn insert(tx: &mut Tx<'_>, new: &NewConfiguration) -> Result<i32, StoreError> {
    if new.enabled {
        fence_exclusive(tx)?;
    }
    let now = tx.now()?;
    let id = diesel::insert_into(configuration::table)
        .values((
            configuration::created_at.eq(now),
            configuration::changed_by.eq(&new.changed_by),
            configuration::courses_enrolled.eq(&new.texts.courses_enrolled),
            configuration::courses_completed.eq(&new.texts.courses_completed),
            configuration::course_groups.eq(&new.texts.course_groups),
            configuration::enabled.eq(false),
        ))
        .returning(configuration::id)
        .get_result(tx.conn)?;
    if new.enabled {
        activate(tx, id)?;
    }
    Ok(id)
}

/// Makes this configuration the active one, deactivates every other, and has every learner evaluated anew.
pub fn activate(tx: &mut Tx<'_>, id: i32) -> Result<(), StoreError> {
    fence_exclusive(tx)?;
    let now = tx.now()?;
    diesel::update(configuration::table.filter(configuration::enabled.eq(true)))
        .set(configuration::enabled.eq(false))
        .execute(tx.conn)?;
    let activated = diesel::update(configuration::table.find(id))
        .set((
            configuration::enabled.eq(true),
            configuration::activated_at.eq(now),
            configuration::backfill_cursor.eq(None::<i64>),
            configuration::backfill_tally.eq(None::<String>),
            configuration::backfill_done_at.eq(None::<NaiveDateTime>),
            configuration::backfill_until.eq(None::<NaiveDateTime>),
            configuration::backfill_token.eq(configuration::backfill_token + 1),
        ))
        .execute(tx.conn)?;
    if activated == 1 {
        Ok(())
    } else {
        Err(StoreError::NotFound)
    }
}

/// The active configuration: the enabled one that was activated last.
pub fn active(tx: &mut Tx<'_>) -> Result<Option<Configuration>, StoreError> {
    let row = configuration::table
        .filter(configuration::enabled.eq(true))
        .filter(configuration::activated_at.is_not_null())
        .order((configuration::activated_at.desc(), configuration::id.desc()))
        .select(Row::as_select())
        .first(tx.conn)
        .optional()?;
    Ok(row.map(Into::into))
}

/// This configuration.
pub fn get(tx: &mut Tx<'_>, id: i32) -> Result<Option<Configuration>, StoreError> {
    let row = configuration::table
        .find(id)
        .select(Row::as_select())
        .first(tx.conn)
        .optional()?;
    Ok(row.map(Into::into))
}

/// The rules of the active configuration; `None` where none is active.
///
/// Lines that cannot be used (only an import brings such) are named in the log and left out.
pub fn active_rules(tx: &mut Tx<'_>, cache: &RulesCache) -> Result<Option<Arc<Rules>>, StoreError> {
    Ok(standing(tx, cache, &[])?.rules)
}

/// The rules of the active configuration and the newest entry of the audit log; the time by the database's clock is
/// known from then on. One statement, as long as no other configuration is activated.
///
/// Refuses to go on, with [`StoreError::WentBack`], when one of these positions, as a consumer stored them last, is ahead of
/// what is stored.
pub fn standing(tx: &mut Tx<'_>, cache: &RulesCache, last: &[NextOffset]) -> Result<Standing, StoreError> {
    let before = format!(
        "/* event_badges::standing */ SELECT {}, (SELECT max(id) FROM audit), \
         (SELECT id FROM event_badges_configuration WHERE enabled AND activated_at IS NOT NULL \
         ORDER BY activated_at DESC, id DESC LIMIT 1), count(p.topic) FROM",
        connection::now_in_sql(tx.conn),
    );
    let mut rows: Vec<StandingRow> = Statement::<StandingType>::new(
        before,
        positions::columns(last),
        "LEFT JOIN consumer_position p ON p.topic = x.topic AND p.record_partition = x.record_partition \
         AND p.next_offset >= x.next_offset",
    )
    .load(tx)?;
    let (now, by_hand, active, kept) = rows.pop().expect("a count is a row");
    if usize::try_from(kept) != Ok(last.len()) {
        return Err(StoreError::WentBack);
    }
    tx.now.get_or_insert(now + tx.clock.skew());
    let rules = active.map(|id| rules_of(tx, id, cache)).transpose()?;
    Ok(Standing {
        rules,
        by_hand: by_hand.unwrap_or(0),
    })
}

fn rules_of(tx: &mut Tx<'_>, configuration_id: i32, cache: &RulesCache) -> Result<Arc<Rules>, StoreError> {
    let known = cache.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let known = known.filter(|known| known.rules.configuration_id == configuration_id);
    if let Some(whole) = known.as_ref().filter(|known| known.left_out.is_empty()) {
        return Ok(Arc::clone(&whole.rules));
    }
    let active = get(tx, configuration_id)?.ok_or(StoreError::NotFound)?;
    let classes = badge_classes(tx)?;
    let (rules, left_out) = active.texts.usable(active.id, |slug| classes.get(slug).cloned());
    let said = known.map(|known| known.left_out).unwrap_or_default();
    for error in left_out.iter().filter(|error| !said.contains(error)) {
        tracing::warn!(
            configuration.id = active.id,
            "a line of the active configuration is left out: {error}"
        );
    }
    let rules = Arc::new(rules);
    *cache.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Known {
        rules: Arc::clone(&rules),
        left_out,
    });
    Ok(rules)
}

fn fence(tx: &mut Tx<'_>, lock: &str) -> Result<(), StoreError> {
    if let AnyConnection::Postgres(conn) = tx.conn {
        conn.batch_execute(&format!("{lock}({FENCE})"))?;
    }
    Ok(())
}

/// The badge classes that a configuration can name, by slug.
fn badge_classes(tx: &mut Tx<'_>) -> Result<HashMap<String, (BadgeClassId, BadgeClassKey)>, StoreError> {
    let rows: Vec<(i32, String)> = badge_class::table
        .filter(badge_class::issuing_component.eq(COURSE_EVENTS_COMPONENT))
        .filter(badge_class::course_id.eq(""))
        .select((badge_class::id, badge_class::slug))
        .load(tx.conn)?;
    let entry = |(id, slug): (i32, String)| {
        let key = BadgeClassKey {
            slug: slug.clone(),
            issuing_component: COURSE_EVENTS_COMPONENT.to_owned(),
            course_id: String::new(),
        };
        (slug, (BadgeClassId(id), key))
    };
    Ok(rows.into_iter().map(entry).collect())
}

#[cfg(test)]
mod tests;
