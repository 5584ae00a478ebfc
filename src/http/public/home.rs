//! The front page.

use axum::{extract::State as Shared, http::HeaderMap, response::Response};

use super::{
    answer::Answer,
    award, frame, html,
    pages::{HomePage, Link},
    urls,
};
use crate::{
    http::{State, problem::Problem},
    store::api_reads,
};

/// So many awards are on the front page of the demo.
const SHOWN: i64 = 24;

/// The front page.
///
/// A real service shows nobody's awards here.
#[utoipa::path(
    get, path = "/", operation_id = "frontPage", tag = "Public pages",
    responses((status = 200, description = "The page.", body = String, content_type = "text/html", example = json!("<!doctype html>…")), (status = 304, description = "It is the one that the client has, by `If-None-Match`.")),
)]
pub(super) async fn page(Shared(state): Shared<State>, headers: HeaderMap) -> Result<Response, Problem> {
    let is_demo = state.settings().is_demo;
    let recent = if is_demo {
        state
            .read("recent_assertions", |tx| api_reads::recent_assertions(tx, SHOWN))
            .await?
    } else {
        Vec::new()
    };
    let link = |label: &str, url: String| Link {
        label: label.to_owned(),
        url,
    };
    let body = html(&HomePage {
        frame: frame(&state),
        is_demo,
        links: vec![
            link("About the issuer", urls(&state).issuer()),
            link("API and topics", state.url("/api/docs")),
            link("Health of the service", state.url("/readyz")),
        ],
        recent: recent
            .into_iter()
            .map(|assertion| award::card(&state, assertion))
            .collect(),
    })?;
    Ok(Answer::ok("text/html; charset=utf-8", "no-cache", body).to(&headers))
}
