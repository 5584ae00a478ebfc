//! The configurations of the course event badges: listed, added, tried out; for administrators.

use axum::{
    Json,
    extract::State as Shared,
    http::{StatusCode, Uri},
};
use chrono::SecondsFormat;
use serde::Serialize;

use super::{
    body::Object,
    page::{Page, Query},
};
use crate::{
    domain::evaluate::Condition,
    http::{State, auth::Caller, problem::Problem},
    store::{
        StoreError, Tx,
        event_badges::{self, Configuration},
        preview::Reach,
    },
    wire::written_configuration::WrittenConfiguration,
};

/// A configuration.
#[derive(Debug, Serialize)]
pub(super) struct ConfigurationItem {
    id: i32,
    enabled: bool,
    courses_enrolled: String,
    courses_completed: String,
    course_groups: String,
    created: String,
    changed_by: String,
    activated_at: Option<String>,
    backfill_done_at: Option<String>,
}

/// What a configuration would do.
#[derive(Debug, Serialize)]
pub(super) struct Preview {
    badges: Vec<ReachItem>,
}

/// What one of its lines would do.
#[derive(Debug, Serialize)]
struct ReachItem {
    slug: String,
    kind: &'static str,
    threshold: Option<i32>,
    courses: Option<Vec<String>>,
    learners: i64,
    awarded: i64,
}

/// `GET /api/badges/v1/event-badges/`, newest first.
pub(super) async fn list(
    Shared(state): Shared<State>,
    caller: Caller,
    uri: Uri,
) -> Result<Json<Page<ConfigurationItem>>, Problem> {
    caller.require_administrator()?;
    let query = Query::of(&uri);
    let page = query.page()?;
    let all = state.read("list_event_badges", event_badges::list).await?;
    let place = page.within(i64::try_from(all.len()).unwrap_or(i64::MAX))?;
    Ok(Json(place.page(&state, &query, place.part_of(all).map(item).collect())))
}

/// `POST /api/badges/v1/event-badges/`: adds a configuration and, where it is `enabled`, activates it, which reaches
/// those who already qualify. 400 with all that is wrong with its lines; nothing is saved then.
pub(super) async fn create(
    Shared(state): Shared<State>,
    caller: Caller,
    body: Object,
) -> Result<(StatusCode, Json<ConfigurationItem>), Problem> {
    caller.require_administrator()?;
    let written = WrittenConfiguration::read(&body.0);
    let actor = caller.actor();
    let added = state.write("add_event_badges", move |tx| {
        match event_badges::set(tx, &written, &actor)? {
            Ok(rules) => Ok(Ok(
                event_badges::get(tx, rules.configuration_id)?.ok_or(StoreError::NotFound)?
            )),
            Err(refused) => Ok(Err(Problem::fields(refused.into_fields()))),
        }
    });
    Ok((StatusCode::CREATED, Json(item(added.await??))))
}

/// `POST /api/badges/v1/event-badges/preview/`: how many learners each badge would reach now, and how many of them have
/// it already. Writes nothing.
pub(super) async fn preview(
    Shared(state): Shared<State>,
    caller: Caller,
    body: Object,
) -> Result<Json<Preview>, Problem> {
    caller.require_administrator()?;
    // A configuration that is tried out is the one that is sent: `enabled` may be there and says nothing.
    let written = WrittenConfiguration::read(&body.0);
    let reached = state.read("preview_event_badges", move |tx: &mut Tx<'_>| {
        let tried = event_badges::try_out(tx, &written)?;
        Ok(tried.map_err(|refused| Problem::fields(refused.into_fields())))
    });
    let badges = reached.await??.into_iter().map(reach_item).collect();
    Ok(Json(Preview { badges }))
}

fn item(configuration: Configuration) -> ConfigurationItem {
    let text = |time: chrono::DateTime<chrono::Utc>| time.to_rfc3339_opts(SecondsFormat::AutoSi, true);
    ConfigurationItem {
        id: configuration.id,
        enabled: configuration.enabled,
        courses_enrolled: configuration.texts.courses_enrolled,
        courses_completed: configuration.texts.courses_completed,
        course_groups: configuration.texts.course_groups,
        created: text(configuration.created_at),
        changed_by: configuration.changed_by,
        activated_at: configuration.activated_at.map(text),
        backfill_done_at: configuration.backfill_done_at.map(text),
    }
}

fn reach_item(reach: Reach) -> ReachItem {
    let (kind, threshold, courses) = match reach.condition {
        Condition::Enrolled(n) => ("courses_enrolled", Some(n), None),
        Condition::Completed(n) => ("courses_completed", Some(n), None),
        Condition::Group(courses) => {
            let keys = courses.iter().map(ToString::to_string).collect();
            ("course_group", None, Some(keys))
        }
    };
    ReachItem {
        slug: reach.badge_class.slug,
        kind,
        threshold,
        courses,
        learners: reach.learners,
        awarded: reach.awarded,
    }
}

#[cfg(test)]
mod tests;
