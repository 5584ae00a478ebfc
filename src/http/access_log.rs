//! A line a request, at debug level: the route, not the path with the names in it, and no query.

use std::time::Instant;

use axum::{
    extract::{MatchedPath, Request},
    middleware::Next,
    response::Response,
};

pub(super) async fn log(request: Request, next: Next) -> Response {
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let started = Instant::now();
    let response = next.run(request).await;
    let route = route.as_ref().map_or("no route", MatchedPath::as_str);
    let status = response.status().as_u16();
    let duration_ms = started.elapsed().as_millis();
    tracing::debug!(
        http.method = %method,
        http.route = route,
        http.status = status,
        http.duration_ms = duration_ms,
        "{method} {route}: {status} in {duration_ms} ms"
    );
    response
}
