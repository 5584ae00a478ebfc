//! The configurations of the course event badges: listed, added, tried out; for administrators.

use axum::{
    Json,
    extract::State as Shared,
    http::{StatusCode, Uri},
};
use chrono::SecondsFormat;
use serde::Serialize;
use serde_json::json;

use super::{
    body::Object,
    page::{Page, Query},
};
use crate::{
    domain::{
        evaluate::Condition,
        event_badges::{ConfigurationError, ConfigurationTexts},
        limits::check_text,
    },
    http::{State, auth::Caller, problem::Problem},
    store::{
        StoreError, Tx,
        audit::{self, Action},
        event_badges::{self, Configuration, NewConfiguration},
        preview::{self, Reach},
    },
    wire::fields::{FieldProblem, Fields},
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
    let (texts, enabled) = body.read(|fields| (texts_of(fields), fields.switch("enabled").unwrap_or_default()))?;
    let actor = caller.actor();
    let new = NewConfiguration {
        texts,
        enabled,
        changed_by: actor.name.clone(),
    };
    let added = state.write("add_event_badges", move |tx| {
        if let Err(errors) = event_badges::check(tx, &new.texts)? {
            return Ok(Err(refused(&errors)));
        }
        let id = event_badges::insert(tx, &new)?;
        audit::record(
            tx,
            &actor,
            Action::SetEventBadges,
            &id.to_string(),
            &json!({"enabled": new.enabled}),
        )?;
        Ok(Ok(event_badges::get(tx, id)?.ok_or(StoreError::NotFound)?))
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
    let (texts, _) = body.read(|fields| (texts_of(fields), fields.switch("enabled")))?;
    let reached = state.read(
        "preview_event_badges",
        move |tx: &mut Tx<'_>| match event_badges::check(tx, &texts)? {
            Ok(rules) => Ok(Ok(preview::reach(tx, &rules)?)),
            Err(errors) => Ok(Err(refused(&errors))),
        },
    );
    let badges = reached.await??.into_iter().map(reach_item).collect();
    Ok(Json(Preview { badges }))
}

fn texts_of(fields: &mut Fields<'_>) -> ConfigurationTexts {
    let mut text = |name: &str| match fields.value(name) {
        None => String::new(),
        Some(value) => match value.as_str().map(|text| (text, check_text(text))) {
            // As it was written: errors name its lines.
            Some((text, Ok(()))) => text.to_owned(),
            Some((_, Err(problem))) => {
                fields.problem(name, problem);
                String::new()
            }
            None => {
                fields.problem(name, "expected a text");
                String::new()
            }
        },
    };
    ConfigurationTexts {
        courses_enrolled: text("courses_enrolled"),
        courses_completed: text("courses_completed"),
        course_groups: text("course_groups"),
    }
}

fn refused(errors: &[ConfigurationError]) -> Problem {
    let problem = |error: &ConfigurationError| FieldProblem {
        field: error.field.to_string(),
        problem: format!("line {}: {}", error.line, error.reason),
    };
    Problem::fields(errors.iter().map(problem).collect())
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
