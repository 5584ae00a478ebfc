//! Health and metrics: `/livez`, `/readyz`, `/metrics`. Without a token.

use std::{collections::BTreeMap, time::Duration};

use axum::{
    Json,
    extract::State as Shared,
    http::{StatusCode, header},
    response::IntoResponse,
};
use futures_util::future::join_all;
use serde::Serialize;
use tokio::{sync::Mutex, time::Instant};
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::{State, described::Routes, problem::Problem};
use crate::backend::BoxFuture;

/// A check that has not answered by then has failed.
const CHECK_TIME: Duration = Duration::from_secs(2);

/// So long an answer holds, however many ask.
const KEPT: Duration = Duration::from_secs(1);

/// The same while something is not ready: whoever waits for it, as at a start, learns soon that it is.
const UNREADY_KEPT: Duration = Duration::from_millis(100);

/// What is not ready and what to do about it, in a sentence or two, without secrets.
pub type Unready = String;

/// A part of the service that must be ready before it is sent requests.
pub struct ReadinessCheck {
    /// Its name in `/readyz`: `database`, `kafka`, `migrations`, `consumer`.
    pub name: &'static str,
    /// Asked once a second at most, ten times while something is not ready, however many ask; cut off after two.
    pub check: Box<dyn Fn() -> BoxFuture<'static, Result<(), Unready>> + Send + Sync>,
}

/// Says what hangs and what to do about it, in a sentence; `None`: nothing does. Must not block, and must not ask another
/// system: one that is down must not restart the fleet.
pub type LivenessCheck = Box<dyn Fn() -> Option<String> + Send + Sync>;

/// What the probes ask.
pub struct Probes {
    /// For `/livez`.
    pub hanging: LivenessCheck,
    /// For `/readyz`.
    pub ready: Vec<ReadinessCheck>,
}

/// Whether the service is ready, and each part of it.
#[derive(Serialize, ToSchema)]
struct Readiness {
    /// Whether all parts are.
    ready: bool,
    /// The parts by name: `database`, `kafka`, `migrations`, `consumer`, and others.
    #[schema(value_type = BTreeMap<String, Outcome>, example = json!({"database": {"ok": true, "detail": "ok"}}))]
    checks: BTreeMap<&'static str, Outcome>,
}

/// What the checks said, and when.
pub(super) type Known = Mutex<Option<(Instant, Outcomes)>>;

/// What each check said, by its name.
type Outcomes = BTreeMap<&'static str, Outcome>;

/// Whether a part is ready.
#[derive(Clone, Serialize, ToSchema)]
#[schema(as = ReadinessOfPart)]
pub(super) struct Outcome {
    /// Whether it is.
    ok: bool,
    /// What is not ready, and what to do about it.
    #[schema(example = "ok")]
    detail: String,
}

pub(super) fn routes() -> Routes {
    Routes::default()
        .add(routes!(live))
        .add(routes!(ready))
        .add(routes!(metrics))
}

/// Says whether the process works, or hangs.
#[utoipa::path(
    get, path = "/livez", operation_id = "live", tag = "Operations",
    responses(
        (status = 200, description = "It works.", body = String, content_type = "text/plain", example = json!("ok\n")),
        (status = 503, description = "A part of it hangs, for ten minutes or more: restart it."),
    ),
)]
async fn live(Shared(state): Shared<State>) -> Result<&'static str, Problem> {
    match state.hanging() {
        None => Ok("ok\n"),
        Some(detail) => Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail)),
    }
}

/// Says whether the service is ready, and what is not.
#[utoipa::path(
    get, path = "/readyz", operation_id = "ready", tag = "Operations",
    responses(
        (status = 200, description = "It is ready.", body = Readiness),
        (status = 503, description = "It is not ready; `checks` says what is not, and what to do.", body = Readiness),
    ),
)]
async fn ready(Shared(state): Shared<State>) -> impl IntoResponse {
    let mut checks = outcomes(&state).await;
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

/// What the checks say, or said a moment ago. A check may cost connections and threads: whoever holds the lock asks, and
/// the others wait for what it hears.
async fn outcomes(state: &State) -> Outcomes {
    let mut known = state.known_readiness().lock().await;
    if let Some((at, outcomes)) = &*known
        && at.elapsed() < kept(outcomes)
    {
        return outcomes.clone();
    }
    let outcomes: Outcomes = join_all(state.checks().iter().map(run)).await.into_iter().collect();
    *known = Some((Instant::now(), outcomes.clone()));
    outcomes
}

fn kept(outcomes: &Outcomes) -> Duration {
    if outcomes.values().all(|outcome| outcome.ok) {
        KEPT
    } else {
        UNREADY_KEPT
    }
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

/// Metrics for Prometheus, in its text format.
#[utoipa::path(
    get, path = "/metrics", operation_id = "metrics", tag = "Operations",
    responses((
        status = 200, description = "The metrics.", body = String, content_type = "text/plain",
        example = json!("# TYPE accolade_awards_decided_total counter\naccolade_awards_decided_total{kind=\"requested\"} 1\n"),
    )),
)]
async fn metrics(Shared(state): Shared<State>) -> impl IntoResponse {
    const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, TEXT_FORMAT)], state.metrics().render())
}

#[cfg(test)]
mod tests;
