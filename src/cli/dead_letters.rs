//! `accolade dead-letters`

mod telling;
#[cfg(test)]
mod tests;

use std::{collections::HashSet, sync::Arc};

use clap::{Args, Subcommand};
use serde_json::json;

use self::telling::{Told, after_drop, after_replay, print_letter, print_list};
use super::{CliError, context, output::print};
use crate::{
    app,
    config::Settings,
    store::{
        Store, StoreError,
        api_reads::Window,
        audit::{self, Action},
        dead_letters::{self, Filter, State},
        positions,
    },
    telemetry::Metrics,
};

/// Records that could not be processed: list them, look at them, process them again, drop them
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List dead letters, newest first
    List {
        /// Only those in this state: waiting, replayed, dropped, erased
        #[arg(long, value_parser = state)]
        state: Option<State>,
        /// Only those with this reason, such as schema or unknown_badge_class
        #[arg(long)]
        reason: Option<String>,
        /// Only those of this topic, by its name on the broker
        #[arg(long)]
        topic: Option<String>,
        /// As a JSON list
        #[arg(long)]
        json: bool,
    },
    /// Show one: what is wrong, and its key, value and headers
    Show {
        /// Its id, as `list` shows it
        #[arg(value_parser = letter_id)]
        id: i64,
        /// As JSON; what is no text is base64
        #[arg(long)]
        json: bool,
    },
    /// Process them once more, as a consumer would, when what was wrong is mended
    ///
    /// Nothing is sent through Kafka. What fails again stays, with its new reason; what was processed is not replayed
    /// again. Example: accolade dead-letters replay --all --reason unknown_badge_class
    Replay(Which),
    /// Give them up: their content is erased, the rest of the entry stays
    ///
    /// One that was not sent to the topic of the dead letters yet is sent first.
    Drop(Which),
    /// Let consumers go on that stopped before a flood of records that cannot be processed
    ///
    /// Find out first why they cannot: the log, /readyz and the topic of the dead letters say it. The flood that is
    /// there now passes into the dead letters; the next one stops the consumers again.
    Resume,
}

/// The dead letters that are meant.
#[derive(Debug, Args)]
pub(super) struct Which {
    /// Ids, as `list` shows them
    #[arg(required_unless_present = "all", conflicts_with = "all", value_parser = letter_id)]
    id: Vec<i64>,
    /// All that wait
    #[arg(long)]
    all: bool,
    /// Of all, only those with this reason
    #[arg(long, requires = "all", conflicts_with = "id")]
    reason: Option<String>,
    /// Of all, only those of this topic, by its name on the broker
    #[arg(long, requires = "all", conflicts_with = "id")]
    topic: Option<String>,
}

fn state(text: &str) -> Result<State, String> {
    State::parse(text).ok_or_else(|| format!("expected one of: {}", State::ALL.map(State::as_str).join(", ")))
}

fn letter_id(text: &str) -> Result<i64, &'static str> {
    text.parse()
        .map_err(|_| "expected a dead letter's id, a number, as `accolade dead-letters list` shows it")
}

pub(super) fn run(settings: &Settings, command: Command) -> Result<(), CliError> {
    context::quiet_logs(settings)?;
    let store = context::migrated_store(settings)?;
    let actor = context::actor();
    let database = |error: StoreError| CliError::database(&settings.database_url, &error);
    match command {
        Command::List {
            state,
            reason,
            topic,
            json,
        } => {
            let filter = Filter { state, reason, topic };
            let all = Window {
                start: 0,
                length: i64::MAX,
            };
            let letters = store.read("list_dead_letters", |tx| dead_letters::list(tx, &filter, all));
            print_list(&letters.map_err(database)?, json)
        }
        Command::Show { id, json } => {
            let found = store.read("read_dead_letter", |tx| dead_letters::get(tx, id));
            match found.map_err(database)? {
                Some((letter, record)) => print_letter(&letter, record, json),
                None => Err(CliError::Failed(vec![unknown(id)])),
            }
        }
        Command::Replay(which) => {
            let metrics = Arc::new(Metrics::new());
            let replayer = app::replayer(settings, Arc::clone(&store), metrics, None, app::Wakes::default());
            let ids = which.ids(&store).map_err(database)?;
            each(&ids, database, |id| Ok(replayer.replay(id, &actor)?.map(after_replay)))
        }
        Command::Drop(which) => {
            let ids = which.ids(&store).map_err(database)?;
            each(&ids, database, |id| {
                let dropped = store.transaction("drop_dead_letter", |tx| dead_letters::drop_by(tx, id, &actor))?;
                Ok(dropped.map(|dropped| after_drop(&dropped)))
            })
        }
        Command::Resume => {
            let resumed = store.transaction("resume_consumers", |tx| {
                audit::record(tx, &actor, Action::ResumeConsumers, "consumers", &json!({}))?;
                positions::resume(tx)
            });
            print(match resumed.map_err(database)? {
                true => "the consumers go on within a second",
                false => "no consumer had stopped",
            })
        }
    }
}

impl Which {
    /// Each id once, in its order; of all, the oldest first.
    fn ids(self, store: &Store) -> Result<Vec<i64>, StoreError> {
        if self.all {
            let filter = Filter {
                state: None,
                reason: self.reason,
                topic: self.topic,
            };
            return store.read("waiting_dead_letters", |tx| dead_letters::waiting(tx, &filter));
        }
        let mut seen = HashSet::new();
        Ok(self.id.into_iter().filter(|id| seen.insert(*id)).collect())
    }
}

/// One after the other, and says at once what came of each; at the end, what was refused or failed. Only a database that
/// cannot be used ends it before.
fn each(
    ids: &[i64],
    database: impl Fn(StoreError) -> CliError,
    mut one: impl FnMut(i64) -> Result<Option<Told>, StoreError>,
) -> Result<(), CliError> {
    if ids.is_empty() {
        return print("no such dead letters");
    }
    let mut refused = Vec::new();
    for id in ids {
        match one(*id) {
            Ok(Some(Ok(line))) => print(&format!("{id}  {line}"))?,
            Ok(Some(Err(line))) => refused.push(format!("dead letter {id}: {line}")),
            Ok(None) => refused.push(unknown(*id)),
            // The next ones would fare no better.
            Err(error) if matches!(error.code(), "database_unavailable" | "database_exhausted") => {
                refused.extend(causes(database(error)));
                break;
            }
            Err(error) => refused.extend(causes(database(error)).map(|cause| format!("dead letter {id}: {cause}"))),
        }
    }
    match refused.is_empty() {
        true => Ok(()),
        false => Err(CliError::Failed(refused)),
    }
}

fn causes(error: CliError) -> impl Iterator<Item = String> {
    match error {
        CliError::Usage(causes) | CliError::Failed(causes) => causes.into_iter(),
        CliError::Closed => Vec::new().into_iter(),
    }
}

fn unknown(id: i64) -> String {
    format!("dead letter {id}: there is none of this id; see `accolade dead-letters list`")
}
