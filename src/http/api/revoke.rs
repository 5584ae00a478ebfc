//! Assertions revoked by hand.

use std::time::Duration;

use axum::{
    Json,
    extract::{Path, State as Shared},
    http::StatusCode,
};
use chrono::SecondsFormat;
use serde::Serialize;

use super::body::Object;
use crate::{
    domain::limits::{check_name, check_text},
    http::{State, auth::Caller, problem::Problem},
    store::{assertions, revocations},
};

/// How long the answer waits for the backend.
const WAIT: Duration = Duration::from_secs(10);
/// How often it is looked whether it is done.
const LOOK: Duration = Duration::from_millis(50);

/// An assertion that is revoked, or will be.
#[derive(Debug, Serialize)]
pub(super) struct RevokedItem {
    id: String,
    revoked: bool,
    revoked_at: Option<String>,
    reason: String,
    last_error: Option<String>,
}

/// `POST /api/badges/v1/assertions/{id}/revoke/`: 200 once it is revoked at the backend, which `badge.revoked` tells
/// then; 202 when the backend takes longer than ten seconds: it is tried until it is done.
pub(super) async fn revoke(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(id): Path<String>,
    body: Object,
) -> Result<(StatusCode, Json<RevokedItem>), Problem> {
    caller.require_administrator()?;
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
