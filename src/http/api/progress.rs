//! How far a learner is from each badge.

use axum::{
    Json,
    extract::{Path, State as Shared},
    http::Uri,
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    assertions::image_url_of,
    page::{Page, Paging, Query},
};
use crate::{
    domain::{award::AwardState, evaluate::Condition, limits::check_name},
    http::{State, auth::Caller, problem::Problem},
    store::{
        api_reads,
        progress::{self, RuleProgress},
    },
    wire::schemas,
};

/// How far it is to one badge.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Progress)]
pub(super) struct ProgressItem {
    badge_class: BadgeClassItem,
    #[schema(value_type = schemas::ConditionKind)]
    kind: &'static str,
    /// How many courses count so far.
    #[schema(minimum = 0, example = 2)]
    count: i32,
    /// How many are needed.
    #[schema(minimum = 1, example = 3)]
    threshold: i32,
    /// How many are still to come.
    #[schema(minimum = 0, example = 1)]
    remaining: i32,
    /// The courses of a group that are still to be passed.
    #[schema(value_type = Vec<schemas::CourseKey>, example = json!([]))]
    missing_courses: Vec<String>,
    /// Whether the badge was awarded, or is on its way; it stays so when the count falls.
    #[schema(example = false)]
    earned: bool,
    /// Where the award stands, if there is one.
    #[schema(value_type = Option<AwardState>, required = true)]
    award_state: Option<String>,
}

/// The badge class that it is the way to.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ProgressBadgeClass)]
struct BadgeClassItem {
    #[schema(value_type = schemas::Slug)]
    slug: String,
    #[schema(value_type = schemas::IssuingComponent)]
    issuing_component: String,
    #[schema(value_type = schemas::DisplayName)]
    display_name: String,
    #[schema(value_type = schemas::Text)]
    description: String,
    #[schema(value_type = schemas::Criteria)]
    criteria: String,
    #[schema(value_type = schemas::ImageUrl)]
    image_url: String,
}

/// Says how far a learner is from each badge.
///
/// The badges of the active configuration, in its order. A learner sees the own progress, an administrator everybody's.
#[utoipa::path(
    get, path = "/api/badges/v1/progress/user/{username}/",
    operation_id = "listProgressOfUser", tag = "Progress",
    params(("username" = schemas::GivenUsername, Path, description = "The learner's user name."), Paging),
    responses(
        (status = 200, description = "A page of badges, and how far it is to each.", body = Page<ProgressItem>),
        (status = 404, description = "There is no learner of this username; or no such page."),
    ),
)]
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
