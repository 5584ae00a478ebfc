//! Dead letters as operators see them.

use chrono::{DateTime, NaiveDateTime, Utc};
use diesel::{
    OptionalExtension, QueryableByName, RunQueryDsl, sql_query,
    sql_types::{BigInt, Integer, Nullable, Text, Timestamp},
};

use super::stored::{RECORD_COLUMNS, RecordRow};
use crate::{
    store::{StoreError, Tx, api_reads::Window},
    wire::record::Record,
};

/// What became of a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = DeadLetterState)]
pub enum State {
    /// Nothing yet, or it failed again.
    Waiting,
    /// It was replayed, and processed.
    Replayed,
    /// Its content was given up.
    Dropped,
    /// Its content was erased, because a learner retired of whom it spoke.
    Erased,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 4] = [Self::Waiting, Self::Replayed, Self::Dropped, Self::Erased];

    /// Its name in lists.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Replayed => "replayed",
            Self::Dropped => "dropped",
            Self::Erased => "erased",
        }
    }

    /// The state of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }

    const fn condition(self) -> &'static str {
        match self {
            Self::Waiting => "replayed_at IS NULL AND dropped_at IS NULL AND erased_at IS NULL",
            Self::Replayed => "replayed_at IS NOT NULL AND dropped_at IS NULL",
            Self::Dropped => "dropped_at IS NOT NULL",
            Self::Erased => "erased_at IS NOT NULL AND replayed_at IS NULL AND dropped_at IS NULL",
        }
    }
}

/// Which dead letters are meant; what is `None` is any.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    /// What became of them.
    pub state: Option<State>,
    /// Their stable short code.
    pub reason: Option<String>,
    /// The topic that they came from, as on the broker.
    pub topic: Option<String>,
}

impl Filter {
    fn condition(&self) -> String {
        let state = self.state.map_or("1 = 1", State::condition);
        format!("{state} AND ($1 IS NULL OR reason = $1) AND ($2 IS NULL OR topic = $2)")
    }
}

/// A dead letter without its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// Its row.
    pub id: i64,
    /// The topic that the record came from, as on the broker.
    pub topic: String,
    /// Partition of the topic.
    pub partition: i32,
    /// Offset in the partition.
    pub offset: i64,
    /// The record's own timestamp.
    pub time: Option<DateTime<Utc>>,
    /// A stable short code.
    pub reason: String,
    /// What is wrong and where, never the content.
    pub message: String,
    /// When the record was kept.
    pub created: DateTime<Utc>,
    /// When Kafka acknowledged it on the topic of the dead letters.
    pub sent_at: Option<DateTime<Utc>>,
    /// How often it was replayed, in vain or not.
    pub replays: i32,
    /// When it was replayed and processed.
    pub replayed_at: Option<DateTime<Utc>>,
    /// When it was dropped.
    pub dropped_at: Option<DateTime<Utc>>,
    /// When its content was erased, because a learner retired of whom it spoke.
    pub erased_at: Option<DateTime<Utc>>,
}

impl DeadLetter {
    /// What became of it.
    pub fn state(&self) -> State {
        match (self.dropped_at, self.replayed_at, self.erased_at) {
            (Some(_), ..) => State::Dropped,
            (None, Some(_), _) => State::Replayed,
            (None, None, Some(_)) => State::Erased,
            (None, None, None) => State::Waiting,
        }
    }
}

const COLUMNS: &str = "id, reason, message, created_at, published_at, replays, replayed_at, dropped_at, erased_at";

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Text)]
    topic: String,
    #[diesel(sql_type = Integer)]
    record_partition: i32,
    #[diesel(sql_type = BigInt)]
    record_offset: i64,
    #[diesel(sql_type = Nullable<Timestamp>)]
    record_time: Option<NaiveDateTime>,
    #[diesel(sql_type = Text)]
    reason: String,
    #[diesel(sql_type = Text)]
    message: String,
    #[diesel(sql_type = Timestamp)]
    created_at: NaiveDateTime,
    #[diesel(sql_type = Nullable<Timestamp>)]
    published_at: Option<NaiveDateTime>,
    #[diesel(sql_type = Integer)]
    replays: i32,
    #[diesel(sql_type = Nullable<Timestamp>)]
    replayed_at: Option<NaiveDateTime>,
    #[diesel(sql_type = Nullable<Timestamp>)]
    dropped_at: Option<NaiveDateTime>,
    #[diesel(sql_type = Nullable<Timestamp>)]
    erased_at: Option<NaiveDateTime>,
}

