//! Health and metrics: `/livez`, `/readyz`, `/metrics`. Without a token.

use std::{collections::BTreeMap, time::Duration};

use axum::{
    Json, Router,
    extract::State as Shared,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use futures_util::future::join_all;
use serde::Serialize;

use super::State;
use crate::backend::BoxFuture;

/// A check that has not answered by then has failed.
const CHECK_TIME: Duration = Duration::from_secs(2);

/// What is not ready and what to do about it, in a sentence or two, without secrets.
pub type Unready = String;

/// A part of the service that must be ready before it is sent requests.
pub struct ReadinessCheck {
    /// Its name in `/readyz`: `database`, `kafka`, `migrations`, `consumer`.
    pub name: &'static str,
    /// Asked on every request; cut off after two seconds.
    pub check: Box<dyn Fn() -> BoxFuture<'static, Result<(), Unready>> + Send + Sync>,
}

/// The body of `/readyz`.
#[derive(Serialize)]
struct Readiness {
    ready: bool,
    checks: BTreeMap<&'static str, Outcome>,
}

#[derive(Serialize)]
struct Outcome {
    ok: bool,
    detail: String,
}

pub(super) fn routes() -> Router<State> {
    Router::new()
        .route("/livez", get(live))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
}

async fn live() -> &'static str {
    "ok\n"
}

async fn ready(Shared(state): Shared<State>) -> impl IntoResponse {
    let mut checks: BTreeMap<_, _> = join_all(state.checks().iter().map(run)).await.into_iter().collect();
    if state.is_stopping() {
        let detail = "This process is shutting down; send requests to another one.".to_owned();
        checks.insert("shutting_down", Outcome { ok: false, detail });
    }
    let ready = checks.values().all(|outcome| outcome.ok);
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (
        status,
        [(header::CACHE_CONTROL, "no-store")],
        Json(Readiness { ready, checks }),
    )
}

async fn run(check: &ReadinessCheck) -> (&'static str, Outcome) {
    let outcome = match tokio::time::timeout(CHECK_TIME, (check.check)()).await {
        Ok(Ok(())) => Outcome {
            ok: true,
            detail: "ok".to_owned(),
        },
        Ok(Err(detail)) => Outcome { ok: false, detail },
        Err(_) => Outcome {
            ok: false,
            detail: format!(
                "No answer within {} s. Look whether {} is reachable from here and not overloaded.",
                CHECK_TIME.as_secs(),
                check.name
            ),
        },
    };
    (check.name, outcome)
}

async fn metrics(Shared(state): Shared<State>) -> impl IntoResponse {
    const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, TEXT_FORMAT)], state.metrics().render())
}

#[cfg(test)]
mod tests;
