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
    AnyConnection, StoreError, Tx, assertions,
    outbox::{self, ClaimedEvent, EventLease},
    prepared::Prepare,
    unfold,
};

#[derive(Serialize)]
struct OutboxRow<'a> {
    learner_id: i64,
    /// By how much its number is less than the learner's next one.
    back: i64,
    is_first: bool,
    event_id: &'a str,
    event_type: &'a str,
    award_id: String,
    payload: &'a str,
    event_time: Option<String>,
}

const OUTBOX: &[(&str, &str)] = &[
    ("learner_id", "bigint"),
    ("back", "bigint"),
    ("is_first", "boolean"),
    ("event_id", "text"),
    ("event_type", "text"),
    ("award_id", "text"),
    ("payload", "text"),
    ("event_time", "timestamp"),
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
struct WrittenRow {
    #[diesel(sql_type = BigInt)]
    seq: i64,
    #[diesel(sql_type = Text)]
    event_id: String,
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
    let completed: Vec<&Completed> = issued.iter().map(|(_, completed)| completed).collect();
    let claimed = store_issued(tx, now, &rows, &completed, lease)?;
    Ok(IssuedAtOnce {
        awards: completed.len(),
        claimed,
    })
}

/// What [`issue_due`] did.
#[derive(Debug, PartialEq, Eq)]
pub struct IssuedDue {
    /// What was issued.
    pub issued: IssuedAtOnce,
    /// Others may be due as well.
    pub more: bool,
}

/// Issues up to `limit` awards that are due, as [`issue_at_once`] does, without a claim. Those that cannot be issued so,
/// that may have been asked for before, or whose learner another transaction holds, are left to [`super::claim`].
pub fn issue_due(
    tx: &mut Tx<'_>,
    limit: usize,
    issue: &AtOnce,
    lease: Option<TimeDelta>,
) -> Result<IssuedDue, StoreError> {
    let (keys, due) = claim::due_and_held(tx, limit)?;
    Ok(IssuedDue {
        issued: issue_at_once(tx, &keys, issue, lease)?,
        more: due == limit,
    })
}

/// An award that is issued in the transaction that takes it.
#[derive(Serialize)]
pub(super) struct AtOnceRow<'a> {
    learner_id: i64,
    id: Uuid,
    recipient: &'a str,
}

const AT_ONCE: &[(&str, &str)] = &[("learner_id", "bigint"), ("id", "text"), ("recipient", "text")];

