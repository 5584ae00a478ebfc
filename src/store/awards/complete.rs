//! What came of claimed awards. Every write is fenced by the lease: whoever lost it writes nothing.

use std::{borrow::Cow, collections::HashSet};

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use diesel::sql_types::{BigInt, Bool, Text};
use serde_json::json;

use super::{AwardKey, IS_RETIRED, at_once::store_issued, award_id};
use crate::{
    domain::{
        LearnerId,
        award::{AwardId, AwardState},
    },
    store::{
        StoreError, Tx,
        assertions::NewAssertion,
        bulk::{Column, Statement},
        losses,
        retirement::{self, MAYBE_ISSUED},
        unfold,
    },
    wire::{badge_event, mentions::Person},
};

/// An award that the backend issued.
#[derive(Debug, Clone, PartialEq)]
pub struct Completed {
    /// The lease under which it was issued.
    pub lease_token: i64,
    /// The assertion; it names the award.
    pub assertion: NewAssertion,
    /// Id of the outgoing event.
    pub event_id: String,
    /// Type of the outgoing event.
    pub event_type: String,
    /// Body of the outgoing event.
    pub payload: String,
    /// The time of the event that brought the award.
    pub event_time: Option<DateTime<Utc>>,
}

/// Where an award goes that was claimed and not issued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Whose.
    pub learner: LearnerId,
    /// Which.
    pub award: AwardId,
    /// The lease under which it was tried.
    pub lease_token: i64,
    /// The state it takes.
    pub state: AwardState,
    /// Why it waits or was given up: a stable code.
    pub reason: Option<&'static str>,
    /// When it is due again.
    pub after: TimeDelta,
    /// A request of ours may have been carried out.
    pub posted: bool,
    /// Whether it counts as an attempt.
    pub counted: bool,
    /// What went wrong, without e-mail addresses.
    pub error: Option<String>,
}

struct StepRow<'a> {
    learner_id: i64,
    id: String,
    lease_token: i64,
    state: &'static str,
    state_reason: Option<&'a str>,
    next_attempt_at: NaiveDateTime,
    posted: bool,
    uncounted: i32,
    error: Option<&'a str>,
}

/// Whose award, which, and whether its learner has retired, so that nobody looks any more what came of it.
type MovedRow = (i64, String, bool);
type MovedType = (BigInt, Text, Bool);

/// Stores what was issued: state, assertion and outgoing event, all or none. Returns the awards that were written;
/// the others had lost their lease. What was issued to a learner who retired meanwhile is stored without anything
/// personal, and is to be revoked.
pub fn complete(tx: &mut Tx<'_>, completed: &[Completed]) -> Result<Vec<AwardKey>, StoreError> {
    if completed.is_empty() {
        return Ok(Vec::new());
    }
    let now = tx.now()?;
    let held = lock_learners(tx, completed)?;
    let retired = held.into_iter().filter(|(_, retired)| *retired);
    let retired: HashSet<i64> = retired.map(|(learner, _)| learner).collect();
    let steps: Vec<StepRow<'_>> = completed.iter().map(|done| issued_step(done, now)).collect();
    let written: HashSet<AwardKey> = fenced(tx, now, &steps)?.into_iter().collect();
    let kept: Vec<Cow<'_, Completed>> = completed
        .iter()
        .filter(|done| written.contains(&(done.assertion.learner, done.assertion.award)))
        .map(|done| match retired.contains(&done.assertion.learner.0) {
            true => Cow::Owned(without_person(done)),
            false => Cow::Borrowed(done),
        })
        .collect();
    if kept.is_empty() {
        return Ok(Vec::new());
    }
    let kept: Vec<&Completed> = kept.iter().map(AsRef::as_ref).collect();
    store_issued(tx, now, &[], &kept, None)?;
    if !retired.is_empty() {
        retirement::revoke_assertions(tx, &unfold::json(&retired))?;
    }
    Ok(kept
        .iter()
        .map(|done| (done.assertion.learner, done.assertion.award))
        .collect())
}

/// Moves awards that were not issued on. Returns those that were written; the others had lost their lease.
pub fn apply_steps(tx: &mut Tx<'_>, steps: &[Step]) -> Result<Vec<AwardKey>, StoreError> {
    if steps.is_empty() {
        return Ok(Vec::new());
    }
    let now = tx.now()?;
    let rows: Vec<StepRow<'_>> = steps
        .iter()
        .map(|step| StepRow {
            learner_id: step.learner.0,
            id: step.award.0.to_string(),
            lease_token: step.lease_token,
            state: step.state.as_str(),
            state_reason: step.reason,
            next_attempt_at: now + step.after,
            posted: step.posted,
            uncounted: i32::from(!step.counted),
            error: step.error.as_deref(),
        })
        .collect();
    let moved = fenced(tx, now, &rows)?;
    // Who no longer qualifies does not get what surely was not sent.
    losses::take_returned(tx, &moved)?;
    Ok(moved)
}

