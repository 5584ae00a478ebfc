//! Issuing in the transaction that decides, and what is stored of whatever was issued: assertions, outgoing events.

use std::collections::{BTreeMap, HashMap};

use chrono::NaiveDateTime;
use diesel::{
    QueryableByName, RunQueryDsl, sql_query,
    sql_types::{BigInt, Text, Timestamp},
};
use serde::Serialize;
use uuid::Uuid;

use super::{AwardKey, ClaimedAward, Completed, claim};
use crate::store::{
    StoreError, Tx,
    assertions::{self, NewAssertion},
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
}

const OUTBOX: &[(&str, &str)] = &[
    ("learner_id", "bigint"),
    ("seq", "bigint"),
    ("event_id", "text"),
    ("event_type", "text"),
    ("award_id", "text"),
    ("payload", "text"),
    ("event_time", "timestamp"),
];

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

/// What issues an award in the transaction that decides it, by a backend that asks nothing outside; `None`: not so.
pub type AtOnce = dyn Fn(&ClaimedAward) -> Option<Completed> + Send + Sync;

/// Issues those of these awards that are pending and can be issued at once: nothing outside knows of them before this
/// is committed, so they need no lease. Returns how many. The caller holds the rows of the learners.
pub fn issue_at_once(tx: &mut Tx<'_>, awards: &[AwardKey], issue: &AtOnce) -> Result<usize, StoreError> {
    if awards.is_empty() {
        return Ok(0);
    }
    let now = tx.now()?;
    let these = claim::these(tx, awards)?;
    let issued: Vec<(&ClaimedAward, Completed)> =
        these.iter().filter_map(|award| Some((award, issue(award)?))).collect();
    if issued.is_empty() {
        return Ok(0);
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
    store_issued(tx, now, &completed)?;
    Ok(completed.len())
}

#[derive(Serialize)]
struct AtOnceRow<'a> {
    learner_id: i64,
    id: Uuid,
    recipient: &'a str,
}

const AT_ONCE: &[(&str, &str)] = &[("learner_id", "bigint"), ("id", "text"), ("recipient", "text")];

/// Stores assertions and outgoing events, numbered on from the last of each learner.
pub(super) fn store_issued(tx: &mut Tx<'_>, now: NaiveDateTime, issued: &[&Completed]) -> Result<(), StoreError> {
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
    let outbox: Vec<OutboxRow<'_>> = issued.iter().map(|done| outbox_row(done, &mut next)).collect();
    insert_outbox(tx, now, &outbox)
}

fn outbox_row<'a>(done: &'a Completed, next: &mut HashMap<i64, i64>) -> OutboxRow<'a> {
    let learner_id = done.assertion.learner.0;
    let next_seq = next.entry(learner_id).or_insert(1);
    let seq = *next_seq;
    *next_seq += 1;
    OutboxRow {
        learner_id,
        seq,
        event_id: &done.event_id,
        event_type: &done.event_type,
        award_id: done.assertion.award.0.to_string(),
        payload: &done.payload,
        event_time: done.event_time.map(|time| unfold::time(time.naive_utc())),
    }
}

fn insert_outbox(tx: &mut Tx<'_>, now: NaiveDateTime, rows: &[OutboxRow<'_>]) -> Result<(), StoreError> {
    sql_query(format!(
        "/* awards::complete */ INSERT INTO outbox \
         (learner_id, seq, event_id, event_type, award_id, payload, event_time, created_at) \
         SELECT x.*, $1 FROM {} WHERE true",
        unfold::rows(tx.conn, "$2", OUTBOX),
    ))
    .bind::<Timestamp, _>(now)
    .bind::<Text, _>(unfold::json(rows))
    .prepared()
    .run(tx.conn)?;
    Ok(())
}