#[derive(QueryableByName)]
struct WholeRow {
    #[diesel(embed)]
    letter: Row,
    #[diesel(embed)]
    record: RecordRow,
}

#[derive(QueryableByName)]
struct IdRow {
    #[diesel(sql_type = BigInt)]
    id: i64,
}

#[derive(QueryableByName)]
struct CountRow {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

/// How many dead letters there are.
pub fn count(tx: &mut Tx<'_>, filter: &Filter) -> Result<i64, StoreError> {
    let row: CountRow = sql_query(format!(
        "/* dead_letters::count */ SELECT COUNT(*) AS count FROM dead_letter WHERE {}",
        filter.condition()
    ))
    .bind::<Nullable<Text>, _>(filter.reason.as_deref())
    .bind::<Nullable<Text>, _>(filter.topic.as_deref())
    .get_result(tx.conn)?;
    Ok(row.count)
}

/// Dead letters, newest first.
pub fn list(tx: &mut Tx<'_>, filter: &Filter, window: Window) -> Result<Vec<DeadLetter>, StoreError> {
    let rows: Vec<Row> = sql_query(format!(
        "/* dead_letters::list */ SELECT topic, record_partition, record_offset, record_time, {COLUMNS} \
         FROM dead_letter WHERE {} ORDER BY id DESC LIMIT $3 OFFSET $4",
        filter.condition()
    ))
    .bind::<Nullable<Text>, _>(filter.reason.as_deref())
    .bind::<Nullable<Text>, _>(filter.topic.as_deref())
    .bind::<BigInt, _>(window.length)
    .bind::<BigInt, _>(window.start)
    .load(tx.conn)?;
    Ok(rows.into_iter().map(Into::into).collect())
}

/// The ids of those that wait, oldest first, whatever state the filter names.
pub fn waiting(tx: &mut Tx<'_>, filter: &Filter) -> Result<Vec<i64>, StoreError> {
    let waiting = Filter {
        state: Some(State::Waiting),
        ..filter.clone()
    };
    let rows: Vec<IdRow> = sql_query(format!(
        "/* dead_letters::waiting */ SELECT id FROM dead_letter WHERE {} ORDER BY id",
        waiting.condition()
    ))
    .bind::<Nullable<Text>, _>(waiting.reason.as_deref())
    .bind::<Nullable<Text>, _>(waiting.topic.as_deref())
    .load(tx.conn)?;
    Ok(rows.into_iter().map(|row| row.id).collect())
}

/// A dead letter with its record, as far as that was not erased; `None`: there is none of this id.
pub fn get(tx: &mut Tx<'_>, id: i64) -> Result<Option<(DeadLetter, Record)>, StoreError> {
    whole(tx, id, "")
}

/// The same; `lock` is added to the statement.
pub(super) fn whole(tx: &mut Tx<'_>, id: i64, lock: &str) -> Result<Option<(DeadLetter, Record)>, StoreError> {
    let row: Option<WholeRow> = sql_query(format!(
        "/* dead_letters::get */ SELECT {RECORD_COLUMNS}, {COLUMNS} FROM dead_letter WHERE id = $1 {lock}"
    ))
    .bind::<BigInt, _>(id)
    .get_result(tx.conn)
    .optional()?;
    row.map(|row| Ok((row.letter.into(), row.record.record(id)?)))
        .transpose()
}

impl From<Row> for DeadLetter {
    fn from(row: Row) -> Self {
        let time = |at: Option<NaiveDateTime>| at.map(|at| at.and_utc());
        Self {
            id: row.id,
            topic: row.topic,
            partition: row.record_partition,
            offset: row.record_offset,
            time: time(row.record_time),
            reason: row.reason,
            message: row.message,
            created: row.created_at.and_utc(),
            sent_at: time(row.published_at),
            replays: row.replays,
            replayed_at: time(row.replayed_at),
            dropped_at: time(row.dropped_at),
            erased_at: time(row.erased_at),
        }
    }
}
