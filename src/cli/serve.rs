//! `accolade serve`

use std::sync::Arc;

use clap::Args;

use super::{CliError, output::print, wait_for};
use crate::{
    app::{App, roles::Roles, signals},
    backend::SetupError,
    clock::SystemClock,
    config::Settings,
    telemetry::{LogQueue, init_queued_logs},
};

/// Run the service: read events, decide, award, publish, serve HTTP
///
/// SIGTERM and Ctrl-C end it in order, within 30 seconds; a second one ends it at once. Without
/// KAFKA_BOOTSTRAP_SERVERS a broker is started inside, for trying out: it keeps nothing.
///
/// Examples:
///
/// accolade serve
///
/// accolade --config /etc/accolade.toml serve --roles ingest,http
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Which parts this process runs: a list of ingest, award, publish, http. Default: all
    #[arg(long, value_name = "ROLES")]
    roles: Option<Roles>,
}

pub(super) fn run(settings: Settings, arguments: Arguments) -> Result<(), CliError> {
    let logs = Arc::new(init_queued_logs(settings.log_format, &settings.log_filter)?);
    let ended = wait_for(serve(settings, arguments, Arc::clone(&logs)));
    logs.end();
    ended
}

async fn serve(settings: Settings, arguments: Arguments, logs: Arc<LogQueue>) -> Result<(), CliError> {
    for warning in &settings.warnings {
        tracing::warn!("{warning}");
    }
    let is_embedded = settings.kafka_bootstrap_servers.is_none();
    let roles = arguments.roles.unwrap_or(Roles::ALL);
    let app = App::start(settings, roles, Arc::new(SystemClock))
        .await
        .map_err(|error| match error.downcast::<SetupError>() {
            Ok(wrong) => wrong.into(),
            Err(error) => CliError::chain(&error),
        })?;
    app.metrics().count_dropped_lines_of(&logs);
    if is_embedded {
        print(&format!(
            "embedded broker: KAFKA_BOOTSTRAP_SERVERS={} (it keeps nothing)",
            app.bootstrap_servers()
        ))?;
    }
    app.run(signals::termination(move || logs.end()))
        .await
        .map_err(|error| CliError::chain(&error))
}
