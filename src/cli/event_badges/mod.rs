//! `accolade event-badges`

mod file;
mod preview;

use std::{
    fs,
    path::{Path, PathBuf},
};

use chrono::SecondsFormat;
use clap::Subcommand;
use serde_json::json;

pub(super) use self::file::ConfigurationFile;
use super::{
    CliError, context,
    output::{print, print_json},
};
use crate::{
    config::Settings,
    domain::evaluate::Rules,
    store::{
        Store, StoreError,
        audit::{self, Action},
        event_badges::{self, NewConfiguration},
    },
};

/// Show and set the configuration of the course event badges
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show the active configuration
    Show {
        /// As a JSON object, or null
        #[arg(long)]
        json: bool,
    },
    /// Add the configuration of a file and, if it says so, activate it
    ///
    /// When something is wrong with the file, all of it is told and nothing is saved. Activating reaches the learners
    /// who already qualify, too.
    ///
    /// The file: {"enabled": true, "courses_enrolled": "3,enrolled_three\n5,enrolled_five", "courses_completed":
    /// "3,completed_three", "course_groups": "prereq_cs,course-v1:edX+CS101+2026,course-v1:edX+CS102+2026"}, where a
    /// line of a text is COUNT,SLUG, and of a group SLUG,COURSE_KEY[,COURSE_KEY…].
    Set {
        /// The file to read
        file: PathBuf,
    },
    /// Count how many learners each badge of a file would reach now, and how many of them have it already
    ///
    /// Nothing is written.
    Preview {
        /// The file to read
        file: PathBuf,
        /// As a JSON list
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn run(settings: &Settings, command: Command) -> Result<(), CliError> {
    context::quiet_logs(settings)?;
    match command {
        Command::Show { json } => show(settings, json),
        Command::Set { file } => set(settings, &file),
        Command::Preview { file, json } => preview::run(settings, &file, json),
    }
}

fn show(settings: &Settings, as_json: bool) -> Result<(), CliError> {
    let store = context::migrated_store(settings)?;
    let active = store.read("show_event_badges", event_badges::active);
    let active = active.map_err(|error| CliError::database(&settings.database_url, &error))?;
    let Some(active) = active else {
        return match as_json {
            true => print("null"),
            false => print("no active configuration; activate one with `accolade event-badges set FILE`"),
        };
    };
    let activated = active
        .activated_at
        .map(|time| time.to_rfc3339_opts(SecondsFormat::Secs, true));
    let texts = active.texts;
    if as_json {
        return print_json(&json!({
            "id": active.id, "enabled": true, "activated_at": activated, "courses_enrolled": texts.courses_enrolled,
            "courses_completed": texts.courses_completed, "course_groups": texts.course_groups,
        }));
    }
    let lines = |text: &str| text.lines().map(|line| format!("\n  {line}")).collect::<String>();
    print(&format!(
        "configuration {}, activated {}\ncourses_enrolled:{}\ncourses_completed:{}\ncourse_groups:{}",
        active.id,
        activated.unwrap_or_default(),
        lines(&texts.courses_enrolled),
        lines(&texts.courses_completed),
        lines(&texts.course_groups),
    ))
}

/// The configuration in this file.
fn read(path: &Path) -> Result<ConfigurationFile, CliError> {
    let text = fs::read_to_string(path).map_err(|error| CliError::failed(format!("{}: {error}", path.display())))?;
    ConfigurationFile::parse(&text).map_err(|problems| wrong(path, problems, "; nothing was saved"))
}

/// A line for each thing that is wrong with a file.
fn wrong(path: &Path, problems: Vec<String>, end: &str) -> CliError {
    let line = |problem: &String| format!("{}: {problem}{end}", path.display());
    CliError::Failed(problems.iter().map(line).collect())
}

fn set(settings: &Settings, path: &Path) -> Result<(), CliError> {
    let in_file = |problems| wrong(path, problems, "; nothing was saved");
    let file = read(path)?;
    let store = context::migrated_store(settings)?;
    let saved = save(&store, &file).map_err(|error| CliError::database(&settings.database_url, &error))?;
    let rules = saved.map_err(in_file)?;
    let (id, badges) = (rules.configuration_id, rules.rules.len());
    match file.enabled {
        true => print(&format!("configuration {id} with {badges} badges added and activated")),
        false => print(&format!(
            "configuration {id} with {badges} badges added, not activated (\"enabled\" is not true)"
        )),
    }
}

/// Adds the configuration and, if it says so, activates it: its rules. The inner error has a line for each thing that
/// is wrong with its texts; nothing is saved then.
pub(super) fn save(store: &Store, file: &ConfigurationFile) -> Result<Result<Rules, Vec<String>>, StoreError> {
    let actor = context::actor();
    let new = NewConfiguration {
        texts: file.texts.clone(),
        enabled: file.enabled,
        changed_by: actor.name.clone(),
    };
    store.transaction("set_event_badges", |tx| match event_badges::check(tx, &new.texts)? {
        Ok(rules) => {
            let configuration_id = event_badges::insert(tx, &new)?;
            let details = json!({"enabled": new.enabled});
            audit::record(
                tx,
                &actor,
                Action::SetEventBadges,
                &configuration_id.to_string(),
                &details,
            )?;
            Ok(Ok(Rules {
                configuration_id,
                ..rules
            }))
        }
        Err(errors) => Ok(Err(errors.iter().map(ToString::to_string).collect())),
    })
}
