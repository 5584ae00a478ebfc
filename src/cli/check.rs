//! `accolade check`

mod new_file;

use std::{path::Path, sync::Arc, time::Duration};

use clap::Args;
use serde::Serialize;

use super::{
    CliError, backend, context,
    error::{database_advice, kafka_advice, one_line},
    output::{print, print_json, table},
};
use crate::{
    config::Settings,
    kafka::{self, admin},
    store::Store,
};

const REACH: Duration = Duration::from_secs(10);

/// Validate the settings and reach database, Kafka and badge backend
///
/// A line each. Exit code 0 when all is well, 1 when something cannot be reached, 2 when a setting is wrong.
///
/// Example: accolade --config accolade.toml check
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// As a JSON list
    #[arg(long)]
    json: bool,
}

/// What came of one dependency.
#[derive(Debug, Serialize)]
struct Checked {
    name: &'static str,
    ok: bool,
    detail: String,
}

impl Checked {
    fn new(name: &'static str, outcome: Result<String, String>) -> Self {
        let ok = outcome.is_ok();
        let detail = outcome.unwrap_or_else(|problem| problem);
        Self {
            name,
            ok,
            detail: one_line(&detail),
        }
    }

    fn row(&self) -> Vec<String> {
        let state = if self.ok { "ok" } else { "FAILED" };
        vec![self.name.to_owned(), state.to_owned(), self.detail.clone()]
    }
}

pub(super) async fn run(settings: Settings, arguments: Arguments) -> Result<(), CliError> {
    context::quiet_logs(&settings)?;
    context::warn(&settings);
    let new_file = context::new_file(&settings);
    let store = context::store(&settings);
    let (database, kafka, backend) = tokio::join!(
        database(&settings, &store, new_file.as_deref()),
        kafka(&settings),
        backend::reach(&settings)
    );
    let checks = [
        Checked::new("database", database),
        Checked::new("kafka", kafka),
        Checked::new("backend", backend?.map_err(|error| backend::advice(&error))),
    ];
    if arguments.json {
        print_json(&checks)?;
    } else {
        print(&table(&checks.iter().map(Checked::row).collect::<Vec<_>>()))?;
    }
    let failed: Vec<String> = checks
        .iter()
        .filter(|check| !check.ok)
        .map(|check| format!("{}: {}", check.name, check.detail))
        .collect();
    if failed.is_empty() {
        return Ok(());
    }
    Err(CliError::Failed(failed))
}

async fn database(settings: &Settings, store: &Arc<Store>, new_file: Option<&Path>) -> Result<String, String> {
    let url = &settings.database_url;
    if let Some(path) = new_file {
        return match new_file::try_out(path) {
            Ok(()) => Ok(format!(
                "{url}: a new file; `accolade migrate` or `accolade serve` makes it"
            )),
            Err(problem) => Err(format!("{url}: {problem}")),
        };
    }
    let pending = store
        .run(|store| store.ping().and_then(|()| store.pending_migrations()))
        .await;
    let pending = pending.map_err(|error| format!("{url}: {}", database_advice(&error)))?;
    if pending.is_empty() {
        return Ok(url.to_string());
    }
    let runs_them = match settings.migrate_on_start {
        true => "`accolade serve` or `accolade migrate` runs them",
        false => "run `accolade migrate`",
    };
    Ok(format!(
        "{url}: pending migrations: {}; {runs_them}",
        pending.join(", ")
    ))
}

async fn kafka(settings: &Settings) -> Result<String, String> {
    let extra = settings.kafka_properties.iter();
    let properties = extra
        .map(|(name, value)| (name.clone(), value.expose().to_owned()))
        .collect();
    kafka::check_properties(&properties).map_err(|error| kafka_advice(&error))?;
    let Some(servers) = &settings.kafka_bootstrap_servers else {
        return Ok(
            "no KAFKA_BOOTSTRAP_SERVERS: `accolade serve` starts an embedded broker; it keeps nothing".to_owned(),
        );
    };
    let cluster = admin::reach(&context::kafka(settings, servers), REACH).await;
    let cluster = cluster.map_err(|error| kafka_advice(&error))?;
    let topics = &settings.topics;
    let all = topics.read().into_iter().chain(topics.written());
    let missing: Vec<String> = all.filter(|topic| !cluster.has(topic)).collect();
    let missing = missing.join(", ");
    match (missing.is_empty(), topics.create) {
        (true, _) => Ok(cluster.brokers.join(", ")),
        (false, true) => Ok(format!(
            "{servers}: missing topics: {missing}; `accolade serve` creates them"
        )),
        (false, false) => Err(format!(
            "{servers}: missing topics: {missing}; create them, or set CREATE_TOPICS=true"
        )),
    }
}
