//! The set-up of logs: text for people, JSON for machines, on standard error.

use std::io::IsTerminal;

use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt, util::SubscriberInitExt};

/// How a line of the log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Why there are no logs.
#[derive(Debug, thiserror::Error)]
pub enum LogsError {
    /// `RUST_LOG` is no filter.
    #[error("RUST_LOG: expected a filter such as info or accolade=debug,warn")]
    Filter,
    /// Logs were set up before, in this process.
    #[error("logs are set up already")]
    Twice,
}

/// Starts logging. Without a format: text when standard error is a terminal, else JSON.
pub fn init_logs(format: Option<LogFormat>, filter: &str) -> Result<(), LogsError> {
    let terminal = std::io::stderr().is_terminal();
    let filter = EnvFilter::try_new(filter).map_err(|_| LogsError::Filter)?;
    let format = format.unwrap_or(if terminal { LogFormat::Text } else { LogFormat::Json });
    let registry = tracing_subscriber::registry().with(filter);
    let started = match format {
        LogFormat::Text => registry
            .with(
                fmt::layer()
                    .with_writer(std::io::stderr)
                    .with_ansi(terminal)
                    .with_target(false),
            )
            .try_init(),
        LogFormat::Json => registry
            .with(fmt::layer().json().flatten_event(true).with_writer(std::io::stderr))
            .try_init(),
    };
    started.map_err(|_| LogsError::Twice)
}
