//! HTTP: the API, the public pages and documents, health and metrics. The only room that knows axum.

mod access_log;
mod api;
pub mod auth;
mod careful;
mod connections;
mod described;
mod descriptions;
mod docs;
mod limits;
pub mod openapi;
pub mod ops;
pub mod problem;
pub mod public;
mod state;

use std::net::SocketAddr;

use axum::{Router, extract::DefaultBodyLimit, middleware};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;

use connections::Limits;
use described::Routes;

pub use auth::{InvalidJwtSettings, JwtSettings};
pub use ops::{LivenessCheck, Probes, ReadinessCheck, Unready};
pub use state::{Issuer, ReplayDeadLetter, State};

/// What the HTTP server needs to know.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `HTTP_LISTEN`; for whoever binds the listener.
    pub listen: SocketAddr,
    /// `PUBLIC_URL`, without a trailing slash: where the world reaches this server.
    pub public_url: String,
    /// `JWT_…`
    pub jwt: JwtSettings,
    /// `ISSUER_…`
    pub issuer: Issuer,
    /// `ENABLE_OPENBADGES`: nothing is awarded without.
    pub awards: bool,
    /// Whether this is `accolade demo`, which shows its latest awards on the front page.
    pub is_demo: bool,
}

/// Every route of the service.
///
/// Errors are problem documents, also those of unknown routes and wrong methods; a panic in a handler is a 500 and ends
/// nothing else.
pub fn router(state: State) -> Router {
    let policy = careful::policy(&state.settings().public_url);
    routes()
        .into_router()
        .fallback(public::unknown_route)
        .method_not_allowed_fallback(problem::wrong_method)
        .layer(DefaultBodyLimit::max(limits::BODY_BYTES))
        .layer(middleware::from_fn(limits::time_out))
        .layer(CatchPanicLayer::custom(limits::panicked))
        .layer(middleware::from_fn(problem::document_errors))
        .layer(middleware::from_fn_with_state(policy, careful::with_headers))
        .layer(middleware::from_fn(access_log::log))
        .with_state(state)
}

/// What there is to be asked, and what the document says of it.
fn routes() -> Routes {
    api::routes()
        .merge(ops::routes())
        .merge(public::routes())
        .merge(descriptions::routes())
}

/// Serves until `stop`; then takes no further connections, and gives the requests in flight ten seconds to end.
///
/// At most 512 connections at once, fewer where the process may not open 1,024 files. A connection is closed when the
/// head of a request is not there within ten seconds, or when nothing of an answer is read for thirty.
pub async fn serve(listener: TcpListener, state: State, stop: CancellationToken) {
    connections::serve(listener, router(state), Limits::of_this_process(), stop).await;
}

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
