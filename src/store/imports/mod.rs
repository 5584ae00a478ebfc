//! Taking over what Open edX's `badges` app had: each row is taken, or was there, and a second time nothing changes.
//!
//! Assertions come before configurations: activating one awards whom it reaches, and must find what they have already.

mod assertions;
mod badge_classes;
mod configurations;
mod images;
mod places;
#[cfg(test)]
mod tests;

use serde_json::{Value, json};

pub use self::{
    assertions::{ImportedAssertion, take_assertions},
    badge_classes::{ImportedBadgeClass, take_badge_class},
    configurations::{ImportedConfiguration, Standing, stand, take_configurations},
    images::{ImportedImage, take_image},
};
use super::{
    StoreError, Tx,
    audit::{self, Action, Actor},
};

/// What became of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It was not here, and is now.
    New,
    /// It was here.
    WasThere,
    /// Something else is here in its place, and stays: a person chose it.
    Other,
    /// An award of the same badge to the same learner is being issued; later it is known what came of it.
    UnderWay,
}

/// Notes in the log that rows of this model were taken.
fn audit(tx: &mut Tx<'_>, actor: &Actor, model: &str, details: Value) -> Result<(), StoreError> {
    audit::record(tx, actor, Action::ImportOpenEdx, model, &details)
}

fn audit_taken(tx: &mut Tx<'_>, actor: &Actor, model: &str, taken: &[Taken]) -> Result<(), StoreError> {
    match taken.iter().filter(|taken| **taken == Taken::New).count() {
        0 => Ok(()),
        new => audit(tx, actor, model, json!({"taken": new})),
    }
}
