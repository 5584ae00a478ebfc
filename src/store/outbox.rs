//! Outgoing events: written with what they tell of, sent in order per learner, marked when Kafka acknowledged them.

use std::time::Instant;

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use diesel::{
    QueryableByName, RunQueryDsl, sql_query,
    sql_types::{BigInt, Bool, Nullable, Text, Timestamp},
};
use serde::Serialize;
use tokio::sync::mpsc;
use uuid::Uuid;

use super::{
    AnyConnection, StoreError, Tx, awards,
    bulk::{Column, Statement},
    prepared::Prepare,
    unfold,
};
use crate::domain::{LearnerId, award::AwardId};

/// An event that this process may send until its lease runs out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimedEvent {
    /// What names its row, and the lease.
    pub lease: EventLease,
    /// Its id: the same however often it is sent.
    pub event_id: Uuid,
    /// `badge.awarded` or `badge.revoked`.
    pub event_type: String,
    /// Its body.
    pub payload: String,
    /// When it was written.
    pub created_at: DateTime<Utc>,
    /// The time of the event that brought it about.
    pub event_time: Option<DateTime<Utc>>,
}

/// How long an event, or a dead letter, is claimed for: little to wait for when its process dies. While Kafka takes longer
/// than that, the relay renews the lease. If it cannot, or cannot mark in time what was sent, another may send the same,
/// under the same id.
pub const LEASE: TimeDelta = TimeDelta::seconds(30);

/// Events that the transaction which wrote them claimed for the relay of its own process, which spares a claim.
#[derive(Debug)]
pub struct Handover {
    /// What to send.
    pub events: Vec<ClaimedEvent>,
    /// The leases are no older than this.
    pub claimed_at: Instant,
}

/// Room with the relay of this process, reserved before events are claimed for it.
#[derive(Debug)]
pub struct Room<'a> {
    permit: mpsc::Permit<'a, Handover>,
    claimed_at: Instant,
}

impl<'a> Room<'a> {
    /// None where there is no relay, or where too much waits for it: then nothing is to be claimed, and it claims itself.
    pub fn with(relay: Option<&'a mpsc::Sender<Handover>>) -> Option<Self> {
        Some(Self {
            permit: relay?.try_reserve().ok()?,
            claimed_at: Instant::now(),
        })
    }

    /// Hands over what was claimed since, once that is committed.
    pub fn hand_over(self, events: Vec<ClaimedEvent>) {
        if !events.is_empty() {
            self.permit.send(Handover {
                events,
                claimed_at: self.claimed_at,
            });
        }
    }
}

/// What was marked as published.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Marked {
    /// How many events.
    pub events: usize,
    /// A learner of these has later events, which can be claimed now.
    pub more: bool,
}

/// The right to send one event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub struct EventLease {
    /// Whose event.
    #[serde(rename = "learner_id")]
    pub learner: LearnerId,
    /// Its number among that learner's.
    pub seq: i64,
    /// Tells this lease from earlier and later ones.
    #[serde(rename = "lease_token")]
    pub token: i64,
}

const HOLDER: &[(&str, &str)] = &[("learner_id", "bigint"), ("seq", "bigint"), ("lease_token", "bigint")];

/// The rows that the leases in `x` still hold. They are found by the primary key, of which `coalesce` leaves no choice:
/// PostgreSQL would look for each in the index of what is unpublished, from end to end, for it believes that to be short;
/// but all that was published since the last vacuum is in there.
const HELD: &str = "outbox.learner_id = x.learner_id AND outbox.seq = x.seq AND outbox.lease_token = x.lease_token \
     AND coalesce(outbox.published_at IS NULL, false)";

#[derive(QueryableByName)]
struct ClaimedRow {
    #[diesel(sql_type = BigInt)]
    learner_id: i64,
    #[diesel(sql_type = BigInt)]
    seq: i64,
    #[diesel(sql_type = BigInt)]
    lease_token: i64,
    #[diesel(sql_type = Text)]
    event_id: String,
    #[diesel(sql_type = Text)]
    event_type: String,
    #[diesel(sql_type = Text)]
    payload: String,
    #[diesel(sql_type = Timestamp)]
    created_at: NaiveDateTime,
    #[diesel(sql_type = Nullable<Timestamp>)]
    event_time: Option<NaiveDateTime>,
}

/// Whose event, of which award, of which type, and whether the learner has later ones.
type MarkedRow = (i64, String, String, bool);
type MarkedType = (BigInt, Text, Text, Bool);

