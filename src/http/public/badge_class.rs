//! A badge class: its Open Badges document, its image and the page of its criteria.

use axum::{
    extract::{Path, State as Shared},
    http::HeaderMap,
    response::Response,
};

use super::{
    accept::{Representation, preferred},
    answer::{Answer, IMAGE, PAGE},
    award::media_type,
    frame, html, is_id, not_found,
    pages::BadgePage,
    urls,
};
use crate::{
    backend::builtin::documents::{self, BadgeClassParts},
    domain::badge_class::BadgeClass,
    http::{State, problem::Problem},
    store::api_reads,
    wire::schemas,
};

/// A badge class and the name of its course, where known.
type Found = Option<(BadgeClass, Option<String>)>;

/// The Open Badges document of a badge class: JSON-LD, JSON or the page, by `Accept`.
#[utoipa::path(
    get, path = "/ob2/badges/{public_id}", operation_id = "badgeClassDocument", tag = "Public pages", params(("public_id" = schemas::PublicId, Path, description = "The badge class's public id.")),
    responses(
        (status = 200, description = "The badge class.", content((schemas::OpenBadge = "application/ld+json"), (schemas::OpenBadge = "application/json"), (String = "text/html", example = json!("<!doctype html>…")))),
        (status = 304, description = "It is the one that the client has, by `If-None-Match`."),
        (status = 404, description = "There is no badge class of this id."),
    ),
)]
pub(super) async fn document(
    Shared(state): Shared<State>,
    Path(public_id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Some((badge_class, course_name)) = find(&state, public_id).await? else {
        return Ok(not_found(&state, &headers));
    };
    let form = preferred(&headers);
    let body = if form == Representation::Page {
        html(&view(&state, badge_class, course_name))?
    } else {
        let parts = BadgeClassParts {
            public_id: &badge_class.public_id,
            name: &badge_class.display_name,
            description: &badge_class.description,
            criteria: &badge_class.criteria,
        };
        documents::badge_class(&urls(&state), &parts).to_string()
    };
    Ok(Answer::ok(media_type(form), PAGE, body).varying().to(&headers))
}

/// The image of a badge class.
#[utoipa::path(
    get, path = "/ob2/badges/{public_id}/image.png", operation_id = "badgeClassImage", tag = "Public pages", params(("public_id" = schemas::PublicId, Path, description = "The badge class's public id.")),
    responses(
        (status = 200, description = "The image.", body = schemas::PngFile, content_type = "image/png"),
        (status = 304, description = "It is the one that the client has, by `If-None-Match`."),
        (status = 404, description = "There is no badge class of this id."),
    ),
)]
pub(super) async fn image(
    Shared(state): Shared<State>,
    Path(public_id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let png = if is_id(&public_id) {
        let read = state.look_up("badge_image", move |tx| api_reads::public_badge_image(tx, &public_id));
        read.await?
    } else {
        None
    };
    Ok(match png {
        Some(png) => Answer::ok("image/png", IMAGE, png).to(&headers),
        None => not_found(&state, &headers),
    })
}

/// The page of a badge class: what a learner must do.
#[utoipa::path(
    get, path = "/ob2/badges/{public_id}/criteria", operation_id = "badgeClassPage", tag = "Public pages", params(("public_id" = schemas::PublicId, Path, description = "The badge class's public id.")),
    responses(
        (status = 200, description = "The page.", body = String, content_type = "text/html", example = json!("<!doctype html>…")),
        (status = 304, description = "It is the one that the client has, by `If-None-Match`."),
        (status = 404, description = "There is no badge class of this id."),
    ),
)]
pub(super) async fn criteria(
    Shared(state): Shared<State>,
    Path(public_id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Some((badge_class, course_name)) = find(&state, public_id).await? else {
        return Ok(not_found(&state, &headers));
    };
    let body = html(&view(&state, badge_class, course_name))?;
    Ok(Answer::ok("text/html; charset=utf-8", PAGE, body).to(&headers))
}

/// The image as this service shows it.
pub(super) fn image_url(state: &State, badge_class: &BadgeClass) -> String {
    urls(state).badge_class_image(&badge_class.public_id)
}

async fn find(state: &State, public_id: String) -> Result<Found, Problem> {
    if !is_id(&public_id) {
        return Ok(None);
    }
    let read = state.look_up("public_badge_class", move |tx| {
        api_reads::public_badge_class(tx, &public_id)
    });
    read.await
}

fn view(state: &State, badge_class: BadgeClass, course_name: Option<String>) -> BadgePage {
    let urls = urls(state);
    let profile = &state.issuer().profile;
    BadgePage {
        frame: frame(state),
        image_url: image_url(state, &badge_class),
        json_url: urls.badge_class(&badge_class.public_id),
        page_url: urls.criteria(&badge_class.public_id),
        name: badge_class.display_name,
        description: badge_class.description,
        criteria: badge_class.criteria,
        course_name,
        issuer_name: profile.name.clone(),
        issuer_url: profile.url.clone(),
    }
}
