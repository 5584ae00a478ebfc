//! The file of badge classes that `import` reads and `export` writes.

use std::path::Path;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Serialize;
use serde_json::Value;

use crate::domain::{
    CourseKey,
    badge_class::{BadgeClass, BadgeClassKey, NewBadgeClass},
    image,
    limits::{InvalidText, check_component, check_name, check_slug, check_text},
};

const DATA_URI: &str = "data:image/png;base64,";

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
    pub(in crate::cli) fn new(class: BadgeClass, image: &[u8]) -> Self {
        Self {
            slug: class.key.slug,
            issuing_component: class.key.issuing_component,
            display_name: class.display_name,
            course_id: class.key.course_id,
            description: class.description,
            criteria: class.criteria,
            mode: class.mode,
            image: format!("{DATA_URI}{}", STANDARD.encode(image)),
        }
    }
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
        let mut fields = Fields { index, value, problems: &mut problems };
        classes.push(fields.badge_class(&read_image));
    }
    if problems.is_empty() { Ok(classes) } else { Err(problems) }
}

/// The fields of one entry; what is wrong with them is collected.
struct Fields<'a> {
    index: usize,
    value: &'a Value,
    problems: &'a mut Vec<String>,
}

impl Fields<'_> {
    fn badge_class(&mut self, read_image: &impl Fn(&str) -> Result<Vec<u8>, String>) -> NewBadgeClass {
        if !self.value.is_object() {
            self.problems.push(format!("badge_classes[{}]: expected an object", self.index));
            return NewBadgeClass {
                key: BadgeClassKey { slug: String::new(), issuing_component: String::new(), course_id: String::new() },
                mode: String::new(),
                display_name: String::new(),
                description: String::new(),
                criteria: String::new(),
                image: Vec::new(),
            };
        }
        let class = NewBadgeClass {
            key: BadgeClassKey {
                slug: self.required("slug", check_slug, str::to_lowercase),
                issuing_component: self.optional("issuing_component", check_component, str::to_lowercase),
                course_id: self.optional("course_id", check_name, str::to_owned),
            },
            mode: self.optional("mode", check_name, str::to_owned),
            display_name: self.required("display_name", check_text, str::to_owned),
            description: self.required("description", check_text, str::to_owned),
            criteria: self.required("criteria", check_text, str::to_owned),
            image: self.image(read_image).unwrap_or_default(),
        };
        if let Err(error) = class.key.course_id.parse::<CourseKey>()
            && !class.key.course_id.is_empty()
        {
            self.problem("course_id", error);
        }
        class
    }

    fn image(&mut self, read_image: &impl Fn(&str) -> Result<Vec<u8>, String>) -> Option<Vec<u8>> {
        let text = self.required("image", |_| Ok(()), str::to_owned);
        let bytes = match text.strip_prefix("data:") {
            _ if text.is_empty() => return None,
            None => read_image(&text),
            Some(_) => match text.strip_prefix(DATA_URI) {
                Some(encoded) => STANDARD.decode(encoded.trim()).map_err(|_| "not base64 after the comma".to_owned()),
                None => Err(format!("expected {DATA_URI}… or the path of a PNG file")),
            },
        };
        match bytes.and_then(|bytes| image::check(&bytes).map(|_| bytes).map_err(|error| error.to_string())) {
            Ok(bytes) => Some(bytes),
            Err(problem) => {
                self.problem("image", problem);
                None
            }
        }
    }

    fn required(&mut self, name: &str, check: fn(&str) -> Result<(), InvalidText>, form: fn(&str) -> String) -> String {
        let before = self.problems.len();
        let text = self.optional(name, check, form);
        if text.is_empty() && self.problems.len() == before {
            self.problem(name, "needed");
        }
        text
    }

    fn optional(&mut self, name: &str, check: fn(&str) -> Result<(), InvalidText>, form: fn(&str) -> String) -> String {
        let text = match self.value.get(name) {
            None | Some(Value::Null) => return String::new(),
            Some(Value::String(text)) => form(text.trim()),
            Some(_) => {
                self.problem(name, "expected a text");
                return String::new();
            }
        };
        if let Err(problem) = check(&text)
            && !text.is_empty()
        {
            self.problem(name, problem);
        }
        text
    }

    fn problem(&mut self, name: &str, problem: impl std::fmt::Display) {
        self.problems.push(format!("badge_classes[{}].{name}: {problem}", self.index));
    }
}
