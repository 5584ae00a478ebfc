//! The configurations of the course event badges: listed, added, tried out; for administrators.

use axum::{
    Json,
    extract::State as Shared,
    http::{StatusCode, Uri},
};
use chrono::SecondsFormat;
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    body::Object,
    page::{Page, Paging, Query},
};
use crate::{
    domain::evaluate::Condition,
    http::{State, auth::Administrator, problem::Problem},
    store::{
        StoreError, Tx,
        event_badges::{self, Configuration},
        preview::Reach,
    },
    wire::{schemas, written_configuration::WrittenConfiguration},
};

/// A configuration of the course event badges.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = EventBadges)]
pub(super) struct ConfigurationItem {
    /// Its id.
    #[schema(example = 12)]
    id: i32,
    /// Whether it is the active one.
    enabled: bool,
    /// One badge a line: `COUNT,SLUG`, for so many enrolments in different courses.
    #[schema(example = "3,enrolled_three\n5,enrolled_five")]
    courses_enrolled: String,
    /// One badge a line: `COUNT,SLUG`, for so many courses passed.
    #[schema(example = "3,completed_three")]
    courses_completed: String,
    /// One badge a line: `SLUG,COURSE_KEY[,COURSE_KEY…]`, for having passed all of them.
    #[schema(example = "prereq_cs,course-v1:edX+CS101+2026,course-v1:edX+CS102+2026")]
    course_groups: String,
    /// When it was added.
    #[schema(value_type = schemas::Time)]
    created: String,
    /// Who added it.
    #[schema(example = "root")]
    changed_by: String,
    /// When it was activated.
    #[schema(value_type = Option<schemas::Time>, required = true)]
    activated_at: Option<String>,
    /// When all who qualified already had been reached.
    #[schema(value_type = Option<schemas::Time>, required = true)]
    backfill_done_at: Option<String>,
}

/// What a configuration would do.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = EventBadgesPreview)]
pub(super) struct Preview {
    /// For each badge, in the order of the lines.
    badges: Vec<ReachItem>,
}

/// What one of its lines would do.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Reach)]
struct ReachItem {
    #[schema(value_type = schemas::Slug)]
    slug: String,
    #[schema(value_type = schemas::ConditionKind)]
    kind: &'static str,
    /// So many courses; not for a group.
    #[schema(required = true, example = 3)]
    threshold: Option<i32>,
    /// The courses of a group.
    #[schema(value_type = Option<Vec<schemas::CourseKey>>, required = true, example = json!(null))]
    courses: Option<Vec<String>>,
    /// How many learners qualify now.
    #[schema(minimum = 0, example = 1204)]
    learners: i64,
    /// How many of them have it already.
    #[schema(minimum = 0, example = 1190)]
    awarded: i64,
}

/// The body that describes a configuration; each slug names a badge class of `openedx__course` without a course. Lines
/// end in `\n`, `\r` or `\r\n`; blanks around a part and empty lines are ignored.
#[derive(ToSchema)]
#[schema(as = NewEventBadges)]
#[expect(dead_code, reason = "it is described only")]
struct NewBody {
    /// Whether it is activated; a preview ignores it.
    enabled: Option<bool>,
    /// One badge a line: `COUNT,SLUG`, for so many enrolments in different courses.
    #[schema(value_type = Option<schemas::CountLines>)]
    courses_enrolled: Option<String>,
    /// One badge a line: `COUNT,SLUG`, for so many courses passed.
    #[schema(value_type = Option<schemas::CountLines>)]
    courses_completed: Option<String>,
    /// One badge a line: `SLUG,COURSE_KEY[,COURSE_KEY…]`, for having passed all of them.
    #[schema(value_type = Option<schemas::GroupLines>)]
    course_groups: Option<String>,
}

