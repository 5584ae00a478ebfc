//! Awards: decisions on their way to an assertion. The states and what leads from one to another: [`AwardState`].

mod at_once;
mod by_hand;
mod claim;
mod complete;
mod overview;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use std::collections::HashSet;

use chrono::{NaiveDateTime, TimeDelta};
use diesel::{
    QueryableByName, RunQueryDsl, sql_query,
    sql_types::{BigInt, Text, Timestamp},
};
use serde::Serialize;
use uuid::Uuid;

pub use at_once::{AtOnce, IssuedAtOnce, IssuedDue, issue_at_once, issue_due};
pub use by_hand::{ByHand, cancel, cancel_by, in_state, retry, retry_by};
pub use claim::{Claim, ClaimedAward, claim};
pub use complete::{Completed, Step, apply_steps, complete};
pub(super) use overview::age_seconds;
pub use overview::{AwardRow, count_published, counts_by_open_state, get, oldest_pending_age};

use super::{
    StoreError, Tx,
    bulk::{Column, Statement},
    losses, unfold,
};
use crate::domain::{
    LearnerId,
    award::{AwardId, AwardState, Decision},
    badge_class::BadgeClassId,
};

/// What names an award's row.
pub type AwardKey = (LearnerId, AwardId);

#[derive(Serialize)]
struct NewAward<'a> {
    learner_id: i64,
    id: Uuid,
    badge_class_id: i32,
    idempotency_key: &'a str,
    rule: &'static str,
    by_backfill: bool,
    threshold: Option<i32>,
    rule_count: Option<i32>,
    configuration_id: Option<i32>,
    event_id: Option<&'a str>,
    event_time: Option<String>,
    evidence_url: Option<&'a str>,
}

/// The columns of a decision.
pub(super) const NEW_AWARD: &[(&str, &str)] = &[
    ("learner_id", "bigint"),
    ("id", "text"),
    ("badge_class_id", "integer"),
    ("idempotency_key", "text"),
    ("rule", "text"),
    ("by_backfill", "boolean"),
    ("threshold", "integer"),
    ("rule_count", "integer"),
    ("configuration_id", "integer"),
    ("event_id", "text"),
    ("event_time", "timestamp"),
    ("evidence_url", "text"),
];

#[derive(QueryableByName)]
pub(super) struct KeyRow {
    #[diesel(sql_type = BigInt)]
    learner_id: i64,
    #[diesel(sql_type = Text)]
    id: String,
}

impl KeyRow {
    pub(super) fn key(self) -> Result<AwardKey, StoreError> {
        Ok((LearnerId(self.learner_id), award_id(&self.id)?))
    }
}

/// Stores these decisions as pending awards and returns the new ones, ordered by learner and award id.
///
/// A decision that was stored before (by whomever) changes nothing and is not returned, unless it was lost meanwhile:
/// then it is taken again, as far as nothing of that was done. The caller holds the rows of the learners.
pub fn insert_decisions(tx: &mut Tx<'_>, decisions: &[Decision]) -> Result<Vec<Decision>, StoreError> {
    if decisions.is_empty() {
        return Ok(Vec::new());
    }
    let mut keyed: Vec<(AwardKey, &Decision)> = decisions.iter().map(|decision| (key_of(decision), decision)).collect();
    keyed.sort_by_key(|((learner, id), _)| (*learner, id.0));
    keyed.dedup_by_key(|(key, _)| *key);
    let ids: Vec<String> = keyed.iter().map(|((_, id), _)| id.0.to_string()).collect();
    let now = tx.now()?;
    let inserted: Vec<(i64, String)> = Statement::<(BigInt, Text)>::new(
        "/* awards::insert_decisions */ INSERT INTO award \
         (learner_id, id, badge_class_id, idempotency_key, rule, by_backfill, threshold, rule_count, \
          configuration_id, event_id, event_time, evidence_url, state, next_attempt_at, created_at, updated_at) \
         SELECT x.learner_id, x.id, x.badge_class_id, x.idempotency_key, x.rule, x.by_backfill, x.threshold, x.rule_count, \
         x.configuration_id, x.event_id, x.event_time, x.evidence_url, 'pending', x.now, x.now, x.now FROM",
        columns(&keyed, &ids, now),
        "WHERE true ORDER BY x.learner_id, x.id ON CONFLICT DO NOTHING RETURNING learner_id, id",
    )
    .load(tx)?;
    let inserted = inserted
        .iter()
        .map(|(learner, id)| Ok((LearnerId(*learner), award_id(id)?)));
    let mut taken: HashSet<AwardKey> = inserted.collect::<Result<_, StoreError>>()?;
    let known = keyed.iter().filter(|(key, _)| !taken.contains(key));
    let known: Vec<NewAward<'_>> = known.map(|(key, decision)| new_award(*key, decision)).collect();
    if !known.is_empty() {
        taken.extend(losses::regain(tx, &unfold::json(&known))?);
    }
    let new = keyed.into_iter().filter(|(key, _)| taken.contains(key));
    Ok(new.map(|(_, decision)| decision.clone()).collect())
}

