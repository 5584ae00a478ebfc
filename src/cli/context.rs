//! What most commands need: the settings, the logs, the database, Kafka.

use std::{collections::HashMap, path::PathBuf, sync::Arc};

use super::CliError;
use crate::{
    clock::SystemClock,
    config::{Settings, is_setting},
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
    let no_text = std::env::vars_os().filter(|(_, value)| value.to_str().is_none());
    let names: Vec<String> = no_text
        .filter_map(|(name, _)| name.into_string().ok())
        .filter(|name| is_setting(name))
        .map(|name| format!("environment: {name}: this is not UTF-8; write it anew"))
        .collect();
    if !names.is_empty() {
        return Err(CliError::Usage(names));
    }
    Settings::load(config.map(PathBuf::as_path), &environment())
        .map_err(|errors| CliError::Usage(errors.iter().map(ToString::to_string).collect()))
}

/// Says what is odd about the settings.
pub(super) fn warn(settings: &Settings) {
    for warning in &settings.warnings {
        eprintln!("accolade: warning: {warning}");
    }
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

/// The SQLite file of the database where nobody has made it yet; connecting would make it.
pub(super) fn new_file(settings: &Settings) -> Option<PathBuf> {
    let url = settings.database_url.to_string();
    let path = url
        .strip_prefix("sqlite://")
        .filter(|path| !path.starts_with("file:"))?;
    Some(PathBuf::from(path)).filter(|path| !path.exists())
}

/// The database, with all its tables.
pub(super) fn migrated_store(settings: &Settings) -> Result<Arc<Store>, CliError> {
    let url = &settings.database_url;
    if new_file(settings).is_some() {
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

/// Who is recorded with a change: the user of the operating system, as far as the environment says; in a container,
/// where it often says nothing, the user's number.
pub(super) fn actor() -> Actor {
    Actor {
        name: actor_name(|name| std::env::var(name).ok(), user_id),
        via: Via::CommandLine,
    }
}

fn actor_name(variable: impl Fn(&str) -> Option<String>, user_id: impl FnOnce() -> Option<u32>) -> String {
    let names = ["SUDO_USER", "USER", "LOGNAME"].into_iter().filter_map(variable);
    names
        .map(|name| name.trim().to_owned())
        .find(|name| !name.is_empty())
        .or_else(|| user_id().map(|id| format!("uid {id}")))
        .unwrap_or_else(|| "unknown".to_owned())
}

/// The effective user id, where the system shows processes as files: a process's are its user's.
fn user_id() -> Option<u32> {
    let own = std::fs::metadata("/proc/self").ok()?;
    Some(std::os::unix::fs::MetadataExt::uid(&own))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_has_a_name_also_where_the_environment_says_none() {
        let name = |variables: &[(&str, &str)], id| {
            let variables: HashMap<_, _> = variables.iter().copied().collect();
            actor_name(|name| variables.get(name).map(|&value| value.to_owned()), || id)
        };
        assert_eq!(name(&[("USER", "root"), ("SUDO_USER", "ada")], Some(0)), "ada");
        assert_eq!(name(&[("USER", " "), ("LOGNAME", "bob")], Some(0)), "bob");
        assert_eq!(name(&[("HOME", "/")], Some(1000)), "uid 1000");
        assert_eq!(name(&[], None), "unknown");
        assert!(user_id().is_some());
    }
}
