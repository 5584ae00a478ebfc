//! Revocations on their way: asked for, carried out at the backend, and then told of.
//!
//! A request is a row; the row goes in the transaction that marks the assertion and writes the outgoing event. A lease
//! that ran out is taken again: revoking twice does no harm.

mod untold;

use chrono::{NaiveDateTime, TimeDelta};
use diesel::{
    ExpressionMethods, OptionalExtension, QueryDsl, QueryableByName, RunQueryDsl, sql_query,
    sql_types::{BigInt, Bool, Integer, Text, Timestamp},
};
use serde_json::{Value, json};

use super::{
    AnyConnection, StoreError, Tx,
    assertions::{self, Assertion},
    audit::{self, Action, Actor},
    awards,
    prepared::Prepare,
    schema::{assertion, learner, outbox, revocation},
    unfold,
};
use crate::{
    domain::{LearnerId, award::AwardId},
    wire::{
        badge_event::{BADGE_AWARDED, BADGE_REVOKED},
        redact,
    },
};

/// A revocation that this process may carry out until its lease runs out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimedRevocation {
    /// Whose assertion.
    pub learner: LearnerId,
    /// Of which award.
    pub award: AwardId,
    /// Tells this lease from earlier and later ones.
    pub token: i64,
    /// Who issued it.
    pub backend: String,
    /// Its id there.
    pub backend_id: Option<String>,
    /// Its public URL.
    pub assertion_url: String,
    /// Why it is revoked.
    pub reason: String,
    /// Attempts, this one among them.
    pub attempts: u32,
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = BigInt)]
    learner_id: i64,
    #[diesel(sql_type = Text)]
    award_id: String,
    #[diesel(sql_type = BigInt)]
    lease_token: i64,
    #[diesel(sql_type = Text)]
    reason: String,
    #[diesel(sql_type = Integer)]
    attempts: i32,
}

/// Asks for an assertion to be revoked. `None` when there is none of this id; one that is revoked already, or is to be
/// because somebody asked, stays as it is, but what failed is tried again at once.
pub fn request(tx: &mut Tx<'_>, id: &str, reason: &str, actor: &Actor) -> Result<Option<Assertion>, StoreError> {
    let Some(found) = assertions::get(tx, id)? else {
        return Ok(None);
    };
    if found.revoked.is_some() {
        return Ok(Some(found));
    }
    // What is said of the learner is met by a retirement, or comes after it.
    hold(tx, found.learner)?;
    let now = tx.now()?;
    let asked = sql_query(
        "/* revocations::request */ INSERT INTO revocation (learner_id, award_id, reason, created_at, next_attempt_at) \
         VALUES ($1, $2, $3, $4, $4) ON CONFLICT (learner_id, award_id) DO UPDATE \
         SET reason = CASE WHEN revocation.by_loss THEN excluded.reason ELSE revocation.reason END, by_loss = false, \
         last_error = NULL, next_attempt_at = excluded.next_attempt_at \
         WHERE revocation.by_loss OR revocation.last_error IS NOT NULL",
    )
    .bind::<BigInt, _>(found.learner.0)
    .bind::<Text, _>(found.award.0.to_string())
    .bind::<Text, _>(reason)
    .bind::<Timestamp, _>(now)
    .execute(tx.conn)?;
    if asked == 1 {
        audit::record(tx, actor, Action::Revoke, id, &json!({"reason": reason}))?;
    }
    Ok(Some(found))
}

/// What went wrong with the latest attempt, while the request is there.
pub fn last_error(tx: &mut Tx<'_>, learner: LearnerId, award: AwardId) -> Result<Option<String>, StoreError> {
    let error: Option<Option<String>> = revocation::table
        .find((learner.0, award.0.to_string()))
        .select(revocation::last_error)
        .first(tx.conn)
        .optional()?;
    Ok(error.flatten())
}

/// Takes up to `limit` revocations that are due; until the lease runs out nobody else does. One of an award that may be
/// at the backend, and is still looked for, is not due before its assertion is there.
pub fn claim(tx: &mut Tx<'_>, limit: i64, lease: TimeDelta) -> Result<Vec<ClaimedRevocation>, StoreError> {
    let now = tx.now()?;
    let rows: Vec<Row> = sql_query(format!(
        "/* revocations::claim */ WITH x AS (SELECT learner_id, award_id FROM revocation WHERE next_attempt_at <= $1 \
         AND EXISTS (SELECT 1 FROM assertion a WHERE a.learner_id = revocation.learner_id \
         AND a.award_id = revocation.award_id) \
         ORDER BY next_attempt_at LIMIT $2 {}) \
         UPDATE revocation SET lease_token = lease_token + 1, attempts = attempts + 1, next_attempt_at = $3 FROM x \
         WHERE revocation.learner_id = x.learner_id AND revocation.award_id = x.award_id \
         RETURNING revocation.learner_id, revocation.award_id, lease_token, reason, attempts",
        unfold::skip_locked(tx.conn),
    ))
    .bind::<Timestamp, _>(now)
    .bind::<BigInt, _>(limit)
    .bind::<Timestamp, _>(now + lease)
    .prepared()
    .load(tx.conn)?;
    let claimed = rows.into_iter().map(|row| {
        let (learner, award) = (LearnerId(row.learner_id), awards::award_id(&row.award_id)?);
        let assertion = assertions::of_award(tx, learner, award)?.ok_or(StoreError::NotFound)?;
        Ok(ClaimedRevocation {
            learner,
            award,
            token: row.lease_token,
            backend: assertion.backend,
            backend_id: assertion.backend_id,
            assertion_url: assertion.assertion_url,
            reason: row.reason,
            attempts: u32::try_from(row.attempts).unwrap_or(1),
        })
    });
    claimed.collect()
}

