//! `accolade event-badges`

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

use clap::Subcommand;
use serde_json::{Map, Value, json};

use super::{
    CliError, context,
    output::{print, print_json},
};
use crate::{
    config::Settings,
    domain::{
        badge_class::{BadgeClassId, BadgeClassKey, COURSE_EVENTS_COMPONENT},
        event_badges::{ConfigurationError, ConfigurationTexts},
    },
    store::{Store, StoreError, Tx, badge_classes, event_badges},
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
}

/// A configuration in a file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ConfigurationFile {
    /// Whether it is to be activated.
    pub(super) enabled: bool,
    /// What it says.
    pub(super) texts: ConfigurationTexts,
}

impl ConfigurationFile {
    /// The configuration in this JSON, or all that is wrong with its form, a line each.
    pub(super) fn parse(text: &str) -> Result<Self, Vec<String>> {
        let file: Map<String, Value> = serde_json::from_str(text).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            vec![format!("line {line} column {column}: expected a JSON object such as {{\"enabled\": true, …}}")]
        })?;
        let mut read = Self::default();
        let mut problems = Vec::new();
        for (name, value) in file {
            let text = match name.as_str() {
                "courses_enrolled" => &mut read.texts.courses_enrolled,
                "courses_completed" => &mut read.texts.courses_completed,
                "course_groups" => &mut read.texts.course_groups,
                "enabled" => {
                    match value.as_bool() {
                        Some(enabled) => read.enabled = enabled,
                        None => problems.push("enabled: expected true or false".to_owned()),
                    }
                    continue;
                }
                _ => {
                    problems.push(format!("{name}: no such field; expected enabled or one of the three texts"));
                    continue;
                }
            };
            match value {
                Value::String(lines) => *text = lines,
                _ => problems.push(format!("{name}: expected a text; \\n ends a line")),
            }
        }
        if problems.is_empty() { Ok(read) } else { Err(problems) }
    }
}

pub(super) fn run(settings: &Settings, command: Command) -> Result<(), CliError> {
    context::quiet_logs(settings)?;
    match command {
        Command::Show { json } => show(settings, json),
        Command::Set { file } => set(settings, &file),
    }
}