/// Lists the configurations of the course event badges, newest first.
#[utoipa::path(
    get, path = "/api/badges/v1/event-badges/",
    operation_id = "listEventBadges", tag = "Event badges",
    params(Paging),
    responses(
        (status = 200, description = "A page of configurations.", body = Page<ConfigurationItem>),
        (status = 404, description = "There is no such page."),
    ),
)]
pub(super) async fn list(
    Shared(state): Shared<State>,
    _: Administrator,
    uri: Uri,
) -> Result<Json<Page<ConfigurationItem>>, Problem> {
    let query = Query::of(&uri);
    let page = query.page()?;
    let read = state.read("list_event_badges", move |tx| {
        let place = match page.within(event_badges::count(tx)?) {
            Ok(place) => place,
            Err(beyond) => return Ok(Err(beyond)),
        };
        Ok(Ok((place, event_badges::page(tx, place.window())?)))
    });
    let (place, configurations) = read.await??;
    let items = configurations.into_iter().map(item).collect();
    Ok(Json(place.page(&state, &query, items)))
}

/// Adds a configuration of the course event badges.
///
/// Where it is `enabled` it is activated, which deactivates the others and reaches those who already qualify. 400 tells all
/// that is wrong with its lines; nothing is saved then.
#[utoipa::path(
    post, path = "/api/badges/v1/event-badges/",
    operation_id = "addEventBadges", tag = "Event badges",
    request_body = NewBody,
    responses((status = 201, description = "The configuration, a new one each time.", body = ConfigurationItem)),
)]
pub(super) async fn create(
    Shared(state): Shared<State>,
    caller: Administrator,
    body: Object,
) -> Result<(StatusCode, Json<ConfigurationItem>), Problem> {
    let written = WrittenConfiguration::read(&body.0);
    let actor = caller.actor();
    let added = state.write("add_event_badges", move |tx| {
        match event_badges::set(tx, &written, &actor)? {
            Ok(rules) => Ok(Ok(
                event_badges::get(tx, rules.configuration_id)?.ok_or(StoreError::NotFound)?
            )),
            Err(refused) => Ok(Err(Problem::fields(refused.into_fields()))),
        }
    });
    Ok((StatusCode::CREATED, Json(item(added.await??))))
}

/// Says how many learners a configuration would reach now.
///
/// And how many of them have each badge already. Writes nothing.
#[utoipa::path(
    post, path = "/api/badges/v1/event-badges/preview/",
    operation_id = "previewEventBadges", tag = "Event badges",
    request_body = NewBody,
    responses((status = 200, description = "What each line would do.", body = Preview)),
)]
pub(super) async fn preview(
    Shared(state): Shared<State>,
    _: Administrator,
    body: Object,
) -> Result<Json<Preview>, Problem> {
    // A configuration that is tried out is the one that is sent: `enabled` may be there and says nothing.
    let written = WrittenConfiguration::read(&body.0);
    let reached = state.read("preview_event_badges", move |tx: &mut Tx<'_>| {
        let tried = event_badges::try_out(tx, &written)?;
        Ok(tried.map_err(|refused| Problem::fields(refused.into_fields())))
    });
    let badges = reached.await??.into_iter().map(reach_item).collect();
    Ok(Json(Preview { badges }))
}

fn item(configuration: Configuration) -> ConfigurationItem {
    let text = |time: chrono::DateTime<chrono::Utc>| time.to_rfc3339_opts(SecondsFormat::AutoSi, true);
    ConfigurationItem {
        id: configuration.id,
        enabled: configuration.enabled,
        courses_enrolled: configuration.texts.courses_enrolled,
        courses_completed: configuration.texts.courses_completed,
        course_groups: configuration.texts.course_groups,
        created: text(configuration.created_at),
        changed_by: configuration.changed_by,
        activated_at: configuration.activated_at.map(text),
        backfill_done_at: configuration.backfill_done_at.map(text),
    }
}

fn reach_item(reach: Reach) -> ReachItem {
    let (kind, threshold, courses) = match reach.condition {
        Condition::Enrolled(n) => ("courses_enrolled", Some(n), None),
        Condition::Completed(n) => ("courses_completed", Some(n), None),
        Condition::Group(courses) => {
            let keys = courses.iter().map(ToString::to_string).collect();
            ("course_group", None, Some(keys))
        }
    };
    ReachItem {
        slug: reach.badge_class.slug,
        kind,
        threshold,
        courses,
        learners: reach.learners,
        awarded: reach.awarded,
    }
}

#[cfg(test)]
mod tests;
