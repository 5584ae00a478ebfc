//! Assertions: badges as issued.

use std::borrow::Cow;

use chrono::{DateTime, NaiveDateTime, Utc};
use diesel::{
    ExpressionMethods, OptionalExtension, QueryDsl, QueryableByName, RunQueryDsl, sql_query,
    sql_types::{BigInt, Integer, Nullable, Text, Timestamp},
};
use serde_json::Value;
use uuid::Uuid;

use super::{
    StoreError, Tx, awards,
    bulk::{Column, Statement},
    schema::assertion as assertion_table,
};
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

/// An assertion and what of it is written otherwise than it is kept here.
pub(super) struct NewRow<'a> {
    assertion: &'a NewAssertion,
    award_id: String,
    data: String,
}

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
pub(super) fn insert(tx: &mut Tx<'_>, assertions: &[NewAssertion]) -> Result<(), StoreError> {
    if !assertions.is_empty() {
        inserting(&rows(assertions.iter())).execute(tx)?;
    }
    Ok(())
}

/// These assertions as [`inserting`] takes them.
pub(super) fn rows<'a>(assertions: impl Iterator<Item = &'a NewAssertion>) -> Vec<NewRow<'a>> {
    let row = |assertion: &'a NewAssertion| NewRow {
        assertion,
        award_id: assertion.award.0.to_string(),
        data: assertion.data.to_string(),
    };
    assertions.map(row).collect()
}

/// The statement of [`insert`].
pub(super) fn inserting<'a>(rows: &'a [NewRow<'_>]) -> Statement<'a> {
    let all = || rows.iter().map(|row| row.assertion);
    let texts = |text: fn(&'a NewAssertion) -> &'a str| Column::Texts(all().map(|one| Some(text(one))).collect());
    let optional = |text: fn(&'a NewAssertion) -> Option<&'a str>| Column::Texts(all().map(text).collect());
    let recipient = |one: &'a NewAssertion| one.recipient_hash.as_ref();
    Statement::new(
        "/* assertions::insert */ INSERT INTO assertion (learner_id, award_id, id, badge_class_id, backend, \
         backend_id, image_url, assertion_url, evidence_url, issuer, recipient_salt, recipient_hash, data, created_at) \
         SELECT x.* FROM",
        vec![
            ("learner_id", Column::BigInts(all().map(|one| one.learner.0).collect())),
            (
                "award_id",
                Column::Texts(rows.iter().map(|row| Some(row.award_id.as_str())).collect()),
            ),
            ("id", texts(|one| &one.id)),
            (
                "badge_class_id",
                Column::Integers(all().map(|one| Some(one.badge_class.0)).collect()),
            ),
            ("backend", texts(|one| &one.backend)),
            ("backend_id", optional(|one| one.backend_id.as_deref())),
            ("image_url", texts(|one| &one.image_url)),
            ("assertion_url", texts(|one| &one.assertion_url)),
            ("evidence_url", optional(|one| one.evidence_url.as_deref())),
            ("issuer", texts(|one| &one.issuer)),
            (
                "recipient_salt",
                Column::Texts(all().map(|one| Some(recipient(one)?.0.as_str())).collect()),
            ),
            (
                "recipient_hash",
                Column::Texts(all().map(|one| Some(recipient(one)?.1.as_str())).collect()),
            ),
            (
                "data",
                Column::Texts(rows.iter().map(|row| Some(row.data.as_str())).collect()),
            ),
            (
                "created_at",
                Column::Times(all().map(|one| Some(one.created.naive_utc())).collect()),
            ),
        ],
        "",
    )
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
