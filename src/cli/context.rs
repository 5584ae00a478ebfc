//! What most commands need: the settings, the logs, the database, Kafka.

use std::{collections::HashMap, path::PathBuf, sync::Arc};

use super::CliError;
use crate::{
    clock::SystemClock,
    config::Settings,
    kafka,
    store::{
        self, Store,
        audit::{Actor, Via},
    },
    telemetry::{Metrics, init_logs},
};

/// The environment, as far as it is text.
pub(super) fn environment() -> HashMap<String, String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// The settings of the service.
pub(super) fn settings(config: Option<&PathBuf>) -> Result<Settings, CliError> {
    Settings::load(config.map(PathBuf::as_path), &environment())
        .map_err(|errors| CliError::Usage(errors.iter().map(ToString::to_string).collect()))
}

/// Starts the logs of a command that says itself what happened: only what `RUST_LOG` asks for, else nothing.
pub(super) fn quiet_logs(settings: &Settings) -> Result<(), CliError> {
    let asked = std::env::var_os("RUST_LOG").is_some_and(|filter| !filter.is_empty());
    let filter = if asked { &settings.log_filter } else { "off" };
    Ok(init_logs(settings.log_format, filter)?)
}

/// The database, not yet connected to.
pub(super) fn store(settings: &Settings) -> Arc<Store> {
    let database = store::Settings {
        url: settings.database_url.clone(),
        pool_size: settings.database_pool_size,
    };
    Arc::new(Store::open(&database, Arc::new(SystemClock), Arc::new(Metrics::new())))
}

/// Whether the database is a SQLite file that nobody has made yet; connecting would make it.
pub(super) fn is_new_file(settings: &Settings) -> bool {
    let url = settings.database_url.to_string();
    url.strip_prefix("sqlite://")
        .is_some_and(|path| !path.starts_with("file:") && !PathBuf::from(path).exists())
}

/// The database, with all its tables.
pub(super) fn migrated_store(settings: &Settings) -> Result<Arc<Store>, CliError> {
    let url = &settings.database_url;
    if is_new_file(settings) {
        return Err(CliError::failed(format!(
            "{url}: no such database; correct DATABASE_URL, or run `accolade migrate` first"
        )));
    }
    let store = store(settings);
    let pending = store
        .pending_migrations()
        .map_err(|error| CliError::database(url, &error))?;
    if pending.is_empty() {
        return Ok(store);
    }
    let pending = pending.join(", ");
    Err(CliError::failed(format!(
        "{url}: pending migrations: {pending}; run `accolade migrate` first"
    )))
}

/// Kafka at these servers, with the further properties of the settings.
pub(super) fn kafka(settings: &Settings, bootstrap_servers: &str) -> kafka::Settings {
    let mut kafka = kafka::Settings::new(bootstrap_servers);
    kafka.group_id.clone_from(&settings.kafka_group_id);
    let further = settings.kafka_properties.iter();
    kafka.extra = further
        .map(|(name, value)| (name.clone(), value.expose().to_owned()))
        .collect();
    kafka
}

/// Who is recorded with a change: the user of the operating system, as far as the environment says.
pub(super) fn actor() -> Actor {
    let name = ["SUDO_USER", "USER", "LOGNAME"]
        .iter()
        .find_map(|name| std::env::var(name).ok());
    Actor {
        name: name.unwrap_or_default(),
        via: Via::CommandLine,
    }
}
