//! Completion images: which picture the course completion badge of a course mode gets; for administrators.
//!
//! An image goes into the badge class when the badge class of a course and mode is made, with its first award. A change
//! here reaches only courses that have no badge class yet.

use axum::{
    Json,
    extract::{FromRequest, Path, Request, State as Shared},
    http::{StatusCode, Uri},
    response::{IntoResponse as _, Response},
};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::{
    badge_classes::multipart::{Form, form},
    body::{Object, media_type},
    page::{Page, Paging, Query},
};
use crate::{
    domain::limits::check_name,
    http::{State, auth::Administrator, problem::Problem},
    store::completion_images::{self, Change, CompletionImage},
    wire::{
        badge_class::{data_uri, required_image},
        fields::Fields,
        schemas,
    },
};

const ICON: &str = "expected a data URI, data:image/png;base64,…, or multipart/form-data with the file";
const NOTE: &str = "Reaches the courses that have no completion badge class of this mode yet; the others keep the image \
                    they have. PATCH /api/badges/v1/badge-classes/{id}/ changes one.";

/// The image of the course completion badge of a course mode.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CompletionImage)]
pub(super) struct Item {
    #[schema(value_type = schemas::Mode)]
    mode: String,
    #[schema(value_type = schemas::PngDataUri)]
    icon: String,
    /// Whether it is also the image of the modes that have none; at most one is.
    #[schema(example = false)]
    default: bool,
}

/// A completion image that was set, and what that does not reach.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SetCompletionImage)]
pub(super) struct SetItem {
    #[serde(flatten)]
    image: Item,
    /// What that does not reach.
    #[schema(value_type = String, example = json!(NOTE))]
    note: &'static str,
}

/// The body that sets the image of a mode.
#[derive(ToSchema)]
#[schema(as = NewCompletionImage)]
#[expect(dead_code, reason = "it is described only")]
struct NewBody {
    mode: schemas::GivenMode,
    icon: schemas::PngDataUri,
    /// Whether it is also the image of the modes that have none.
    #[schema(example = false)]
    default: Option<bool>,
}

/// The same as a form.
#[derive(ToSchema)]
#[schema(as = NewCompletionImageForm)]
#[expect(dead_code, reason = "it is described only")]
struct NewForm {
    mode: schemas::GivenMode,
    icon: schemas::PngFile,
    /// Whether it is also the image of the modes that have none: `true` or `on`, or `false`.
    #[schema(value_type = Option<schemas::FormSwitch>, nullable = false)]
    default: Option<bool>,
}

/// The body that changes the image of a mode; what is not there stays.
#[derive(ToSchema)]
#[schema(as = CompletionImageChange)]
#[expect(dead_code, reason = "it is described only")]
struct ChangeBody {
    icon: Option<schemas::PngDataUri>,
    /// Whether it is also the image of the modes that have none.
    default: Option<bool>,
}

/// The same as a form.
#[derive(ToSchema)]
#[schema(as = CompletionImageChangeForm)]
#[expect(dead_code, reason = "it is described only")]
struct ChangeForm {
    #[schema(nullable = false)]
    icon: Option<schemas::PngFile>,
    /// Whether it is also the image of the modes that have none: `true` or `on`, or `false`.
    #[schema(value_type = Option<schemas::FormSwitch>, nullable = false)]
    default: Option<bool>,
}

/// Lists the images of the course completion badges, by mode.
#[utoipa::path(
    get, path = "/api/badges/v1/completion-images/",
    operation_id = "listCompletionImages", tag = "Completion images",
    params(Paging),
    responses(
        (status = 200, description = "A page of images.", body = Page<Item>),
        (status = 404, description = "There is no such page."),
    ),
)]
pub(super) async fn list(
    Shared(state): Shared<State>,
    _: Administrator,
    uri: Uri,
) -> Result<Json<Page<Item>>, Problem> {
    let query = Query::of(&uri);
    let page = query.page()?;
    let read = state.read("list_completion_images", move |tx| {
        let place = match page.within(completion_images::count(tx)?) {
            Ok(place) => place,
            Err(beyond) => return Ok(Err(beyond)),
        };
        Ok(Ok((place, completion_images::page(tx, place.window())?)))
    });
    let (place, images) = read.await??;
    Ok(Json(place.page(&state, &query, images.into_iter().map(item).collect())))
}

/// Reads the image of a course mode.
#[utoipa::path(
    get, path = "/api/badges/v1/completion-images/{mode}/",
    operation_id = "readCompletionImage", tag = "Completion images",
    params(("mode" = schemas::ModeInPath, Path, description = "The course mode.")),
    responses(
        (status = 200, description = "The image.", body = Item),
        (status = 404, description = "There is no completion image of this mode."),
    ),
)]
pub(super) async fn read(
    Shared(state): Shared<State>,
    _: Administrator,
    Path(mode): Path<String>,
) -> Result<Json<Item>, Problem> {
    let mode = known_mode(mode)?;
    let found = state.read("read_completion_image", move |tx| completion_images::get(tx, &mode));
    Ok(Json(item(found.await?.ok_or_else(unknown)?)))
}

