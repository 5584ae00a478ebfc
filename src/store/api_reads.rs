//! What the HTTP API and the public pages read. Nothing here writes.
//!
//! Each statement serves both databases: `$n` placeholders, whose first appearances are in order.

mod awards;
mod one;
mod rows;

use chrono::{DateTime, Utc};
use diesel::{
    QueryableByName, RunQueryDsl, sql_query,
    sql_types::{BigInt, Binary, Nullable, Text},
};

use self::rows::{AssertionRow, BadgeClassRow, Count, ListedAssertionRow, assertion_columns, badge_class_columns};
pub use self::{
    awards::{AwardFilter, ListedAward, awards, awards_after, count_awards},
    one::{assertion_of_award, award, award_of},
};
use super::{StoreError, Tx, prepared::Prepare};
use crate::domain::{CourseKey, LearnerId, badge_class::BadgeClass};

/// Which assertions of a learner are meant.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AssertionFilter {
    /// Slug and issuing component of the badge class; `None` for any.
    pub badge_class: Option<(String, String)>,
    /// Course of the badge class: `None` for any, `""` for badges of no course.
    pub course_id: Option<String>,
}

impl AssertionFilter {
    /// Slug, issuing component and course as the statements take them: `*`, which none of them can be, is any.
    fn texts(&self) -> (&str, &str, &str) {
        let (slug, component) = self
            .badge_class
            .as_ref()
            .map_or(("*", ""), |(slug, component)| (slug, component));
        (slug, component, self.course_id.as_deref().unwrap_or("*"))
    }
}

/// A part of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Index of the first item.
    pub start: i64,
    /// Items at most.
    pub length: i64,
}

/// An assertion in a learner's list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedAssertion {
    /// The badge class.
    pub badge_class: BadgeClass,
    /// The badge's image.
    pub image_url: String,
    /// The assertion's public URL.
    pub assertion_url: String,
    /// When it was issued.
    pub created: DateTime<Utc>,
}

/// An assertion with all that its page and its documents show. Holds no e-mail address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicAssertion {
    /// Its unguessable id.
    pub id: String,
    /// Who issued it: `builtin`, `badgr`, `http`.
    pub backend: String,
    /// Its public URL.
    pub assertion_url: String,
    /// Its image.
    pub image_url: String,
    /// Evidence.
    pub evidence_url: Option<String>,
    /// Salt and `sha256$…` of the recipient; with the builtin issuer only.
    pub recipient: Option<(String, String)>,
    /// When it was issued.
    pub created: DateTime<Utc>,
    /// When and why it was revoked.
    pub revoked: Option<(DateTime<Utc>, String)>,
    /// The learner's username; empty after a retirement.
    pub username: String,
    /// The badge class.
    pub badge_class: BadgeClass,
    /// The name of the badge class's course, where known.
    pub course_name: Option<String>,
}

/// The learner whose newest event carries this username.
pub fn learner_by_username(tx: &mut Tx<'_>, username: &str) -> Result<Option<LearnerId>, StoreError> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = BigInt)]
        learner_id: i64,
    }
    if username.is_empty() {
        return Ok(None);
    }
    let rows: Vec<Row> = sql_query(
        "/* learner_by_username */ SELECT learner_id FROM learner WHERE username = $1 \
         ORDER BY username_at DESC NULLS LAST, username_event DESC NULLS LAST, learner_id DESC LIMIT 1",
    )
    .bind::<Text, _>(username)
    .prepared()
    .load(tx.conn)?;
    Ok(rows.first().map(|row| LearnerId(row.learner_id)))
}

/// Assertions of a learner that hold, newest first; and how many there are in all.
pub fn assertions_of(
    tx: &mut Tx<'_>,
    learner: LearnerId,
    filter: &AssertionFilter,
    window: Window,
) -> Result<(i64, Vec<ListedAssertion>), StoreError> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(embed)]
        listed: ListedAssertionRow,
        #[diesel(sql_type = BigInt)]
        count: i64,
    }
    let (slug, component, course) = filter.texts();
    let rows: Vec<Row> = sql_query(concat!(
        "/* assertions_of */ SELECT ",
        badge_class_columns!(),
        ", a.image_url, a.assertion_url, a.created_at, COUNT(*) OVER () AS count \
         FROM assertion a JOIN badge_class b ON b.id = a.badge_class_id \
         WHERE a.learner_id = $1 AND a.revoked_at IS NULL \
         AND ($2 = '*' OR (b.slug = $2 AND b.issuing_component = $3)) AND ($4 = '*' OR b.course_id = $4) \
         ORDER BY a.created_at DESC, a.id DESC LIMIT $5 OFFSET $6",
    ))
    .bind::<BigInt, _>(learner.0)
    .bind::<Text, _>(slug)
    .bind::<Text, _>(component)
    .bind::<Text, _>(course)
    .bind::<BigInt, _>(window.length)
    .bind::<BigInt, _>(window.start)
    .prepared()
    .load(tx.conn)?;
    let count = match rows.first() {
        Some(row) => row.count,
        None if window.start == 0 => 0,
        None => count_assertions(tx, learner, filter)?,
    };
    Ok((count, rows.into_iter().map(|row| row.listed.into()).collect()))
}

