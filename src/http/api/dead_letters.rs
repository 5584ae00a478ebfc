//! Records that could not be processed: for administrators.

use axum::{
    Json,
    extract::{Path, State as Shared},
    http::{StatusCode, Uri},
};
use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;

use super::page::{Page, Query};
use crate::{
    domain::limits::check_name,
    http::{State, auth::Caller, problem::Problem},
    store::dead_letters::{self, DeadLetter, Filter, Replayed},
    wire::readable::ReadableRecord,
};

const STATES: &str = "expected waiting, replayed, dropped or erased, or none for all.";

/// A dead letter of the list.
#[derive(Debug, Serialize)]
pub(super) struct DeadLetterItem {
    id: i64,
    state: &'static str,
    reason: String,
    message: String,
    topic: String,
    partition: i32,
    offset: i64,
    time: Option<String>,
    created: String,
    sent_at: Option<String>,
    replays: i32,
    replayed_at: Option<String>,
    dropped_at: Option<String>,
    erased_at: Option<String>,
}

/// A dead letter and its content.
#[derive(Debug, Serialize)]
pub(super) struct WholeItem {
    #[serde(flatten)]
    letter: DeadLetterItem,
    #[serde(flatten)]
    record: ReadableRecord,
}

/// A dead letter that was replayed, and what that changed.
#[derive(Debug, Serialize)]
pub(super) struct ReplayedItem {
    #[serde(flatten)]
    letter: DeadLetterItem,
    outcome: &'static str,
    awards: u64,
}

/// `GET /api/badges/v1/dead-letters/`, newest first; `state`, `reason` and `topic` filter.
pub(super) async fn list(
    Shared(state): Shared<State>,
    caller: Caller,
    uri: Uri,
) -> Result<Json<Page<DeadLetterItem>>, Problem> {
    caller.require_administrator()?;
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

/// `GET /api/badges/v1/dead-letters/{id}/`: with key, value and headers; one that was dropped or erased has none any more.
pub(super) async fn read(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<WholeItem>, Problem> {
    caller.require_administrator()?;
    let id = id_of(&id)?;
    let found = state.read("read_dead_letter", move |tx| dead_letters::get(tx, id));
    let (letter, record) = found.await?.ok_or_else(unknown)?;
    Ok(Json(WholeItem {
        letter: item(letter),
        record: record.into(),
    }))
}

/// `POST /api/badges/v1/dead-letters/{id}/replay/`: processes the record as a consumer of its topic would. 409 when it
/// fails again, and stays with its new reason, and when it was replayed, dropped or erased before.
pub(super) async fn replay(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<ReplayedItem>, Problem> {
    caller.require_administrator()?;
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

/// `POST /api/badges/v1/dead-letters/{id}/drop/`: erases key, value and headers, once the record was sent to the topic
/// of the dead letters; the rest stays. Answers as it is then; again changes nothing.
pub(super) async fn drop(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<DeadLetterItem>, Problem> {
    caller.require_administrator()?;
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
