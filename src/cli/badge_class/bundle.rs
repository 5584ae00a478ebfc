//! The file of badge classes that `import` reads and `export` writes.

use std::path::Path;

use serde::Serialize;
use serde_json::Value;

use crate::{
    domain::badge_class::{BadgeClass, NewBadgeClass},
    store::{Store, StoreError, badge_classes},
    wire::{
        badge_class::{data_uri, read},
        fields::{FieldProblem, Fields},
    },
};

/// The whole file.
#[derive(Debug, Serialize)]
pub(in crate::cli) struct Bundle {
    pub(in crate::cli) badge_classes: Vec<Entry>,
}

/// One badge class with its image.
#[derive(Debug, Serialize)]
pub(in crate::cli) struct Entry {
    slug: String,
    issuing_component: String,
    display_name: String,
    course_id: String,
    description: String,
    criteria: String,
    mode: String,
    image: String,
}

impl Entry {
    /// `image` is a data URI, or a path relative to the file.
    pub(in crate::cli) fn new(class: BadgeClass, image: String) -> Self {
        Self {
            slug: class.key.slug,
            issuing_component: class.key.issuing_component,
            display_name: class.display_name,
            course_id: class.key.course_id,
            description: class.description,
            criteria: class.criteria,
            mode: class.mode,
            image,
        }
    }
}

/// Every badge class of the database, its image inside.
pub(super) fn all(store: &Store) -> Result<Bundle, StoreError> {
    all_with(store, |_, image| data_uri(&image))
}

/// Every badge class of the database; `put` says how an image is named that it has put somewhere.
pub(super) fn all_with(
    store: &Store,
    mut put: impl FnMut(&BadgeClass, Vec<u8>) -> String,
) -> Result<Bundle, StoreError> {
    store.read("export_badge_classes", |tx| {
        let mut badge_classes = Vec::new();
        for class in badge_classes::list(tx)? {
            let image = put(&class, badge_classes::image(tx, class.id)?);
            badge_classes.push(Entry::new(class, image));
        }
        Ok(Bundle { badge_classes })
    })
}

/// Reads an image beside the file.
pub(in crate::cli) fn image_beside(file: &Path, image: &str) -> Result<Vec<u8>, String> {
    let path = file.parent().unwrap_or(Path::new("")).join(image);
    std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))
}

/// The badge classes of a file, or all that is wrong with it: a line each, with the entry's index and the field.
/// `read_image` reads an image that is named by its path.
pub(in crate::cli) fn parse(
    text: &str,
    read_image: impl Fn(&str) -> Result<Vec<u8>, String>,
) -> Result<Vec<NewBadgeClass>, Vec<String>> {
    let file: Value = serde_json::from_str(text)
        .map_err(|error| vec![format!("not JSON at line {} column {}", error.line(), error.column())])?;
    let Some(entries) = file.get("badge_classes").and_then(Value::as_array) else {
        return Err(vec!["badge_classes: expected a list of badge classes".to_owned()]);
    };
    let mut problems = Vec::new();
    let mut classes = Vec::new();
    for (index, value) in entries.iter().enumerate() {
        let Some(object) = value.as_object() else {
            problems.push(format!("badge_classes[{index}]: expected an object"));
            continue;
        };
        let mut fields = Fields::new(object);
        classes.push(read(&mut fields, &read_image));
        let line = |FieldProblem { field, problem }| format!("badge_classes[{index}].{field}: {problem}");
        problems.extend(fields.finish().err().into_iter().flatten().map(line));
    }
    if problems.is_empty() {
        Ok(classes)
    } else {
        Err(problems)
    }
}
