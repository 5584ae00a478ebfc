//! What the service says of itself: `/api/openapi.json`, `/api/asyncapi.json` and `/api/docs`. Without a token.

use axum::{extract::State as Shared, http::HeaderMap, response::Response};
use serde_json::Value;
use utoipa_axum::routes;

use super::{
    State,
    described::Routes,
    docs, openapi,
    problem::Problem,
    public::{
        answer::{Answer, IMAGE, PAGE},
        frame, html,
    },
};
use crate::wire::asyncapi;

const JSON: &str = "application/json";

/// Both documents, and the page that is made of them.
pub(super) struct Descriptions {
    openapi: String,
    asyncapi: String,
    page: docs::DocsPage,
}

impl Descriptions {
    /// The descriptions of the service that is reached at this `PUBLIC_URL`.
    pub(super) fn of(state: &State) -> Self {
        let (openapi, asyncapi) = (openapi::document(&state.url("")), asyncapi::document());
        let text = |document: &Value| format!("{document:#}\n");
        Self {
            openapi: text(&openapi),
            asyncapi: text(&asyncapi),
            page: docs::page(frame(state), &openapi, &asyncapi),
        }
    }
}

pub(super) fn routes() -> Routes {
    Routes::default()
        .add_open(routes!(http))
        .add_open(routes!(topics))
        .add_open(routes!(page))
        .add_open(routes!(style))
}

/// This document: the HTTP API as OpenAPI 3.1.
#[utoipa::path(
    get, path = "/api/openapi.json", operation_id = "openapi", tag = "Operations",
    responses(
        (status = 200, description = "The document.", body = Object, example = json!({"openapi": "3.1.0"})),
        (status = 304, description = "It is the one that the client has, by `If-None-Match`."),
    ),
)]
async fn http(Shared(state): Shared<State>, headers: HeaderMap) -> Response {
    Answer::ok(JSON, PAGE, state.descriptions().openapi.clone()).to(&headers)
}

/// The topics and their events, as AsyncAPI 3.0.
#[utoipa::path(
    get, path = "/api/asyncapi.json", operation_id = "asyncapi", tag = "Operations",
    responses(
        (status = 200, description = "The document.", body = Object, example = json!({"asyncapi": "3.0.0"})),
        (status = 304, description = "It is the one that the client has, by `If-None-Match`."),
    ),
)]
async fn topics(Shared(state): Shared<State>, headers: HeaderMap) -> Response {
    Answer::ok(JSON, PAGE, state.descriptions().asyncapi.clone()).to(&headers)
}

/// Both descriptions as a page for people.
#[utoipa::path(
    get, path = "/api/docs", operation_id = "docs", tag = "Operations",
    responses(
        (status = 200, description = "The page.", body = String, content_type = "text/html",
            example = json!("<!doctype html>…")),
        (status = 304, description = "It is the one that the client has, by `If-None-Match`."),
    ),
)]
async fn page(Shared(state): Shared<State>, headers: HeaderMap) -> Result<Response, Problem> {
    let body = html(&state.descriptions().page)?;
    Ok(Answer::ok("text/html; charset=utf-8", PAGE, body).to(&headers))
}

/// The style sheet of the page of the descriptions.
#[utoipa::path(
    get, path = "/static/docs.css", operation_id = "docsStyleSheet", tag = "Public pages",
    responses(
        (status = 200, description = "CSS.", body = String, content_type = "text/css", example = json!("pre { … }")),
        (status = 304, description = "It is the one that the client has, by `If-None-Match`."),
    ),
)]
async fn style(headers: HeaderMap) -> Response {
    Answer::ok("text/css; charset=utf-8", IMAGE, docs::STYLE).to(&headers)
}

#[cfg(test)]
mod tests;
