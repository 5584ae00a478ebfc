//! Awards as operators list them.

use chrono::{DateTime, Utc};
use diesel::{
    RunQueryDsl, sql_query,
    sql_types::{BigInt, Integer, Nullable, Text, Timestamp},
};

use super::{
    Window, learner_by_username,
    rows::{AwardRow, Count, award_columns, badge_class_columns},
};
use crate::{
    domain::{
        LearnerId,
        award::{AwardId, AwardState},
        badge_class::BadgeClass,
    },
    store::{StoreError, Tx},
};

/// Which awards are meant; what is `None` is any.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AwardFilter {
    /// The one award.
    pub id: Option<AwardId>,
    /// Where they stand.
    pub state: Option<AwardState>,
    /// Of the learner whose newest event carries this username.
    pub username: Option<String>,
    /// Slug of the badge class.
    pub slug: Option<String>,
}

/// An award in a list for operators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedAward {
    /// Its id.
    pub id: String,
    /// Where it stands.
    pub state: String,
    /// Why it waits or ended so.
    pub state_reason: Option<String>,
    /// The kind of its rule.
    pub rule: String,
    /// Whom it is for.
    pub learner: LearnerId,
    /// Their username.
    pub username: String,
    /// What is awarded.
    pub badge_class: BadgeClass,
    /// Attempts so far.
    pub attempts: i32,
    /// What the last one failed with.
    pub last_error: Option<String>,
    /// Not tried before.
    pub next_attempt_at: DateTime<Utc>,
    /// When it was decided.
    pub created: DateTime<Utc>,
}

/// Null is any.
const FILTER: &str = "WHERE ($1 IS NULL OR w.id = $1) AND ($2 IS NULL OR w.state = $2) AND ($3 IS NULL OR b.slug = $3) \
     AND ($4 = 0 OR w.learner_id = $5)";

/// How many awards there are.
pub fn count_awards(tx: &mut Tx<'_>, filter: &AwardFilter) -> Result<i64, StoreError> {
    let Some(learner) = learner(tx, filter)? else {
        return Ok(0);
    };
    let (id, state, slug) = filter.texts();
    let count: Count = sql_query(format!(
        "/* count_awards */ SELECT COUNT(*) AS count FROM award w JOIN badge_class b ON b.id = w.badge_class_id {FILTER}"
    ))
    .bind::<Nullable<Text>, _>(id)
    .bind::<Nullable<Text>, _>(state)
    .bind::<Nullable<Text>, _>(slug)
    .bind::<Integer, _>(i32::from(learner.is_some()))
    .bind::<BigInt, _>(learner.map_or(0, |learner| learner.0))
    .get_result(tx.conn)?;
    Ok(count.count)
}

/// Awards, newest first.
pub fn awards(tx: &mut Tx<'_>, filter: &AwardFilter, window: Window) -> Result<Vec<ListedAward>, StoreError> {
    let Some(learner) = learner(tx, filter)? else {
        return Ok(Vec::new());
    };
    let (id, state, slug) = filter.texts();
    let rows: Vec<AwardRow> = sql_query(format!(
        "/* awards */ SELECT {}{}{FILTER} ORDER BY w.created_at DESC, w.id DESC LIMIT $6 OFFSET $7",
        badge_class_columns!(),
        award_columns!(),
    ))
    .bind::<Nullable<Text>, _>(id)
    .bind::<Nullable<Text>, _>(state)
    .bind::<Nullable<Text>, _>(slug)
    .bind::<Integer, _>(i32::from(learner.is_some()))
    .bind::<BigInt, _>(learner.map_or(0, |learner| learner.0))
    .bind::<BigInt, _>(window.length)
    .bind::<BigInt, _>(window.start)
    .load(tx.conn)?;
    Ok(rows.into_iter().map(Into::into).collect())
}

/// Awards that come after this one in the list, newest first; from the first one on without one. What is decided or
/// erased between two calls neither shifts the list nor repeats a part of it.
pub fn awards_after(
    tx: &mut Tx<'_>,
    filter: &AwardFilter,
    last: Option<&ListedAward>,
    at_most: i64,
) -> Result<Vec<ListedAward>, StoreError> {
    let Some(learner) = learner(tx, filter)? else {
        return Ok(Vec::new());
    };
    let (id, state, slug) = filter.texts();
    let rows: Vec<AwardRow> = sql_query(format!(
        "/* awards_after */ SELECT {}{}{FILTER} AND ($6 = 0 OR (w.created_at, w.id) < ($7, $8)) \
         ORDER BY w.created_at DESC, w.id DESC LIMIT $9",
        badge_class_columns!(),
        award_columns!(),
    ))
    .bind::<Nullable<Text>, _>(id)
    .bind::<Nullable<Text>, _>(state)
    .bind::<Nullable<Text>, _>(slug)
    .bind::<Integer, _>(i32::from(learner.is_some()))
    .bind::<BigInt, _>(learner.map_or(0, |learner| learner.0))
    .bind::<Integer, _>(i32::from(last.is_some()))
    .bind::<Timestamp, _>(last.map_or(DateTime::UNIX_EPOCH, |last| last.created).naive_utc())
    .bind::<Text, _>(last.map_or("", |last| &last.id))
    .bind::<BigInt, _>(at_most)
    .load(tx.conn)?;
    Ok(rows.into_iter().map(Into::into).collect())
}

/// The learner that is meant: any, or nobody who exists.
fn learner(tx: &mut Tx<'_>, filter: &AwardFilter) -> Result<Option<Option<LearnerId>>, StoreError> {
    let Some(username) = &filter.username else {
        return Ok(Some(None));
    };
    Ok(learner_by_username(tx, username)?.map(Some))
}

impl AwardFilter {
    fn texts(&self) -> (Option<String>, Option<&str>, Option<&str>) {
        (
            self.id.map(|id| id.0.to_string()),
            self.state.map(AwardState::as_str),
            self.slug.as_deref(),
        )
    }
}
