//! Records that could not be processed: for administrators.

use axum::{
    Json,
    extract::{Path, State as Shared},
    http::{StatusCode, Uri},
};
use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::page::{Page, Paging, Query};
use crate::{
    domain::limits::check_name,
    http::{State, auth::Administrator, problem::Problem},
    store::dead_letters::{self, DeadLetter, Filter, Replayed},
    wire::{readable::ReadableRecord, schemas},
};

const STATES: &str = "expected waiting, replayed, dropped or erased, or none for all.";

/// A dead letter of the list.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DeadLetter)]
pub(super) struct DeadLetterItem {
    #[schema(value_type = schemas::DeadLetterId)]
    id: i64,
    #[schema(value_type = dead_letters::State)]
    state: &'static str,
    #[schema(value_type = schemas::DeadLetterReason)]
    reason: String,
    /// What is wrong and where, never the content.
    #[schema(example = "user.id: missing")]
    message: String,
    #[schema(value_type = schemas::TopicName)]
    topic: String,
    /// Partition of the topic.
    #[schema(example = 3)]
    partition: i32,
    /// Offset in the partition.
    #[schema(example = 1402)]
    offset: i64,
    /// The record's own timestamp.
    #[schema(value_type = Option<schemas::Time>, required = true)]
    time: Option<String>,
    /// When the record was kept.
    #[schema(value_type = schemas::Time)]
    created: String,
    /// When Kafka acknowledged it on the topic of the dead letters.
    #[schema(value_type = Option<schemas::Time>, required = true)]
    sent_at: Option<String>,
    /// How often it was replayed, in vain or not.
    #[schema(minimum = 0, example = 0)]
    replays: i32,
    /// When it was replayed and processed.
    #[schema(value_type = Option<schemas::Time>, required = true)]
    replayed_at: Option<String>,
    /// When it was dropped.
    #[schema(value_type = Option<schemas::Time>, required = true)]
    dropped_at: Option<String>,
    /// When its content was erased, because a learner retired of whom it spoke.
    #[schema(value_type = Option<schemas::Time>, required = true)]
    erased_at: Option<String>,
}

/// A dead letter and its content.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WholeDeadLetter)]
pub(super) struct WholeItem {
    #[serde(flatten)]
    letter: DeadLetterItem,
    #[serde(flatten)]
    record: ReadableRecord,
}

/// A dead letter that was replayed, and what that changed.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ReplayedDeadLetter)]
pub(super) struct ReplayedItem {
    #[serde(flatten)]
    letter: DeadLetterItem,
    /// `applied`, `stale` (a newer fact, or this one, was known) or `ignored` (of a type that concerns nobody).
    #[schema(example = "applied")]
    outcome: &'static str,
    /// New awards that it brought.
    #[schema(example = 1)]
    awards: u64,
}

/// Lists records that could not be processed, newest first.
#[utoipa::path(
    get, path = "/api/badges/v1/dead-letters/",
    operation_id = "listDeadLetters", tag = "Dead letters",
    params(
        ("state" = Option<dead_letters::State>, Query, description = "In this state; all without it."),
        ("reason" = Option<schemas::DeadLetterReason>, Query, description = "With this reason."),
        ("topic" = Option<schemas::TopicName>, Query, description = "From this topic."),
        Paging,
    ),
    responses(
        (status = 200, description = "A page of dead letters.", body = Page<DeadLetterItem>),
        (status = 404, description = "There is no such page."),
    ),
)]
pub(super) async fn list(
    Shared(state): Shared<State>,
    _: Administrator,
    uri: Uri,
) -> Result<Json<Page<DeadLetterItem>>, Problem> {
    let query = Query::of(&uri);
    let wanted = match query.get("state") {
        None => None,
        Some(name) => Some(dead_letters::State::parse(name).ok_or_else(|| Problem::field("state", STATES))?),
    };
    let filter = Filter {
        state: wanted,
        reason: query.get("reason").map(str::to_owned),
        topic: query.get("topic").map(str::to_owned),
    };
    for (name, text) in [("reason", &filter.reason), ("topic", &filter.topic)] {
        check_name(text.as_deref().unwrap_or_default()).map_err(|problem| Problem::field(name, problem))?;
    }
    let page = query.page()?;
    let read = state.read("list_dead_letters", move |tx| {
        let place = match page.within(dead_letters::count(tx, &filter)?) {
            Ok(place) => place,
            Err(beyond) => return Ok(Err(beyond)),
        };
        Ok(Ok((place, dead_letters::list(tx, &filter, place.window())?)))
    });
    let (place, letters) = read.await??;
    let items = letters.into_iter().map(item).collect();
    Ok(Json(place.page(&state, &query, items)))
}

