//! Issuing in the transaction that decides, and what is stored of whatever was issued: assertions, outgoing events.

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::{NaiveDateTime, TimeDelta};
use diesel::{
    QueryableByName, RunQueryDsl, sql_query,
    sql_types::{BigInt, Nullable, Text, Timestamp},
};
use serde::Serialize;
use uuid::Uuid;

use super::{AwardKey, ClaimedAward, Completed, claim};
use crate::store::{
    StoreError, Tx,
    assertions::{self, NewAssertion},
    outbox::{self, ClaimedEvent, EventLease},
    prepared::Prepare,
    unfold,
};

#[derive(Serialize)]
struct OutboxRow<'a> {
    learner_id: i64,
    seq: i64,
    event_id: &'a str,
    event_type: &'a str,
    award_id: String,
    payload: &'a str,
    event_time: Option<String>,
    is_first: bool,
}

const OUTBOX: &[(&str, &str)] = &[
    ("learner_id", "bigint"),
    ("seq", "bigint"),
    ("event_id", "text"),
    ("event_type", "text"),
    ("award_id", "text"),
    ("payload", "text"),
    ("event_time", "timestamp"),
    ("is_first", "boolean"),
];

/// The lease with which an event is written; each later one counts on.
const FIRST_TOKEN: i64 = 1;

#[derive(Serialize)]
struct Numbers {
    learner_id: i64,
    events: i64,
}

const NUMBERS: &[(&str, &str)] = &[("learner_id", "bigint"), ("events", "bigint")];

#[derive(QueryableByName)]
struct NextRow {
    #[diesel(sql_type = BigInt)]
    learner_id: i64,
    #[diesel(sql_type = BigInt)]
    next_seq: i64,
}

#[derive(QueryableByName)]
struct WrittenRow {
    #[diesel(sql_type = BigInt)]
    learner_id: i64,
    #[diesel(sql_type = BigInt)]
    seq: i64,
    #[diesel(sql_type = Nullable<Timestamp>)]
    lease_until: Option<NaiveDateTime>,
}

/// What was issued at once.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct IssuedAtOnce {
    /// How many awards.
    pub awards: usize,
    /// Those of their events that are claimed for whoever asked for a lease; the others are the relay's to claim.
    pub claimed: Vec<ClaimedEvent>,
}

/// What issues an award in the transaction that decides it, by a backend that asks nothing outside; `None`: not so.
pub type AtOnce = dyn Fn(&ClaimedAward) -> Option<Completed> + Send + Sync;

/// Issues those of these awards that are pending and can be issued at once: nothing outside knows of them before this
/// is committed, so they need no lease. The caller holds the rows of the learners.
///
/// With a `lease` their events are claimed as they are written, as [`outbox::claim`] would: of each learner
/// the first, and only if nothing earlier is unpublished.
pub fn issue_at_once(
    tx: &mut Tx<'_>,
    awards: &[AwardKey],
    issue: &AtOnce,
    lease: Option<TimeDelta>,
) -> Result<IssuedAtOnce, StoreError> {
    if awards.is_empty() {
        return Ok(IssuedAtOnce::default());
    }
    let now = tx.now()?;
    let these = claim::these(tx, awards)?;
    let issued: Vec<(&ClaimedAward, Completed)> =
        these.iter().filter_map(|award| Some((award, issue(award)?))).collect();
    if issued.is_empty() {
        return Ok(IssuedAtOnce::default());
    }
    let rows: Vec<AtOnceRow<'_>> = issued
        .iter()
        .map(|(award, _)| AtOnceRow {
            learner_id: award.learner.0,
            id: award.award.0,
            recipient: &award.recipient,
        })
        .collect();
    sql_query(format!(
        "/* awards::issue_at_once */ UPDATE award SET state = 'issued', state_reason = NULL, posted = true, \
         attempts = attempts + 1, lease_token = lease_token + 1, first_post_at = coalesce(first_post_at, $1), \
         recipient = x.recipient, next_attempt_at = $1, updated_at = $1 FROM {} \
         WHERE award.learner_id = x.learner_id AND award.id = x.id",
        unfold::rows(tx.conn, "$2", AT_ONCE),
    ))
    .bind::<Timestamp, _>(now)
    .bind::<Text, _>(unfold::json(&rows))
    .prepared()
    .run(tx.conn)?;
    let completed: Vec<&Completed> = issued.iter().map(|(_, completed)| completed).collect();
    let claimed = store_issued(tx, now, &completed, lease)?;
    Ok(IssuedAtOnce {
        awards: completed.len(),
        claimed,
    })
}

#[derive(Serialize)]
struct AtOnceRow<'a> {
    learner_id: i64,
    id: Uuid,
    recipient: &'a str,
}

const AT_ONCE: &[(&str, &str)] = &[("learner_id", "bigint"), ("id", "text"), ("recipient", "text")];

