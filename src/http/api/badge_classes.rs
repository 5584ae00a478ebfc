//! Badge classes: listed, read, created, changed; for administrators.

pub(super) mod multipart;

use axum::{
    Json,
    extract::{FromRequest, Path, Request, State as Shared},
    http::{StatusCode, Uri},
    response::{IntoResponse as _, Response},
};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use super::{
    assertions::{course_key, image_url_of},
    body::{Object, media_type},
    page::{Page, Paging, Query},
};
use crate::{
    domain::{
        badge_class::{BadgeClass, BadgeClassId, NewBadgeClass},
        limits::{check_name, check_text},
    },
    http::{State, auth::Administrator, problem::Problem},
    store::{
        audit::{self, Action},
        badge_classes::{self, BadgeClassFilter, Change},
    },
    wire::{badge_class, fields::Fields, schemas},
};

const IMAGE: &str = "expected a data URI, data:image/png;base64,…, or multipart/form-data with the file";

/// A badge class: what can be awarded.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BadgeClass)]
pub(super) struct BadgeClassItem {
    /// Its id.
    #[schema(example = 7)]
    id: i32,
    #[schema(value_type = schemas::Slug)]
    slug: String,
    #[schema(value_type = schemas::IssuingComponent)]
    issuing_component: String,
    #[schema(value_type = Option<schemas::CourseKey>, required = true)]
    course_id: Option<String>,
    #[schema(value_type = schemas::Mode)]
    mode: String,
    #[schema(value_type = schemas::DisplayName)]
    display_name: String,
    #[schema(value_type = schemas::Text)]
    description: String,
    #[schema(value_type = schemas::Criteria)]
    criteria: String,
    #[schema(value_type = schemas::ImageUrl)]
    image_url: String,
    /// The badge backend that has it; it is made there before the first award.
    #[schema(required = true, example = json!(null))]
    backend: Option<String>,
    /// Its id at that backend.
    #[schema(required = true, example = json!(null))]
    backend_id: Option<String>,
}

/// A badge class that was changed, and what the change does not reach.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ChangedBadgeClass)]
pub(super) struct ChangedItem {
    #[serde(flatten)]
    badge_class: BadgeClassItem,
    /// What the change does not reach.
    #[schema(required = true, example = json!(null))]
    note: Option<&'static str>,
}

/// The body that [`badge_class::read`] reads.
#[derive(ToSchema)]
#[schema(as = NewBadgeClass)]
#[expect(dead_code, reason = "it is described only")]
struct NewBody {
    slug: schemas::SlugOfAnyCase,
    issuing_component: Option<schemas::IssuingComponentOfAnyCase>,
    course_id: Option<schemas::CourseKeyOrNone>,
    mode: Option<schemas::Mode>,
    display_name: schemas::GivenDisplayName,
    description: schemas::GivenText,
    criteria: schemas::GivenCriteria,
    image: schemas::PngDataUri,
}

/// The same as a form.
#[derive(ToSchema)]
#[schema(as = NewBadgeClassForm)]
#[expect(dead_code, reason = "it is described only")]
struct NewForm {
    slug: schemas::SlugOfAnyCase,
    #[schema(nullable = false)]
    issuing_component: Option<schemas::IssuingComponentOfAnyCase>,
    #[schema(nullable = false)]
    course_id: Option<schemas::CourseKeyOrNone>,
    #[schema(nullable = false)]
    mode: Option<schemas::Mode>,
    display_name: schemas::GivenDisplayName,
    description: schemas::GivenText,
    criteria: schemas::GivenCriteria,
    image: schemas::PngFile,
}

/// The body that [`change_of`] reads; what is not there stays.
#[derive(ToSchema)]
#[schema(as = BadgeClassChange)]
#[expect(dead_code, reason = "it is described only")]
struct ChangeBody {
    display_name: Option<schemas::GivenDisplayName>,
    description: Option<schemas::GivenText>,
    criteria: Option<schemas::GivenCriteria>,
    mode: Option<schemas::Mode>,
    image: Option<schemas::PngDataUri>,
}

