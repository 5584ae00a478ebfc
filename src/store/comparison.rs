//! What is stored, as it is compared with what a badge backend holds; and whose turn it is to compare.
//!
//! One process at a time compares, under a lease in the backend's row. Nothing is kept of a comparison on its way: one
//! that was broken off begins anew.

use chrono::TimeDelta;
use diesel::{
    OptionalExtension, QueryableByName, RunQueryDsl, sql_query,
    sql_types::{BigInt, Bool, Integer, Nullable, Text, Timestamp},
};

use super::{StoreError, Tx, awards, prepared::Prepare};
use crate::domain::{LearnerId, award::AwardId, badge_class::BadgeClassId};

/// The time from one comparison to the next.
pub const EVERY: TimeDelta = TimeDelta::days(1);
/// Rows that one read brings.
pub const SLICE: i64 = 1000;

/// The right to compare with a backend, until its lease runs out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    backend: String,
    token: i64,
}

/// A badge class of which there are assertions of a backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComparedClass {
    /// Its row.
    pub id: BadgeClassId,
    /// Its slug.
    pub slug: String,
    /// Its id at the backend, where it was made or found there.
    pub backend_id: Option<String>,
}

/// An assertion, as far as it is compared.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredAssertion {
    /// Whose.
    pub learner: LearnerId,
    /// For which award.
    pub award: AwardId,
    /// Its public id.
    pub id: String,
    /// Its id at the backend; `None` where none is known, as of some that were imported.
    pub backend_id: Option<String>,
    /// It holds no more, as we know.
    pub is_revoked: bool,
    /// The e-mail address that it was issued to, or else the learner's.
    pub recipient: Option<String>,
    /// How often its award was claimed to be sent; 0 for one that was imported.
    pub attempts: u32,
}

/// Without the address.
impl std::fmt::Debug for StoredAssertion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoredAssertion")
            .field("award", &self.award.0)
            .field("backend_id", &self.backend_id)
            .finish_non_exhaustive()
    }
}

#[derive(QueryableByName)]
struct TokenRow {
    #[diesel(sql_type = BigInt)]
    lease_token: i64,
}

#[derive(QueryableByName)]
struct ClassRow {
    #[diesel(sql_type = Integer)]
    id: i32,
    #[diesel(sql_type = Text)]
    slug: String,
    #[diesel(sql_type = Nullable<Text>)]
    backend_id: Option<String>,
}

#[derive(QueryableByName)]
struct AssertionRow {
    #[diesel(sql_type = BigInt)]
    learner_id: i64,
    #[diesel(sql_type = Text)]
    award_id: String,
    #[diesel(sql_type = Text)]
    id: String,
    #[diesel(sql_type = Nullable<Text>)]
    backend_id: Option<String>,
    #[diesel(sql_type = Bool)]
    is_revoked: bool,
    #[diesel(sql_type = Nullable<Text>)]
    recipient: Option<String>,
    #[diesel(sql_type = Integer)]
    attempts: i32,
}

#[derive(QueryableByName)]
struct AnswerRow {
    #[diesel(sql_type = Bool)]
    is_so: bool,
}

/// Whether the comparison with this backend may be due; [`claim`] says it for good. Cheap, and takes no lock.
pub fn is_due(tx: &mut Tx<'_>, backend: &str) -> Result<bool, StoreError> {
    let now = tx.now()?;
    let answer: AnswerRow = sql_query(
        "/* comparison::is_due */ SELECT NOT EXISTS (SELECT 1 FROM comparison WHERE backend = $1 \
         AND (due_at > $2 AND lease_until IS NULL OR lease_until > $2)) AS is_so",
    )
    .bind::<Text, _>(backend)
    .bind::<Timestamp, _>(now)
    .get_result(tx.conn)?;
    Ok(answer.is_so)
}

/// Takes the comparison with this backend, if it is due, or was broken off, and nobody does it. The next is then due in
/// [`EVERY`]; so is the first, after this was asked for the first time.
pub fn claim(tx: &mut Tx<'_>, backend: &str, lease: TimeDelta) -> Result<Option<Claim>, StoreError> {
    take(tx, backend, lease, "(due_at <= $4 OR lease_until IS NOT NULL)")
}

