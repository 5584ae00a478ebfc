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

pub(super) use self::file::parse;
use super::{
    CliError, context,
    output::{print, print_json},
};
use crate::{
    config::Settings,
    domain::evaluate::Rules,
    store::{
        Store, StoreError,
        event_badges::{self, Refused},
    },
    wire::written_configuration::WrittenConfiguration,
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
fn read(path: &Path) -> Result<WrittenConfiguration, CliError> {
    let text = fs::read_to_string(path).map_err(|error| CliError::failed(format!("{}: {error}", path.display())))?;
    parse(&text).map_err(|problem| CliError::failed(format!("{}: {problem}", path.display())))
}

/// A line for each thing that is wrong with a file.
fn wrong(path: &Path, refused: &Refused, end: &str) -> CliError {
    let line = |problem: &String| format!("{}: {problem}{end}", path.display());
    CliError::Failed(refused.causes().iter().map(line).collect())
}

fn set(settings: &Settings, path: &Path) -> Result<(), CliError> {
    let written = read(path)?;
    let store = context::migrated_store(settings)?;
    let saved = save(&store, &written).map_err(|error| CliError::database(&settings.database_url, &error))?;
    let rules = saved.map_err(|refused| wrong(path, &refused, "; nothing was saved"))?;
    let (id, badges) = (rules.configuration_id, rules.rules.len());
    match written.enabled {
        true => print(&format!("configuration {id} with {badges} badges added and activated")),
        false => print(&format!(
            "configuration {id} with {badges} badges added, not activated (\"enabled\" is not true)"
        )),
    }
}

/// Adds the configuration and, if it says so, activates it: its rules. Nothing is saved where anything is wrong with it.
pub(super) fn save(store: &Store, written: &WrittenConfiguration) -> Result<Result<Rules, Refused>, StoreError> {
    let actor = context::actor();
    store.transaction("set_event_badges", |tx| event_badges::set(tx, written, &actor))
}