/// Lists badge classes, by issuing component, slug and course.
#[utoipa::path(
    get, path = "/api/badges/v1/badge-classes/",
    operation_id = "listBadgeClasses", tag = "Badge classes",
    params(
        ("slug" = Option<schemas::Wanted>, Query, description = "With this slug."),
        ("issuing_component" = Option<schemas::Wanted>, Query, description = "With this issuing component."),
        ("course_id" = Option<schemas::CourseKeyOrAny>, Query, description = "Of this course; `*` is any course."),
        Paging,
    ),
    responses(
        (status = 200, description = "A page of badge classes.", body = Page<BadgeClassItem>),
        (status = 404, description = "There is no such page."),
    ),
)]
pub(super) async fn list(
    Shared(state): Shared<State>,
    _: Administrator,
    uri: Uri,
) -> Result<Json<Page<BadgeClassItem>>, Problem> {
    let query = Query::of(&uri);
    let filter = BadgeClassFilter {
        slug: query.get("slug").map(str::to_owned),
        issuing_component: query.get("issuing_component").map(str::to_owned),
        course_id: match query.get("course_id") {
            None | Some("*") => None,
            Some("") => Some(String::new()),
            Some(text) => Some(course_key("course_id", text)?.to_string()),
        },
    };
    for (name, text) in [("slug", &filter.slug), ("issuing_component", &filter.issuing_component)] {
        let text = text.as_deref().unwrap_or_default();
        check_name(text).map_err(|problem| Problem::field(name, problem))?;
    }
    let page = query.page()?;
    let read = state.read("list_badge_classes", move |tx| {
        let place = match page.within(badge_classes::count(tx, &filter)?) {
            Ok(place) => place,
            Err(beyond) => return Ok(Err(beyond)),
        };
        Ok(Ok((place, badge_classes::page(tx, &filter, place.window())?)))
    });
    let (place, classes) = read.await??;
    let items = classes.into_iter().map(|class| item(&state, class)).collect();
    Ok(Json(place.page(&state, &query, items)))
}

/// Reads a badge class.
#[utoipa::path(
    get, path = "/api/badges/v1/badge-classes/{id}/",
    operation_id = "readBadgeClass", tag = "Badge classes",
    params(("id" = inline(schemas::RowId), Path, description = "Its id.")),
    responses(
        (status = 200, description = "The badge class.", body = BadgeClassItem),
        (status = 404, description = "There is no badge class of this id."),
    ),
)]
pub(super) async fn read(
    Shared(state): Shared<State>,
    _: Administrator,
    Path(id): Path<String>,
) -> Result<Json<BadgeClassItem>, Problem> {
    let id = id_of(&id)?;
    let found = state
        .read("read_badge_class", move |tx| badge_classes::get(tx, id))
        .await?;
    Ok(Json(item(&state, found.ok_or_else(unknown)?)))
}

/// Gets a badge class, or creates it.
///
/// It is known by slug, issuing component and course. One that is there already stays as it is.
#[utoipa::path(
    post, path = "/api/badges/v1/badge-classes/",
    operation_id = "createBadgeClass", tag = "Badge classes",
    request_body(content((NewBody = "application/json"), (NewForm = "multipart/form-data"))),
    responses(
        (status = 200, description = "It was there already, and is unchanged.", body = BadgeClassItem),
        (status = 201, description = "It was created.", body = BadgeClassItem),
    ),
)]
pub(super) async fn create(
    Shared(state): Shared<State>,
    caller: Administrator,
    request: Request,
) -> Result<Response, Problem> {
    let new = new_badge_class(request, &state).await?;
    let actor = caller.actor();
    let made = state.write("create_badge_class", move |tx| {
        badge_classes::get_or_create_by(tx, &new, &actor)
    });
    let (class, created) = made.await?;
    let status = if created { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(item(&state, class))).into_response())
}

