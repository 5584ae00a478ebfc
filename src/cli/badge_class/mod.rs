//! `accolade badge-class`

mod archive;
pub(super) mod bundle;
#[cfg(test)]
mod tests;

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::Subcommand;
use serde_json::json;

use super::{
    CliError, context,
    output::{json, print, print_json, table},
};
use crate::{
    config::Settings,
    domain::badge_class::{BadgeClass, NewBadgeClass},
    store::badge_classes,
};

/// List, export and import badge classes with their images
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List the badge classes
    List {
        /// As a JSON list
        #[arg(long)]
        json: bool,
    },
    /// Write all badge classes with their images to a file, for `import` elsewhere
    ///
    /// The images are inside the JSON, or beside it in a ZIP when the name of the file ends in .zip.
    ///
    /// Example: accolade badge-class export badge-classes.zip
    Export {
        /// The file to write; - is standard output, as JSON
        #[arg(default_value = "-")]
        file: PathBuf,
    },
    /// Create the badge classes of a file
    ///
    /// A badge class that exists already stays as it is, and is reported. When something is wrong with the file, all of
    /// it is told and nothing is stored.
    ///
    /// The file: {"badge_classes": [{"slug": "enrolled_three", "issuing_component": "openedx__course", "display_name":
    /// "Enroll in Three Courses", "course_id": "", "description": "…", "criteria": "…", "mode": "", "image":
    /// "three.png"}]}, where the image is a path relative to the file, or data:image/png;base64,…; or a ZIP with such a
    /// file, badge_classes.json, at its top, and the images in it.
    Import {
        /// The file to read
        file: PathBuf,
    },
}

pub(super) fn run(settings: &Settings, command: Command) -> Result<(), CliError> {
    context::quiet_logs(settings)?;
    match command {
        Command::List { json } => list(settings, json),
        Command::Export { file } => export(settings, &file),
        Command::Import { file } => import(settings, &file),
    }
}

fn list(settings: &Settings, as_json: bool) -> Result<(), CliError> {
    let store = context::migrated_store(settings)?;
    let classes = store
        .read("list_badge_classes", badge_classes::list)
        .map_err(|error| CliError::database(&settings.database_url, &error))?;
    if as_json {
        return print_json(&classes.iter().map(in_json).collect::<Vec<_>>());
    }
    if classes.is_empty() {
        return print("no badge classes; create some with `accolade badge-class import FILE`");
    }
    let titles = ["SLUG", "ISSUING COMPONENT", "COURSE", "MODE", "NAME"]
        .map(str::to_owned)
        .to_vec();
    let row = |class: BadgeClass| {
        let key = class.key;
        vec![
            key.slug,
            key.issuing_component,
            key.course_id,
            class.mode,
            class.display_name,
        ]
    };
    let rows: Vec<_> = [titles].into_iter().chain(classes.into_iter().map(row)).collect();
    print(&table(&rows))
}

fn in_json(class: &BadgeClass) -> serde_json::Value {
    json!({
        "id": class.id, "slug": class.key.slug, "issuing_component": class.key.issuing_component,
        "course_id": class.key.course_id, "mode": class.mode, "display_name": class.display_name,
        "description": class.description, "criteria": class.criteria, "backend_id": class.backend_id,
    })
}

fn export(settings: &Settings, file: &Path) -> Result<(), CliError> {
    let store = context::migrated_store(settings)?;
    let failed = |error| CliError::database(&settings.database_url, &error);
    let unwritten = |error: String| CliError::failed(format!("{}: {error}", file.display()));
    let (bytes, number) = if file.extension().is_some_and(|end| end.eq_ignore_ascii_case("zip")) {
        let (bytes, number) = archive::all(&store).map_err(failed)?;
        (bytes.map_err(unwritten)?, number)
    } else {
        let bundle = bundle::all(&store).map_err(failed)?;
        let text = json(&bundle)?;
        if file == Path::new("-") {
            return print(&text);
        }
        ((text + "\n").into_bytes(), bundle.badge_classes.len())
    };
    fs::write(file, bytes).map_err(|error| unwritten(error.to_string()))?;
    print(&format!("{number} badge classes written to {}", file.display()))
}

/// The badge classes of a file, or a line for each thing that is wrong with it.
fn read(file: &Path) -> Result<Vec<NewBadgeClass>, Vec<String>> {
    let bytes = fs::read(file).map_err(|error| vec![error.to_string()])?;
    if archive::is_archive(&bytes) {
        return archive::read(&bytes);
    }
    let text = String::from_utf8(bytes).map_err(|_| vec!["neither a ZIP nor UTF-8 text".to_owned()])?;
    bundle::parse(&text, |image| bundle::image_beside(file, image))
}

fn import(settings: &Settings, file: &Path) -> Result<(), CliError> {
    let name = file.display();
    let classes = read(file)
        .map_err(|problems| CliError::Failed(problems.iter().map(|problem| format!("{name}: {problem}")).collect()))?;
    let store = context::migrated_store(settings)?;
    let actor = context::actor();
    let stored = store.transaction("import_badge_classes", |tx| {
        classes
            .iter()
            .map(|class| badge_classes::get_or_create_by(tx, class, &actor))
            .collect::<Result<Vec<_>, _>>()
    });
    let stored = stored.map_err(|error| CliError::database(&settings.database_url, &error))?;
    let line = |(class, created): &(BadgeClass, bool)| {
        let key = &class.key;
        let parts = [&key.issuing_component, &key.slug, &key.course_id].map(String::as_str);
        let named: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        let what = if *created { "created" } else { "exists unchanged" };
        format!("{}  {what}", named.join(" "))
    };
    print(&stored.iter().map(line).collect::<Vec<_>>().join("\n"))
}