/// How many assertions that hold a learner has.
fn count_assertions(tx: &mut Tx<'_>, learner: LearnerId, filter: &AssertionFilter) -> Result<i64, StoreError> {
    let (slug, component, course) = filter.texts();
    let count: Count = sql_query(
        "/* count_assertions */ SELECT COUNT(*) AS count FROM assertion a JOIN badge_class b ON b.id = a.badge_class_id \
         WHERE a.learner_id = $1 AND a.revoked_at IS NULL \
         AND ($2 = '*' OR (b.slug = $2 AND b.issuing_component = $3)) AND ($4 = '*' OR b.course_id = $4)",
    )
    .bind::<BigInt, _>(learner.0)
    .bind::<Text, _>(slug)
    .bind::<Text, _>(component)
    .bind::<Text, _>(course)
    .prepared()
    .get_result(tx.conn)?;
    Ok(count.count)
}

/// Whether there is a badge class of this slug and issuing component, in this course (`None`: in any or none).
pub fn badge_class_exists(
    tx: &mut Tx<'_>,
    slug: &str,
    issuing_component: &str,
    course_id: Option<&str>,
) -> Result<bool, StoreError> {
    let count: Count = sql_query(
        "/* badge_class_exists */ SELECT COUNT(*) AS count FROM badge_class \
         WHERE slug = $1 AND issuing_component = $2 AND ($3 = '*' OR course_id = $3)",
    )
    .bind::<Text, _>(slug)
    .bind::<Text, _>(issuing_component)
    .bind::<Text, _>(course_id.unwrap_or("*"))
    .prepared()
    .get_result(tx.conn)?;
    Ok(count.count > 0)
}

/// Whether a course is known, from an event, a person or a badge class.
pub fn course_exists(tx: &mut Tx<'_>, course: &CourseKey) -> Result<bool, StoreError> {
    let count: Count = sql_query(
        "/* course_exists */ SELECT (SELECT COUNT(*) FROM course WHERE course_key = $1) \
         + (SELECT COUNT(*) FROM badge_class WHERE course_id = $1) AS count",
    )
    .bind::<Text, _>(course.as_str())
    .prepared()
    .get_result(tx.conn)?;
    Ok(count.count > 0)
}

/// The assertion of this id, revoked or not.
pub fn public_assertion(tx: &mut Tx<'_>, id: &str) -> Result<Option<PublicAssertion>, StoreError> {
    let rows: Vec<AssertionRow> = sql_query(concat!(
        "/* public_assertion */ SELECT ",
        badge_class_columns!(),
        ", ",
        assertion_columns!(),
        " WHERE a.id = $1",
    ))
    .bind::<Text, _>(id)
    .prepared()
    .load(tx.conn)?;
    Ok(rows.into_iter().next().map(PublicAssertion::from))
}

/// The latest assertions of everybody, for the front page of the demo.
pub fn recent_assertions(tx: &mut Tx<'_>, at_most: i64) -> Result<Vec<PublicAssertion>, StoreError> {
    let rows: Vec<AssertionRow> = sql_query(concat!(
        "/* recent_assertions */ SELECT ",
        badge_class_columns!(),
        ", ",
        assertion_columns!(),
        " ORDER BY a.created_at DESC, a.id DESC LIMIT $1",
    ))
    .bind::<BigInt, _>(at_most)
    .prepared()
    .load(tx.conn)?;
    Ok(rows.into_iter().map(PublicAssertion::from).collect())
}

/// The badge class of this public id, and the name of its course where known.
pub fn public_badge_class(
    tx: &mut Tx<'_>,
    public_id: &str,
) -> Result<Option<(BadgeClass, Option<String>)>, StoreError> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(embed)]
        badge_class: BadgeClassRow,
        #[diesel(sql_type = Nullable<Text>)]
        course_name: Option<String>,
    }
    let rows: Vec<Row> = sql_query(concat!(
        "/* public_badge_class */ SELECT ",
        badge_class_columns!(),
        ", c.display_name AS course_name \
         FROM badge_class b LEFT JOIN course c ON c.course_key = b.course_id WHERE b.public_id = $1",
    ))
    .bind::<Text, _>(public_id)
    .prepared()
    .load(tx.conn)?;
    let row = rows.into_iter().next();
    Ok(row.map(|row| (row.badge_class.into(), row.course_name.filter(|name| !name.is_empty()))))
}

/// The image of the badge class of this public id: a PNG.
pub fn public_badge_image(tx: &mut Tx<'_>, public_id: &str) -> Result<Option<Vec<u8>>, StoreError> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Binary)]
        image: Vec<u8>,
    }
    let rows: Vec<Row> = sql_query("/* public_badge_image */ SELECT image FROM badge_class WHERE public_id = $1")
        .bind::<Text, _>(public_id)
        .prepared()
        .load(tx.conn)?;
    Ok(rows.into_iter().next().map(|row| row.image))
}

#[cfg(test)]
mod tests;