/// Marks the assertion as revoked and writes `badge.revoked`, after what was told of it before. Says whether it did:
/// not, when the lease went to another.
pub fn complete(tx: &mut Tx<'_>, done: &ClaimedRevocation) -> Result<bool, StoreError> {
    let award = done.award.0.to_string();
    let seq = hold(tx, done.learner)?.next_seq;
    // A retirement may have changed it since the claim.
    let reason: Option<String> = diesel::delete(
        revocation::table
            .find((done.learner.0, &award))
            .filter(revocation::lease_token.eq(done.token)),
    )
    .returning(revocation::reason)
    .get_result(tx.conn)
    .optional()?;
    let Some(reason) = reason else { return Ok(false) };
    mark(tx, (done.learner, done.award), seq, &reason)
}

/// Marks an assertion that holds no more at the backend, by whomever it was revoked there, and writes `badge.revoked`.
/// Says whether it did: not when it is marked already, is another one than was looked at, or is being revoked by us.
pub fn found_revoked(
    tx: &mut Tx<'_>,
    (learner, award): awards::AwardKey,
    backend_id: &str,
    reason: &str,
) -> Result<bool, StoreError> {
    let held = hold(tx, learner)?;
    let id = award.0.to_string();
    let is_same: i64 = assertion::table
        .find((learner.0, &id))
        .filter(assertion::backend_id.eq(backend_id))
        .count()
        .get_result(tx.conn)?;
    let ours: i64 = revocation::table.find((learner.0, &id)).count().get_result(tx.conn)?;
    if is_same == 0 || ours > 0 {
        return Ok(false);
    }
    mark(tx, (learner, award), held.next_seq, reason)
}

/// Marks the assertion as revoked and writes `badge.revoked` under this number. The caller holds the learner's row.
fn mark(tx: &mut Tx<'_>, (learner, id): awards::AwardKey, seq: i64, reason: &str) -> Result<bool, StoreError> {
    let award = id.0.to_string();
    let now = tx.now()?;
    let revoked = diesel::update(assertion::table.find((learner.0, &award)))
        .filter(assertion::revoked_at.is_null())
        .set((assertion::revoked_at.eq(now), assertion::revocation_reason.eq(reason)))
        .execute(tx.conn)?;
    if revoked == 0 {
        return Ok(false);
    }
    let payload = payload(tx, (learner, id), reason, now)?;
    diesel::insert_into(outbox::table)
        .values((
            outbox::learner_id.eq(learner.0),
            outbox::seq.eq(seq),
            outbox::event_id.eq(id.event_id(BADGE_REVOKED).to_string()),
            outbox::event_type.eq(BADGE_REVOKED),
            outbox::award_id.eq(&award),
            outbox::payload.eq(payload),
            outbox::created_at.eq(now),
        ))
        .execute(tx.conn)?;
    diesel::update(learner::table.find(learner.0))
        .set(learner::next_seq.eq(seq + 1))
        .execute(tx.conn)?;
    Ok(true)
}

/// Gives a revocation back, to be tried again after a while.
pub fn put_off(tx: &mut Tx<'_>, done: &ClaimedRevocation, after: TimeDelta, error: &str) -> Result<(), StoreError> {
    let due = tx.now()? + after;
    // The backend may name whom it speaks of.
    let error = match hold(tx, done.learner)?.retired {
        false => error,
        true => "the backend did not do it",
    };
    diesel::update(revocation::table.find((done.learner.0, done.award.0.to_string())))
        .filter(revocation::lease_token.eq(done.token))
        .set((revocation::next_attempt_at.eq(due), revocation::last_error.eq(error)))
        .execute(tx.conn)?;
    Ok(())
}

#[derive(QueryableByName)]
struct Held {
    #[diesel(sql_type = BigInt)]
    next_seq: i64,
    #[diesel(sql_type = Bool)]
    retired: bool,
}

/// Holds the learner's row, as all do who write their outgoing events, and who retire learners.
fn hold(tx: &mut Tx<'_>, id: LearnerId) -> Result<Held, StoreError> {
    let lock = match tx.conn {
        AnyConnection::Postgres(_) => "FOR NO KEY UPDATE",
        AnyConnection::Sqlite(_) => "",
    };
    Ok(sql_query(format!(
        "/* revocations::hold */ SELECT next_seq, (retired_at IS NOT NULL) AS retired FROM learner \
         WHERE learner_id = $1 {lock}"
    ))
    .bind::<BigInt, _>(id.0)
    .get_result(tx.conn)?)
}

/// What `badge.awarded` said, and since when it holds no more.
fn payload(
    tx: &mut Tx<'_>,
    (learner, award): awards::AwardKey,
    reason: &str,
    now: NaiveDateTime,
) -> Result<String, StoreError> {
    let awarded: Option<String> = outbox::table
        .filter(outbox::learner_id.eq(learner.0))
        .filter(outbox::award_id.eq(award.0.to_string()))
        .filter(outbox::event_type.eq(BADGE_AWARDED))
        .select(outbox::payload)
        .first(tx.conn)
        .optional()?;
    let awarded = match awarded {
        Some(awarded) => awarded,
        None => untold::payload(tx, learner, award)?,
    };
    let mut event: Value = serde_json::from_str(&awarded)
        .map_err(|_| StoreError::Corrupt(format!("outgoing event of award {}", award.0)))?;
    // An imported assertion's was never told before.
    if let Some(url) = event["assertion"]["evidence_url"].as_str() {
        event["assertion"]["evidence_url"] = json!(redact::url(url, ""));
    }
    event["revocation"] = json!({"time": now.and_utc(), "reason": redact::text(reason, "")});
    Ok(event.to_string())
}
