//! What a person does with a dead letter: replay it, or drop it.

use chrono::{DateTime, Utc};
use diesel::{
    RunQueryDsl, sql_query,
    sql_types::{BigInt, Text, Timestamp},
};
use serde_json::{Value, json};

use super::{DeadLetter, State, get, list::whole};
use crate::{
    store::{
        AnyConnection, StoreError, Tx,
        audit::{self, Action, Actor},
        unfold,
    },
    wire::record::Record,
};

/// A dead letter that was replayed and processed; it can be replayed no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replayed {
    /// The dead letter as it is now.
    pub letter: DeadLetter,
    /// `applied`, `stale` (a newer fact, or this one, was known) or `ignored` (of a type that concerns nobody).
    pub outcome: &'static str,
    /// New awards that it brought.
    pub awards: u64,
}

/// Why a dead letter was not processed. Told to people, without a full stop.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotReplayed {
    /// It cannot be processed, and goes on waiting.
    #[error("it failed again ({reason}): {message}; it stays, and can be replayed once that is mended")]
    FailedAgain {
        /// Its stable short code now.
        reason: String,
        /// What is wrong now and where, never the content.
        message: String,
    },
    /// It was replayed before, at this time: nothing was done.
    #[error("it was replayed already, on {}", .0.format(MOMENT))]
    Before(DateTime<Utc>),
    /// It was dropped at this time: nothing was done.
    #[error("it was dropped on {}: there is nothing to replay", .0.format(MOMENT))]
    Dropped(DateTime<Utc>),
    /// Its content was erased at this time: nothing was done.
    #[error("its content was erased on {}, when a learner retired of whom it spoke: there is nothing to replay", .0.format(MOMENT))]
    Erased(DateTime<Utc>),
    /// It asks for a badge while nothing is awarded (`ENABLE_OPENBADGES`): nothing was done.
    #[error("it asks for a badge, and ENABLE_OPENBADGES is false here: replay it when badges are awarded again")]
    NothingAwarded,
}

const MOMENT: &str = "%F at %T UTC";

/// What came of a replay.
pub type Replay = Result<Replayed, NotReplayed>;

/// What came of dropping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dropped {
    /// The dead letter as it is now.
    pub letter: DeadLetter,
    /// Whether it had not been dropped before.
    pub changed: bool,
}

/// A dead letter with its record; nobody else changes it until the end of this transaction. `None`: there is none.
pub fn hold(tx: &mut Tx<'_>, id: i64) -> Result<Option<(DeadLetter, Record)>, StoreError> {
    let lock = match tx.conn {
        AnyConnection::Postgres(_) => "FOR UPDATE",
        AnyConnection::Sqlite(_) => "",
    };
    whole(tx, id, lock)
}

/// Marks a dead letter, which is held and waits, as replayed and processed.
pub fn mark_replayed(tx: &mut Tx<'_>, id: i64, actor: &Actor, details: &Value) -> Result<DeadLetter, StoreError> {
    let now = tx.now()?;
    sql_query(
        "/* dead_letters::mark_replayed */ UPDATE dead_letter SET replays = replays + 1, replayed_at = $1 WHERE id = $2",
    )
    .bind::<Timestamp, _>(now)
    .bind::<BigInt, _>(id)
    .execute(tx.conn)?;
    audit::record(tx, actor, Action::ReplayDeadLetter, &id.to_string(), details)?;
    there(tx, id)
}

/// Keeps why the replay of a dead letter, which is held and waits, failed. It is not sent again.
pub fn keep_failure(tx: &mut Tx<'_>, id: i64, reason: &str, message: &str, actor: &Actor) -> Result<(), StoreError> {
    sql_query(
        "/* dead_letters::keep_failure */ UPDATE dead_letter SET replays = replays + 1, reason = $1, message = $2 \
         WHERE id = $3",
    )
    .bind::<Text, _>(reason)
    .bind::<Text, _>(message)
    .bind::<BigInt, _>(id)
    .execute(tx.conn)?;
    let details = json!({"outcome": "failed", "reason": reason});
    audit::record(tx, actor, Action::ReplayDeadLetter, &id.to_string(), &details)
}

/// Drops a dead letter: what it was stays, its content is erased. One that was not sent to its topic yet is sent first:
/// then it is erased. Again changes nothing. `None`: there is none of this id.
pub fn drop_by(tx: &mut Tx<'_>, id: i64, actor: &Actor) -> Result<Option<Dropped>, StoreError> {
    let Some((letter, _)) = hold(tx, id)? else {
        return Ok(None);
    };
    if letter.state() == State::Dropped {
        return Ok(Some(Dropped { letter, changed: false }));
    }
    let now = tx.now()?;
    sql_query("/* dead_letters::drop */ UPDATE dead_letter SET dropped_at = $1 WHERE id = $2")
        .bind::<Timestamp, _>(now)
        .bind::<BigInt, _>(id)
        .execute(tx.conn)?;
    erase_dropped(tx, &[id])?;
    let details = json!({"from": letter.state().as_str(), "reason": letter.reason});
    audit::record(tx, actor, Action::DropDeadLetter, &id.to_string(), &details)?;
    let letter = there(tx, id)?;
    Ok(Some(Dropped { letter, changed: true }))
}

/// Erases the content of those that were dropped and need not be sent any more.
pub(in crate::store) fn erase_dropped(tx: &mut Tx<'_>, ids: &[i64]) -> Result<(), StoreError> {
    sql_query(format!(
        "/* dead_letters::erase_dropped */ UPDATE dead_letter SET record_key = NULL, record_value = NULL, \
         headers = '[]' WHERE id IN {} AND dropped_at IS NOT NULL AND published_at IS NOT NULL",
        unfold::integers(tx.conn, "$1"),
    ))
    .bind::<Text, _>(unfold::json(ids))
    .execute(tx.conn)?;
    Ok(())
}

fn there(tx: &mut Tx<'_>, id: i64) -> Result<DeadLetter, StoreError> {
    let (letter, _) = get(tx, id)?.ok_or(StoreError::NotFound)?;
    Ok(letter)
}
