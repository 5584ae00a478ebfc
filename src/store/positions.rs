//! Where reading goes on: the next offset of each partition as of the last commit, and the stop before a flood.

use std::collections::HashMap;

use diesel::{ExpressionMethods, OptionalExtension, QueryDsl, RunQueryDsl, sql_query};

use super::{
    StoreError, Tx,
    bulk::{Column, Statement},
    schema::{consumer_position, consumer_resume},
};

/// One past the last record of a partition whose work is durable.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct NextOffset {
    /// Topic name, as on the broker.
    pub topic: String,
    /// Partition of the topic.
    pub partition: i32,
    /// Offset of the next record.
    pub offset: i64,
}

/// Whether consumers stand before a flood of records that cannot be processed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ResumeState {
    /// How often an operator let them go on.
    pub resumed: i64,
    /// Some consumer stopped since then.
    pub paused: bool,
}

/// Keeps these positions, whatever stood there: a topic that was made anew begins at zero.
pub fn store(tx: &mut Tx<'_>, positions: &[NextOffset]) -> Result<(), StoreError> {
    if positions.is_empty() {
        return Ok(());
    }
    let mut sorted = positions.to_vec();
    sorted.sort();
    Statement::<()>::new(
        "/* positions::store */ INSERT INTO consumer_position (topic, record_partition, next_offset, updated_at) \
         SELECT topic, record_partition, next_offset, CURRENT_TIMESTAMP FROM",
        columns(&sorted),
        "WHERE true ORDER BY topic, record_partition \
         ON CONFLICT (topic, record_partition) \
         DO UPDATE SET next_offset = excluded.next_offset, updated_at = excluded.updated_at",
    )
    .execute(tx)?;
    Ok(())
}

/// The positions as rows to look for.
pub(super) fn columns(last: &[NextOffset]) -> Vec<(&'static str, Column<'_>)> {
    vec![
        (
            "topic",
            Column::Texts(last.iter().map(|p| Some(p.topic.as_str())).collect()),
        ),
        (
            "record_partition",
            Column::Integers(last.iter().map(|p| Some(p.partition)).collect()),
        ),
        ("next_offset", Column::BigInts(last.iter().map(|p| p.offset).collect())),
    ]
}

/// Every position that is known, by topic and partition.
pub fn all(tx: &mut Tx<'_>) -> Result<HashMap<(String, i32), i64>, StoreError> {
    let rows: Vec<(String, i32, i64)> = consumer_position::table
        .select((
            consumer_position::topic,
            consumer_position::record_partition,
            consumer_position::next_offset,
        ))
        .load(tx.conn)?;
    Ok(rows
        .into_iter()
        .map(|(topic, partition, offset)| ((topic, partition), offset))
        .collect())
}

/// Whether consumers are stopped, and how often they were let go on.
pub fn resume_state(tx: &mut Tx<'_>) -> Result<ResumeState, StoreError> {
    let row: Option<(i64, bool)> = consumer_resume::table
        .find(1)
        .select((consumer_resume::resumed, consumer_resume::paused))
        .first(tx.conn)
        .optional()?;
    Ok(row.map_or_else(ResumeState::default, |(resumed, paused)| ResumeState {
        resumed,
        paused,
    }))
}

/// Says that a consumer stopped; returns how often consumers were let go on up to now.
pub fn pause(tx: &mut Tx<'_>) -> Result<i64, StoreError> {
    sql_query(
        "/* positions::pause */ INSERT INTO consumer_resume (id, resumed, paused) VALUES (1, 0, true) \
         ON CONFLICT (id) DO UPDATE SET paused = true",
    )
    .execute(tx.conn)?;
    Ok(resume_state(tx)?.resumed)
}

/// Lets every consumer go on that stopped until now; returns whether one had.
pub fn resume(tx: &mut Tx<'_>) -> Result<bool, StoreError> {
    sql_query(
        "/* positions::resume */ INSERT INTO consumer_resume (id, resumed, paused) VALUES (1, 0, false) \
         ON CONFLICT (id) DO UPDATE SET resumed = consumer_resume.resumed",
    )
    .execute(tx.conn)?;
    let before = resume_state(tx)?;
    diesel::update(consumer_resume::table.find(1))
        .set((
            consumer_resume::resumed.eq(before.resumed + 1),
            consumer_resume::paused.eq(false),
        ))
        .execute(tx.conn)?;
    Ok(before.paused)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing;

    fn at(partition: i32, offset: i64) -> NextOffset {
        NextOffset {
            topic: "t".to_owned(),
            partition,
            offset,
        }
    }

    #[test]
    fn the_last_position_given_stands() {
        for database in testing::databases() {
            let known = database
                .store()
                .transaction("test", |tx| {
                    store(tx, &[at(1, 5), at(0, 7)])?;
                    store(tx, &[at(1, 3)])?;
                    all(tx)
                })
                .expect("stored");
            let expected = HashMap::from([(("t".to_owned(), 0), 7), (("t".to_owned(), 1), 3)]);
            assert_eq!(known, expected);
        }
    }

    #[test]
    fn a_stop_holds_until_somebody_resumes() {
        for database in testing::databases() {
            let store = database.store();
            let run = |work: fn(&mut Tx<'_>) -> Result<ResumeState, StoreError>| {
                store.transaction("test", work).expect("stored")
            };
            assert_eq!(run(resume_state), ResumeState::default());
            let stopped = run(|tx| pause(tx).and_then(|_| resume_state(tx)));
            assert_eq!((stopped.resumed, stopped.paused), (0, true));
            let resumed = run(|tx| resume(tx).and_then(|_| resume_state(tx)));
            assert_eq!((resumed.resumed, resumed.paused), (1, false));
        }
    }
}
