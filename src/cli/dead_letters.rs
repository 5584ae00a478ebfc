//! `accolade dead-letters`

use clap::Subcommand;
use serde_json::json;

use super::{CliError, context, output::print};
use crate::{
    config::Settings,
    store::{
        audit::{self, Action},
        positions,
    },
};

/// Records that could not be processed
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Let consumers go on that stopped before a flood of records that cannot be processed
    ///
    /// Find out first why they cannot: the log, /readyz and the topic of the dead letters say it. The flood that is
    /// there now passes into the dead letters; the next one stops the consumers again.
    Resume,
}

pub(super) fn run(settings: &Settings, command: Command) -> Result<(), CliError> {
    context::quiet_logs(settings)?;
    let Command::Resume = command;
    let store = context::migrated_store(settings)?;
    let actor = context::actor();
    let had_stopped = store
        .transaction("resume_consumers", |tx| {
            audit::record(tx, &actor, Action::ResumeConsumers, "consumers", &json!({}))?;
            positions::resume(tx)
        })
        .map_err(|error| CliError::database(&settings.database_url, &error))?;
    print(if had_stopped {
        "the consumers go on within a second"
    } else {
        "no consumer had stopped"
    })
}
