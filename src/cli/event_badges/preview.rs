//! `accolade event-badges preview`

use std::path::Path;

use serde_json::{Value, json};

use super::{read, wrong};
use crate::{
    cli::{
        CliError, context,
        output::{print, print_json, table},
        rules,
    },
    config::Settings,
    store::{event_badges, preview::Reach},
};

pub(super) fn run(settings: &Settings, path: &Path, as_json: bool) -> Result<(), CliError> {
    let written = read(path)?;
    let store = context::migrated_store(settings)?;
    let reached = store
        .read("preview_event_badges", |tx| event_badges::try_out(tx, &written))
        .map_err(|error| CliError::database(&settings.database_url, &error))?
        .map_err(|refused| wrong(path, &refused, ""))?;
    if as_json {
        return print_json(&reached.iter().map(object).collect::<Vec<_>>());
    }
    let header = ["SLUG", "FOR", "LEARNERS", "OF THEM HAVE IT"]
        .map(str::to_owned)
        .to_vec();
    let rows = reached.iter().map(row);
    print(&table(&std::iter::once(header).chain(rows).collect::<Vec<_>>()))
}

fn object(reach: &Reach) -> Value {
    let mut object = rules::object(&reach.badge_class, &reach.condition);
    object["learners"] = json!(reach.learners);
    object["awarded"] = json!(reach.awarded);
    object
}

fn row(reach: &Reach) -> Vec<String> {
    vec![
        reach.badge_class.slug.clone(),
        rules::words(&reach.condition),
        reach.learners.to_string(),
        reach.awarded.to_string(),
    ]
}
