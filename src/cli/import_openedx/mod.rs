//! `accolade import-openedx`

mod assertions;
mod badge_classes;
mod configurations;
mod desk;
mod media;
mod report;
mod steps;
#[cfg(test)]
mod tests;

use std::{fs, path::PathBuf};

use clap::Args;

use self::{
    desk::{Live, Rehearsal},
    media::Media,
    report::Report,
    steps::Import,
};
use super::{
    CliError, context,
    output::{print, print_json},
};
use crate::{
    config::Settings,
    store::{Store, StoreError, event_badges},
    wire::open_edx_dump::Dump,
};

/// Take over badges from the badges app that Open edX had
///
/// FILE is what `manage.py lms dumpdata badges auth.user` wrote (without auth.user, learners get their names from later
/// events). Takes badge classes with their images, assertions, completion images and configurations: learners keep
/// their badges and get none twice. The newest configuration is activated if it is enabled and none is active here.
///
/// What can be taken is taken, and the rest is told with the reason, which ends the command with exit code 1. A second
/// run takes what is missing and changes nothing else.
///
/// Example: accolade import-openedx badges.json --media /openedx/media
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The file to read
    file: PathBuf,
    /// Where the files of the images are: Open edX's MEDIA_ROOT, or a copy of it
    ///
    /// Without it they are looked for beside FILE, and a badge class whose image is not there gets one that stands in
    /// until the command runs again with this option.
    #[arg(long, value_name = "DIR", aliases = ["media-root", "media-dir"])]
    media: Option<PathBuf>,
    /// Say what would be taken, and write nothing
    ///
    /// All of it is tried in one transaction. A running service reads no events meanwhile, and on SQLite nothing else is
    /// written: what lasts long, rehearse when little happens.
    #[arg(long)]
    dry_run: bool,
    /// As a JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn run(settings: &Settings, arguments: &Arguments) -> Result<(), CliError> {
    context::quiet_logs(settings)?;
    let name = arguments.file.display();
    let failed = |problem: String| CliError::failed(format!("{name}: {problem}; nothing was saved"));
    let bytes = fs::read(&arguments.file).map_err(|error| failed(error.to_string()))?;
    let text = String::from_utf8(bytes).map_err(|_| failed("not UTF-8".to_owned()))?;
    let dump = Dump::parse(text.trim_start_matches('\u{feff}')).map_err(|error| failed(error.to_string()))?;
    let media = Media::new(&arguments.file, arguments.media.as_deref()).map_err(failed)?;
    let store = context::migrated_store(settings)?;
    let import = Import::new(&dump, &media);
    let done = match arguments.dry_run {
        true => rehearsed(&store, &import),
        false => import.all_in(&mut Live(&store)),
    };
    let report = done.map_err(|error: StoreError| CliError::database(&settings.database_url, &error))?;
    tell(&report, arguments)
}

fn rehearsed(store: &Store, import: &Import<'_>) -> Result<Report, StoreError> {
    store.rehearsal("import_openedx", |tx| {
        // The step that takes it comes last, when others may wait for what the steps before it hold.
        event_badges::fence_exclusive(tx)?;
        import.all_in(&mut Rehearsal(tx))
    })
}

fn tell(report: &Report, arguments: &Arguments) -> Result<(), CliError> {
    match arguments.json {
        true => print_json(&report.object(arguments.dry_run))?,
        false => print(&report.text(arguments.dry_run))?,
    }
    match report.causes() {
        causes if causes.is_empty() => Ok(()),
        causes => Err(CliError::Failed(causes)),
    }
}
