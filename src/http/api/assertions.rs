//! The badges of a learner, as Open edX's `lms.djangoapps.badges` had them.

use axum::{
    Json,
    extract::{Path, State as Shared},
    http::Uri,
};
use chrono::SecondsFormat;
use serde::Serialize;
use utoipa::ToSchema;

use super::page::{Page, Paging, Query};
use crate::{
    domain::{CourseKey, badge_class::BadgeClass},
    http::{State, auth::Caller, problem::Problem},
    store::{
        StoreError, Tx,
        api_reads::{self, AssertionFilter, ListedAssertion},
    },
    wire::schemas,
};

/// Slugs, issuing components and usernames are at most this long.
const LONGEST_NAME: usize = 255;

/// An assertion: a badge that a learner holds.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Assertion)]
pub(super) struct AssertionItem {
    badge_class: BadgeClassItem,
    /// Its image.
    #[schema(value_type = schemas::ImageUrl)]
    image_url: String,
    /// Its public address.
    #[schema(value_type = schemas::Url)]
    assertion_url: String,
    /// When it was issued.
    #[schema(value_type = schemas::Time)]
    created: String,
}

/// The badge class of an assertion.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AssertionBadgeClass)]
struct BadgeClassItem {
    #[schema(value_type = schemas::Slug)]
    slug: String,
    #[schema(value_type = schemas::IssuingComponent)]
    issuing_component: String,
    #[schema(value_type = schemas::DisplayName)]
    display_name: String,
    #[schema(value_type = Option<schemas::CourseKey>, required = true)]
    course_id: Option<String>,
    #[schema(value_type = schemas::Text)]
    description: String,
    #[schema(value_type = schemas::Criteria)]
    criteria: String,
    #[schema(value_type = schemas::ImageUrl)]
    image_url: String,
}

/// Lists a learner's assertions that hold, newest first.
///
/// As Open edX had it. With `slug` alone, the issuing component and the course are empty; `issuing_component` without
/// `slug` is ignored. A learner sees the own assertions, an administrator everybody's.
#[utoipa::path(
    get, path = "/api/badges/v1/assertions/user/{username}/",
    operation_id = "listAssertionsOfUser", tag = "Assertions",
    params(
        ("username" = schemas::GivenUsername, Path, description = "The learner's user name."),
        ("slug" = Option<schemas::Wanted>, Query, description = "Of badge classes with this slug."),
        ("issuing_component" = Option<schemas::Wanted>, Query, description = "With `slug`: and this issuing component; empty without it."),
        ("course_id" = Option<schemas::CourseKeyOrAny>, Query, description = "Of this course; `*` is any course."),
        ("courseid" = Option<schemas::CourseKeyOrAny>, Query, description = "The same under its old name; `course_id` wins."),
        Paging,
    ),
    responses(
        (status = 200, description = "A page of the learner's assertions.", body = Page<AssertionItem>),
        (status = 404, description = "There is no learner of this username; or the filter names a badge class or a course that is not there; or there is no such page."),
    ),
)]
pub(super) async fn of_user(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(username): Path<String>,
    uri: Uri,
) -> Result<Json<Page<AssertionItem>>, Problem> {
    caller.require_self_or_administrator(&username)?;
    let query = Query::of(&uri);
    name("username", &username)?;
    let filter = filter(&query)?;
    let page = query.page()?;
    let read = state.look_up("assertions_of_user", move |tx| {
        let Some(learner) = api_reads::learner_by_username(tx, &username)? else {
            return Ok(Err(Problem::not_found("There is no learner of this username.")));
        };
        if let Some(missing) = missing(tx, &filter)? {
            return Ok(Err(Problem::not_found(missing)));
        }
        page.read(|window| api_reads::assertions_of(tx, learner, &filter, window))
    });
    let (place, assertions) = read.await??;
    let items = assertions
        .into_iter()
        .map(|assertion| item(&state, assertion))
        .collect();
    Ok(Json(place.page(&state, &query, items)))
}

/// With `slug` alone, issuing component and course are empty; `course_id=*` is any course; `issuing_component` without
/// `slug` is ignored.
fn filter(query: &Query) -> Result<AssertionFilter, Problem> {
    let field = if query.get("course_id").is_some() {
        "course_id"
    } else {
        "courseid"
    };
    let course_id = match query.get(field) {
        Some("*") => None,
        Some(text) => Some(course_key(field, text)?.to_string()),
        None => query.get("slug").map(|_| String::new()),
    };
    let badge_class = match query.get("slug") {
        Some(slug) => {
            name("slug", slug)?;
            let component = query.get("issuing_component").unwrap_or_default();
            name("issuing_component", component)?;
            Some((slug.to_owned(), component.to_owned()))
        }
        None => None,
    };
    Ok(AssertionFilter { badge_class, course_id })
}

/// A plus that was not encoded arrives as a blank, which no course key has.
pub(super) fn course_key(field: &'static str, text: &str) -> Result<CourseKey, Problem> {
    text.replace(' ', "+")
        .parse()
        .map_err(|_| Problem::field(field, "expected a course key such as course-v1:ORG+COURSE+RUN, or *."))
}

fn name(field: &'static str, text: &str) -> Result<(), Problem> {
    // PostgreSQL takes no NUL in a text.
    if text.chars().count() > LONGEST_NAME || text.contains('\0') {
        return Err(Problem::field(
            field,
            "expected at most 255 characters, and no NUL among them.",
        ));
    }
    Ok(())
}

/// What the filter names that there is not.
fn missing(tx: &mut Tx<'_>, filter: &AssertionFilter) -> Result<Option<&'static str>, StoreError> {
    let course = filter.course_id.as_deref();
    if let Some(key) = course.and_then(|course| course.parse().ok())
        && !api_reads::course_exists(tx, &key)?
    {
        return Ok(Some("No course of this key is known here."));
    }
    match &filter.badge_class {
        Some((slug, component)) if !api_reads::badge_class_exists(tx, slug, component, course)? => Ok(Some(
            "There is no badge class of this slug, issuing component and course.",
        )),
        _ => Ok(None),
    }
}

pub(super) fn item(state: &State, assertion: ListedAssertion) -> AssertionItem {
    let ListedAssertion {
        badge_class,
        image_url,
        assertion_url,
        created,
    } = assertion;
    AssertionItem {
        badge_class: BadgeClassItem {
            image_url: image_url_of(state, &badge_class),
            slug: badge_class.key.slug,
            issuing_component: badge_class.key.issuing_component,
            display_name: badge_class.display_name,
            course_id: Some(badge_class.key.course_id).filter(|course| !course.is_empty()),
            description: badge_class.description,
            criteria: badge_class.criteria,
        },
        image_url,
        assertion_url,
        created: created.to_rfc3339_opts(SecondsFormat::AutoSi, true),
    }
}

/// Where the backend shows the image of a badge class, or else where this service does.
pub(super) fn image_url_of(state: &State, badge_class: &BadgeClass) -> String {
    badge_class
        .backend_image_url
        .clone()
        .unwrap_or_else(|| state.url(&format!("/ob2/badges/{}/image.png", badge_class.public_id)))
}

#[cfg(test)]
mod tests;
