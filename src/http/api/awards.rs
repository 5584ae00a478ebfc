//! Awards and why they wait: for administrators.

use axum::{
    Json,
    extract::{Path, State as Shared},
    http::{StatusCode, Uri},
};
use chrono::SecondsFormat;
use serde::Serialize;
use utoipa::ToSchema;

use super::page::{Page, Paging, Query};
use crate::{
    domain::{
        award::{AwardId, AwardState, RuleKind},
        limits::check_name,
    },
    http::{State, auth::Administrator, problem::Problem},
    store::{
        api_reads::{self, AwardFilter, ListedAward, Window},
        awards,
    },
    wire::schemas,
};

const STATES: &str =
    "expected pending, issuing, uncertain, issued, published, blocked, failed, dead or cancelled, or none for all.";

/// An award: a badge on its way to a learner.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Award)]
pub(super) struct AwardItem {
    /// Its id.
    #[schema(format = "uuid", example = "1c2f0a7e-53cb-5d2e-8f39-6a8d0e2b7a44")]
    id: String,
    #[schema(value_type = AwardState)]
    state: String,
    /// Why it stands there, as a short stable code: `no_email`.
    #[schema(required = true, example = json!(null))]
    reason: Option<String>,
    #[schema(value_type = RuleKind)]
    rule: String,
    user: UserItem,
    badge_class: BadgeClassItem,
    /// How often it was tried to issue it.
    #[schema(minimum = 0, example = 0)]
    attempts: i32,
    /// What went wrong at the last attempt.
    #[schema(required = true, example = json!(null))]
    last_error: Option<String>,
    /// When it is tried next, if it waits.
    #[schema(value_type = schemas::Time)]
    next_attempt_at: String,
    /// When it was decided.
    #[schema(value_type = schemas::Time)]
    created: String,
}

/// The learner of an award.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AwardUser)]
struct UserItem {
    #[schema(value_type = schemas::UserId)]
    id: i64,
    #[schema(value_type = schemas::Username)]
    username: String,
}

/// The badge class of an award.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AwardBadgeClass)]
struct BadgeClassItem {
    /// Its id.
    #[schema(example = 7)]
    id: i32,
    #[schema(value_type = schemas::Slug)]
    slug: String,
    #[schema(value_type = schemas::IssuingComponent)]
    issuing_component: String,
    #[schema(value_type = Option<schemas::CourseKey>, required = true)]
    course_id: Option<String>,
    #[schema(value_type = schemas::DisplayName)]
    display_name: String,
}

/// Lists awards, newest first.
///
/// Also those that wait or failed, and why.
#[utoipa::path(
    get, path = "/api/badges/v1/awards/",
    operation_id = "listAwards", tag = "Awards",
    params(
        ("state" = Option<AwardState>, Query, description = "In this state; all without it."),
        ("username" = Option<schemas::Username>, Query, description = "Of this learner."),
        ("slug" = Option<schemas::Wanted>, Query, description = "Of badge classes with this slug."),
        Paging,
    ),
    responses(
        (status = 200, description = "A page of awards.", body = Page<AwardItem>),
        (status = 404, description = "There is no such page."),
    ),
)]
pub(super) async fn list(
    Shared(state): Shared<State>,
    _: Administrator,
    uri: Uri,
) -> Result<Json<Page<AwardItem>>, Problem> {
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

/// Tries an award again that waits or was given up.
///
/// Answers as it is then. An award that is done, or under way, stays as it is.
#[utoipa::path(
    post, path = "/api/badges/v1/awards/{id}/retry/",
    operation_id = "retryAward", tag = "Awards",
    params(("id" = schemas::AwardUuid, Path, description = "The award's id.")),
    responses(
        (status = 200, description = "The award.", body = AwardItem),
        (status = 404, description = "There is no award of this id."),
        (status = 409, description = "The award was cancelled: it is not tried again."),
    ),
)]
pub(super) async fn retry(
    Shared(state): Shared<State>,
    caller: Administrator,
    Path(id): Path<String>,
) -> Result<Json<AwardItem>, Problem> {
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
