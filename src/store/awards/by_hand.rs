//! What a person does with an award that waits or was given up: try it again, or cancel it.

use chrono::NaiveDateTime;
use diesel::{
    OptionalExtension, QueryableByName, RunQueryDsl, sql_query,
    sql_types::{BigInt, Bool, Integer, Text, Timestamp},
};
use serde_json::json;

use super::{AwardRow, SETTLED, award_id, award_state, get};
use crate::{
    domain::{
        LearnerId,
        award::{AwardId, AwardState},
    },
    store::{
        AnyConnection, StoreError, Tx,
        audit::{self, Action, Actor},
        outbox,
    },
};

/// What became of an award by hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ByHand {
    /// The award as it is now.
    pub award: AwardRow,
    /// Whether anything was changed.
    pub changed: bool,
    /// An earlier request of it may have been carried out.
    pub posted: bool,
}

#[derive(QueryableByName)]
struct Held {
    #[diesel(sql_type = BigInt)]
    learner_id: i64,
    #[diesel(sql_type = Text)]
    state: String,
    #[diesel(sql_type = Bool)]
    posted: bool,
    #[diesel(sql_type = Integer)]
    attempts: i32,
    #[diesel(sql_type = Timestamp)]
    next_attempt_at: NaiveDateTime,
    #[diesel(sql_type = Timestamp)]
    updated_at: NaiveDateTime,
}

#[derive(QueryableByName)]
struct IdRow {
    #[diesel(sql_type = Text)]
    id: String,
}

/// Sends an award on its way that waits, was refused or was given up; its age counts anew. An award that is being
/// issued, was issued or was cancelled stays as it is, but what was to be told of it and was refused by Kafka is sent
/// again. Returns the award as it then is, `None` for an unknown id.
///
/// The address is then the learner's own again, as it is known by now, unless something may have been sent to the old
/// one. What may have been sent is looked up first, and not before the backend must show it. Attempts go on counting, but
/// for an award that was given up: it would be given up again before anything is sent.
pub fn retry(tx: &mut Tx<'_>, id: AwardId) -> Result<Option<AwardRow>, StoreError> {
    Ok(retried(tx, id)?.map(|retried| retried.award))
}

/// The same, with an entry in the audit log where anything changed.
pub fn retry_by(tx: &mut Tx<'_>, id: AwardId, actor: &Actor) -> Result<Option<ByHand>, StoreError> {
    let before = held(tx, id)?.map(|held| held.state);
    let retried = retried(tx, id)?;
    if retried.as_ref().is_some_and(|retried| retried.changed) {
        let details = json!({"from": before});
        audit::record(tx, actor, Action::RetryAward, &id.0.to_string(), &details)?;
    }
    Ok(retried)
}

fn retried(tx: &mut Tx<'_>, id: AwardId) -> Result<Option<ByHand>, StoreError> {
    let Some(held) = held(tx, id)? else {
        return Ok(None);
    };
    let now = tx.now()?;
    let state = award_state(&held.state)?;
    let settled = now.max(held.updated_at + SETTLED);
    let next = match state {
        AwardState::Pending => Some((AwardState::Pending, held.next_attempt_at.min(now))),
        AwardState::Uncertain => Some((AwardState::Uncertain, held.next_attempt_at.min(settled))),
        AwardState::Blocked | AwardState::Failed | AwardState::Dead if held.posted => {
            Some((AwardState::Uncertain, settled))
        }
        AwardState::Blocked | AwardState::Failed | AwardState::Dead => Some((AwardState::Pending, now)),
        AwardState::Issuing | AwardState::Issued | AwardState::Published | AwardState::Cancelled => None,
    };
    let changed = next.filter(|next| *next != (state, held.next_attempt_at));
    if let Some((to, due)) = changed {
        // Since when it is as it is counts for what was sent, as long as the state stays.
        let updated_at = if to == state { held.updated_at } else { now };
        let attempts = if state == AwardState::Dead { 0 } else { held.attempts };
        sql_query(
            "/* awards::retry */ UPDATE award SET state = $1, state_reason = NULL, attempts = $2, first_post_at = NULL, \
             recipient = CASE WHEN posted THEN recipient END, next_attempt_at = $3, updated_at = $4 WHERE learner_id = $5 AND id = $6",
        )
        .bind::<Text, _>(to.as_str())
        .bind::<Integer, _>(attempts)
        .bind::<Timestamp, _>(due)
        .bind::<Timestamp, _>(updated_at)
        .bind::<BigInt, _>(held.learner_id)
        .bind::<Text, _>(id.0.to_string())
        .execute(tx.conn)?;
    }
    let told_again = match state {
        AwardState::Issued | AwardState::Published => outbox::unpark(tx, LearnerId(held.learner_id), id)?,
        _ => 0,
    };
    by_hand(tx, id, changed.is_some() || told_again > 0, held.posted)
}

