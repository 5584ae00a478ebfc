//! Assertions: badges as issued.

use std::borrow::Cow;

use chrono::{DateTime, NaiveDateTime, Utc};
use diesel::{
    ExpressionMethods, OptionalExtension, QueryDsl, QueryableByName, RunQueryDsl, sql_query,
    sql_types::{BigInt, Integer, Nullable, Text, Timestamp},
};
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use super::{AnyConnection, StoreError, Tx, awards, prepared::Prepare, schema::assertion as assertion_table, unfold};
use crate::domain::{LearnerId, award::AwardId, badge_class::BadgeClassId};

/// An assertion that is to be stored.
#[derive(Debug, Clone, PartialEq)]
pub struct NewAssertion {
    /// Whose.
    pub learner: LearnerId,
    /// For which award.
    pub award: AwardId,
    /// Its unguessable public id.
    pub id: String,
    /// Of which badge class.
    pub badge_class: BadgeClassId,
    /// Who issued it: `badgr`, `builtin`, `http`.
    pub backend: Cow<'static, str>,
    /// Its id there.
    pub backend_id: Option<String>,
    /// Its image.
    pub image_url: String,
    /// Its public URL.
    pub assertion_url: String,
    /// Evidence.
    pub evidence_url: Option<String>,
    /// The issuer, as the backend names it.
    pub issuer: String,
    /// Salt and hash of the recipient, where our own documents show them.
    pub recipient_hash: Option<(String, String)>,
    /// What the backend said of it.
    pub data: Value,
    /// When it was issued.
    pub created: DateTime<Utc>,
}

/// An assertion as stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Assertion {
    /// Whose.
    pub learner: LearnerId,
    /// For which award.
    pub award: AwardId,
    /// Its public id.
    pub id: Uuid,
    /// Of which badge class.
    pub badge_class: BadgeClassId,
    /// Who issued it.
    pub backend: String,
    /// Its id there.
    pub backend_id: Option<String>,
    /// Its image.
    pub image_url: String,
    /// Its public URL.
    pub assertion_url: String,
    /// Evidence.
    pub evidence_url: Option<String>,
    /// The issuer, as the backend names it.
    pub issuer: String,
    /// What the backend said of it.
    pub data: Value,
    /// When it was issued.
    pub created: DateTime<Utc>,
    /// Since when it holds no more, and why.
    pub revoked: Option<(DateTime<Utc>, String)>,
}

#[derive(Serialize)]
struct NewRow<'a> {
    learner_id: i64,
    award_id: Uuid,
    id: &'a str,
    badge_class_id: i32,
    backend: &'a str,
    backend_id: Option<&'a str>,
    image_url: &'a str,
    assertion_url: &'a str,
    evidence_url: Option<&'a str>,
    issuer: &'a str,
    recipient_salt: Option<&'a str>,
    recipient_hash: Option<&'a str>,
    data: String,
    created_at: String,
}

const NEW: &[(&str, &str)] = &[
    ("learner_id", "bigint"),
    ("award_id", "text"),
    ("id", "text"),
    ("badge_class_id", "integer"),
    ("backend", "text"),
    ("backend_id", "text"),
    ("image_url", "text"),
    ("assertion_url", "text"),
    ("evidence_url", "text"),
    ("issuer", "text"),
    ("recipient_salt", "text"),
    ("recipient_hash", "text"),
    ("data", "text"),
    ("created_at", "timestamp"),
];

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = BigInt)]
    learner_id: i64,
    #[diesel(sql_type = Text)]
    award_id: String,
    #[diesel(sql_type = Text)]
    id: String,
    #[diesel(sql_type = Integer)]
    badge_class_id: i32,
    #[diesel(sql_type = Text)]
    backend: String,
    #[diesel(sql_type = Nullable<Text>)]
    backend_id: Option<String>,
    #[diesel(sql_type = Text)]
    image_url: String,
    #[diesel(sql_type = Text)]
    assertion_url: String,
    #[diesel(sql_type = Nullable<Text>)]
    evidence_url: Option<String>,
    #[diesel(sql_type = Text)]
    issuer: String,
    #[diesel(sql_type = Text)]
    data: String,
    #[diesel(sql_type = Timestamp)]
    created_at: NaiveDateTime,
    #[diesel(sql_type = Nullable<Timestamp>)]
    revoked_at: Option<NaiveDateTime>,
    #[diesel(sql_type = Nullable<Text>)]
    revocation_reason: Option<String>,
}

