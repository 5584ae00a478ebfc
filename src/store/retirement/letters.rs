//! Dead letters that speak of a retired learner: their coordinates and reasons stay, their content goes.
//!
//! A retirement and the arrival of dead letters exclude each other, so that a letter is met by one of them. A replay of
//! the topics brings the same letters again: those that name the learner by id are known by that, the others by their
//! coordinates.

use std::collections::HashSet;

use chrono::NaiveDateTime;
use diesel::{
    QueryableByName, RunQueryDsl,
    connection::SimpleConnection,
    sql_query,
    sql_types::{BigInt, Integer, Nullable, Text, Timestamp},
};
use serde::Serialize;

use super::People;
use crate::{
    domain::LearnerId,
    store::{
        AnyConnection, StoreError, Tx,
        dead_letters::{RECORD_COLUMNS, RecordRow},
        unfold,
    },
    wire::{
        mentions::{Mentions, learners_named},
        record::Record,
    },
};

/// The lock that retirements hold alone, and all who keep dead letters share.
const FENCE: i64 = 0x6163_636f_6c61_6403;
/// So many letters are read at once, and so many bytes of them, but at least one.
const CHUNK: (usize, i64) = (500, 16 << 20);

#[derive(QueryableByName)]
struct SizeRow {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = BigInt)]
    size: i64,
}

#[derive(QueryableByName)]
struct LetterRow {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(embed)]
    record: RecordRow,
}

#[derive(QueryableByName)]
struct LearnerRow {
    #[diesel(sql_type = BigInt)]
    learner_id: i64,
}

#[derive(Serialize)]
struct Coordinates<'a> {
    topic: &'a str,
    record_partition: i32,
    record_offset: i64,
}

const COORDINATES: &[(&str, &str)] = &[
    ("topic", "text"),
    ("record_partition", "integer"),
    ("record_offset", "bigint"),
];

#[derive(QueryableByName, PartialEq, Eq, Hash)]
struct ErasedRow {
    #[diesel(sql_type = Text)]
    topic: String,
    #[diesel(sql_type = Integer)]
    record_partition: i32,
    #[diesel(sql_type = BigInt)]
    record_offset: i64,
    #[diesel(sql_type = Nullable<Timestamp>)]
    record_time: Option<NaiveDateTime>,
}

/// Erases the content of every letter that speaks of one of these people. What was not sent to the topic is not sent.
pub(super) fn erase(tx: &mut Tx<'_>, people: &People) -> Result<(), StoreError> {
    fence_exclusive(tx)?;
    let sizes: Vec<SizeRow> = sql_query(
        "/* retirement::letters */ SELECT id, CAST(coalesce(length(record_value), 0) AS bigint) AS size \
         FROM dead_letter WHERE erased_at IS NULL ORDER BY id",
    )
    .load(tx.conn)?;
    let mut rest = sizes.as_slice();
    while !rest.is_empty() {
        let (chunk, later) = rest.split_at(chunk(rest));
        rest = later;
        let ids: Vec<i64> = chunk.iter().map(|row| row.id).collect();
        let rows: Vec<LetterRow> = sql_query(format!(
            "/* retirement::letters */ SELECT id, {RECORD_COLUMNS} FROM dead_letter WHERE id IN {}",
            unfold::integers(tx.conn, "$1"),
        ))
        .bind::<Text, _>(unfold::json(&ids))
        .load(tx.conn)?;
        let mut found = Vec::new();
        for row in rows {
            let id = row.id;
            let mentions = Mentions::of(&row.record.record(id)?);
            if people.values().any(|person| person.is_among(&mentions)) {
                found.push(id);
            }
        }
        erase_content(tx, &found)?;
    }
    Ok(())
}

/// Which of these records, on their way to the dead letters, speak of learners who have retired: by id, or because they
/// came before and were erased then. No retirement is under way from here to the end of the transaction.
pub(in crate::store) fn erased_on_arrival(tx: &mut Tx<'_>, records: &[&Record]) -> Result<Vec<bool>, StoreError> {
    fence(tx, "pg_advisory_xact_lock_shared")?;
    let named: Vec<_> = records.iter().map(|record| learners_named(record)).collect();
    let ids: HashSet<LearnerId> = named.iter().flatten().copied().collect();
    let retired: Vec<LearnerRow> = sql_query(format!(
        "/* retirement::erased_on_arrival */ SELECT learner_id FROM learner WHERE retired_at IS NOT NULL \
         AND learner_id IN {}",
        unfold::integers(tx.conn, "$1"),
    ))
    .bind::<Text, _>(unfold::json(&ids))
    .load(tx.conn)?;
    let retired: HashSet<i64> = retired.into_iter().map(|row| row.learner_id).collect();
    let places: Vec<Coordinates<'_>> = records.iter().map(|record| coordinates(record)).collect();
    let erased: HashSet<ErasedRow> = sql_query(format!(
        "/* retirement::erased_on_arrival */ SELECT d.topic, d.record_partition, d.record_offset, d.record_time \
         FROM dead_letter d JOIN {} ON d.topic = x.topic AND d.record_partition = x.record_partition \
         AND d.record_offset = x.record_offset WHERE d.erased_at IS NOT NULL",
        unfold::rows(tx.conn, "$1", COORDINATES),
    ))
    .bind::<Text, _>(unfold::json(&places))
    .load::<ErasedRow>(tx.conn)?
    .into_iter()
    .collect();
    let came_before = |record: &Record| {
        erased.contains(&ErasedRow {
            topic: record.topic.to_string(),
            record_partition: record.partition,
            record_offset: record.offset,
            record_time: record.timestamp.map(|time| time.naive_utc()),
        })
    };
    let judged = records
        .iter()
        .zip(&named)
        .map(|(record, named)| named.iter().any(|learner| retired.contains(&learner.0)) || came_before(record));
    Ok(judged.collect())
}

fn erase_content(tx: &mut Tx<'_>, ids: &[i64]) -> Result<(), StoreError> {
    if ids.is_empty() {
        return Ok(());
    }
    let now = tx.now()?;
    sql_query(format!(
        "/* retirement::letters */ UPDATE dead_letter SET record_key = NULL, record_value = NULL, headers = '[]', \
         erased_at = $1, published_at = coalesce(published_at, $1) WHERE id IN {}",
        unfold::integers(tx.conn, "$2"),
    ))
    .bind::<Timestamp, _>(now)
    .bind::<Text, _>(unfold::json(ids))
    .execute(tx.conn)?;
    Ok(())
}

/// How many of these to read at once.
fn chunk(rows: &[SizeRow]) -> usize {
    let (letters, bytes) = CHUNK;
    let mut room = bytes;
    let fitting = rows.iter().take(letters).take_while(|row| {
        room -= row.size;
        room >= 0
    });
    fitting.count().max(1)
}

fn coordinates(record: &Record) -> Coordinates<'_> {
    Coordinates {
        topic: &record.topic,
        record_partition: record.partition,
        record_offset: record.offset,
    }
}

/// Waits for all who keep dead letters, and keeps them out until this transaction ends.
pub(super) fn fence_exclusive(tx: &mut Tx<'_>) -> Result<(), StoreError> {
    fence(tx, "pg_advisory_xact_lock")
}

/// SQLite has one writer and needs none.
fn fence(tx: &mut Tx<'_>, lock: &str) -> Result<(), StoreError> {
    if let AnyConnection::Postgres(conn) = tx.conn {
        conn.batch_execute(&format!("/* retirement::fence */ SELECT {lock}({FENCE})"))?;
    }
    Ok(())
}
