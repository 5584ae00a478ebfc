//! What came of claimed awards. Every write is fenced by the lease: whoever lost it writes nothing.

use std::{borrow::Cow, collections::HashSet};

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use diesel::{
    QueryableByName, RunQueryDsl, sql_query,
    sql_types::{BigInt, Bool, Text, Timestamp},
};
use serde::Serialize;
use serde_json::json;

use super::{AwardKey, IS_RETIRED, at_once::store_issued, award_id};
use crate::{
    domain::{
        LearnerId,
        award::{AwardId, AwardState},
    },
    store::{
        AnyConnection, StoreError, Tx,
        assertions::NewAssertion,
        losses,
        prepared::Prepare,
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

#[derive(Serialize)]
struct StepRow<'a> {
    learner_id: i64,
    id: String,
    lease_token: i64,
    state: &'static str,
    state_reason: Option<&'a str>,
    next_attempt_at: Option<String>,
    posted: bool,
    uncounted: i32,
    error: Option<&'a str>,
}

const STEP: &[(&str, &str)] = &[
    ("learner_id", "bigint"),
    ("id", "text"),
    ("lease_token", "bigint"),
    ("state", "text"),
    ("state_reason", "text"),
    ("next_attempt_at", "timestamp"),
    ("posted", "boolean"),
    ("uncounted", "integer"),
    ("error", "text"),
];

#[derive(QueryableByName)]
struct MovedRow {
    #[diesel(sql_type = BigInt)]
    learner_id: i64,
    #[diesel(sql_type = Text)]
    id: String,
    /// Its learner has retired, and nobody looks any more what came of it.
    #[diesel(sql_type = Bool)]
    maybe_issued: bool,
}

#[derive(QueryableByName)]
struct LearnerRow {
    #[diesel(sql_type = BigInt)]
    learner_id: i64,
    #[diesel(sql_type = Bool)]
    retired: bool,
}

/// Stores what was issued: state, assertion and outgoing event, all or none. Returns the awards that were written;
/// the others had lost their lease. What was issued to a learner who retired meanwhile is stored without anything
/// personal, and is to be revoked.
pub fn complete(tx: &mut Tx<'_>, completed: &[Completed]) -> Result<Vec<AwardKey>, StoreError> {
    if completed.is_empty() {
        return Ok(Vec::new());
    }
    let now = tx.now()?;
    let held = lock_learners(tx, completed)?;
    let retired: HashSet<i64> = held
        .iter()
        .filter(|row| row.retired)
        .map(|row| row.learner_id)
        .collect();
    let steps: Vec<StepRow<'_>> = completed.iter().map(issued_step).collect();
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
            next_attempt_at: Some(unfold::time(now + step.after)),
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

fn lock_learners(tx: &mut Tx<'_>, completed: &[Completed]) -> Result<Vec<LearnerRow>, StoreError> {
    let mut learners: Vec<i64> = completed.iter().map(|done| done.assertion.learner.0).collect();
    learners.sort_unstable();
    learners.dedup();
    let lock = match tx.conn {
        AnyConnection::Postgres(_) => "FOR NO KEY UPDATE",
        AnyConnection::Sqlite(_) => "",
    };
    Ok(sql_query(format!(
        "/* awards::complete */ SELECT learner_id, (retired_at IS NOT NULL) AS retired FROM learner WHERE learner_id IN {} \
         ORDER BY learner_id {lock}",
        unfold::integers(tx.conn, "$1"),
    ))
    .bind::<Text, _>(unfold::json(&learners))
    .prepared()
    .load(tx.conn)?)
}

fn issued_step(done: &Completed) -> StepRow<'_> {
    StepRow {
        learner_id: done.assertion.learner.0,
        id: done.assertion.award.0.to_string(),
        lease_token: done.lease_token,
        state: AwardState::Issued.as_str(),
        state_reason: None,
        next_attempt_at: None,
        posted: true,
        uncounted: 0,
        error: None,
    }
}

fn fenced(tx: &mut Tx<'_>, now: NaiveDateTime, rows: &[StepRow<'_>]) -> Result<Vec<AwardKey>, StoreError> {
    let moved: Vec<MovedRow> = sql_query(format!(
        "/* awards::fenced */ UPDATE award SET \
         state = CASE WHEN {IS_RETIRED} AND x.state <> 'issued' THEN 'cancelled' ELSE x.state END, \
         state_reason = CASE WHEN {IS_RETIRED} AND x.state <> 'issued' THEN award.state_reason ELSE x.state_reason END, \
         next_attempt_at = coalesce(x.next_attempt_at, $1), posted = (award.posted OR x.posted), \
         attempts = attempts - x.uncounted, lease_until = NULL, \
         last_error = CASE WHEN {IS_RETIRED} AND x.state <> 'issued' AND (award.posted OR x.posted) \
         THEN '{MAYBE_ISSUED}' WHEN {IS_RETIRED} THEN NULL ELSE coalesce(x.error, last_error) END, \
         updated_at = $1 FROM {} WHERE award.learner_id = x.learner_id AND award.id = x.id \
         AND award.state = 'issuing' AND award.lease_token = x.lease_token RETURNING award.learner_id, award.id, \
         (award.state = 'cancelled' AND award.last_error IS NOT NULL) AS maybe_issued",
        unfold::rows(tx.conn, "$2", STEP),
    ))
    .bind::<Timestamp, _>(now)
    .bind::<Text, _>(unfold::json(rows))
    .prepared()
    .load(tx.conn)?;
    let maybe_issued = moved.iter().filter(|row| row.maybe_issued);
    retirement::warn_of_maybe_issued(maybe_issued.map(|row| row.id.as_str()));
    moved
        .iter()
        .map(|row| Ok((LearnerId(row.learner_id), award_id(&row.id)?)))
        .collect()
}
