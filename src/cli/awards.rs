//! `accolade awards`

mod list;

use clap::{Args, Subcommand};

use super::{CliError, context, output::print};
use crate::{
    config::Settings,
    domain::award::{AwardId, AwardState},
    store::{
        Store, StoreError, Tx,
        awards::{self, ByHand},
    },
};

/// Awards and why they wait: list them, try them again, cancel them
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List awards, newest first
    List {
        /// Only those in this state: pending, issuing, uncertain, issued, published, blocked, failed, dead, cancelled
        #[arg(long, value_parser = any_state)]
        state: Option<AwardState>,
        /// As a JSON list
        #[arg(long)]
        json: bool,
    },
    /// Try awards again that wait or were given up
    ///
    /// What may have been sent is looked up first: nothing is awarded twice. An award that is being issued or was issued
    /// stays as it is; if Kafka refused what was to be told of it (reason event_refused), that is sent again. Example: accolade awards retry --state failed
    Retry(Which),
    /// Cancel awards of which nothing was sent: they will not be issued
    Cancel {
        /// Ids, as `list` shows them
        #[arg(required = true, value_parser = award_id)]
        id: Vec<AwardId>,
    },
}

/// The awards that are meant.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct Which {
    /// Ids, as `list` shows them
    #[arg(value_parser = award_id)]
    id: Vec<AwardId>,
    /// All in this state: failed, blocked, dead
    #[arg(long, value_parser = given_up)]
    state: Option<AwardState>,
}

fn any_state(text: &str) -> Result<AwardState, String> {
    AwardState::parse(text).ok_or_else(|| {
        let names: Vec<_> = AwardState::ALL.into_iter().map(AwardState::as_str).collect();
        format!("expected one of: {}", names.join(", "))
    })
}

fn given_up(text: &str) -> Result<AwardState, String> {
    AwardState::parse(text)
        .filter(|state| matches!(state, AwardState::Failed | AwardState::Blocked | AwardState::Dead))
        .ok_or_else(|| "expected one of: failed, blocked, dead".to_owned())
}

fn award_id(text: &str) -> Result<AwardId, String> {
    let id = text
        .parse()
        .map_err(|_| "expected an award's id, as `accolade awards list` shows it")?;
    Ok(AwardId(id))
}

pub(super) fn run(settings: &Settings, command: Command) -> Result<(), CliError> {
    context::quiet_logs(settings)?;
    let store = context::migrated_store(settings)?;
    let actor = context::actor();
    let database = |error: StoreError| CliError::database(&settings.database_url, &error);
    match command {
        Command::List { state, json } => list::print_pages(list::pages(&store, state, list::PAGE), json, database),
        Command::Retry(Which { id, state }) => {
            let ids = match state {
                Some(state) => store
                    .read("awards_in_state", |tx| awards::in_state(tx, state, i64::MAX))
                    .map_err(database)?,
                None => id,
            };
            let done = each(&store, "retry_awards", &ids, |tx, id| awards::retry_by(tx, id, &actor));
            report(&told(done.map_err(database)?, after_retry))
        }
        Command::Cancel { id } => {
            let done = each(&store, "cancel_awards", &id, |tx, id| awards::cancel_by(tx, id, &actor));
            report(&told(done.map_err(database)?, after_cancel))
        }
    }
}

/// What became of each award; `None`: there is none of this id.
type Done = Vec<(AwardId, Option<ByHand>)>;

/// In transactions of some awards each, so that none holds many rows for long.
fn each(
    store: &Store,
    name: &'static str,
    ids: &[AwardId],
    mut one: impl FnMut(&mut Tx<'_>, AwardId) -> Result<Option<ByHand>, StoreError>,
) -> Result<Done, StoreError> {
    let mut done = Vec::with_capacity(ids.len());
    for some in ids.chunks(100) {
        done.extend(store.transaction(name, |tx| {
            some.iter()
                .map(|id| Ok((*id, one(tx, *id)?)))
                .collect::<Result<Done, _>>()
        })?);
    }
    Ok(done)
}

/// Lines of what was done, and of what was refused.
fn told(done: Done, say: impl Fn(&ByHand) -> Result<String, String>) -> (Vec<String>, Vec<String>) {
    let (mut lines, mut refused) = (Vec::new(), Vec::new());
    for (AwardId(id), by_hand) in done {
        let said = match &by_hand {
            Some(by_hand) => say(by_hand),
            None => Err("there is no award of this id; see `accolade awards list`".to_owned()),
        };
        match said {
            Ok(line) => lines.push(format!("{id}  {line}")),
            Err(line) => refused.push(format!("award {id}: {line}")),
        }
    }
    (lines, refused)
}

fn after_retry(retried: &ByHand) -> Result<String, String> {
    match retried.award.state {
        AwardState::Cancelled => Err("it was cancelled, and is not tried again".to_owned()),
        AwardState::Issued | AwardState::Published if retried.changed => {
            Ok("issued, and is told of on Kafka again".to_owned())
        }
        AwardState::Uncertain => Ok("uncertain: it may have been sent, so it is looked up first".to_owned()),
        state => Ok(state.as_str().to_owned()),
    }
}

fn after_cancel(cancelled: &ByHand) -> Result<String, String> {
    match cancelled.award.state {
        AwardState::Cancelled if cancelled.changed => Ok("cancelled".to_owned()),
        AwardState::Cancelled => Ok("was cancelled before".to_owned()),
        AwardState::Issued | AwardState::Published => {
            Err("it was issued; take the badge back with `accolade revoke`".to_owned())
        }
        AwardState::Issuing => Err("it is being issued; look at it again in a minute".to_owned()),
        _ => Err("it may have been sent; retry it, so that it is looked up".to_owned()),
    }
}

fn report((lines, refused): &(Vec<String>, Vec<String>)) -> Result<(), CliError> {
    if !lines.is_empty() {
        print(&lines.join("\n"))?;
    }
    if !refused.is_empty() {
        return Err(CliError::Failed(refused.clone()));
    }
    if lines.is_empty() {
        return print("no such awards");
    }
    Ok(())
}

#[cfg(test)]
mod tests;