/// The columns of these decisions, which have these ids.
fn columns<'a>(
    keyed: &[(AwardKey, &'a Decision)],
    ids: &'a [String],
    now: NaiveDateTime,
) -> Vec<(&'static str, Column<'a>)> {
    let all = || keyed.iter().map(|(_, decision)| *decision);
    let texts = |text: fn(&'a Decision) -> Option<&'a str>| Column::Texts(all().map(text).collect());
    let integers = |integer: fn(&Decision) -> Option<i32>| Column::Integers(all().map(integer).collect());
    vec![
        (
            "learner_id",
            Column::BigInts(all().map(|decision| decision.learner.0).collect()),
        ),
        ("id", Column::Texts(ids.iter().map(|id| Some(id.as_str())).collect())),
        ("badge_class_id", integers(|decision| Some(decision.badge_class.0))),
        ("idempotency_key", texts(|decision| Some(&decision.idempotency_key))),
        ("rule", texts(|decision| Some(decision.reason.rule.as_str()))),
        (
            "by_backfill",
            Column::Bools(all().map(|decision| Some(decision.reason.by_backfill)).collect()),
        ),
        ("threshold", integers(|decision| decision.reason.threshold)),
        ("rule_count", integers(|decision| decision.reason.count)),
        (
            "configuration_id",
            integers(|decision| decision.reason.configuration_id),
        ),
        ("event_id", texts(|decision| decision.reason.event_id.as_deref())),
        (
            "event_time",
            Column::Times(
                all()
                    .map(|decision| Some(decision.reason.event_time?.naive_utc()))
                    .collect(),
            ),
        ),
        ("evidence_url", texts(|decision| decision.evidence_url.as_deref())),
        ("now", Column::Times(vec![Some(now); ids.len()])),
    ]
}

/// Lets the awards of these learners go on that wait for an e-mail address; returns how many.
///
/// To be called in the transaction that learnt the address, which holds the learners' rows.
pub fn unblock_no_email(tx: &mut Tx<'_>, learners: &[LearnerId]) -> Result<usize, StoreError> {
    if learners.is_empty() {
        return Ok(0);
    }
    let now = tx.now()?;
    let ids: Vec<i64> = learners.iter().map(|learner| learner.0).collect();
    Ok(sql_query(format!(
        "/* awards::unblock_no_email */ UPDATE award SET {RESUMED} \
         WHERE state = 'blocked' AND state_reason = 'no_email' AND learner_id IN {}",
        unfold::integers(tx.conn, "$4"),
    ))
    .bind::<Timestamp, _>(now - SETTLED)
    .bind::<Timestamp, _>(now + SETTLED)
    .bind::<Timestamp, _>(now)
    .bind::<Text, _>(unfold::json(&ids))
    .execute(tx.conn)?)
}

/// Lets the awards of this badge class go on that wait for the badge class, its issuer or the rights to be repaired;
/// returns how many.
pub fn unblock_badge_class(tx: &mut Tx<'_>, badge_class: BadgeClassId) -> Result<usize, StoreError> {
    let now = tx.now()?;
    Ok(sql_query(format!(
        "/* awards::unblock_badge_class */ UPDATE award SET {RESUMED} \
         WHERE state = 'blocked' AND state_reason <> 'no_email' AND badge_class_id = $4"
    ))
    .bind::<Timestamp, _>(now - SETTLED)
    .bind::<Timestamp, _>(now + SETTLED)
    .bind::<Timestamp, _>(now)
    .bind::<diesel::sql_types::Integer, _>(badge_class.0)
    .execute(tx.conn)?)
}

/// Lets up to `limit` awards go on, those first that wait longest, that wait for anything but an e-mail address; returns
/// how many.
pub fn resume_blocked(tx: &mut Tx<'_>, limit: usize) -> Result<usize, StoreError> {
    let now = tx.now()?;
    Ok(sql_query(format!(
        "/* awards::resume_blocked */ WITH d AS MATERIALIZED (SELECT learner_id, id FROM award \
         WHERE state = 'blocked' AND state_reason <> 'no_email' ORDER BY next_attempt_at LIMIT {} {}) \
         UPDATE award SET {RESUMED} FROM d WHERE award.learner_id = d.learner_id AND award.id = d.id",
        i64::try_from(limit).unwrap_or(i64::MAX),
        unfold::skip_locked(tx.conn),
    ))
    .bind::<Timestamp, _>(now - SETTLED)
    .bind::<Timestamp, _>(now + SETTLED)
    .bind::<Timestamp, _>(now)
    .execute(tx.conn)?)
}

/// The longest that the effect of a request takes to be seen at any backend. Nothing is looked up earlier: who finds
/// nothing then sends again.
const SETTLED: TimeDelta = TimeDelta::seconds(60);

/// How an award goes on: what may have been carried out is looked up first, and not before the backend must show it. The
/// first parameters are the times by [`SETTLED`] earlier and later than now, and now.
const RESUMED: &str = "state = CASE WHEN posted THEN 'uncertain' ELSE 'pending' END, state_reason = NULL, \
     next_attempt_at = CASE WHEN posted AND updated_at > $1 THEN $2 ELSE $3 END, updated_at = $3";

/// Whether the learner of an award that is being issued has retired meanwhile.
const IS_RETIRED: &str = "award.state_reason = 'retired'";

/// What names the award that a decision brings.
pub fn key_of(decision: &Decision) -> AwardKey {
    let id = AwardId::of(decision.learner, &decision.badge_class_key, &decision.idempotency_key);
    (decision.learner, id)
}

fn new_award<'a>((learner, id): AwardKey, decision: &'a Decision) -> NewAward<'a> {
    let reason = &decision.reason;
    NewAward {
        learner_id: learner.0,
        id: id.0,
        badge_class_id: decision.badge_class.0,
        idempotency_key: &decision.idempotency_key,
        rule: reason.rule.as_str(),
        by_backfill: reason.by_backfill,
        threshold: reason.threshold,
        rule_count: reason.count,
        configuration_id: reason.configuration_id,
        event_id: reason.event_id.as_deref(),
        event_time: reason.event_time.map(|time| unfold::time(time.naive_utc())),
        evidence_url: decision.evidence_url.as_deref(),
    }
}

pub(super) fn award_id(text: &str) -> Result<AwardId, StoreError> {
    let id = Uuid::parse_str(text).map_err(|_| StoreError::Corrupt(format!("award id {text:?}")))?;
    Ok(AwardId(id))
}

pub(super) fn award_state(text: &str) -> Result<AwardState, StoreError> {
    AwardState::parse(text).ok_or_else(|| StoreError::Corrupt(format!("award state {text:?}")))
}
