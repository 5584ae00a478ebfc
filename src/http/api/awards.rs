//! Awards and why they wait: for administrators.

use axum::{
    Json,
    extract::{Path, State as Shared},
    http::{StatusCode, Uri},
};
use chrono::SecondsFormat;
use serde::Serialize;

use super::page::{Page, Query};
use crate::{
    domain::{
        award::{AwardId, AwardState},
        limits::check_name,
    },
    http::{State, auth::Caller, problem::Problem},
    store::{
        api_reads::{self, AwardFilter, ListedAward, Window},
        awards,
    },
};

const STATES: &str =
    "expected pending, issuing, uncertain, issued, published, blocked, failed, dead or cancelled, or none for all.";

/// An award of the list.
#[derive(Debug, Serialize)]
pub(super) struct AwardItem {
    id: String,
    state: String,
    reason: Option<String>,
    rule: String,
    user: UserItem,
    badge_class: BadgeClassItem,
    attempts: i32,
    last_error: Option<String>,
    next_attempt_at: String,
    created: String,
}

#[derive(Debug, Serialize)]
struct UserItem {
    id: i64,
    username: String,
}

#[derive(Debug, Serialize)]
struct BadgeClassItem {
    id: i32,
    slug: String,
    issuing_component: String,
    course_id: Option<String>,
    display_name: String,
}

/// `GET /api/badges/v1/awards/`, newest first; `state`, `username` and `slug` filter.
pub(super) async fn list(
    Shared(state): Shared<State>,
    caller: Caller,
    uri: Uri,
) -> Result<Json<Page<AwardItem>>, Problem> {
    caller.require_administrator()?;
    let query = Query::of(&uri);
    let wanted = match query.get("state") {
        None => None,
        Some(name) => Some(AwardState::parse(name).ok_or_else(|| Problem::field("state", STATES))?),
    };
    let filter = AwardFilter {
        id: None,
        state: wanted,
        username: query.get("username").map(str::to_owned),
        slug: query.get("slug").map(str::to_owned),
    };
    for (name, text) in [("username", &filter.username), ("slug", &filter.slug)] {
        check_name(text.as_deref().unwrap_or_default()).map_err(|problem| Problem::field(name, problem))?;
    }
    let page = query.page()?;
    let read = state.read("list_awards", move |tx| {
        let place = match page.within(api_reads::count_awards(tx, &filter)?) {
            Ok(place) => place,
            Err(beyond) => return Ok(Err(beyond)),
        };
        Ok(Ok((place, api_reads::awards(tx, &filter, place.window())?)))
    });
    let (place, awards) = read.await??;
    Ok(Json(place.page(&state, &query, awards.into_iter().map(item).collect())))
}

/// `POST /api/badges/v1/awards/{id}/retry/`: tries an award again that waits or was given up, and answers as it is then.
pub(super) async fn retry(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<AwardItem>, Problem> {
    caller.require_administrator()?;
    let unknown = || Problem::not_found("There is no award of this id.");
    let id = AwardId(id.parse().map_err(|_| unknown())?);
    let actor = caller.actor();
    let retried = state.write("retry_award", move |tx| {
        let Some(retried) = awards::retry_by(tx, id, &actor)? else {
            return Ok(None);
        };
        let filter = AwardFilter {
            id: Some(id),
            ..AwardFilter::default()
        };
        let listed = api_reads::awards(tx, &filter, Window { start: 0, length: 1 })?;
        Ok(listed.into_iter().next().map(|listed| (retried.award.state, listed)))
    });
    match retried.await?.ok_or_else(unknown)? {
        (AwardState::Cancelled, _) => Err(Problem::new(
            StatusCode::CONFLICT,
            "This award was cancelled, by hand, or because its learner retired or no longer qualifies: it is not tried \
             again.",
        )),
        (_, award) => Ok(Json(item(award))),
    }
}

pub(super) fn item(award: ListedAward) -> AwardItem {
    let key = award.badge_class.key;
    AwardItem {
        id: award.id,
        state: award.state,
        reason: award.state_reason,
        rule: award.rule,
        user: UserItem {
            id: award.learner.0,
            username: award.username,
        },
        badge_class: BadgeClassItem {
            id: award.badge_class.id.0,
            slug: key.slug,
            issuing_component: key.issuing_component,
            course_id: Some(key.course_id).filter(|course| !course.is_empty()),
            display_name: award.badge_class.display_name,
        },
        attempts: award.attempts,
        last_error: award.last_error,
        next_attempt_at: award.next_attempt_at.to_rfc3339_opts(SecondsFormat::AutoSi, true),
        created: award.created.to_rfc3339_opts(SecondsFormat::AutoSi, true),
    }
}

#[cfg(test)]
mod tests;
