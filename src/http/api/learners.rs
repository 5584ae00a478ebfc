//! Learners who leave.

use axum::{
    extract::{Path, State as Shared},
    http::StatusCode,
};

use crate::{
    domain::limits::check_name,
    http::{State, auth::Administrator, problem::Problem},
    store::retirement,
    wire::schemas,
};

/// Retires a learner.
///
/// The same as `learner.retired`: all that is personal is erased, badges are revoked where they were issued, and what is
/// under way stops; facts and counts stay. Then there is no learner of this username any more: once more is 404.
#[utoipa::path(
    delete, path = "/api/badges/v1/learners/{username}/",
    operation_id = "retireLearner", tag = "Learners",
    params(("username" = schemas::GivenUsername, Path, description = "Whom: the learner whose newest event carries it.")),
    responses(
        (status = 204, description = "All that is personal is erased."),
        (status = 404, description = "There is no learner of this username."),
    ),
)]
pub(super) async fn retire(
    Shared(state): Shared<State>,
    caller: Administrator,
    Path(username): Path<String>,
) -> Result<StatusCode, Problem> {
    check_name(&username).map_err(|problem| Problem::field("username", problem))?;
    let actor = caller.actor();
    let retired = state.write("retire_learner", move |tx| retirement::retire(tx, &username, &actor));
    match retired.await? {
        Some(learner) => {
            tracing::info!(learner.id = learner.0, "learner {} was retired", learner.0);
            Ok(StatusCode::NO_CONTENT)
        }
        None => Err(Problem::not_found("There is no learner of this username.")),
    }
}

#[cfg(test)]
mod tests;