/// Moves the awards that are issued `at_once` on, and stores the assertions and outgoing events of all that was `issued`,
/// numbered on from the last of each learner. Returns the events that are claimed, none without a `lease`.
pub(super) fn store_issued(
    tx: &mut Tx<'_>,
    now: NaiveDateTime,
    at_once: &[AtOnceRow<'_>],
    issued: &[&Completed],
    lease: Option<TimeDelta>,
) -> Result<Vec<ClaimedEvent>, StoreError> {
    let mut left: BTreeMap<i64, i64> = BTreeMap::new();
    for done in issued {
        *left.entry(done.assertion.learner.0).or_default() += 1;
    }
    let numbers = left.iter().map(|(learner_id, events)| Numbers {
        learner_id: *learner_id,
        events: *events,
    });
    let numbers: Vec<Numbers> = numbers.collect();
    let mut firsts = HashSet::new();
    let outbox = issued.iter().map(|done| outbox_row(done, &mut left, &mut firsts));
    let outbox: Vec<OutboxRow<'_>> = outbox.collect();
    let assertions = issued.iter().map(|done| &done.assertion);

    let lease_until = lease.map(|lease| now + lease);
    let written: Vec<WrittenRow> = match tx.conn {
        AnyConnection::Postgres(_) => {
            // In one round trip.
            let sql = format!(
                "WITH a AS ({}), s AS ({}), n AS ({} RETURNING learner.learner_id, learner.next_seq) {}",
                moving(tx.conn, ["$1", "$2"]),
                assertions::inserting(tx.conn, "$3"),
                counting_on(tx.conn, "$4"),
                announcing(tx.conn, "n", ["$1", "$5", "$6", "$7"]),
            );
            sql_query(sql)
                .bind::<Timestamp, _>(now)
                .bind::<Text, _>(unfold::json(at_once))
                .bind::<Text, _>(assertions::rows(assertions))
                .bind::<Text, _>(unfold::json(&numbers))
                .bind::<BigInt, _>(FIRST_TOKEN)
                .bind::<Nullable<Timestamp>, _>(lease_until)
                .bind::<Text, _>(unfold::json(&outbox))
                .prepared()
                .load(tx.conn)?
        }
        AnyConnection::Sqlite(_) => {
            sql_query(moving(tx.conn, ["$1", "$2"]))
                .bind::<Timestamp, _>(now)
                .bind::<Text, _>(unfold::json(at_once))
                .prepared()
                .run(tx.conn)?;
            sql_query(assertions::inserting(tx.conn, "$1"))
                .bind::<Text, _>(assertions::rows(assertions))
                .prepared()
                .run(tx.conn)?;
            sql_query(counting_on(tx.conn, "$1"))
                .bind::<Text, _>(unfold::json(&numbers))
                .prepared()
                .run(tx.conn)?;
            sql_query(announcing(tx.conn, "learner", ["$1", "$2", "$3", "$4"]))
                .bind::<Timestamp, _>(now)
                .bind::<BigInt, _>(FIRST_TOKEN)
                .bind::<Nullable<Timestamp>, _>(lease_until)
                .bind::<Text, _>(unfold::json(&outbox))
                .prepared()
                .load(tx.conn)?
        }
    };
    let claimed = written.into_iter().filter(|row| row.lease_until.is_some());
    let numbers: HashMap<String, i64> = claimed.map(|row| (row.event_id, row.seq)).collect();
    let claimed = issued
        .iter()
        .filter_map(|done| Some((done, *numbers.get(&done.event_id)?)));
    claimed.map(|(done, seq)| claimed_event(done, seq, now)).collect()
}

fn moving(conn: &AnyConnection, [now, rows]: [&str; 2]) -> String {
    format!(
        "/* awards::issue_at_once */ UPDATE award SET state = 'issued', state_reason = NULL, posted = true, \
         attempts = attempts + 1, lease_token = lease_token + 1, first_post_at = coalesce(first_post_at, {now}), \
         recipient = x.recipient, next_attempt_at = {now}, updated_at = {now} FROM {} \
         WHERE award.learner_id = x.learner_id AND award.id = x.id",
        unfold::rows(conn, rows, AT_ONCE),
    )
}

fn counting_on(conn: &AnyConnection, rows: &str) -> String {
    format!(
        "/* awards::complete */ UPDATE learner SET next_seq = next_seq + x.events FROM {} \
         WHERE learner.learner_id = x.learner_id",
        unfold::rows(conn, rows, NUMBERS),
    )
}

/// The statement that writes outgoing events; `next` names a table of the learners' next numbers, as they are after these.
fn announcing(conn: &AnyConnection, next: &str, [now, token, lease, rows]: [&str; 4]) -> String {
    // Whoever writes events of a learner holds the learner's row: none that is earlier can still be on its way here.
    format!(
        "/* awards::complete */ INSERT INTO outbox (learner_id, seq, event_id, event_type, award_id, payload, event_time, \
         created_at, lease_token, lease_until) SELECT x.learner_id, n.next_seq - x.back, x.event_id, x.event_type, \
         x.award_id, x.payload, x.event_time, {now}, {token}, \
         CASE WHEN x.is_first AND coalesce((SELECT e.published_at IS NOT NULL FROM outbox e \
         WHERE e.learner_id = x.learner_id ORDER BY e.seq DESC LIMIT 1), true) THEN {lease} END \
         FROM {} JOIN {next} n ON n.learner_id = x.learner_id \
         WHERE true RETURNING seq, event_id, lease_until",
        unfold::rows(conn, rows, OUTBOX),
    )
}

fn claimed_event(done: &Completed, seq: i64, now: NaiveDateTime) -> Result<ClaimedEvent, StoreError> {
    Ok(ClaimedEvent {
        lease: EventLease {
            learner: done.assertion.learner,
            seq,
            token: FIRST_TOKEN,
        },
        event_id: outbox::event_id(&done.event_id)?,
        event_type: done.event_type.clone(),
        payload: done.payload.clone(),
        created_at: now.and_utc(),
        event_time: done.event_time,
    })
}

/// Of each learner there are so many events left.
fn outbox_row<'a>(done: &'a Completed, left: &mut BTreeMap<i64, i64>, firsts: &mut HashSet<i64>) -> OutboxRow<'a> {
    let learner_id = done.assertion.learner.0;
    let left = left.entry(learner_id).or_default();
    let back = *left;
    *left -= 1;
    OutboxRow {
        learner_id,
        back,
        is_first: firsts.insert(learner_id),
        event_id: &done.event_id,
        event_type: &done.event_type,
        award_id: done.assertion.award.0.to_string(),
        payload: &done.payload,
        event_time: done.event_time.map(|time| unfold::time(time.naive_utc())),
    }
}
