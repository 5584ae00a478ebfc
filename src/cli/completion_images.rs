//! `accolade completion-images`

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::Subcommand;
use serde_json::json;

use super::{
    CliError, context,
    output::{print, print_json, table},
};
use crate::{
    config::Settings,
    domain::{image::check_image, limits::check_name},
    store::completion_images::{self, Change, CompletionImage},
    wire::badge_class::data_uri,
};

const REACHES: &str =
    "it reaches the courses that have no completion badge of this mode yet; the others keep their image";

/// The image of the course completion badge for each course mode
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List the modes that have an image, and which image the other modes get
    List {
        /// As a JSON list, with the images as data URIs
        #[arg(long)]
        json: bool,
    },
    /// Set the image of a course mode
    ///
    /// Reaches only courses that have no completion badge of this mode yet.
    ///
    /// Example: accolade completion-images set --mode verified --icon verified.png
    Set {
        /// The course mode, such as honor or verified
        #[arg(long, value_name = "MODE")]
        mode: String,
        /// A square PNG of less than 250 KiB
        #[arg(long, value_name = "FILE")]
        icon: PathBuf,
        /// Modes without an image of their own get this one, and no longer the one that they got before
        #[arg(long)]
        default: bool,
    },
    /// Delete the image of a course mode
    ///
    /// The mode gets the default image from then on; where there is no default, it gets no completion badge.
    Delete {
        /// The course mode
        mode: String,
    },
}

pub(super) fn run(settings: &Settings, command: Command) -> Result<(), CliError> {
    context::quiet_logs(settings)?;
    match command {
        Command::List { json } => list(settings, json),
        Command::Set { mode, icon, default } => {
            let change = change_of(&mode, &icon, default)?;
            set(settings, &mode, &change)
        }
        Command::Delete { mode } => delete(settings, &mode),
    }
}

fn list(settings: &Settings, as_json: bool) -> Result<(), CliError> {
    let images = context::migrated_store(settings)?
        .read("list_completion_images", completion_images::list)
        .map_err(|error| CliError::database(&settings.database_url, &error))?;
    if as_json {
        let in_json = |image: &CompletionImage| json!({"mode": image.mode, "icon": data_uri(&image.icon), "default": image.is_default});
        return print_json(&images.iter().map(in_json).collect::<Vec<_>>());
    }
    if images.is_empty() {
        return print("no completion images, so no completion badges; set some with `accolade completion-images set`");
    }
    let titles = ["MODE", "BYTES", "DEFAULT"].map(str::to_owned).to_vec();
    let row = |image: CompletionImage| {
        let default = if image.is_default { "default" } else { "" };
        vec![image.mode, image.icon.len().to_string(), default.to_owned()]
    };
    let rows: Vec<_> = [titles].into_iter().chain(images.into_iter().map(row)).collect();
    print(&table(&rows))
}

/// Checks the options before the database is asked for.
fn change_of(mode: &str, icon: &Path, default: bool) -> Result<Change, CliError> {
    if mode.is_empty() {
        return Err(CliError::usage("--mode: must not be empty"));
    }
    check_name(mode).map_err(|problem| CliError::usage(format!("--mode: {problem}")))?;
    let wrong = |problem: &dyn std::fmt::Display| CliError::failed(format!("--icon {}: {problem}", icon.display()));
    let bytes = fs::read(icon).map_err(|error| wrong(&error))?;
    check_image(&bytes).map_err(|error| wrong(&error))?;
    Ok(Change {
        icon: Some(bytes),
        is_default: default.then_some(true),
    })
}

fn set(settings: &Settings, mode: &str, change: &Change) -> Result<(), CliError> {
    let store = context::migrated_store(settings)?;
    let actor = context::actor();
    let set = store.transaction("set_completion_image", |tx| {
        completion_images::change(tx, mode, change, &actor)
    });
    let set = set.map_err(|error| CliError::database(&settings.database_url, &error))?;
    let (image, is_new) = set.ok_or_else(|| CliError::failed(format!("{mode}: no such mode, and no image for it")))?;
    let what = if is_new { "set" } else { "replaced" };
    let default = if image.is_default { ", the default" } else { "" };
    print(&format!("{mode}  {what}{default}; {REACHES}"))
}

fn delete(settings: &Settings, mode: &str) -> Result<(), CliError> {
    let store = context::migrated_store(settings)?;
    let actor = context::actor();
    let deleted = store.transaction("delete_completion_image", |tx| {
        completion_images::delete(tx, mode, &actor)
    });
    match deleted.map_err(|error| CliError::database(&settings.database_url, &error))? {
        true => print(&format!("{mode}  deleted")),
        false => Err(CliError::failed(format!(
            "{mode}: no image of this mode; `accolade completion-images list` says which there are"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(mode: &str, icon: &str) -> CliError {
        change_of(mode, Path::new(icon), false).expect_err("refused")
    }

    #[test]
    fn what_is_wrong_names_the_option() {
        let image = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/images/honor.png");
        let text = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        assert_eq!(problem("", image), CliError::usage("--mode: must not be empty"));
        let long = problem(&"x".repeat(256), image);
        assert_eq!(long, CliError::usage("--mode: too long: at most 255 characters"));
        for icon in [text, "/nowhere.png"] {
            let CliError::Failed(causes) = problem("honor", icon) else {
                panic!("{icon}: not a failure");
            };
            assert!(causes[0].starts_with(&format!("--icon {icon}: ")), "{causes:?}");
        }
        let change = change_of("honor", Path::new(image), true).expect("a change");
        assert_eq!(change.is_default, Some(true));
        let change = change_of("honor", Path::new(image), false).expect("a change");
        assert_eq!(change.is_default, None, "a default stays one");
    }
}
