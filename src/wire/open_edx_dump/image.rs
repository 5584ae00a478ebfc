//! Images of the course completion badges of the removed app.

use super::Row;
use crate::{
    domain::limits::check_name,
    wire::{badge_class::required_image, fields::FieldProblem},
};

/// The image of a course mode as a row has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DumpedImage {
    /// The course mode.
    pub mode: String,
    /// A square PNG.
    pub icon: Vec<u8>,
    /// Whether modes without an image of their own get this one.
    pub is_default: bool,
}

impl Row<'_> {
    /// The image of a course mode. `read_image` reads a file below the media directory.
    pub fn image(
        &self,
        read_image: impl FnOnce(&str) -> Result<Vec<u8>, String>,
    ) -> Result<DumpedImage, Vec<FieldProblem>> {
        self.read(|fields| DumpedImage {
            mode: fields.required("mode", check_name),
            icon: required_image(fields, "icon", read_image).unwrap_or_default(),
            is_default: fields.switch("default").unwrap_or_default(),
        })
    }
}
