//! `accolade audit`

use chrono::{DateTime, Utc};
use clap::Args;
use serde_json::{Value, json};

use super::{
    CliError, context,
    output::{print, print_json, table},
};
use crate::{
    config::Settings,
    store::{
        api_reads::Window,
        audit::{self, Action, Entry, Filter},
    },
    wire::fields::{DAY_OR_TIME, day_or_time},
};

/// List who changed what by hand, and when: by command, API or admin pages; newest first
///
/// Example: accolade audit --since 2026-11-01 --action award.retry
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Only changes of this person
    #[arg(long)]
    actor: Option<String>,
    /// Only changes of this kind, such as award.retry
    #[arg(long, value_parser = action)]
    action: Option<Action>,
    /// Only changes of this: an award's id, a course key, …
    #[arg(long)]
    target: Option<String>,
    /// Not before this day or time (UTC)
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<DateTime<Utc>>,
    /// Before this day or time (UTC)
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<DateTime<Utc>>,
    /// As a JSON list
    #[arg(long)]
    json: bool,
}

fn action(text: &str) -> Result<Action, String> {
    Action::parse(text).ok_or_else(Action::expected)
}

fn time(text: &str) -> Result<DateTime<Utc>, &'static str> {
    day_or_time(text).ok_or(DAY_OR_TIME)
}

pub(super) fn run(settings: &Settings, arguments: Arguments) -> Result<(), CliError> {
    context::quiet_logs(settings)?;
    let store = context::migrated_store(settings)?;
    let filter = Filter {
        actor: arguments.actor,
        action: arguments.action,
        target: arguments.target,
        since: arguments.since,
        until: arguments.until,
    };
    let all = Window {
        start: 0,
        length: i64::MAX,
    };
    let entries = store.read("list_audit", |tx| audit::find(tx, &filter, all));
    let entries = entries.map_err(|error| CliError::database(&settings.database_url, &error))?;
    if arguments.json {
        return print_json(&entries.iter().map(in_json).collect::<Vec<_>>());
    }
    if entries.is_empty() {
        return print("no such changes");
    }
    let titles = ["TIME", "WHO", "BY", "WHAT", "OF", "DETAILS"]
        .map(str::to_owned)
        .to_vec();
    let rows: Vec<_> = [titles].into_iter().chain(entries.iter().map(row)).collect();
    print(&table(&rows))
}

fn row(entry: &Entry) -> Vec<String> {
    vec![
        entry.created_at.format("%F %T").to_string(),
        entry.actor.clone(),
        entry.via.clone(),
        entry.action.clone(),
        entry.target.clone(),
        Some(entry.details.clone())
            .filter(|details| details != "{}")
            .unwrap_or_default(),
    ]
}

fn in_json(entry: &Entry) -> Value {
    json!({
        "id": entry.id, "created": entry.created_at.and_utc(), "actor": entry.actor, "via": entry.via,
        "action": entry.action, "target": entry.target, "details": entry.details(),
    })
}
