//! HTTP: the API, the public pages and documents, health and metrics. The only room that knows axum.

mod access_log;
mod api;
pub mod auth;
mod described;
mod descriptions;
mod docs;
mod limits;
pub mod openapi;
pub mod ops;
pub mod problem;
pub mod public;
mod state;

use std::{future::IntoFuture as _, io, net::SocketAddr, pin::pin, time::Duration};

use axum::{Router, extract::DefaultBodyLimit, middleware};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;

use described::Routes;

pub use auth::{InvalidJwtSettings, JwtSettings};
pub use ops::{LivenessCheck, Probes, ReadinessCheck, Unready};
pub use state::{Issuer, ReplayDeadLetter, State};

/// Requests in flight get this long to end after the service was told to stop.
const GRACE: Duration = Duration::from_secs(10);

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
    routes()
        .into_router()
        .fallback(public::unknown_route)
        .method_not_allowed_fallback(problem::wrong_method)
        .layer(DefaultBodyLimit::max(limits::BODY_BYTES))
        .layer(middleware::from_fn(limits::time_out))
        .layer(CatchPanicLayer::custom(limits::panicked))
        .layer(middleware::from_fn(problem::document_errors))
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
pub async fn serve(listener: TcpListener, state: State, stop: CancellationToken) -> io::Result<()> {
    let stopped = stop.clone();
    let server = axum::serve(listener, router(state)).with_graceful_shutdown(stopped.cancelled_owned());
    let mut server = pin!(server.into_future());
    tokio::select! {
        ended = &mut server => return ended,
        () = stop.cancelled() => {}
    }
    match tokio::time::timeout(GRACE, server).await {
        Ok(ended) => ended,
        Err(_) => {
            tracing::warn!(
                "requests were still in flight {} s after the stop; they are cut off",
                GRACE.as_secs()
            );
            Ok(())
        }
    }
}

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
