//! `/api/badges/v1/`: the API of badges.

mod assertions;
mod awards;
mod badge_classes;
mod body;
mod page;

use axum::{
    Router,
    routing::{MethodRouter, get, post},
};

use super::State;

pub(super) fn routes() -> Router<State> {
    let routes: [(&str, MethodRouter<State>); 5] = [
        ("assertions/user/{username}", get(assertions::of_user)),
        ("badge-classes", get(badge_classes::list).post(badge_classes::create)),
        (
            "badge-classes/{id}",
            get(badge_classes::read).patch(badge_classes::change),
        ),
        ("awards", get(awards::list)),
        ("awards/{id}/retry", post(awards::retry)),
    ];
    routes.into_iter().fold(Router::new(), |router, (path, methods)| {
        // Open edX had the slash, people forget it.
        router
            .route(&format!("/api/badges/v1/{path}/"), methods.clone())
            .route(&format!("/api/badges/v1/{path}"), methods)
    })
}