/// Shows a dead letter.
///
/// With key, value and headers; one that was dropped or erased has none any more.
#[utoipa::path(
    get, path = "/api/badges/v1/dead-letters/{id}/",
    operation_id = "readDeadLetter", tag = "Dead letters",
    params(("id" = schemas::DeadLetterId, Path, description = "The dead letter's id.")),
    responses(
        (status = 200, description = "The dead letter.", body = WholeItem),
        (status = 404, description = "There is no dead letter of this id."),
    ),
)]
pub(super) async fn read(
    Shared(state): Shared<State>,
    _: Administrator,
    Path(id): Path<String>,
) -> Result<Json<WholeItem>, Problem> {
    let id = id_of(&id)?;
    let found = state.read("read_dead_letter", move |tx| dead_letters::get(tx, id));
    let (letter, record) = found.await?.ok_or_else(unknown)?;
    Ok(Json(WholeItem {
        letter: item(letter),
        record: record.into(),
    }))
}

/// Processes a dead letter once more.
///
/// As a consumer of its topic would, without Kafka. One that fails again stays, with its new reason.
#[utoipa::path(
    post, path = "/api/badges/v1/dead-letters/{id}/replay/",
    operation_id = "replayDeadLetter", tag = "Dead letters",
    params(("id" = schemas::DeadLetterId, Path, description = "The dead letter's id.")),
    responses(
        (status = 200, description = "It was processed.", body = ReplayedItem),
        (status = 404, description = "There is no dead letter of this id."),
        (status = 409, description = "It failed again, or it was replayed, dropped or erased before."),
    ),
)]
pub(super) async fn replay(
    Shared(state): Shared<State>,
    caller: Administrator,
    Path(id): Path<String>,
) -> Result<Json<ReplayedItem>, Problem> {
    let replayed = state.replay(id_of(&id)?, caller.actor()).await?.ok_or_else(unknown)?;
    let Replayed {
        letter,
        outcome,
        awards,
    } = replayed.map_err(|refusal| {
        let detail = format!("The dead letter {id} was not replayed: {refusal}.");
        Problem::new(StatusCode::CONFLICT, detail)
    })?;
    Ok(Json(ReplayedItem {
        letter: item(letter),
        outcome,
        awards,
    }))
}

/// Drops a dead letter.
///
/// Erases key, value and headers, once the record was sent to the topic of the dead letters; the rest stays. Answers as
/// it is then; again changes nothing.
#[utoipa::path(
    post, path = "/api/badges/v1/dead-letters/{id}/drop/",
    operation_id = "dropDeadLetter", tag = "Dead letters",
    params(("id" = schemas::DeadLetterId, Path, description = "The dead letter's id.")),
    responses(
        (status = 200, description = "The dead letter.", body = DeadLetterItem),
        (status = 404, description = "There is no dead letter of this id."),
    ),
)]
pub(super) async fn drop(
    Shared(state): Shared<State>,
    caller: Administrator,
    Path(id): Path<String>,
) -> Result<Json<DeadLetterItem>, Problem> {
    let (id, actor) = (id_of(&id)?, caller.actor());
    let dropped = state.write("drop_dead_letter", move |tx| dead_letters::drop_by(tx, id, &actor));
    Ok(Json(item(dropped.await?.ok_or_else(unknown)?.letter)))
}

fn id_of(text: &str) -> Result<i64, Problem> {
    text.parse().map_err(|_| unknown())
}

fn unknown() -> Problem {
    Problem::not_found("There is no dead letter of this id.")
}

fn item(letter: DeadLetter) -> DeadLetterItem {
    let text = |time: DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::AutoSi, true);
    DeadLetterItem {
        id: letter.id,
        state: letter.state().as_str(),
        reason: letter.reason,
        message: letter.message,
        topic: letter.topic,
        partition: letter.partition,
        offset: letter.offset,
        time: letter.time.map(text),
        created: text(letter.created),
        sent_at: letter.sent_at.map(text),
        replays: letter.replays,
        replayed_at: letter.replayed_at.map(text),
        dropped_at: letter.dropped_at.map(text),
        erased_at: letter.erased_at.map(text),
    }
}

#[cfg(test)]
mod tests;
