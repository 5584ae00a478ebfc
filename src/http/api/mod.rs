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

use utoipa_axum::routes;

use super::described::Routes;

pub(super) fn routes() -> Routes {
    Routes::default()
        .add(routes!(assertions::of_user))
        .add(routes!(badge_classes::list, badge_classes::create))
        .add(routes!(badge_classes::read, badge_classes::change))
        .add(routes!(award::award))
        .add(routes!(award::assertions_of))
        .add(routes!(event_badges::list, event_badges::create))
        .add(routes!(event_badges::preview))
        .add(routes!(progress::of_user))
        .add(routes!(revoke::revoke))
        .add(routes!(awards::list))
        .add(routes!(awards::retry))
        .add(routes!(dead_letters::list))
        .add(routes!(dead_letters::read))
        .add(routes!(dead_letters::replay))
        .add(routes!(dead_letters::drop))
        .add(routes!(audit::list))
        .add(routes!(learners::retire))
        .add(routes!(completion_images::list, completion_images::create))
        .add(routes!(
            completion_images::read,
            completion_images::change,
            completion_images::delete
        ))
        .add(routes!(courses::read, courses::change))
}

#[cfg(test)]
mod tests;
