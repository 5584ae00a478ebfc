//! `accolade migrate`

use clap::Args;

use super::{CliError, context, output::print};
use crate::{config::Settings, store::completion_images};

/// Bring the database's tables up to date
///
/// Runs the pending migrations and says which. `serve` does it too unless MIGRATE_ON_START=false. Several at once do no
/// harm.
///
/// Example: DATABASE_URL=postgres://accolade@db/accolade accolade migrate
#[derive(Debug, Args)]
pub(super) struct Arguments {}

pub(super) fn run(settings: &Settings, _: &Arguments) -> Result<(), CliError> {
    context::quiet_logs(settings)?;
    let store = context::store(settings);
    let failed = |error| CliError::database(&settings.database_url, &error);
    let ran = store.migrate().map_err(failed)?;
    store
        .transaction("supply_completion_images", completion_images::supply)
        .map_err(failed)?;
    if ran.is_empty() {
        return print("nothing to do");
    }
    print(
        &ran.iter()
            .map(|name| format!("ran {name}"))
            .collect::<Vec<_>>()
            .join("\n"),
    )
}