/// Sets the image of a course mode.
///
/// A new default takes that place from the one that had it; without `default` a mode that is the default stays it.
/// Reaches only courses that have no badge class of this mode yet.
#[utoipa::path(
    post, path = "/api/badges/v1/completion-images/",
    operation_id = "createCompletionImage", tag = "Completion images",
    request_body(content((NewBody = "application/json"), (NewForm = "multipart/form-data"))),
    responses(
        (status = 200, description = "The mode had an image, which was replaced.", body = SetItem),
        (status = 201, description = "The mode had no image.", body = SetItem),
    ),
)]
pub(super) async fn create(
    Shared(state): Shared<State>,
    caller: Administrator,
    request: Request,
) -> Result<Response, Problem> {
    let (mode, change) = read_body(request, &state, |fields, file| {
        let mode = fields.required("mode", check_name);
        let icon = required_image(fields, "icon", |_| file.ok_or_else(|| ICON.to_owned()));
        (mode, change_of(fields, icon))
    })
    .await?;
    let actor = caller.actor();
    let set = state.write("create_completion_image", move |tx| {
        completion_images::change(tx, &mode, &change, &actor)
    });
    let (image, is_new) = set.await?.ok_or_else(unknown)?;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(set_item(image))).into_response())
}

/// Changes the image of a course mode, or whether it is the default.
///
/// What is not in the body stays. Reaches only courses that have no badge class of this mode yet.
#[utoipa::path(
    put, path = "/api/badges/v1/completion-images/{mode}/",
    operation_id = "changeCompletionImage", tag = "Completion images",
    params(("mode" = schemas::ModeInPath, Path, description = "The course mode.")),
    request_body(content((ChangeBody = "application/json"), (ChangeForm = "multipart/form-data"))),
    responses(
        (status = 200, description = "The image as it is now, and what the change does not reach.", body = SetItem),
        (status = 404, description = "There is no completion image of this mode."),
    ),
)]
pub(super) async fn change(
    Shared(state): Shared<State>,
    caller: Administrator,
    Path(mode): Path<String>,
    request: Request,
) -> Result<Json<SetItem>, Problem> {
    let mode = known_mode(mode)?;
    let known = mode.clone();
    let change = read_body(request, &state, move |fields, file| {
        let said = fields.text("mode", check_name);
        if said.is_some_and(|said| said != known) {
            fields.problem("mode", "cannot be changed: delete this one and create another");
        }
        let icon = match fields.value("icon") {
            Some(_) => required_image(fields, "icon", |_| file.ok_or_else(|| ICON.to_owned())),
            None => None,
        };
        change_of(fields, icon)
    })
    .await?;
    let actor = caller.actor();
    let changed = state.write("change_completion_image", move |tx| {
        if completion_images::get(tx, &mode)?.is_none() {
            return Ok(None);
        }
        completion_images::change(tx, &mode, &change, &actor)
    });
    let (image, _) = changed.await?.ok_or_else(unknown)?;
    Ok(Json(set_item(image)))
}

/// Deletes the image of a course mode.
///
/// The mode gets the default image from now on, or no badge where there is no default.
#[utoipa::path(
    delete, path = "/api/badges/v1/completion-images/{mode}/",
    operation_id = "deleteCompletionImage", tag = "Completion images",
    params(("mode" = schemas::ModeInPath, Path, description = "The course mode.")),
    responses(
        (status = 204, description = "It is deleted."),
        (status = 404, description = "There is no completion image of this mode."),
    ),
)]
pub(super) async fn delete(
    Shared(state): Shared<State>,
    caller: Administrator,
    Path(mode): Path<String>,
) -> Result<StatusCode, Problem> {
    let mode = known_mode(mode)?;
    let actor = caller.actor();
    let deleted = state.write("delete_completion_image", move |tx| {
        completion_images::delete(tx, &mode, &actor)
    });
    if deleted.await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(unknown())
    }
}

/// Reads JSON or a form, with the content of its file; 400 with all that is wrong.
async fn read_body<T: Send + 'static>(
    request: Request,
    state: &State,
    read: impl FnOnce(&mut Fields<'_>, Option<Vec<u8>>) -> T + Send + 'static,
) -> Result<T, Problem> {
    match media_type(request.headers()).as_deref() {
        Some("multipart/form-data") => {
            let mut form = form(request, state, "icon").await?;
            if let Some(default) = form.texts.get_mut("default") {
                *default = switch(default);
            }
            let Form { texts, file } = form;
            Object(texts).read_aside(|fields| read(fields, file)).await
        }
        Some("application/json") => {
            let body = Object::from_request(request, state).await?;
            body.read_aside(|fields| read(fields, None)).await
        }
        _ => Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "Send application/json with the icon as a data URI, or multipart/form-data with the icon as a file.",
        )),
    }
}

/// A form has only texts; what is no switch stays as it is, to be refused.
fn switch(text: &Value) -> Value {
    match text.as_str() {
        Some("true" | "on") => Value::Bool(true),
        Some("false") => Value::Bool(false),
        Some("") => Value::Null,
        _ => text.clone(),
    }
}

fn change_of(fields: &mut Fields<'_>, icon: Option<Vec<u8>>) -> Change {
    Change {
        icon,
        is_default: fields.switch("default"),
    }
}

/// A mode that could be there: a database does not even look for another one.
fn known_mode(mode: String) -> Result<String, Problem> {
    match check_name(&mode) {
        Ok(()) => Ok(mode),
        Err(problem) => Err(Problem::field("mode", problem)),
    }
}

fn unknown() -> Problem {
    Problem::not_found("There is no completion image of this mode.")
}

fn item(image: CompletionImage) -> Item {
    Item {
        icon: data_uri(&image.icon),
        mode: image.mode,
        default: image.is_default,
    }
}

fn set_item(image: CompletionImage) -> SetItem {
    SetItem {
        image: item(image),
        note: NOTE,
    }
}

#[cfg(test)]
mod tests;