/// Stores assertions and outgoing events, numbered on from the last of each learner. Returns the events that are claimed,
/// none without a `lease`.
pub(super) fn store_issued(
    tx: &mut Tx<'_>,
    now: NaiveDateTime,
    issued: &[&Completed],
    lease: Option<TimeDelta>,
) -> Result<Vec<ClaimedEvent>, StoreError> {
    let stored: Vec<&NewAssertion> = issued.iter().map(|done| &done.assertion).collect();
    assertions::insert(tx, &stored)?;
    let mut events: BTreeMap<i64, i64> = BTreeMap::new();
    for done in issued {
        *events.entry(done.assertion.learner.0).or_default() += 1;
    }
    let numbers: Vec<Numbers> = events
        .iter()
        .map(|(learner_id, events)| Numbers {
            learner_id: *learner_id,
            events: *events,
        })
        .collect();
    let moved: Vec<NextRow> = sql_query(format!(
        "/* awards::complete */ UPDATE learner SET next_seq = next_seq + x.events FROM {} \
         WHERE learner.learner_id = x.learner_id RETURNING learner.learner_id, next_seq",
        unfold::rows(tx.conn, "$1", NUMBERS),
    ))
    .bind::<Text, _>(unfold::json(&numbers))
    .prepared()
    .load(tx.conn)?;
    let mut next: HashMap<i64, i64> = moved
        .iter()
        .map(|row| (row.learner_id, row.next_seq - events[&row.learner_id]))
        .collect();
    let mut firsts = HashSet::new();
    let outbox: Vec<OutboxRow<'_>> = issued
        .iter()
        .map(|done| outbox_row(done, &mut next, &mut firsts))
        .collect();
    let written = insert_outbox(tx, now, &outbox, lease)?;
    let claimed = outbox
        .iter()
        .zip(issued)
        .filter(|(row, _)| written.contains(&(row.learner_id, row.seq)));
    claimed.map(|(row, done)| claimed_event(row, done, now)).collect()
}

fn claimed_event(row: &OutboxRow<'_>, done: &Completed, now: NaiveDateTime) -> Result<ClaimedEvent, StoreError> {
    Ok(ClaimedEvent {
        lease: EventLease {
            learner: done.assertion.learner,
            seq: row.seq,
            token: FIRST_TOKEN,
        },
        event_id: outbox::event_id(&done.event_id)?,
        event_type: done.event_type.clone(),
        payload: done.payload.clone(),
        created_at: now.and_utc(),
        event_time: done.event_time,
    })
}

fn outbox_row<'a>(done: &'a Completed, next: &mut HashMap<i64, i64>, firsts: &mut HashSet<i64>) -> OutboxRow<'a> {
    let learner_id = done.assertion.learner.0;
    let is_first = firsts.insert(learner_id);
    let next_seq = next.entry(learner_id).or_insert(1);
    let seq = *next_seq;
    *next_seq += 1;
    OutboxRow {
        learner_id,
        seq,
        is_first,
        event_id: &done.event_id,
        event_type: &done.event_type,
        award_id: done.assertion.award.0.to_string(),
        payload: &done.payload,
        event_time: done.event_time.map(|time| unfold::time(time.naive_utc())),
    }
}

/// Returns which are claimed.
fn insert_outbox(
    tx: &mut Tx<'_>,
    now: NaiveDateTime,
    rows: &[OutboxRow<'_>],
    lease: Option<TimeDelta>,
) -> Result<HashSet<(i64, i64)>, StoreError> {
    // Whoever writes events of a learner holds the learner's row: none that is earlier can still be on its way here.
    let written: Vec<WrittenRow> = sql_query(format!(
        "/* awards::complete */ INSERT INTO outbox \
         (learner_id, seq, event_id, event_type, award_id, payload, event_time, created_at, lease_token, lease_until) \
         SELECT x.learner_id, x.seq, x.event_id, x.event_type, x.award_id, x.payload, x.event_time, $1, $2, \
         CASE WHEN x.is_first AND NOT EXISTS (SELECT 1 FROM outbox e WHERE e.learner_id = x.learner_id \
         AND e.published_at IS NULL) THEN $3 END FROM {} WHERE true RETURNING learner_id, seq, lease_until",
        unfold::rows(tx.conn, "$4", OUTBOX),
    ))
    .bind::<Timestamp, _>(now)
    .bind::<BigInt, _>(FIRST_TOKEN)
    .bind::<Nullable<Timestamp>, _>(lease.map(|lease| now + lease))
    .bind::<Text, _>(unfold::json(rows))
    .prepared()
    .load(tx.conn)?;
    let claimed = written.into_iter().filter(|row| row.lease_until.is_some());
    Ok(claimed.map(|row| (row.learner_id, row.seq)).collect())
}
