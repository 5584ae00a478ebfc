//! Issuing in the transaction that decides, and what is stored of whatever was issued: assertions, outgoing events.

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::{NaiveDateTime, TimeDelta};
use diesel::sql_types::{BigInt, Nullable, Text, Timestamp};

use super::{AwardKey, ClaimedAward, Completed, claim};
use crate::store::{
    AnyConnection, StoreError, Tx, assertions,
    bulk::{Column, Compound, Statement},
    outbox::{self, ClaimedEvent, EventLease},
};

/// Of an outgoing event what is not in what it tells of.
struct OutboxRow<'a> {
    done: &'a Completed,
    award_id: String,
    /// By how much its number is less than the learner's next one.
    back: i64,
    is_first: bool,
}

/// The lease with which an event is written; each later one counts on.
const FIRST_TOKEN: i64 = 1;

/// What is known of an event once it is written: its number, its id, and until when it is claimed.
type Written = (i64, String, Option<NaiveDateTime>);
type WrittenType = (BigInt, Text, Nullable<Timestamp>);

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
            id: award.award.0.to_string(),
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
/// that may have been asked for before, or whose learner another transaction holds, are left to [`super::claim`]. `lease` as in
/// [`issue_at_once`].
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
pub(super) struct AtOnceRow<'a> {
    learner_id: i64,
    id: String,
    recipient: &'a str,
}

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
    let counting_on = counting_on(&left);
    let mut firsts = HashSet::new();
    let outbox: Vec<OutboxRow<'_>> = issued
        .iter()
        .map(|done| outbox_row(done, &mut left, &mut firsts))
        .collect();
    let assertions = assertions::rows(issued.iter().map(|done| &done.assertion));
    let lease_until = lease.map(|lease| now + lease);

    let mut parts = Vec::new();
    if !at_once.is_empty() {
        parts.push(("a", moving(at_once, now)));
    }
    parts.push(("s", assertions::inserting(&assertions)));
    let written: Vec<Written> = match tx.conn {
        AnyConnection::Postgres(conn) => {
            // In one round trip.
            let returning = " RETURNING learner.learner_id, learner.next_seq";
            parts.push(("n", counting_on.on_postgres(returning)));
            Compound::new(parts, announcing(NUMBERED_BY_PART, &outbox, now, lease_until)).load(conn)?
        }
        AnyConnection::Sqlite(_) => {
            for (_, statement) in parts {
                statement.execute(tx)?;
            }
            counting_on.execute(tx)?;
            announcing(NUMBERED_BY_TABLE, &outbox, now, lease_until).load(tx)?
        }
    };
    let claimed = written.into_iter().filter(|(_, _, lease_until)| lease_until.is_some());
    let numbers: HashMap<String, i64> = claimed.map(|(seq, event_id, _)| (event_id, seq)).collect();
    let claimed = issued
        .iter()
        .filter_map(|done| Some((done, *numbers.get(&done.event_id)?)));
    claimed.map(|(done, seq)| claimed_event(done, seq, now)).collect()
}

fn moving<'a>(rows: &'a [AtOnceRow<'_>], now: NaiveDateTime) -> Statement<'a> {
    Statement::new(
        "/* awards::issue_at_once */ UPDATE award SET state = 'issued', state_reason = NULL, posted = true, \
         attempts = attempts + 1, lease_token = lease_token + 1, first_post_at = coalesce(first_post_at, x.issued_at), \
         recipient = x.recipient, next_attempt_at = x.issued_at, updated_at = x.issued_at FROM",
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
                "recipient",
                Column::Texts(rows.iter().map(|row| Some(row.recipient)).collect()),
            ),
            ("issued_at", Column::Times(vec![Some(now); rows.len()])),
        ],
        "WHERE award.learner_id = x.learner_id AND award.id = x.id",
    )
}

/// Of each of these learners so many events are numbered.
fn counting_on(events: &BTreeMap<i64, i64>) -> Statement<'static> {
    Statement::new(
        "/* awards::complete */ UPDATE learner SET next_seq = next_seq + x.events FROM",
        vec![
            ("learner_id", Column::BigInts(events.keys().copied().collect())),
            ("events", Column::BigInts(events.values().copied().collect())),
        ],
        "WHERE learner.learner_id = x.learner_id",
    )
}

/// What adds to outgoing events the learners' next numbers, as they are after these; and what is asked of them.
const NUMBERED_BY_PART: &str = "JOIN n ON n.learner_id = x.learner_id RETURNING seq, event_id, lease_until";
const NUMBERED_BY_TABLE: &str =
    "CROSS JOIN learner n WHERE n.learner_id = x.learner_id RETURNING seq, event_id, lease_until";

/// The statement that writes outgoing events.
fn announcing<'a>(
    numbered: &'static str,
    rows: &'a [OutboxRow<'_>],
    now: NaiveDateTime,
    lease_until: Option<NaiveDateTime>,
) -> Statement<'a, WrittenType> {
    let all = || rows.iter().map(|row| row.done);
    let texts = |text: fn(&'a Completed) -> &'a str| Column::Texts(all().map(|done| Some(text(done))).collect());
    // Whoever writes events of a learner holds the learner's row: none that is earlier can still be on its way here.
    Statement::new(
        "/* awards::complete */ INSERT INTO outbox (learner_id, seq, event_id, event_type, award_id, payload, event_time, \
         created_at, lease_token, lease_until) SELECT x.learner_id, n.next_seq - x.back, x.event_id, x.event_type, \
         x.award_id, x.payload, x.event_time, x.created_at, x.lease_token, \
         CASE WHEN x.is_first AND coalesce((SELECT e.published_at IS NOT NULL FROM outbox e \
         WHERE e.learner_id = x.learner_id ORDER BY e.seq DESC LIMIT 1), true) THEN x.lease_until END FROM",
        vec![
            (
                "learner_id",
                Column::BigInts(all().map(|done| done.assertion.learner.0).collect()),
            ),
            ("back", Column::BigInts(rows.iter().map(|row| row.back).collect())),
            (
                "is_first",
                Column::Bools(rows.iter().map(|row| Some(row.is_first)).collect()),
            ),
            ("event_id", texts(|done| &done.event_id)),
            ("event_type", texts(|done| &done.event_type)),
            (
                "award_id",
                Column::Texts(rows.iter().map(|row| Some(row.award_id.as_str())).collect()),
            ),
            ("payload", texts(|done| &done.payload)),
            (
                "event_time",
                Column::Times(all().map(|done| Some(done.event_time?.naive_utc())).collect()),
            ),
            ("created_at", Column::Times(vec![Some(now); rows.len()])),
            ("lease_token", Column::BigInts(vec![FIRST_TOKEN; rows.len()])),
            ("lease_until", Column::Times(vec![lease_until; rows.len()])),
        ],
        numbered,
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
        done,
        award_id: done.assertion.award.0.to_string(),
        back,
        is_first: firsts.insert(learner_id),
    }
}
