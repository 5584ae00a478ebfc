//! What a request may take: bytes, time, and not the process.

use std::{any::Any, time::Duration};

use axum::{
    extract::Request,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};

use super::problem::Problem;

/// Bodies are this long at most.
pub(super) const BODY_BYTES: usize = 1024 * 1024;

/// Longer than the longest `?wait=`.
const TIME: Duration = Duration::from_secs(75);

/// 413 for a body that says itself that it is too long, also where nobody would read it. One that does not say so is
/// found out by whoever reads it.
pub(super) fn check_length(headers: &HeaderMap) -> Result<(), Problem> {
    let length = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    match length {
        Some(length) if length > BODY_BYTES => Err(too_long()),
        _ => Ok(()),
    }
}

/// 413
pub(super) fn too_long() -> Problem {
    Problem::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "The body is too large: at most 1 MiB is taken.",
    )
}

/// Ends requests that take too long, among them those whose body never comes.
pub(super) async fn time_out(request: Request, next: Next) -> Response {
    match tokio::time::timeout(TIME, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "The answer took too long. Ask again in a few seconds; a repeated request does no harm.",
        )
        .with_header(header::RETRY_AFTER, HeaderValue::from_static("5"))
        .into_response(),
    }
}

/// The answer of a handler that panicked. The hook for panics has logged what it said and where.
pub(super) fn panicked(_: Box<dyn Any + Send>) -> Response {
    Problem::internal().into_response()
}
