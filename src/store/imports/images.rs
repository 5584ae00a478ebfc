//! Completion images of Open edX.

use super::Taken;
use crate::store::{
    StoreError, Tx,
    audit::Actor,
    completion_images::{self, Change, CompletionImage},
};

/// The image of a course mode that is to be taken.
pub type ImportedImage = CompletionImage;

/// Takes the image of a mode. It replaces what came with the service; what a person set here stays, the default too.
pub fn take_image(tx: &mut Tx<'_>, imported: &ImportedImage, actor: &Actor) -> Result<Taken, StoreError> {
    let here = completion_images::list(tx)?;
    let existing = here.iter().find(|image| image.mode == imported.mode);
    let default = here.iter().find(|image| image.is_default);
    let becomes_default = imported.is_default
        && default.is_none_or(completion_images::is_supplied_default)
        && default.is_none_or(|image| image.mode != imported.mode);
    match existing {
        Some(image) if image.icon == imported.icon && !becomes_default => return Ok(Taken::WasThere),
        Some(image) if image.icon != imported.icon && !completion_images::is_supplied(image) => {
            return Ok(Taken::Other);
        }
        _ => {}
    }
    let change = Change {
        icon: Some(imported.icon.clone()),
        is_default: becomes_default.then_some(true),
    };
    completion_images::change(tx, &imported.mode, &change, actor)?;
    Ok(Taken::New)
}
