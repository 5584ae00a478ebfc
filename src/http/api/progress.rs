//! How far a learner is from each badge.

use axum::{
    Json,
    extract::{Path, State as Shared},
    http::Uri,
};
use serde::Serialize;

use super::{
    assertions::image_url_of,
    page::{Page, Query},
};
use crate::{
    domain::{evaluate::Condition, limits::check_name},
    http::{State, auth::Caller, problem::Problem},
    store::{
        api_reads,
        progress::{self, RuleProgress},
    },
};

/// How far it is to one badge.
#[derive(Debug, Serialize)]
pub(super) struct ProgressItem {
    badge_class: BadgeClassItem,
    kind: &'static str,
    count: i32,
    threshold: i32,
    remaining: i32,
    missing_courses: Vec<String>,
    earned: bool,
    award_state: Option<String>,
}

#[derive(Debug, Serialize)]
struct BadgeClassItem {
    slug: String,
    issuing_component: String,
    display_name: String,
    description: String,
    criteria: String,
    image_url: String,
}

/// `GET /api/badges/v1/progress/user/{username}/`: the badges of the active configuration, in its order.
///
/// `earned` says that the badge was awarded, or is on its way; it stays so when the count falls.
pub(super) async fn of_user(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(username): Path<String>,
    uri: Uri,
) -> Result<Json<Page<ProgressItem>>, Problem> {
    caller.require_self_or_administrator(&username)?;
    check_name(&username).map_err(|problem| Problem::field("username", problem))?;
    let query = Query::of(&uri);
    let page = query.page()?;
    let read = state.read("progress_of_user", move |tx| {
        let Some(learner) = api_reads::learner_by_username(tx, &username)? else {
            return Ok(Err(Problem::not_found("There is no learner of this username.")));
        };
        Ok(Ok(progress::of_learner(tx, learner)?))
    });
    let all = read.await??;
    let place = page.within(i64::try_from(all.len()).unwrap_or(i64::MAX))?;
    let items: Vec<ProgressItem> = place.part_of(all).map(|progress| item(&state, progress)).collect();
    Ok(Json(place.page(&state, &query, items)))
}

fn item(state: &State, progress: RuleProgress) -> ProgressItem {
    let class = progress.badge_class;
    ProgressItem {
        kind: match progress.condition {
            Condition::Enrolled(_) => "courses_enrolled",
            Condition::Completed(_) => "courses_completed",
            Condition::Group(_) => "course_group",
        },
        count: progress.count,
        threshold: progress.needed,
        remaining: (progress.needed - progress.count).max(0),
        missing_courses: progress.missing.iter().map(ToString::to_string).collect(),
        earned: progress
            .award_state
            .as_deref()
            .is_some_and(|state| state != "cancelled"),
        award_state: progress.award_state,
        badge_class: BadgeClassItem {
            image_url: image_url_of(state, &class),
            slug: class.key.slug,
            issuing_component: class.key.issuing_component,
            display_name: class.display_name,
            description: class.description,
            criteria: class.criteria,
        },
    }
}

#[cfg(test)]
mod tests;
