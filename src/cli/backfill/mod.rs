//! `accolade backfill`

mod progress;
mod report;

use std::sync::Arc;

use clap::Args;
use tokio_util::sync::CancellationToken;

use self::{progress::Progress, report::Report};
use super::{CliError, context};
use crate::{
    app::signals,
    backfill::{Backfill, End},
    config::Settings,
    store::{
        Store, StoreError,
        backfill::{self, Begun, Tally},
        event_badges::{self, RulesCache},
        preview,
    },
    telemetry::Metrics,
};

const NO_CONFIGURATION: &str = "no active configuration; activate one with `accolade event-badges set FILE`";

/// Evaluate every learner against the active configuration
///
/// Whoever has earned a course event badge and was never awarded it gets it; nothing is awarded twice, nothing is taken
/// away. An activation does this by itself: run it where badges are missing. Badges for completed courses and requested
/// ones are not looked at.
///
/// Beside a running `accolade serve` no learner is looked at twice: one process does it, the other one follows. Ctrl-C
/// ends it after the learners at hand; run it again, and it goes on from there.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Only say how many learners would be awarded each badge now: nothing is written
    #[arg(long)]
    dry_run: bool,
    /// As a JSON object
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(settings: Settings, arguments: Arguments) -> Result<(), CliError> {
    context::quiet_logs(&settings)?;
    if !settings.enable_openbadges {
        return Err(CliError::failed(
            "ENABLE_OPENBADGES is false: facts are kept, and nothing is awarded; set it to true and run this again",
        ));
    }
    let backfill = Backfill {
        store: context::migrated_store(&settings)?,
        metrics: Arc::new(Metrics::new()),
        rules: Arc::new(RulesCache::default()),
        wake: Arc::default(),
    };
    let database = |error: &StoreError| CliError::database(&settings.database_url, error);
    if arguments.dry_run {
        return dry_run(&backfill.store, arguments.json, database);
    }
    let begun = backfill
        .begin(context::actor())
        .await
        .map_err(|error| database(&error))?;
    let Some(begun) = begun else {
        return Err(CliError::failed(NO_CONFIGURATION));
    };
    see_through(&backfill, begun, arguments.json, database).await
}

async fn see_through(
    backfill: &Backfill,
    begun: Begun,
    as_json: bool,
    database: impl Fn(&StoreError) -> CliError,
) -> Result<(), CliError> {
    let id = begun.configuration_id;
    let known = backfill.store.read("backfill_rules", |tx| {
        Ok((
            event_badges::active_rules(tx, &backfill.rules)?,
            backfill::count_learners(tx)?,
        ))
    });
    let (rules, learners) = known.map_err(|error| database(&error))?;
    let Some(rules) = rules.filter(|rules| rules.configuration_id == id) else {
        return Err(superseded(id));
    };
    let stop = CancellationToken::new();
    let asked_to = stop.clone();
    tokio::spawn(async move {
        if signals::termination(|| {}).await.is_ok() {
            asked_to.cancel();
        }
    });
    let mut progress = Progress::new(learners, &begun.tally);
    let end = backfill
        .see_through(begun, &stop, |tally, is_own| progress.tell(tally, is_own))
        .await;
    progress.end();
    match end {
        Ok(End::Done(tally)) => Report::of_backfill(&rules, &tally).print(as_json),
        Ok(End::Superseded) => Err(superseded(id)),
        Ok(End::Stopped(tally)) => Err(stopped(&tally, learners)),
        Err(error) => {
            let CliError::Failed(mut causes) = database(&error) else {
                return Err(database(&error));
            };
            causes.push("nothing is lost: run `accolade backfill` again, and it goes on from there".to_owned());
            Err(CliError::Failed(causes))
        }
    }
}

fn superseded(id: i32) -> CliError {
    CliError::failed(format!(
        "configuration {id} is not active any more; that of the one that is now begins by itself, or with `accolade \
         backfill`"
    ))
}

fn stopped(tally: &Tally, learners: i64) -> CliError {
    CliError::failed(format!(
        "stopped after {} of {learners} learners; run `accolade backfill` again, and it goes on from there (a running \
         `accolade serve` does by itself)",
        tally.learners
    ))
}

fn dry_run(store: &Store, as_json: bool, database: impl Fn(&StoreError) -> CliError) -> Result<(), CliError> {
    let found = store.read("backfill_dry_run", |tx| {
        let Some(rules) = event_badges::active_rules(tx, &RulesCache::default())? else {
            return Ok(None);
        };
        let reached = preview::reach_of_badges(tx, &rules)?;
        Ok(Some((rules, backfill::count_learners(tx)?, reached)))
    });
    let Some((rules, learners, reached)) = found.map_err(|error| database(&error))? else {
        return Err(CliError::failed(NO_CONFIGURATION));
    };
    Report::of_dry_run(&rules, learners, &reached).print(as_json)
}
