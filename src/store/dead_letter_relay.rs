//! Dead letters on their way to their topic.

use chrono::TimeDelta;
use diesel::{
    QueryableByName, RunQueryDsl, sql_query,
    sql_types::{BigInt, Text, Timestamp},
};
use serde::Serialize;

use super::{
    StoreError, Tx,
    dead_letters::{self, RECORD_COLUMNS, RecordRow},
    prepared::Prepare,
    unfold,
};
use crate::wire::record::Record;

/// A dead letter that this process may send until its lease runs out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimedDeadLetter {
    /// What names its row, and the lease.
    pub lease: DeadLetterLease,
    /// The record as it came.
    pub record: Record,
    /// A stable short code.
    pub reason: String,
    /// What is wrong and where.
    pub message: String,
}

/// The right to send one dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub struct DeadLetterLease {
    /// Its row.
    pub id: i64,
    /// Tells this lease from earlier and later ones.
    #[serde(rename = "lease_token")]
    pub token: i64,
}

const LEASE: &[(&str, &str)] = &[("id", "bigint"), ("lease_token", "bigint")];
const HELD: &str =
    "dead_letter.id = x.id AND dead_letter.lease_token = x.lease_token AND dead_letter.published_at IS NULL";

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = BigInt)]
    lease_token: i64,
    #[diesel(embed)]
    record: RecordRow,
    #[diesel(sql_type = Text)]
    reason: String,
    #[diesel(sql_type = Text)]
    message: String,
}

#[derive(QueryableByName)]
struct SizeRow {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = BigInt)]
    size: i64,
}

/// Takes the oldest dead letters that are to be sent: up to `limit`, and no more than about `bytes` of values, but at
/// least one where there is any.
pub fn claim(
    tx: &mut Tx<'_>,
    limit: usize,
    bytes: i64,
    lease: TimeDelta,
) -> Result<Vec<ClaimedDeadLetter>, StoreError> {
    let now = tx.now()?;
    let due: Vec<SizeRow> = sql_query(format!(
        "/* dead_letter_relay::claim */ SELECT id, CAST(coalesce(length(record_value), 0) AS bigint) AS size \
         FROM dead_letter WHERE published_at IS NULL AND (lease_until IS NULL OR lease_until < $1) \
         ORDER BY id LIMIT $2 {}",
        unfold::skip_locked(tx.conn),
    ))
    .bind::<Timestamp, _>(now)
    .bind::<BigInt, _>(i64::try_from(limit).unwrap_or(i64::MAX))
    .prepared()
    .load(tx.conn)?;
    let mut room = bytes;
    let taken: Vec<i64> = due
        .iter()
        .enumerate()
        .take_while(|(n, row)| {
            room -= row.size;
            *n == 0 || room >= 0
        })
        .map(|(_, row)| row.id)
        .collect();
    if taken.is_empty() {
        return Ok(Vec::new());
    }
    let mut rows: Vec<Row> = sql_query(format!(
        "/* dead_letter_relay::claim */ UPDATE dead_letter SET lease_token = lease_token + 1, lease_until = $1 \
         WHERE id IN {} RETURNING id, lease_token, {RECORD_COLUMNS}, reason, message",
        unfold::integers(tx.conn, "$2"),
    ))
    .bind::<Timestamp, _>(now + lease)
    .bind::<Text, _>(unfold::json(&taken))
    .prepared()
    .load(tx.conn)?;
    rows.sort_by_key(|row| row.id);
    rows.into_iter().map(claimed).collect()
}

/// Marks dead letters that Kafka acknowledged; those whose lease went to another stay for that one. What was dropped
/// meanwhile is erased. Returns how many.
pub fn mark_published(tx: &mut Tx<'_>, leases: &[DeadLetterLease]) -> Result<usize, StoreError> {
    let now = tx.now()?;
    let done = sql_query(format!(
        "/* dead_letter_relay::mark_published */ UPDATE dead_letter SET published_at = $1, lease_until = NULL \
         FROM {} WHERE {HELD}",
        unfold::rows(tx.conn, "$2", LEASE),
    ))
    .bind::<Timestamp, _>(now)
    .bind::<Text, _>(unfold::json(leases))
    .execute(tx.conn)?;
    dead_letters::erase_dropped(tx, &leases.iter().map(|lease| lease.id).collect::<Vec<_>>())?;
    Ok(done)
}

/// Gives dead letters back without an acknowledgement: they are due again after `pause`. The leases are over.
pub fn release(tx: &mut Tx<'_>, leases: &[DeadLetterLease], pause: TimeDelta) -> Result<(), StoreError> {
    let until = tx.now()? + pause;
    sql_query(format!(
        "/* dead_letter_relay::release */ UPDATE dead_letter SET lease_until = $1, \
         lease_token = dead_letter.lease_token + 1 FROM {} WHERE {HELD}",
        unfold::rows(tx.conn, "$2", LEASE),
    ))
    .bind::<Timestamp, _>(until)
    .bind::<Text, _>(unfold::json(leases))
    .prepared()
    .run(tx.conn)?;
    Ok(())
}

/// Lets leases that are still held last for so long from now.
pub fn renew(tx: &mut Tx<'_>, leases: &[DeadLetterLease], lease: TimeDelta) -> Result<(), StoreError> {
    let until = tx.now()? + lease;
    sql_query(format!(
        "/* dead_letter_relay::renew */ UPDATE dead_letter SET lease_until = $1 FROM {} WHERE {HELD}",
        unfold::rows(tx.conn, "$2", LEASE),
    ))
    .bind::<Timestamp, _>(until)
    .bind::<Text, _>(unfold::json(leases))
    .prepared()
    .run(tx.conn)?;
    Ok(())
}

fn claimed(row: Row) -> Result<ClaimedDeadLetter, StoreError> {
    Ok(ClaimedDeadLetter {
        lease: DeadLetterLease {
            id: row.id,
            token: row.lease_token,
        },
        record: row.record.record(row.id)?,
        reason: row.reason,
        message: row.message,
    })
}
