//! One entry of a file of badge classes, checked field by field.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::Value;

use super::bundle::DATA_URI;
use crate::domain::{
    CourseKey,
    badge_class::{BadgeClassKey, NewBadgeClass},
    image::check_image,
    limits::{InvalidText, check_component, check_name, check_slug, check_text},
};

/// The fields of one entry; what is wrong with them is collected.
pub(super) struct Fields<'a> {
    pub(super) index: usize,
    pub(super) value: &'a Value,
    pub(super) problems: &'a mut Vec<String>,
}

impl Fields<'_> {
    pub(super) fn badge_class(&mut self, read_image: &impl Fn(&str) -> Result<Vec<u8>, String>) -> NewBadgeClass {
        if !self.value.is_object() {
            self.problems
                .push(format!("badge_classes[{}]: expected an object", self.index));
            return NewBadgeClass {
                key: BadgeClassKey {
                    slug: String::new(),
                    issuing_component: String::new(),
                    course_id: String::new(),
                },
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
                Some(encoded) => STANDARD
                    .decode(encoded.trim())
                    .map_err(|_| "not base64 after the comma".to_owned()),
                None => Err(format!("expected {DATA_URI}… or the path of a PNG file")),
            },
        };
        match bytes.and_then(|bytes| check_image(&bytes).map(|()| bytes).map_err(|error| error.to_string())) {
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
        self.problems
            .push(format!("badge_classes[{}].{name}: {problem}", self.index));
    }
}