/// Takes it whether it is due or not, unless somebody does it.
pub fn claim_by_hand(tx: &mut Tx<'_>, backend: &str, lease: TimeDelta) -> Result<Option<Claim>, StoreError> {
    take(tx, backend, lease, "true")
}

fn take(tx: &mut Tx<'_>, backend: &str, lease: TimeDelta, when: &str) -> Result<Option<Claim>, StoreError> {
    let now = tx.now()?;
    sql_query("/* comparison::take */ INSERT INTO comparison (backend, due_at) VALUES ($1, $2) ON CONFLICT DO NOTHING")
        .bind::<Text, _>(backend)
        .bind::<Timestamp, _>(now + EVERY)
        .execute(tx.conn)?;
    let row: Option<TokenRow> = sql_query(format!(
        "/* comparison::take */ UPDATE comparison SET lease_token = lease_token + 1, lease_until = $1, due_at = $2 \
         WHERE backend = $3 AND (lease_until IS NULL OR lease_until <= $4) AND {when} RETURNING lease_token"
    ))
    .bind::<Timestamp, _>(now + lease)
    .bind::<Timestamp, _>(now + EVERY)
    .bind::<Text, _>(backend)
    .bind::<Timestamp, _>(now)
    .get_result(tx.conn)
    .optional()?;
    Ok(row.map(|row| Claim {
        backend: backend.to_owned(),
        token: row.lease_token,
    }))
}

/// Holds the claim for longer. Says whether it still holds.
pub fn renew(tx: &mut Tx<'_>, claim: &Claim, lease: TimeDelta) -> Result<bool, StoreError> {
    let until = tx.now()? + lease;
    let renewed = sql_query(
        "/* comparison::renew */ UPDATE comparison SET lease_until = $1 WHERE backend = $2 AND lease_token = $3",
    )
    .bind::<Timestamp, _>(until)
    .bind::<Text, _>(&claim.backend)
    .bind::<BigInt, _>(claim.token)
    .execute(tx.conn)?;
    Ok(renewed == 1)
}

/// Gives the claim back; the next comparison is due within this time.
pub fn finish(tx: &mut Tx<'_>, claim: &Claim, within: TimeDelta) -> Result<(), StoreError> {
    let due = tx.now()? + within;
    sql_query(
        "/* comparison::finish */ UPDATE comparison SET lease_until = NULL, \
         due_at = CASE WHEN due_at < $1 THEN due_at ELSE $1 END WHERE backend = $2 AND lease_token = $3",
    )
    .bind::<Timestamp, _>(due)
    .bind::<Text, _>(&claim.backend)
    .bind::<BigInt, _>(claim.token)
    .execute(tx.conn)?;
    Ok(())
}

/// Lets the next comparison with this backend be due within this time.
pub fn hasten(tx: &mut Tx<'_>, backend: &str, within: TimeDelta) -> Result<(), StoreError> {
    let due = tx.now()? + within;
    sql_query(
        "/* comparison::hasten */ INSERT INTO comparison (backend, due_at) VALUES ($1, $2) \
         ON CONFLICT (backend) DO UPDATE SET due_at = excluded.due_at WHERE comparison.due_at > excluded.due_at",
    )
    .bind::<Text, _>(backend)
    .bind::<Timestamp, _>(due)
    .execute(tx.conn)?;
    Ok(())
}

/// The badge classes with assertions of this backend, after this one, at most [`SLICE`].
pub fn badge_classes(
    tx: &mut Tx<'_>,
    backend: &str,
    after: Option<BadgeClassId>,
) -> Result<Vec<ComparedClass>, StoreError> {
    let rows: Vec<ClassRow> = sql_query(
        "/* comparison::badge_classes */ SELECT b.id, b.slug, CASE WHEN b.backend = $1 THEN b.backend_id END AS backend_id \
         FROM badge_class b WHERE b.id > $2 AND EXISTS (SELECT 1 FROM assertion a WHERE a.badge_class_id = b.id \
         AND a.backend = $1) ORDER BY b.id LIMIT $3",
    )
    .bind::<Text, _>(backend)
    .bind::<Integer, _>(after.map_or(i32::MIN, |id| id.0))
    .bind::<BigInt, _>(SLICE)
    .load(tx.conn)?;
    let class = |row: ClassRow| ComparedClass {
        id: BadgeClassId(row.id),
        slug: row.slug,
        backend_id: row.backend_id,
    };
    Ok(rows.into_iter().map(class).collect())
}

