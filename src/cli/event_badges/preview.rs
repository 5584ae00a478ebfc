//! `accolade event-badges preview`

use std::path::Path;

use serde_json::{Value, json};

use super::{read, wrong};
use crate::{
    cli::{
        CliError, context,
        output::{print, print_json, table},
    },
    config::Settings,
    domain::evaluate::Condition,
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
    let (kind, threshold, courses) = match &reach.condition {
        Condition::Enrolled(n) => ("courses_enrolled", Some(*n), None),
        Condition::Completed(n) => ("courses_completed", Some(*n), None),
        Condition::Group(courses) => {
            let keys: Vec<String> = courses.iter().map(ToString::to_string).collect();
            ("course_group", None, Some(keys))
        }
    };
    json!({"slug": reach.badge_class.slug, "kind": kind, "threshold": threshold, "courses": courses,
        "learners": reach.learners, "awarded": reach.awarded})
}

fn row(reach: &Reach) -> Vec<String> {
    let what = match &reach.condition {
        Condition::Enrolled(n) => format!("{n} courses enrolled"),
        Condition::Completed(n) => format!("{n} courses completed"),
        Condition::Group(courses) => format!("a group of {} courses", courses.len()),
    };
    vec![
        reach.badge_class.slug.clone(),
        what,
        reach.learners.to_string(),
        reach.awarded.to_string(),
    ]
}