/// What is stored of an assertion whose learner retired while it was issued.
fn without_person(done: &Completed) -> Completed {
    let mut learner = Person::new(done.assertion.learner);
    learner.add_user_name(badge_event::username_in(&done.payload).as_deref());
    let erased = |text: &str| learner.erased_from(text).unwrap_or_else(|| text.to_owned());
    Completed {
        payload: badge_event::without_person(&done.payload, &learner),
        assertion: NewAssertion {
            image_url: erased(&done.assertion.image_url),
            assertion_url: erased(&done.assertion.assertion_url),
            evidence_url: None,
            recipient_hash: None,
            data: json!({}),
            ..done.assertion.clone()
        },
        ..done.clone()
    }
}

/// The learners, whose rows are held from then on, and who of them has retired.
fn lock_learners(tx: &mut Tx<'_>, completed: &[Completed]) -> Result<Vec<(i64, bool)>, StoreError> {
    let mut learners: Vec<i64> = completed.iter().map(|done| done.assertion.learner.0).collect();
    learners.sort_unstable();
    learners.dedup();
    Statement::<(BigInt, Bool)>::new(
        "/* awards::complete */ SELECT l.learner_id, (l.retired_at IS NOT NULL) FROM",
        vec![("learner_id", Column::BigInts(learners))],
        "CROSS JOIN learner l WHERE l.learner_id = x.learner_id ORDER BY l.learner_id",
    )
    .on_postgres(" FOR NO KEY UPDATE OF l")
    .load(tx)
}

fn issued_step(done: &Completed, now: NaiveDateTime) -> StepRow<'_> {
    StepRow {
        learner_id: done.assertion.learner.0,
        id: done.assertion.award.0.to_string(),
        lease_token: done.lease_token,
        state: AwardState::Issued.as_str(),
        state_reason: None,
        next_attempt_at: now,
        posted: true,
        uncounted: 0,
        error: None,
    }
}

fn fenced<'a>(tx: &mut Tx<'_>, now: NaiveDateTime, rows: &[StepRow<'a>]) -> Result<Vec<AwardKey>, StoreError> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let texts = |text: fn(&StepRow<'a>) -> Option<&'a str>| Column::Texts(rows.iter().map(text).collect());
    let moved: Vec<MovedRow> = Statement::<MovedType>::new(
        format!(
            "/* awards::fenced */ UPDATE award SET \
             state = CASE WHEN {IS_RETIRED} AND x.state <> 'issued' THEN 'cancelled' ELSE x.state END, \
             state_reason = CASE WHEN {IS_RETIRED} AND x.state <> 'issued' THEN award.state_reason ELSE x.state_reason END, \
             next_attempt_at = x.next_attempt_at, posted = (award.posted OR x.posted), \
             attempts = attempts - x.uncounted, lease_until = NULL, \
             last_error = CASE WHEN {IS_RETIRED} AND x.state <> 'issued' AND (award.posted OR x.posted) \
             THEN '{MAYBE_ISSUED}' WHEN {IS_RETIRED} THEN NULL ELSE coalesce(x.error, last_error) END, \
             updated_at = x.moved_at FROM"
        ),
        vec![
            (
                "learner_id",
                Column::BigInts(rows.iter().map(|row| row.learner_id).collect()),
            ),
            (
                "id",
                Column::Texts(rows.iter().map(|row| Some(row.id.as_str())).collect()),
            ),
            (
                "lease_token",
                Column::BigInts(rows.iter().map(|row| row.lease_token).collect()),
            ),
            ("state", texts(|row| Some(row.state))),
            ("state_reason", texts(|row| row.state_reason)),
            (
                "next_attempt_at",
                Column::Times(rows.iter().map(|row| Some(row.next_attempt_at)).collect()),
            ),
            (
                "posted",
                Column::Bools(rows.iter().map(|row| Some(row.posted)).collect()),
            ),
            (
                "uncounted",
                Column::Integers(rows.iter().map(|row| Some(row.uncounted)).collect()),
            ),
            ("error", texts(|row| row.error)),
            ("moved_at", Column::Times(vec![Some(now); rows.len()])),
        ],
        "WHERE award.learner_id = x.learner_id AND award.id = x.id AND award.state = 'issuing' \
         AND award.lease_token = x.lease_token RETURNING award.learner_id, award.id, \
         (award.state = 'cancelled' AND award.last_error IS NOT NULL)",
    )
    .load(tx)?;
    let maybe_issued = moved.iter().filter(|(.., maybe_issued)| *maybe_issued);
    retirement::warn_of_maybe_issued(maybe_issued.map(|(_, id, _)| id.as_str()));
    moved
        .iter()
        .map(|(learner, id, _)| Ok((LearnerId(*learner), award_id(id)?)))
        .collect()
}
