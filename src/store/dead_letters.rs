//! Records that could not be processed, whole, with the reason.

mod by_hand;
mod list;
mod stored;
#[cfg(test)]
mod tests;

use diesel::{
    RunQueryDsl, sql_query,
    sql_types::{BigInt, Binary, Integer, Nullable, Text, Timestamp},
};

pub(super) use by_hand::erase_dropped;
pub use by_hand::{Dropped, NotReplayed, Replay, Replayed, drop_by, hold, keep_failure, mark_replayed};
pub use list::{DeadLetter, Filter, State, count, get, list, waiting};
use stored::headers_to_json;
pub(super) use stored::{RECORD_COLUMNS, RecordRow};

use super::{StoreError, Tx, retirement};
use crate::wire::record::Record;

/// A record on its way to the dead letters.
#[derive(Debug, Clone)]
pub struct NewDeadLetter<'a> {
    /// The record, as it came.
    pub record: &'a Record,
    /// A stable short code: a metric's label.
    pub reason: &'a str,
    /// What is wrong and where, never the content.
    pub message: &'a str,
}

/// Keeps these records. The same record that comes again is kept again: only a replay brings it. Of one that speaks of a
/// learner who has retired nothing is kept but where it was and what is wrong with it.
pub fn insert(tx: &mut Tx<'_>, letters: &[NewDeadLetter<'_>]) -> Result<(), StoreError> {
    if letters.is_empty() {
        return Ok(());
    }
    let records: Vec<&Record> = letters.iter().map(|letter| letter.record).collect();
    let erased = retirement::erased_on_arrival(tx, &records)?;
    for (letter, erased) in letters.iter().zip(erased) {
        let NewDeadLetter {
            record,
            reason,
            message,
        } = letter;
        let now = tx.now()?;
        let erased_at = erased.then_some(now);
        let kept = |bytes: &'_ Option<Vec<u8>>| if erased { None } else { bytes.clone() };
        sql_query(
            "/* dead_letters::insert */ INSERT INTO dead_letter \
             (topic, record_partition, record_offset, record_time, record_key, record_value, headers, reason, message, \
              created_at, published_at, erased_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $11)",
        )
        .bind::<Text, _>(&*record.topic)
        .bind::<Integer, _>(record.partition)
        .bind::<BigInt, _>(record.offset)
        .bind::<Nullable<Timestamp>, _>(record.timestamp.map(|time| time.naive_utc()))
        .bind::<Nullable<Binary>, _>(kept(&record.key))
        .bind::<Nullable<Binary>, _>(kept(&record.value))
        .bind::<Text, _>(headers_to_json(if erased { &[] } else { &record.headers }))
        .bind::<Text, _>(*reason)
        .bind::<Text, _>(*message)
        .bind::<Timestamp, _>(now)
        .bind::<Nullable<Timestamp>, _>(erased_at)
        .execute(tx.conn)?;
    }
    Ok(())
}
