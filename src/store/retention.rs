//! What is deleted when it is old: outgoing events, and dead letters that nobody needs any more.
//!
//! Nothing rests on these rows: a learner's next number is in the learner's row, and what `badge.revoked` says is put
//! together anew where `badge.awarded` is not there any more. But a retirement learns from a learner's events by what
//! names the learner went before, so of each name the last event stays.

use chrono::TimeDelta;
use diesel::{
    QueryableByName, RunQueryDsl, sql_query,
    sql_types::{BigInt, Bool, Nullable, Timestamp},
};

use super::{AnyConnection, StoreError, Tx};

/// How long they are kept: an event since Kafka acknowledged it, a dead letter since it was sent and replayed, dropped or
/// erased, whichever came last.
pub const KEPT: TimeDelta = TimeDelta::days(30);
/// Learners whose events one transaction looks at.
pub const LEARNERS: i64 = 2000;
/// Dead letters that one transaction deletes; each may hold 16 MiB.
pub const LETTERS: i64 = 200;

/// Held by the one that deletes.
const LOCK: i64 = 0x6163_636f_6c61_6404;

/// What one transaction deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slice {
    /// Rows.
    pub deleted: usize,
    /// The learner after whom the next one begins; `None` at the end.
    pub next: Option<i64>,
}

#[derive(QueryableByName)]
struct LastRow {
    #[diesel(sql_type = Nullable<BigInt>)]
    last: Option<i64>,
}

#[derive(QueryableByName)]
struct LockRow {
    #[diesel(sql_type = Bool)]
    got: bool,
}

/// Deletes the old events of the next `learners` learners. `None`: another process is at it.
pub fn delete_events(tx: &mut Tx<'_>, after: Option<i64>, learners: i64) -> Result<Option<Slice>, StoreError> {
    if !alone(tx)? {
        return Ok(None);
    }
    let before = tx.now()? - KEPT;
    let after = after.unwrap_or(i64::MIN);
    let LastRow { last } = sql_query(
        "/* retention::delete_events */ SELECT max(learner_id) AS last FROM \
         (SELECT DISTINCT learner_id FROM outbox WHERE learner_id > $1 ORDER BY learner_id LIMIT $2) AS s",
    )
    .bind::<BigInt, _>(after)
    .bind::<BigInt, _>(learners)
    .get_result(tx.conn)?;
    let Some(last) = last else {
        return Ok(Some(Slice { deleted: 0, next: None }));
    };
    let name = match tx.conn {
        AnyConnection::Postgres(_) => "payload::jsonb #>> '{user,username}'",
        AnyConnection::Sqlite(_) => "payload ->> '$.user.username'",
    };
    let deleted = sql_query(format!(
        "/* retention::delete_events */ DELETE FROM outbox WHERE learner_id > $1 AND learner_id <= $2 \
         AND published_at < $3 AND EXISTS (SELECT 1 FROM outbox l WHERE l.learner_id = outbox.learner_id \
         AND l.seq > outbox.seq AND (l.{name}) IS NOT DISTINCT FROM (outbox.{name}))"
    ))
    .bind::<BigInt, _>(after)
    .bind::<BigInt, _>(last)
    .bind::<Timestamp, _>(before)
    .execute(tx.conn)?;
    Ok(Some(Slice {
        deleted,
        next: Some(last),
    }))
}

/// Deletes up to `limit` old dead letters and says how many: when it is fewer, there are no more. `None`: another process
/// is at it.
pub fn delete_letters(tx: &mut Tx<'_>, limit: i64) -> Result<Option<usize>, StoreError> {
    if !alone(tx)? {
        return Ok(None);
    }
    let before = tx.now()? - KEPT;
    let deleted = sql_query(
        "/* retention::delete_letters */ DELETE FROM dead_letter WHERE id IN (SELECT id FROM dead_letter \
         WHERE published_at < $1 AND coalesce(dropped_at, replayed_at, erased_at) < $1 ORDER BY id LIMIT $2)",
    )
    .bind::<Timestamp, _>(before)
    .bind::<BigInt, _>(limit)
    .execute(tx.conn)?;
    Ok(Some(deleted))
}

/// Until the end of this transaction nobody else deletes.
fn alone(tx: &mut Tx<'_>) -> Result<bool, StoreError> {
    match tx.conn {
        AnyConnection::Sqlite(_) => Ok(true),
        AnyConnection::Postgres(_) => {
            let row: LockRow = sql_query(format!(
                "/* retention::alone */ SELECT pg_try_advisory_xact_lock({LOCK}) AS got"
            ))
            .get_result(tx.conn)?;
            Ok(row.got)
        }
    }
}

#[cfg(test)]
mod tests;
