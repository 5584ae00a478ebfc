//! Awards as people and metrics see them.

use chrono::{DateTime, NaiveDateTime, Utc};
use diesel::{
    OptionalExtension, QueryableByName, RunQueryDsl, sql_query,
    sql_types::{BigInt, Integer, Nullable, Text, Timestamp},
};

use super::{award_id, award_state};
use crate::{
    domain::{
        LearnerId,
        award::{AwardId, AwardState},
        badge_class::{BadgeClassId, BadgeClassKey},
    },
    store::{StoreError, Tx},
};

/// An award and why it waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AwardRow {
    /// The award.
    pub id: AwardId,
    /// Whose.
    pub learner: LearnerId,
    /// Their user name.
    pub username: String,
    /// Which badge class.
    pub badge_class: BadgeClassId,
    /// Its identity.
    pub badge_class_key: BadgeClassKey,
    /// Its name.
    pub display_name: String,
    /// Where it stands.
    pub state: AwardState,
    /// Why it waits or was given up: a stable code.
    pub reason: Option<String>,
    /// How often it was tried.
    pub attempts: i32,
    /// What went wrong last.
    pub last_error: Option<String>,
    /// When it is due.
    pub next_attempt_at: DateTime<Utc>,
    /// When it was decided.
    pub created_at: DateTime<Utc>,
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Text)]
    id: String,
    #[diesel(sql_type = BigInt)]
    learner_id: i64,
    #[diesel(sql_type = Text)]
    username: String,
    #[diesel(sql_type = Integer)]
    badge_class_id: i32,
    #[diesel(sql_type = Text)]
    slug: String,
    #[diesel(sql_type = Text)]
    issuing_component: String,
    #[diesel(sql_type = Text)]
    course_id: String,
    #[diesel(sql_type = Text)]
    display_name: String,
    #[diesel(sql_type = Text)]
    state: String,
    #[diesel(sql_type = Nullable<Text>)]
    state_reason: Option<String>,
    #[diesel(sql_type = Integer)]
    attempts: i32,
    #[diesel(sql_type = Nullable<Text>)]
    last_error: Option<String>,
    #[diesel(sql_type = Timestamp)]
    next_attempt_at: NaiveDateTime,
    #[diesel(sql_type = Timestamp)]
    created_at: NaiveDateTime,
}

const ROW: &str = "SELECT a.id, a.learner_id, l.username, a.badge_class_id, b.slug, b.issuing_component, b.course_id, \
     b.display_name, a.state, a.state_reason, a.attempts, a.last_error, a.next_attempt_at, a.created_at \
     FROM award a JOIN learner l ON l.learner_id = a.learner_id JOIN badge_class b ON b.id = a.badge_class_id";

#[derive(QueryableByName)]
struct CountRow {
    #[diesel(sql_type = Text)]
    state: String,
    #[diesel(sql_type = BigInt)]
    awards: i64,
}

#[derive(QueryableByName)]
struct OldestRow {
    #[diesel(sql_type = Nullable<Timestamp>)]
    oldest: Option<NaiveDateTime>,
}

/// How many awards stand in each state but `published`; every one is named.
pub fn counts_by_open_state(tx: &mut Tx<'_>) -> Result<Vec<(AwardState, i64)>, StoreError> {
    let rows: Vec<CountRow> = sql_query(
        "/* awards::counts_by_open_state */ SELECT state, count(*) AS awards FROM award WHERE state <> 'published' \
         GROUP BY state",
    )
    .load(tx.conn)?;
    let count = |state: AwardState| {
        rows.iter()
            .find(|row| row.state == state.as_str())
            .map_or(0, |row| row.awards)
    };
    let open = AwardState::ALL
        .into_iter()
        .filter(|state| *state != AwardState::Published);
    Ok(open.map(|state| (state, count(state))).collect())
}

/// How many awards were published. Counts row by row: dear where there are millions.
pub fn count_published(tx: &mut Tx<'_>) -> Result<i64, StoreError> {
    let row: CountRow = sql_query(
        "/* awards::count_published */ SELECT 'published' AS state, count(*) AS awards FROM award \
         WHERE state = 'published'",
    )
    .get_result(tx.conn)?;
    Ok(row.awards)
}

/// Seconds since the oldest award was decided that is on its way to be issued; zero where there is none.
pub fn oldest_pending_age(tx: &mut Tx<'_>) -> Result<f64, StoreError> {
    let now = tx.now()?;
    let row: OldestRow = sql_query(
        "/* awards::oldest_pending_age */ SELECT min(created_at) AS oldest FROM award \
         WHERE state IN ('pending', 'issuing', 'uncertain')",
    )
    .get_result(tx.conn)?;
    Ok(row.oldest.map_or(0.0, |oldest| age_seconds(now, oldest)))
}

/// The award of this id.
pub fn get(tx: &mut Tx<'_>, id: AwardId) -> Result<Option<AwardRow>, StoreError> {
    sql_query(format!("/* awards::get */ {ROW} WHERE a.id = $1"))
        .bind::<Text, _>(id.0.to_string())
        .get_result::<Row>(tx.conn)
        .optional()?
        .map(award_row)
        .transpose()
}

fn award_row(row: Row) -> Result<AwardRow, StoreError> {
    Ok(AwardRow {
        id: award_id(&row.id)?,
        learner: LearnerId(row.learner_id),
        username: row.username,
        badge_class: BadgeClassId(row.badge_class_id),
        badge_class_key: BadgeClassKey {
            slug: row.slug,
            issuing_component: row.issuing_component,
            course_id: row.course_id,
        },
        display_name: row.display_name,
        state: award_state(&row.state)?,
        reason: row.state_reason,
        attempts: row.attempts,
        last_error: row.last_error,
        next_attempt_at: row.next_attempt_at.and_utc(),
        created_at: row.created_at.and_utc(),
    })
}

pub(in crate::store) fn age_seconds(now: NaiveDateTime, then: NaiveDateTime) -> f64 {
    let age = now - then;
    age.to_std().map_or(0.0, |age| age.as_secs_f64())
}