/// Stores assertions. The caller holds the rows of the learners and has moved the awards to `issued`.
pub(super) fn insert(tx: &mut Tx<'_>, assertions: &[&NewAssertion]) -> Result<(), StoreError> {
    sql_query(inserting(tx.conn, "$1"))
        .bind::<Text, _>(rows(assertions.iter().copied()))
        .prepared()
        .run(tx.conn)?;
    Ok(())
}

/// The statement of [`insert`], over the [`rows`] in this parameter.
pub(super) fn inserting(conn: &AnyConnection, parameter: &str) -> String {
    format!(
        "/* assertions::insert */ INSERT INTO assertion (learner_id, award_id, id, badge_class_id, backend, \
         backend_id, image_url, assertion_url, evidence_url, issuer, recipient_salt, recipient_hash, data, created_at) \
         SELECT x.* FROM {} WHERE true",
        unfold::rows(conn, parameter, NEW),
    )
}

/// These assertions as [`inserting`] takes them.
pub(super) fn rows<'a>(assertions: impl Iterator<Item = &'a NewAssertion>) -> String {
    unfold::json(&assertions.map(new_row).collect::<Vec<_>>())
}

/// The assertion of this public id, revoked or not.
pub fn get(tx: &mut Tx<'_>, id: &str) -> Result<Option<Assertion>, StoreError> {
    sql_query("/* assertions::get */ SELECT * FROM assertion WHERE id = $1")
        .bind::<Text, _>(id)
        .get_result::<Row>(tx.conn)
        .optional()?
        .map(assertion)
        .transpose()
}

/// The assertion of this award, revoked or not.
pub fn of_award(tx: &mut Tx<'_>, learner: LearnerId, award: AwardId) -> Result<Option<Assertion>, StoreError> {
    sql_query("/* assertions::of_award */ SELECT * FROM assertion WHERE learner_id = $1 AND award_id = $2")
        .bind::<BigInt, _>(learner.0)
        .bind::<Text, _>(award.0.to_string())
        .get_result::<Row>(tx.conn)
        .optional()?
        .map(assertion)
        .transpose()
}

/// The ids at the backend of what this learner was issued of this badge class for other awards.
pub fn others(
    tx: &mut Tx<'_>,
    learner: LearnerId,
    badge_class: BadgeClassId,
    award: AwardId,
) -> Result<Vec<String>, StoreError> {
    let ids: Vec<Option<String>> = assertion_table::table
        .filter(assertion_table::learner_id.eq(learner.0))
        .filter(assertion_table::badge_class_id.eq(badge_class.0))
        .filter(assertion_table::award_id.ne(award.0.to_string()))
        .select(assertion_table::backend_id)
        .load(tx.conn)?;
    Ok(ids.into_iter().flatten().collect())
}

fn new_row(assertion: &NewAssertion) -> NewRow<'_> {
    let recipient = assertion.recipient_hash.as_ref();
    NewRow {
        learner_id: assertion.learner.0,
        award_id: assertion.award.0,
        id: &assertion.id,
        badge_class_id: assertion.badge_class.0,
        backend: &assertion.backend,
        backend_id: assertion.backend_id.as_deref(),
        image_url: &assertion.image_url,
        assertion_url: &assertion.assertion_url,
        evidence_url: assertion.evidence_url.as_deref(),
        issuer: &assertion.issuer,
        recipient_salt: recipient.map(|(salt, _)| salt.as_str()),
        recipient_hash: recipient.map(|(_, hash)| hash.as_str()),
        data: assertion.data.to_string(),
        created_at: unfold::time(assertion.created.naive_utc()),
    }
}

fn assertion(row: Row) -> Result<Assertion, StoreError> {
    let corrupt = |what: &str| StoreError::Corrupt(format!("{what} of assertion {:?}", row.id));
    Ok(Assertion {
        learner: LearnerId(row.learner_id),
        award: awards::award_id(&row.award_id)?,
        id: Uuid::parse_str(&row.id).map_err(|_| corrupt("id"))?,
        badge_class: BadgeClassId(row.badge_class_id),
        data: serde_json::from_str(&row.data).map_err(|_| corrupt("data"))?,
        backend: row.backend,
        backend_id: row.backend_id,
        image_url: row.image_url,
        assertion_url: row.assertion_url,
        evidence_url: row.evidence_url,
        issuer: row.issuer,
        created: row.created_at.and_utc(),
        revoked: row
            .revoked_at
            .map(|at| (at.and_utc(), row.revocation_reason.unwrap_or_default())),
    })
}
