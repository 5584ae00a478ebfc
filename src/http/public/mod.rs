//! What the world may see: the pages of awards, badge classes and the issuer, and their Open Badges documents.

mod accept;
pub(super) mod answer;
mod award;
mod badge_class;
mod dates;
mod home;
mod issuer;
pub mod pages;

use axum::{
    extract::State as Shared,
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse as _, Response},
};
use utoipa_axum::routes;

use self::{
    accept::{Representation, preferred},
    answer::{Answer, IMAGE, PAGE},
    pages::{Frame, ProblemPage},
};
use super::{
    State,
    described::Routes,
    problem::{self, Problem},
};
use crate::backend::builtin::documents::Urls;

pub(super) fn routes() -> Routes {
    Routes::default()
        .add_open(routes!(home::page))
        .add_open(routes!(award::page))
        .add_open(routes!(issuer::document))
        .add_open(routes!(issuer::image))
        .add_open(routes!(badge_class::document))
        .add_open(routes!(badge_class::image))
        .add_open(routes!(badge_class::criteria))
        .add_open(routes!(award::document))
        .add_open(routes!(award::image))
        .add_open(routes!(style))
        .add_open(routes!(icon))
}

/// An address that leads nowhere: a page for browsers, a problem document for programs and below `/api/`.
pub(super) async fn unknown_route(Shared(state): Shared<State>, uri: Uri, headers: HeaderMap) -> Response {
    if !uri.path().starts_with("/api/") && preferred(&headers) == Representation::Page {
        return not_found(&state, &headers);
    }
    problem::unknown_route().await.into_response()
}

/// The style sheet of the pages.
#[utoipa::path(
    get, path = "/static/style.css", operation_id = "styleSheet", tag = "Public pages",
    responses((status = 200, description = "CSS.", body = String, content_type = "text/css", example = json!(":root { … }")), (status = 304, description = "It is the one that the client has, by `If-None-Match`.")),
)]
async fn style(headers: HeaderMap) -> Response {
    Answer::ok("text/css; charset=utf-8", IMAGE, pages::STYLE).to(&headers)
}

/// The icon of the pages.
#[utoipa::path(
    get, path = "/static/icon.svg", operation_id = "icon", tag = "Public pages",
    responses((status = 200, description = "SVG.", body = String, content_type = "image/svg+xml", example = json!("<svg …>")), (status = 304, description = "It is the one that the client has, by `If-None-Match`.")),
)]
async fn icon(headers: HeaderMap) -> Response {
    Answer::ok("image/svg+xml", IMAGE, pages::ICON).to(&headers)
}

fn urls(state: &State) -> Urls {
    Urls::new(&state.settings().public_url)
}

pub(super) fn frame(state: &State) -> Frame {
    Frame {
        site_name: state.issuer().profile.name.clone(),
        base: state.url(""),
    }
}

/// Whether this may be the id of something public; other texts need not be looked for.
fn is_id(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// An unknown badge or page: a page for browsers, a problem document for programs.
fn not_found(state: &State, headers: &HeaderMap) -> Response {
    let page = ProblemPage::not_found(frame(state));
    let response = if preferred(headers) == Representation::Page {
        html(&page).map(|body| Answer::new(StatusCode::NOT_FOUND, "text/html; charset=utf-8", PAGE, body).to(headers))
    } else {
        Err(Problem::not_found(page.detail))
    };
    let mut response = response.unwrap_or_else(Problem::into_response);
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
        .headers_mut()
        .insert(header::VARY, HeaderValue::from_static("Accept"));
    response
}

pub(super) fn html(page: &impl pages::Template) -> Result<String, Problem> {
    page.render().map_err(|error| {
        tracing::error!("a page could not be written: {error}");
        Problem::internal()
    })
}

#[cfg(test)]
mod tests;
