//! The issuer: its Open Badges profile, its page and its image.

use axum::{extract::State as Shared, http::HeaderMap, response::Response};

use super::{
    accept::{Representation, preferred},
    answer::{Answer, IMAGE, PAGE},
    award::media_type,
    frame, html, not_found,
    pages::IssuerPage,
    urls,
};
use crate::{
    backend::builtin::documents,
    http::{State, problem::Problem},
    wire::schemas,
};

/// The Open Badges profile of the issuer: JSON-LD, JSON or the page, by `Accept`.
///
/// The page shows no e-mail address; the profile must (Open Badges 2.0).
#[utoipa::path(
    get, path = "/ob2/issuer", operation_id = "issuerDocument", tag = "Public pages",
    responses(
        (status = 200, description = "The profile.", content((schemas::OpenBadge = "application/ld+json"), (schemas::OpenBadge = "application/json"), (String = "text/html", example = json!("<!doctype html>…")))),
        (status = 304, description = "It is the one that the client has, by `If-None-Match`."),
    ),
)]
pub(super) async fn document(Shared(state): Shared<State>, headers: HeaderMap) -> Result<Response, Problem> {
    let (urls, profile) = (urls(&state), &state.issuer().profile);
    let form = preferred(&headers);
    let body = if form == Representation::Page {
        html(&IssuerPage {
            frame: frame(&state),
            name: profile.name.clone(),
            url: profile.url.clone(),
            description: profile.description.clone(),
            image_url: profile.has_image.then(|| urls.issuer_image()),
            json_url: urls.issuer(),
            badges: Vec::new(),
        })?
    } else {
        documents::issuer(&urls, profile).to_string()
    };
    Ok(Answer::ok(media_type(form), PAGE, body).varying().to(&headers))
}

/// The issuer's image.
#[utoipa::path(
    get, path = "/ob2/issuer/image.png", operation_id = "issuerImage", tag = "Public pages",
    responses(
        (status = 200, description = "The image.", body = schemas::PngFile, content_type = "image/png"),
        (status = 304, description = "It is the one that the client has, by `If-None-Match`."),
        (status = 404, description = "The issuer has no image."),
    ),
)]
pub(super) async fn image(Shared(state): Shared<State>, headers: HeaderMap) -> Response {
    match &state.issuer().image {
        Some(png) => Answer::ok("image/png", IMAGE, png.clone()).to(&headers),
        None => not_found(&state, &headers),
    }
}
