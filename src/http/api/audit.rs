//! Who changed what: for administrators.

use std::borrow::Cow;

use axum::{Json, extract::State as Shared, http::Uri};
use chrono::SecondsFormat;
use serde::Serialize;
use serde_json::Value;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        ObjectBuilder, RefOr,
        schema::{Schema, Type},
    },
};

use super::page::{Page, Paging, Query};
use crate::{
    domain::limits::check_name,
    http::{State, auth::Administrator, problem::Problem},
    store::audit::{self, Action, Entry, Filter},
    wire::{
        fields::{DAY_OR_TIME, day_or_time},
        schemas,
    },
};

/// An entry of the audit log.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditEntry)]
pub(super) struct AuditItem {
    /// Its id.
    #[schema(example = 1)]
    id: i64,
    /// When.
    #[schema(value_type = schemas::Time)]
    created: String,
    #[schema(value_type = schemas::ActorName)]
    actor: String,
    /// By which way: `cli` or `api`.
    #[schema(example = "api")]
    via: String,
    #[schema(value_type = AuditAction)]
    action: String,
    /// What was changed: the id, key or name of it; a learner by the id alone.
    #[schema(example = "7")]
    target: String,
    /// What else there is to know of it.
    #[schema(value_type = Object, example = json!({}))]
    details: Value,
}

/// The names of [`Action`].
struct AuditAction;

impl PartialSchema for AuditAction {
    fn schema() -> RefOr<Schema> {
        let names = ObjectBuilder::new()
            .schema_type(Type::String)
            .description(Some("What was done."))
            .enum_values(Some(Action::ALL.map(Action::as_str)));
        names.build().into()
    }
}

impl ToSchema for AuditAction {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("AuditAction")
    }
}

/// Lists what was changed by hand, newest first.
#[utoipa::path(
    get, path = "/api/badges/v1/audit/",
    operation_id = "listAudit", tag = "Audit log",
    params(
        ("actor" = Option<schemas::ActorName>, Query, description = "By this one."),
        ("action" = Option<AuditAction>, Query, description = "What was done."),
        ("target" = Option<schemas::AuditTarget>, Query, description = "To this one."),
        ("since" = Option<schemas::GivenTime>, Query, description = "Not before."),
        ("until" = Option<schemas::GivenTime>, Query, description = "Before that."),
        Paging,
    ),
    responses(
        (status = 200, description = "A page of the log.", body = Page<AuditItem>),
        (status = 404, description = "There is no such page."),
    ),
)]
pub(super) async fn list(
    Shared(state): Shared<State>,
    _: Administrator,
    uri: Uri,
) -> Result<Json<Page<AuditItem>>, Problem> {
    let query = Query::of(&uri);
    let filter = filter(&query)?;
    let page = query.page()?;
    let read = state.read("list_audit", move |tx| {
        let place = match page.within(audit::count_found(tx, &filter)?) {
            Ok(place) => place,
            Err(beyond) => return Ok(Err(beyond)),
        };
        Ok(Ok((place, audit::find(tx, &filter, place.window())?)))
    });
    let (place, entries) = read.await??;
    let items = entries.into_iter().map(item).collect();
    Ok(Json(place.page(&state, &query, items)))
}

fn filter(query: &Query) -> Result<Filter, Problem> {
    let text = |name: &str| -> Result<Option<String>, Problem> {
        let text = query.get(name).unwrap_or_default();
        check_name(text).map_err(|problem| Problem::field(name, problem))?;
        Ok(Some(text.to_owned()).filter(|text| !text.is_empty()))
    };
    let time = |name: &str| match query.get(name) {
        None => Ok(None),
        Some(text) => day_or_time(text)
            .map(Some)
            .ok_or_else(|| Problem::field(name, DAY_OR_TIME)),
    };
    let action = match query.get("action") {
        None => None,
        Some(name) => Some(Action::parse(name).ok_or_else(|| Problem::field("action", Action::expected()))?),
    };
    Ok(Filter {
        actor: text("actor")?,
        action,
        target: text("target")?,
        since: time("since")?,
        until: time("until")?,
    })
}

fn item(entry: Entry) -> AuditItem {
    AuditItem {
        id: entry.id,
        created: entry.created_at.and_utc().to_rfc3339_opts(SecondsFormat::AutoSi, true),
        details: entry.details(),
        actor: entry.actor,
        via: entry.via,
        action: entry.action,
        target: entry.target,
    }
}

#[cfg(test)]
mod tests;
