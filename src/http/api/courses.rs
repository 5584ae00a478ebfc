//! Courses: their switch for completion badges, their names and days; for administrators.

use axum::{
    Json,
    extract::{Path, State as Shared},
};
use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::body::Object;
use crate::{
    domain::{CourseKey, limits::check_text},
    http::{State, auth::Administrator, problem::Problem},
    store::courses::{self, Change, Course},
    wire::{fields::Fields, schemas},
};

const NOTE: &str = "Certificates that arrive from now on bring their completion badges; those from before do not by \
                    themselves. Award these learners the course's badge class where they are to have it.";

/// A course.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Course)]
pub(super) struct Item {
    #[schema(value_type = schemas::CourseKey)]
    course_id: CourseKey,
    #[schema(value_type = schemas::CourseName)]
    display_name: String,
    /// The first day.
    #[schema(value_type = Option<schemas::Time>, required = true)]
    start: Option<String>,
    /// The last day.
    #[schema(value_type = Option<schemas::Time>, required = true)]
    end: Option<String>,
    /// Whether certificates of this course bring course completion badges.
    issue_badges: bool,
}

/// A course that was changed, and what the change does not reach.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ChangedCourse)]
pub(super) struct ChangedItem {
    #[serde(flatten)]
    course: Item,
    /// What the change does not reach.
    #[schema(required = true, example = json!(NOTE))]
    note: Option<&'static str>,
}

/// The body that [`change_of`] reads; what is not there stays.
#[derive(ToSchema)]
#[schema(as = CourseChange)]
#[expect(dead_code, reason = "it is described only")]
struct ChangeBody {
    /// Whether certificates of this course bring course completion badges.
    #[schema(nullable = false)]
    issue_badges: Option<bool>,
    /// Its name; null takes it away.
    display_name: Option<schemas::CourseName>,
    /// The first day; null takes it away.
    start: Option<schemas::GivenTime>,
    /// The last day; null takes it away.
    end: Option<schemas::GivenEnd>,
}

/// Reads a course.
#[utoipa::path(
    get, path = "/api/badges/v1/courses/{course_id}/",
    operation_id = "readCourse", tag = "Courses",
    params(("course_id" = schemas::GivenCourseKey, Path, description = "The course key; the slashes of an old one as `%2F`.")),
    responses(
        (status = 200, description = "The course.", body = Item),
        (status = 404, description = "There is no course of this key: no event named it and nobody set it."),
    ),
)]
pub(super) async fn read(
    Shared(state): Shared<State>,
    _: Administrator,
    Path(course): Path<String>,
) -> Result<Json<Item>, Problem> {
    let key = key_of(&course)?;
    let found = state.read("read_course", move |tx| courses::get(tx, &[&key])).await?;
    let course = found.into_iter().next();
    let unknown = || Problem::not_found("There is no course of this key: no event named it and nobody set it.");
    Ok(Json(item(course.ok_or_else(unknown)?)))
}

/// Changes a course; one that nobody named before is there from now on.
///
/// What is not in the body stays. What is set stands against older events; a newer event that says otherwise replaces it.
/// Badge classes that the course has already keep their texts. Switching `issue_badges` off takes no badge away.
/// Switching it on reaches the certificates that arrive from then on: those from before bring no badge by themselves.
#[utoipa::path(
    put, path = "/api/badges/v1/courses/{course_id}/",
    operation_id = "changeCourse", tag = "Courses",
    params(("course_id" = schemas::GivenCourseKey, Path, description = "The course key; the slashes of an old one as `%2F`.")),
    request_body = ChangeBody,
    responses((status = 200, description = "The course as it is now, and what the change does not reach.", body = ChangedItem)),
)]
pub(super) async fn change(
    Shared(state): Shared<State>,
    caller: Administrator,
    Path(course): Path<String>,
    body: Object,
) -> Result<Json<ChangedItem>, Problem> {
    let key = key_of(&course)?;
    let change = body.read(|fields| change_of(fields, &key))?;
    let turns_on = change.issue_badges == Some(true);
    let (actor, event_id) = (caller.actor(), Uuid::new_v4().to_string());
    let changed = state.write("change_course", move |tx| {
        courses::change(tx, &key, &change, &event_id, &actor)
    });
    Ok(Json(ChangedItem {
        course: item(changed.await?),
        note: turns_on.then_some(NOTE),
    }))
}

fn change_of(fields: &mut Fields<'_>, key: &CourseKey) -> Change {
    let said = fields.text("course_id", |_| Ok(()));
    if said.is_some_and(|said| said != key.as_str()) {
        fields.problem("course_id", "cannot be changed: it is what the course is known by");
    }
    let issue_badges = fields.switch("issue_badges");
    if fields.has("issue_badges") && fields.value("issue_badges").is_none() {
        fields.problem("issue_badges", "expected true or false");
    }
    let is_taken_away = |fields: &Fields<'_>, name| fields.has(name) && fields.value(name).is_none();
    let display_name = match is_taken_away(fields, "display_name") {
        true => Some(String::new()),
        false => fields.text("display_name", check_text),
    };
    let mut day = |name| match is_taken_away(fields, name) {
        true => Some(None),
        false => fields.time(name).map(Some),
    };
    let (start, end) = (day("start"), day("end"));
    Change {
        issue_badges,
        display_name,
        start,
        end,
    }
}

fn key_of(text: &str) -> Result<CourseKey, Problem> {
    text.parse().map_err(|error| Problem::field("course_id", error))
}

fn item(course: Course) -> Item {
    let text = |time: DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::AutoSi, true);
    Item {
        course_id: course.key,
        display_name: course.display_name,
        start: course.start.map(text),
        end: course.end.map(text),
        issue_badges: course.issue_badges,
    }
}

#[cfg(test)]
mod tests;
