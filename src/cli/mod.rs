//! The commands: one file each. They print on standard output, and their errors on standard error.

mod audit;
mod audit_backend;
mod awards;
mod backend;
mod backfill;
mod badge_class;
mod check;
mod completion_images;
mod context;
mod dead_letters;
mod demo;
mod descriptions;
mod error;
mod event_badges;
mod explain;
mod healthcheck;
mod import_openedx;
mod migrate;
mod output;
mod publish;
mod revoke;
mod rules;
mod serve;

use std::{future::Future, path::PathBuf};

use clap::{Parser, Subcommand};

pub use error::CliError;

/// Badges for Open edX, from its events.
///
/// Settings come from a TOML file (`--config FILE`, or ACCOLADE_CONFIG, or ./accolade.toml) and from environment
/// variables of the same names, which win. Exit codes: 0 done, 1 failed, 2 wrong usage or settings.
#[derive(Debug, Parser)]
#[command(
    name = "accolade",
    version,
    after_help = "See it without anything else:  accolade demo\nRun it:                        accolade migrate && \
                  accolade check && accolade serve"
)]
pub struct Cli {
    /// File with settings, as TOML
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Arguments),
    Demo(demo::Arguments),
    Migrate(migrate::Arguments),
    Check(check::Arguments),
    #[command(subcommand)]
    BadgeClass(badge_class::Command),
    #[command(subcommand)]
    EventBadges(event_badges::Command),
    #[command(subcommand)]
    CompletionImages(completion_images::Command),
    Backfill(backfill::Arguments),
    Publish(publish::Arguments),
    Revoke(revoke::Arguments),
    Explain(explain::Arguments),
    #[command(subcommand)]
    Awards(awards::Command),
    #[command(name = "import-openedx")]
    ImportOpenEdx(import_openedx::Arguments),
    #[command(subcommand)]
    DeadLetters(dead_letters::Command),
    Audit(audit::Arguments),
    AuditBackend(audit_backend::Arguments),
    #[command(name = "openapi")]
    OpenApi(descriptions::OpenApi),
    #[command(name = "asyncapi")]
    AsyncApi(descriptions::AsyncApi),
    Healthcheck(healthcheck::Arguments),
}

impl Cli {
    /// Reads the command line; for `--help`, and after saying what is wrong with it, the process ends here.
    pub fn from_arguments() -> Self {
        Self::parse()
    }

    /// Runs the command to its end.
    ///
    /// # Errors
    /// What is to be said and the exit code, by [`CliError::report`].
    pub fn run(self) -> Result<(), CliError> {
        let settings = || context::settings(self.config.as_ref());
        match self.command {
            Command::Serve(arguments) => serve::run(settings()?, arguments),
            Command::Demo(_) if self.config.is_some() => Err(CliError::usage(
                "--config: the demo has settings of its own; leave it out",
            )),
            Command::Demo(arguments) => demo::run(arguments),
            Command::Migrate(arguments) => migrate::run(&settings()?, &arguments),
            Command::Check(arguments) => wait_for(check::run(settings()?, arguments)),
            Command::BadgeClass(command) => badge_class::run(&settings()?, command),
            Command::EventBadges(command) => event_badges::run(&settings()?, command),
            Command::CompletionImages(command) => completion_images::run(&settings()?, command),
            Command::Awards(command) => awards::run(&settings()?, command),
            Command::DeadLetters(command) => dead_letters::run(&settings()?, command),
            Command::Audit(arguments) => audit::run(&settings()?, arguments),
            Command::AuditBackend(arguments) => wait_for(audit_backend::run(settings()?, arguments)),
            Command::Explain(arguments) => explain::run(&settings()?, &arguments),
            Command::ImportOpenEdx(arguments) => import_openedx::run(&settings()?, &arguments),
            Command::Revoke(arguments) => revoke::run(&settings()?, &arguments),
            Command::Backfill(arguments) => wait_for(backfill::run(settings()?, arguments)),
            Command::Publish(arguments) => wait_for(publish::run(settings()?, arguments)),
            Command::OpenApi(arguments) => descriptions::http(&arguments),
            Command::AsyncApi(arguments) => descriptions::topics(&arguments),
            Command::Healthcheck(arguments) => wait_for(healthcheck::run(settings()?, arguments)),
        }
    }
}

/// Threads for what blocks: the database, above all, and look-ups of names. By default HTTP has 20 of them at most, the
/// issue loop 16, the other loops and `/readyz` some dozen; where settings ask for more, the rest waits its turn. Each
/// costs memory, and none waits for another.
const BLOCKING_THREADS: usize = 128;

/// Runs a command to its end. A call of a library that still blocks then, such as a statement that waits for a lock of
/// the database, is left behind: the process ends, and what it had not committed never happened.
fn wait_for(command: impl Future<Output = Result<(), CliError>>) -> Result<(), CliError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS)
        .build();
    let runtime = runtime.map_err(|error| CliError::failed(format!("cannot start threads: {error}")))?;
    let ended = runtime.block_on(command);
    runtime.shutdown_background();
    ended
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_configuration_file_may_be_named_before_and_after_the_command() {
        for line in ["accolade --config x.toml check", "accolade check --config x.toml"] {
            let cli = Cli::try_parse_from(line.split(' ')).expect("a command line");
            assert_eq!(cli.config, Some(PathBuf::from("x.toml")), "{line}");
        }
    }

    #[test]
    fn a_command_that_ended_does_not_wait_for_a_call_that_blocks() {
        let (_held, blocked) = std::sync::mpsc::channel::<()>();
        let (ended, end) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let command = async {
                let (began, begun) = tokio::sync::oneshot::channel();
                tokio::task::spawn_blocking(move || {
                    began.send(()).expect("the command waits");
                    blocked.recv()
                });
                begun.await.expect("it begins");
                Ok(())
            };
            ended.send(wait_for(command)).expect("the test waits");
        });
        let outcome = end.recv_timeout(std::time::Duration::from_secs(30));
        outcome.expect("it ends").expect("the command went well");
    }

    #[test]
    fn wrong_usage_is_refused() {
        for line in [
            "accolade",
            "accolade serve --roles admin",
            "accolade badge-class import",
            "accolade completion-images set --mode honor",
            "accolade backfill enrolled_three",
            "accolade awards retry",
            "accolade awards retry --state published",
            "accolade awards cancel x",
            "accolade dead-letters replay",
            "accolade dead-letters replay 1 --all",
            "accolade dead-letters drop 1 --reason schema",
            "accolade dead-letters drop --topic t",
            "accolade dead-letters show x",
            "accolade dead-letters list --state lost",
            "accolade audit --action juggle",
            "accolade audit --since yesterday",
            "accolade import-openedx",
        ] {
            let error = Cli::try_parse_from(line.split(' ')).expect_err(line);
            assert_eq!(error.exit_code(), 2, "{line}");
        }
    }
}
