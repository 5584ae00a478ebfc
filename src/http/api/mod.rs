//! `/api/badges/v1/`: the API of badges.

mod assertions;
mod awards;
mod page;

use axum::{Router, routing::get};

use super::State;

pub(super) fn routes() -> Router<State> {
    Router::new()
        // Open edX had the slash, people forget it.
        .route("/api/badges/v1/assertions/user/{username}/", get(assertions::of_user))
        .route("/api/badges/v1/assertions/user/{username}", get(assertions::of_user))
        .route("/api/badges/v1/awards/", get(awards::list))
        .route("/api/badges/v1/awards", get(awards::list))
}