#[derive(QueryableByName)]
struct BacklogRow {
    #[diesel(sql_type = BigInt)]
    events: i64,
    #[diesel(sql_type = Nullable<Timestamp>)]
    oldest: Option<NaiveDateTime>,
}

/// Takes up to `limit` events that are to be sent, oldest first: of each learner only the first unpublished one, so
/// that first appearances follow the learner's numbers. A parked event holds its learner's later ones back.
pub fn claim(tx: &mut Tx<'_>, limit: usize, lease: TimeDelta) -> Result<Vec<ClaimedEvent>, StoreError> {
    let now = tx.now()?;
    let lock = match tx.conn {
        AnyConnection::Postgres(_) => "FOR UPDATE OF o SKIP LOCKED",
        AnyConnection::Sqlite(_) => "",
    };
    // A learner's events are published in order: if the one before is, so are all. That one is found by the primary key;
    // to look for an unpublished one among all that are, PostgreSQL would read their index from end to end, for each event.
    let rows: Vec<ClaimedRow> = sql_query(format!(
        "/* outbox::claim */ WITH x AS (SELECT o.learner_id, o.seq FROM outbox o WHERE o.published_at IS NULL \
         AND o.parked_reason IS NULL AND (o.lease_until IS NULL OR o.lease_until < $1) \
         AND coalesce((SELECT e.published_at IS NOT NULL FROM outbox e WHERE e.learner_id = o.learner_id \
         AND e.seq < o.seq ORDER BY e.seq DESC LIMIT 1), true) \
         ORDER BY o.created_at, o.learner_id, o.seq LIMIT $2 {lock}) \
         UPDATE outbox SET lease_token = lease_token + 1, lease_until = $3 FROM x \
         WHERE outbox.learner_id = x.learner_id AND outbox.seq = x.seq \
         RETURNING outbox.learner_id, outbox.seq, lease_token, event_id, event_type, payload, created_at, event_time"
    ))
    .bind::<Timestamp, _>(now)
    .bind::<BigInt, _>(i64::try_from(limit).unwrap_or(i64::MAX))
    .bind::<Timestamp, _>(now + lease)
    .prepared()
    .load(tx.conn)?;
    let mut events: Vec<ClaimedEvent> = rows.into_iter().map(claimed).collect::<Result<_, _>>()?;
    events.sort_by_key(|event| (event.created_at, event.lease.learner, event.lease.seq));
    Ok(events)
}

/// Marks events that Kafka acknowledged, and the awards that they tell of. Those whose lease went to another stay for that
/// one, which sends them again.
pub fn mark_published(tx: &mut Tx<'_>, leases: &[EventLease]) -> Result<Marked, StoreError> {
    if leases.is_empty() {
        return Ok(Marked::default());
    }
    let now = tx.now()?;
    let marked: Vec<MarkedRow> = Statement::<MarkedType>::new(
        "/* outbox::mark_published */ UPDATE outbox SET published_at = x.published_at, lease_until = NULL FROM",
        vec![
            (
                "learner_id",
                Column::BigInts(leases.iter().map(|lease| lease.learner.0).collect()),
            ),
            ("seq", Column::BigInts(leases.iter().map(|lease| lease.seq).collect())),
            (
                "lease_token",
                Column::BigInts(leases.iter().map(|lease| lease.token).collect()),
            ),
            ("published_at", Column::Times(vec![Some(now); leases.len()])),
        ],
        format!(
            "WHERE {HELD} RETURNING outbox.learner_id, award_id, event_type, \
             coalesce((SELECT later.published_at IS NULL FROM outbox later \
             WHERE later.learner_id = outbox.learner_id AND later.seq > outbox.seq ORDER BY later.seq DESC LIMIT 1), false)"
        ),
    )
    .load(tx)?;
    let mut awarded: Vec<(i64, &str)> = marked
        .iter()
        .filter(|(_, _, event_type, _)| event_type == crate::wire::badge_event::BADGE_AWARDED)
        .map(|(learner, award, _, _)| (*learner, award.as_str()))
        .collect();
    awarded.sort_unstable();
    Statement::<()>::new(
        "/* outbox::mark_published */ UPDATE award SET state = 'published', updated_at = x.published_at FROM",
        vec![
            (
                "learner_id",
                Column::BigInts(awarded.iter().map(|(learner, _)| *learner).collect()),
            ),
            (
                "id",
                Column::Texts(awarded.iter().map(|(_, award)| Some(*award)).collect()),
            ),
            ("published_at", Column::Times(vec![Some(now); awarded.len()])),
        ],
        "WHERE award.learner_id = x.learner_id AND award.id = x.id AND award.state = 'issued'",
    )
    .execute(tx)?;
    Ok(Marked {
        events: marked.len(),
        more: marked.iter().any(|(.., more)| *more),
    })
}