/// Cancels an award of which surely nothing was sent and which nobody is issuing: pending, blocked, failed or dead.
/// Any other stays as it is. Returns the award as it then is, `None` for an unknown id.
pub fn cancel(tx: &mut Tx<'_>, id: AwardId) -> Result<Option<ByHand>, StoreError> {
    let Some(held) = held(tx, id)? else {
        return Ok(None);
    };
    let waits = matches!(
        award_state(&held.state)?,
        AwardState::Pending | AwardState::Blocked | AwardState::Failed | AwardState::Dead
    );
    let changed = waits && !held.posted;
    if changed {
        let now = tx.now()?;
        sql_query(
            "/* awards::cancel */ UPDATE award SET state = 'cancelled', state_reason = 'by_hand', updated_at = $1 \
             WHERE learner_id = $2 AND id = $3",
        )
        .bind::<Timestamp, _>(now)
        .bind::<BigInt, _>(held.learner_id)
        .bind::<Text, _>(id.0.to_string())
        .execute(tx.conn)?;
    }
    by_hand(tx, id, changed, held.posted)
}

/// The same, with an entry in the audit log where anything changed.
pub fn cancel_by(tx: &mut Tx<'_>, id: AwardId, actor: &Actor) -> Result<Option<ByHand>, StoreError> {
    let before = held(tx, id)?.map(|held| held.state);
    let cancelled = cancel(tx, id)?;
    if cancelled.as_ref().is_some_and(|cancelled| cancelled.changed) {
        let details = json!({"from": before});
        audit::record(tx, actor, Action::CancelAward, &id.0.to_string(), &details)?;
    }
    Ok(cancelled)
}

/// Up to `limit` awards in this state, those first that wait longest.
pub fn in_state(tx: &mut Tx<'_>, state: AwardState, limit: i64) -> Result<Vec<AwardId>, StoreError> {
    let rows: Vec<IdRow> = sql_query(
        "/* awards::in_state */ SELECT id FROM award WHERE state = $1 ORDER BY next_attempt_at, learner_id, id \
         LIMIT $2",
    )
    .bind::<Text, _>(state.as_str())
    .bind::<BigInt, _>(limit)
    .load(tx.conn)?;
    rows.iter().map(|row| award_id(&row.id)).collect()
}

fn by_hand(tx: &mut Tx<'_>, id: AwardId, changed: bool, posted: bool) -> Result<Option<ByHand>, StoreError> {
    Ok(get(tx, id)?.map(|award| ByHand { award, changed, posted }))
}

/// Nobody else changes the award until the end of this transaction.
fn held(tx: &mut Tx<'_>, id: AwardId) -> Result<Option<Held>, StoreError> {
    let lock = match tx.conn {
        AnyConnection::Postgres(_) => "FOR UPDATE",
        AnyConnection::Sqlite(_) => "",
    };
    Ok(sql_query(format!(
        "/* awards::by_hand */ SELECT learner_id, state, posted, attempts, next_attempt_at, updated_at FROM award \
         WHERE id = $1 {lock}"
    ))
    .bind::<Text, _>(id.0.to_string())
    .get_result(tx.conn)
    .optional()?)
}

#[cfg(test)]
mod tests;
