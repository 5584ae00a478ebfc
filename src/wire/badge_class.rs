//! A badge class as a person or a program writes it: in a bundle, or in the body of a request.

use base64::{Engine, engine::general_purpose::STANDARD};

use super::fields::Fields;
use crate::domain::{
    CourseKey,
    badge_class::{BadgeClassKey, NewBadgeClass},
    image::check_image,
    limits::{check_component, check_name, check_slug, check_text},
};

/// How the data URI of a badge's image begins (RFC 2397).
pub const DATA_URI: &str = "data:image/png;base64,";

/// An image as a data URI.
pub fn data_uri(image: &[u8]) -> String {
    format!("{DATA_URI}{}", STANDARD.encode(image))
}

/// Reads and checks a badge class; slug and issuing component are lower-cased. `read_image` reads an image that is not
/// given as a data URI, or says why not.
pub fn read(fields: &mut Fields<'_>, read_image: impl FnOnce(&str) -> Result<Vec<u8>, String>) -> NewBadgeClass {
    let key = read_key(fields);
    NewBadgeClass {
        key,
        mode: fields.optional("mode", check_text),
        display_name: fields.required("display_name", check_text),
        description: fields.required("description", check_text),
        criteria: fields.required("criteria", check_text),
        image: required_image(fields, "image", read_image).unwrap_or_default(),
    }
}

/// Reads and checks the identity of a badge class alone.
pub(super) fn read_key(fields: &mut Fields<'_>) -> BadgeClassKey {
    let lower = |text: Option<String>| text.unwrap_or_default();
    let slug = fields.required("slug", |text| check_slug(&text.to_lowercase()));
    let component = lower(fields.text("issuing_component", |text| check_component(&text.to_lowercase())));
    let course_id = fields.optional("course_id", check_name);
    if !course_id.is_empty()
        && let Err(error) = course_id.parse::<CourseKey>()
    {
        fields.problem("course_id", error);
    }
    BadgeClassKey {
        slug: slug.to_lowercase(),
        issuing_component: component.to_lowercase(),
        course_id,
    }
}

/// A badge image that must be there; `None` when it is wrong.
pub fn required_image(
    fields: &mut Fields<'_>,
    name: &str,
    read_image: impl FnOnce(&str) -> Result<Vec<u8>, String>,
) -> Option<Vec<u8>> {
    let text = fields.required(name, |_| Ok(()));
    if text.is_empty() {
        return None;
    }
    let bytes = match text.strip_prefix("data:") {
        None => read_image(&text),
        Some(_) => match text.strip_prefix(DATA_URI) {
            Some(encoded) => STANDARD
                .decode(encoded.trim())
                .map_err(|_| "not base64 after the comma".to_owned()),
            None => Err(format!("expected {DATA_URI}…")),
        },
    };
    match bytes.and_then(|bytes| check_image(&bytes).map(|()| bytes).map_err(|error| error.to_string())) {
        Ok(bytes) => Some(bytes),
        Err(problem) => {
            fields.problem(name, problem);
            None
        }
    }
}