/// Gives events back unsent, or sent without an acknowledgement: they are due again after `pause`. The leases are over.
pub fn release(tx: &mut Tx<'_>, leases: &[EventLease], pause: TimeDelta) -> Result<(), StoreError> {
    let until = tx.now()? + pause;
    sql_query(format!(
        "/* outbox::release */ UPDATE outbox SET lease_until = $1, lease_token = outbox.lease_token + 1 FROM {} \
         WHERE {HELD}",
        unfold::rows(tx.conn, "$2", HOLDER),
    ))
    .bind::<Timestamp, _>(until)
    .bind::<Text, _>(unfold::json(leases))
    .prepared()
    .run(tx.conn)?;
    Ok(())
}

/// Lets leases that are still held last for so long from now.
pub fn renew(tx: &mut Tx<'_>, leases: &[EventLease], lease: TimeDelta) -> Result<(), StoreError> {
    let until = tx.now()? + lease;
    sql_query(format!(
        "/* outbox::renew */ UPDATE outbox SET lease_until = $1 FROM {} WHERE {HELD}",
        unfold::rows(tx.conn, "$2", HOLDER),
    ))
    .bind::<Timestamp, _>(until)
    .bind::<Text, _>(unfold::json(leases))
    .prepared()
    .run(tx.conn)?;
    Ok(())
}

/// Sets an event aside that Kafka will never take, and with it its learner's later ones, until a person helps.
pub fn park(tx: &mut Tx<'_>, lease: EventLease, reason: &str) -> Result<(), StoreError> {
    sql_query(format!(
        "/* outbox::park */ UPDATE outbox SET parked_reason = $1, lease_until = NULL, \
         lease_token = outbox.lease_token + 1 FROM {} WHERE {HELD}",
        unfold::rows(tx.conn, "$2", HOLDER),
    ))
    .bind::<Text, _>(reason)
    .bind::<Text, _>(unfold::json(&[lease]))
    .execute(tx.conn)?;
    Ok(())
}

/// Lets the events of an award go out again that were set aside, and with them the later ones of its learner. Returns
/// how many.
pub(super) fn unpark(tx: &mut Tx<'_>, learner: LearnerId, award: AwardId) -> Result<usize, StoreError> {
    Ok(sql_query(
        "/* outbox::unpark */ UPDATE outbox SET parked_reason = NULL \
         WHERE learner_id = $1 AND award_id = $2 AND parked_reason IS NOT NULL AND published_at IS NULL",
    )
    .bind::<BigInt, _>(learner.0)
    .bind::<Text, _>(award.0.to_string())
    .execute(tx.conn)?)
}

/// How many events Kafka has not acknowledged, and seconds since the oldest of them was written (zero without any).
pub fn backlog(tx: &mut Tx<'_>) -> Result<(i64, f64), StoreError> {
    let now = tx.now()?;
    let row: BacklogRow = sql_query(
        "/* outbox::backlog */ SELECT count(*) AS events, min(created_at) AS oldest FROM outbox \
         WHERE published_at IS NULL",
    )
    .get_result(tx.conn)?;
    Ok((
        row.events,
        row.oldest.map_or(0.0, |oldest| awards::age_seconds(now, oldest)),
    ))
}

fn claimed(row: ClaimedRow) -> Result<ClaimedEvent, StoreError> {
    Ok(ClaimedEvent {
        lease: EventLease {
            learner: LearnerId(row.learner_id),
            seq: row.seq,
            token: row.lease_token,
        },
        event_id: event_id(&row.event_id)?,
        event_type: row.event_type,
        payload: row.payload,
        created_at: row.created_at.and_utc(),
        event_time: row.event_time.map(|time| time.and_utc()),
    })
}

pub(super) fn event_id(text: &str) -> Result<Uuid, StoreError> {
    Uuid::parse_str(text).map_err(|_| StoreError::Corrupt(format!("event id {text:?} in the outbox")))
}

#[cfg(test)]
mod tests;
