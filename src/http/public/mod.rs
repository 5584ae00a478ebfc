//! What the world may see: the pages of awards, badge classes and the issuer, and their Open Badges documents.

mod accept;
mod answer;
mod award;
mod badge_class;
mod dates;
mod home;
mod issuer;
pub mod pages;

use axum::{
    Router,
    extract::State as Shared,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::{MethodRouter, get},
};
use tower_http::set_header::SetResponseHeaderLayer;

use self::{
    accept::{Representation, preferred},
    answer::{Answer, IMAGE, PAGE},
    pages::{Frame, ProblemPage},
};
use super::{
    State,
    problem::{self, Problem},
};
use crate::backend::builtin::documents::Urls;

pub(super) fn routes() -> Router<State> {
    Router::new()
        .route("/", open(get(home::page)))
        .route("/badges/{id}", open(get(award::page)))
        .route("/ob2/issuer", open(get(issuer::document)))
        .route("/ob2/issuer/image.png", open(get(issuer::image)))
        .route("/ob2/badges/{public_id}", open(get(badge_class::document)))
        .route("/ob2/badges/{public_id}/image.png", open(get(badge_class::image)))
        .route("/ob2/badges/{public_id}/criteria", open(get(badge_class::criteria)))
        .route("/ob2/assertions/{id}", open(get(award::document)))
        .route("/ob2/assertions/{id}/image.png", open(get(award::image)))
        .route("/static/style.css", open(get(style)))
        .route("/static/icon.svg", open(get(icon)))
        .layer(SetResponseHeaderLayer::overriding(
            header::ACCESS_CONTROL_ALLOW_ORIGIN,
            HeaderValue::from_static("*"),
        ))
        .layer(SetResponseHeaderLayer::overriding(
            header::ACCESS_CONTROL_EXPOSE_HEADERS,
            HeaderValue::from_static("ETag"),
        ))
}

/// Answers browsers of other sites that ask first because of `If-None-Match` (Fetch standard, CORS preflight).
fn open(route: MethodRouter<State>) -> MethodRouter<State> {
    route.options(async || {
        (
            StatusCode::NO_CONTENT,
            [
                (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, HEAD"),
                (header::ACCESS_CONTROL_ALLOW_HEADERS, "Accept, If-None-Match"),
                (header::ACCESS_CONTROL_MAX_AGE, "86400"),
            ],
        )
    })
}

/// An address that leads nowhere: a page for browsers, a problem document for programs.
pub(super) async fn unknown_route(Shared(state): Shared<State>, headers: HeaderMap) -> Response {
    if preferred(&headers) == Representation::Page {
        return not_found(&state, &headers);
    }
    problem::unknown_route().await.into_response()
}

async fn style(headers: HeaderMap) -> Response {
    Answer::ok("text/css; charset=utf-8", IMAGE, pages::STYLE).to(&headers)
}

async fn icon(headers: HeaderMap) -> Response {
    Answer::ok("image/svg+xml", IMAGE, pages::ICON).to(&headers)
}

fn urls(state: &State) -> Urls {
    Urls::new(&state.settings().public_url)
}

fn frame(state: &State) -> Frame {
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

fn html(page: &impl pages::Template) -> Result<String, Problem> {
    page.render().map_err(|error| {
        tracing::error!("a page could not be written: {error}");
        Problem::internal()
    })
}

#[cfg(test)]
mod tests;