/// Changes a badge class.
///
/// What it is known by stays: slug, issuing component and course. What is not in the body stays too.
#[utoipa::path(
    patch, path = "/api/badges/v1/badge-classes/{id}/",
    operation_id = "changeBadgeClass", tag = "Badge classes",
    params(("id" = inline(schemas::RowId), Path, description = "Its id.")),
    request_body = ChangeBody,
    responses(
        (status = 200, description = "The badge class as it is now, and what the change does not reach.", body = ChangedItem),
        (status = 404, description = "There is no badge class of this id."),
    ),
)]
pub(super) async fn change(
    Shared(state): Shared<State>,
    caller: Administrator,
    Path(id): Path<String>,
    body: Object,
) -> Result<Json<ChangedItem>, Problem> {
    let id = id_of(&id)?;
    let change = body.read_aside(change_of).await?;
    let actor = caller.actor();
    let changed = state.write("change_badge_class", move |tx| {
        let Some(class) = badge_classes::change(tx, id, &change)? else {
            return Ok(None);
        };
        let details = json!({"fields": change.fields()});
        audit::record(tx, &actor, Action::ChangeBadgeClass, &id.0.to_string(), &details)?;
        Ok(Some(class))
    });
    let class = changed.await?.ok_or_else(unknown)?;
    let note = class.backend_id.is_some().then_some(
        "The badge backend keeps the badge class as it was when it was made there; assertions show it like that. This \
         service's own pages, lists and events show the change.",
    );
    Ok(Json(ChangedItem {
        badge_class: item(&state, class),
        note,
    }))
}

fn change_of(fields: &mut Fields<'_>) -> Change {
    for name in ["slug", "issuing_component", "course_id"] {
        if fields.has(name) {
            fields.problem(
                name,
                "cannot be changed: it is what the badge class is known by; create another one",
            );
        }
    }
    let mut needed = |name: &str| {
        let text = fields.text(name, check_text)?;
        if text.is_empty() {
            fields.problem(name, "must not be empty");
        }
        Some(text)
    };
    let (display_name, description, criteria) = (needed("display_name"), needed("description"), needed("criteria"));
    let mode = fields.text("mode", check_text);
    let image = match fields.value("image") {
        Some(_) => badge_class::required_image(fields, "image", |_| Err(IMAGE.to_owned())),
        None => None,
    };
    Change {
        display_name,
        description,
        criteria,
        mode,
        image,
    }
}

async fn new_badge_class(request: Request, state: &State) -> Result<NewBadgeClass, Problem> {
    match media_type(request.headers()).as_deref() {
        Some("multipart/form-data") => multipart::badge_class(request, state).await,
        Some("application/json") => {
            let body = Object::from_request(request, state).await?;
            body.read_aside(|fields| badge_class::read(fields, |_| Err(IMAGE.to_owned())))
                .await
        }
        _ => Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "Send application/json with the image as a data URI, or multipart/form-data with the image as a file.",
        )),
    }
}

pub(super) fn id_of(text: &str) -> Result<BadgeClassId, Problem> {
    text.parse().map(BadgeClassId).map_err(|_| unknown())
}

pub(super) fn unknown() -> Problem {
    Problem::not_found("There is no badge class of this id.")
}

pub(super) fn item(state: &State, class: BadgeClass) -> BadgeClassItem {
    BadgeClassItem {
        id: class.id.0,
        image_url: image_url_of(state, &class),
        slug: class.key.slug,
        issuing_component: class.key.issuing_component,
        course_id: Some(class.key.course_id).filter(|course| !course.is_empty()),
        mode: class.mode,
        display_name: class.display_name,
        description: class.description,
        criteria: class.criteria,
        backend: class.backend,
        backend_id: class.backend_id,
    }
}

#[cfg(test)]
mod tests;