/// The assertions of this badge class that this backend issued, after the one of this award, at most [`SLICE`].
pub fn assertions(
    tx: &mut Tx<'_>,
    class: BadgeClassId,
    backend: &str,
    after: Option<awards::AwardKey>,
) -> Result<Vec<StoredAssertion>, StoreError> {
    let rows: Vec<AssertionRow> = sql_query(
        "/* comparison::assertions */ SELECT a.learner_id, a.award_id, a.id, a.backend_id, \
         (a.revoked_at IS NOT NULL) AS is_revoked, coalesce(w.recipient, l.email) AS recipient, \
         coalesce(w.attempts, 0) AS attempts FROM assertion a \
         LEFT JOIN award w ON w.learner_id = a.learner_id AND w.id = a.award_id \
         LEFT JOIN learner l ON l.learner_id = a.learner_id \
         WHERE a.badge_class_id = $1 AND a.backend = $2 AND a.learner_id >= $3 \
         AND (a.learner_id > $3 OR a.award_id > $4) ORDER BY a.learner_id, a.award_id LIMIT $5",
    )
    .bind::<Integer, _>(class.0)
    .bind::<Text, _>(backend)
    .bind::<BigInt, _>(after.map_or(i64::MIN, |(learner, _)| learner.0))
    .bind::<Text, _>(after.map_or_else(String::new, |(_, award)| award.0.to_string()))
    .bind::<BigInt, _>(SLICE)
    .prepared()
    .load(tx.conn)?;
    let stored = rows.into_iter().map(|row| {
        Ok(StoredAssertion {
            learner: LearnerId(row.learner_id),
            award: awards::award_id(&row.award_id)?,
            id: row.id,
            backend_id: row.backend_id,
            is_revoked: row.is_revoked,
            recipient: row.recipient,
            attempts: u32::try_from(row.attempts).unwrap_or_default(),
        })
    });
    stored.collect()
}

/// Whether `surplus`, an id at the backend, surely belongs to no award of this badge class beside the one of `kept`: that
/// one is stored and holds, `surplus` is not stored, and nothing is under way that may have made it. Costs a look at all
/// assertions.
pub fn is_surplus(
    tx: &mut Tx<'_>,
    class: BadgeClassId,
    kept: &StoredAssertion,
    surplus: &str,
) -> Result<bool, StoreError> {
    let answer: AnswerRow = sql_query(
        "/* comparison::is_surplus */ SELECT (EXISTS (SELECT 1 FROM assertion WHERE learner_id = $1 AND award_id = $2 \
         AND backend_id = $3 AND revoked_at IS NULL) \
         AND NOT EXISTS (SELECT 1 FROM revocation WHERE learner_id = $1 AND award_id = $2) \
         AND NOT EXISTS (SELECT 1 FROM assertion WHERE backend_id = $4) \
         AND NOT EXISTS (SELECT 1 FROM award WHERE state <> 'published' AND state <> 'issued' AND badge_class_id = $5 \
         AND (posted OR state = 'issuing') AND (learner_id = $1 OR lower(recipient) = $6))) AS is_so",
    )
    .bind::<BigInt, _>(kept.learner.0)
    .bind::<Text, _>(kept.award.0.to_string())
    .bind::<Text, _>(kept.backend_id.as_deref().unwrap_or_default())
    .bind::<Text, _>(surplus)
    .bind::<Integer, _>(class.0)
    .bind::<Text, _>(kept.recipient.as_deref().unwrap_or_default().trim().to_lowercase())
    .get_result(tx.conn)?;
    Ok(answer.is_so)
}

#[cfg(test)]
mod tests;
