//! Awards and why they wait: for administrators.

use axum::{Json, extract::State as Shared, http::Uri};
use chrono::SecondsFormat;
use serde::Serialize;

use super::page::{Page, Query};
use crate::{
    domain::award::AwardState,
    http::{State, auth::Caller, problem::Problem},
    store::api_reads::{self, ListedAward},
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

/// `GET /api/badges/v1/awards/?state=…`, newest first.
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
    let page = query.page()?;
    let read = state.read("list_awards", move |tx| {
        let place = match page.within(api_reads::count_awards(tx, wanted)?) {
            Ok(place) => place,
            Err(beyond) => return Ok(Err(beyond)),
        };
        Ok(Ok((place, api_reads::awards(tx, wanted, place.window())?)))
    });
    let (place, awards) = read.await??;
    Ok(Json(place.page(&state, &query, awards.into_iter().map(item).collect())))
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
