//! How a command ends that did not do what it was to do.

use std::{
    io::{self, Write},
    process::ExitCode,
    sync::mpsc,
    thread,
    time::Duration,
};

use crate::{
    backend::SetupError,
    kafka::KafkaError,
    store::{DatabaseUrl, StoreError},
    telemetry::LogsError,
};

/// How long a failed command waits for somebody to take its last words.
const TAKEN_WITHIN: Duration = Duration::from_secs(5);

/// Why a command failed: a line for each cause, each naming the setting or the record and what to do.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum CliError {
    /// Wrong usage or settings: exit code 2.
    #[error("{}", .0.join("\n"))]
    Usage(Vec<String>),
    /// What was asked for did not happen, or not all of it: exit code 1.
    #[error("{}", .0.join("\n"))]
    Failed(Vec<String>),
    /// Whoever reads the output has gone, as in `accolade badge-class list | head -1`. That is no failure.
    #[error("nobody reads the output")]
    Closed,
}

impl CliError {
    /// A single cause of wrong usage or settings.
    pub(super) fn usage(cause: impl Into<String>) -> Self {
        Self::Usage(vec![cause.into()])
    }

    /// A single cause of a failure.
    pub(super) fn failed(cause: impl Into<String>) -> Self {
        Self::Failed(vec![cause.into()])
    }

    /// A failure of the database.
    pub(super) fn database(url: &DatabaseUrl, error: &StoreError) -> Self {
        Self::failed(format!("{url}: {}", one_line(&database_advice(error))))
    }

    /// A failure with all its sources.
    pub(super) fn chain(error: &anyhow::Error) -> Self {
        Self::failed(one_line(&format!("{error:#}")))
    }

    /// Says the causes on standard error, a line each, and gives the exit code. Whoever does not take them within five
    /// seconds does not keep the process from ending.
    pub fn report(self) -> ExitCode {
        let (causes, code) = match self {
            Self::Usage(causes) => (causes, 2),
            Self::Failed(causes) => (causes, 1),
            Self::Closed => return ExitCode::SUCCESS,
        };
        let (done, said) = mpsc::channel();
        thread::spawn(move || {
            let mut stderr = io::stderr().lock();
            for cause in causes {
                // Without standard error there is only the exit code.
                drop(writeln!(stderr, "accolade: {cause}"));
            }
            let _ = done.send(());
        });
        let _ = said.recv_timeout(TAKEN_WITHIN);
        ExitCode::from(code)
    }
}

impl From<LogsError> for CliError {
    fn from(error: LogsError) -> Self {
        Self::usage(format!("logs: {error}"))
    }
}

impl From<SetupError> for CliError {
    fn from(error: SetupError) -> Self {
        Self::usage(error.to_string())
    }
}

impl From<KafkaError> for CliError {
    fn from(error: KafkaError) -> Self {
        Self::failed(kafka_advice(&error))
    }
}

/// What went wrong with the database and what to do about it.
pub(super) fn database_advice(error: &StoreError) -> String {
    match error {
        StoreError::During { source, .. } => database_advice(source),
        StoreError::Unavailable { message } => format!("{message}; does it run, and is DATABASE_URL right?"),
        StoreError::Contention { .. } | StoreError::WentBack => format!("{error}; try again"),
        StoreError::Exhausted { .. } => {
            format!("{error}; make room, check the rights of this user, or migrate it by this version")
        }
        StoreError::Migration(_) => format!("{error}; may this user change tables?"),
        StoreError::Data { .. } | StoreError::NotFound | StoreError::Corrupt(_) => {
            format!("{error}; was it migrated by this version?")
        }
    }
}

/// What went wrong with Kafka and what to do about it.
pub(super) fn kafka_advice(error: &KafkaError) -> String {
    let advice = match error {
        KafkaError::UnknownProperty { .. } | KafkaError::InvalidProperty { .. } | KafkaError::Refused { .. } => {
            "correct the KAFKA_… setting"
        }
        KafkaError::Unreachable { .. } | KafkaError::TimedOut { .. } => "is KAFKA_BOOTSTRAP_SERVERS right?",
        KafkaError::TopicsNotCreated { .. } => "create them, or give this user the right to",
        KafkaError::Broker { .. } | KafkaError::Fatal { .. } | KafkaError::Local { .. } | KafkaError::Thread(_) => {
            "see the brokers' logs, and the KAFKA_… settings"
        }
    };
    one_line(&format!("{error}; {advice}"))
}

/// A text of several lines on one.
pub(super) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_that_is_down_is_told_on_one_line_with_what_to_do() {
        let url = "postgres://ada:s3cret@db/badges".parse().expect("a URL");
        let down = StoreError::Unavailable {
            message: "connection refused\n\tIs it running?".to_owned(),
        };
        let error = CliError::database(&url, &down).to_string();
        assert_eq!(error.lines().count(), 1, "{error}");
        assert!(
            error.starts_with("postgres://db:5432/badges: connection refused"),
            "{error}"
        );
        assert!(error.contains("DATABASE_URL") && !error.contains("s3cret"), "{error}");
    }
}
