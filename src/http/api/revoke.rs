//! Assertions revoked by hand.

use std::time::Duration;

use axum::{
    Json,
    extract::{Path, State as Shared},
    http::StatusCode,
};
use chrono::SecondsFormat;
use serde::Serialize;
use utoipa::ToSchema;

use super::body::Object;
use crate::{
    domain::limits::{check_name, check_text},
    http::{State, auth::Administrator, problem::Problem},
    store::{assertions, revocations},
    wire::schemas,
};

/// How long the answer waits for the backend.
const WAIT: Duration = Duration::from_secs(10);
/// How often it is looked whether it is done.
const LOOK: Duration = Duration::from_millis(50);

/// An assertion that is revoked, or will be.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Revocation)]
pub(super) struct RevokedItem {
    /// The assertion's id.
    #[schema(example = "0d9c4f1e-6f1b-4f0e-9d52-5b0f6d5f0c11")]
    id: String,
    /// Whether it is revoked at the backend.
    revoked: bool,
    /// Since when.
    #[schema(value_type = Option<schemas::Time>, required = true)]
    revoked_at: Option<String>,
    /// Why.
    #[schema(value_type = schemas::Text)]
    reason: String,
    /// What went wrong at the backend; it is tried again.
    #[schema(required = true, example = json!(null))]
    last_error: Option<String>,
}

/// The body that says why.
#[derive(ToSchema)]
#[schema(as = RevokeRequest)]
#[expect(dead_code, reason = "it is described only")]
struct Body {
    reason: schemas::Why,
}

/// Revokes an assertion at the backend, which `badge.revoked` tells then.
///
/// A badge that was revoked is never awarded again by itself. An assertion that is revoked already stays as it is.
#[utoipa::path(
    post, path = "/api/badges/v1/assertions/{id}/revoke/",
    operation_id = "revokeAssertion", tag = "Assertions",
    params(("id" = schemas::AssertionId, Path, description = "The assertion's id.")),
    request_body = Body,
    responses(
        (status = 200, description = "It is revoked at the backend.", body = RevokedItem),
        (status = 202, description = "The backend takes longer, or refuses; it is tried until it is done.", body = RevokedItem),
        (status = 404, description = "There is no assertion of this id."),
    ),
)]
pub(super) async fn revoke(
    Shared(state): Shared<State>,
    caller: Administrator,
    Path(id): Path<String>,
    body: Object,
) -> Result<(StatusCode, Json<RevokedItem>), Problem> {
    let reason = body.read(|fields| fields.required("reason", check_text))?;
    let unknown = || Problem::not_found("There is no assertion of this id.");
    if check_name(&id).is_err() {
        return Err(unknown());
    }
    let (actor, wanted) = (caller.actor(), reason.clone());
    let known = id.clone();
    let found = state.write("revoke_assertion", move |tx| {
        revocations::request(tx, &known, &wanted, &actor)
    });
    found.await?.ok_or_else(unknown)?;
    let deadline = tokio::time::Instant::now() + WAIT;
    loop {
        let known = id.clone();
        let read = state.read("revoked_assertion", move |tx| {
            let Some(found) = assertions::get(tx, &known)? else {
                return Ok(None);
            };
            let error = revocations::last_error(tx, found.learner, found.award)?;
            Ok(Some((found, error)))
        });
        let (found, last_error) = read.await?.ok_or_else(unknown)?;
        let (revoked_at, why) = match found.revoked {
            Some((at, why)) => (Some(at.to_rfc3339_opts(SecondsFormat::AutoSi, true)), why),
            None => (None, reason.clone()),
        };
        let is_over = revoked_at.is_some() || last_error.is_some() || tokio::time::Instant::now() >= deadline;
        if is_over {
            let status = if revoked_at.is_some() {
                StatusCode::OK
            } else {
                StatusCode::ACCEPTED
            };
            let item = RevokedItem {
                id,
                revoked: revoked_at.is_some(),
                revoked_at,
                reason: why,
                last_error,
            };
            return Ok((status, Json(item)));
        }
        tokio::time::sleep(LOOK).await;
    }
}

#[cfg(test)]
mod tests;
