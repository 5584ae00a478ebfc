//! `/api/badges/v1/`: the API of badges.

mod assertions;
mod audit;
mod award;
mod awards;
mod badge_classes;
mod body;
mod completion_images;
mod courses;
mod dead_letters;
mod event_badges;
mod learners;
mod page;
mod progress;
mod revoke;

use axum::{
    Router,
    routing::{MethodRouter, delete, get, post},
};

use super::State;

pub(super) fn routes() -> Router<State> {
    let routes: Vec<(&str, MethodRouter<State>)> = vec![
        ("assertions/user/{username}", get(assertions::of_user)),
        ("badge-classes", get(badge_classes::list).post(badge_classes::create)),
        (
            "badge-classes/{id}",
            get(badge_classes::read).patch(badge_classes::change),
        ),
        ("badge-classes/{id}/award", post(award::award)),
        ("badge-classes/{id}/assertions", get(award::assertions_of)),
        ("event-badges", get(event_badges::list).post(event_badges::create)),
        ("event-badges/preview", post(event_badges::preview)),
        ("progress/user/{username}", get(progress::of_user)),
        ("assertions/{id}/revoke", post(revoke::revoke)),
        ("awards", get(awards::list)),
        ("awards/{id}/retry", post(awards::retry)),
        ("dead-letters", get(dead_letters::list)),
        ("dead-letters/{id}", get(dead_letters::read)),
        ("dead-letters/{id}/replay", post(dead_letters::replay)),
        ("dead-letters/{id}/drop", post(dead_letters::drop)),
        ("audit", get(audit::list)),
        (
            "completion-images",
            get(completion_images::list).post(completion_images::create),
        ),
        (
            "completion-images/{mode}",
            get(completion_images::read)
                .put(completion_images::change)
                .delete(completion_images::delete),
        ),
        ("learners/{username}", delete(learners::retire)),
        ("courses/{course_id}", get(courses::read).put(courses::change)),
    ];
    routes.into_iter().fold(Router::new(), |router, (path, methods)| {
        // Open edX had the slash, people forget it.
        router
            .route(&format!("/api/badges/v1/{path}/"), methods.clone())
            .route(&format!("/api/badges/v1/{path}"), methods)
    })
}
