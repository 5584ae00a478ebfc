//! What the demo starts with: the sample files, compiled in.

use std::path::Path;

use crate::{
    cli::{CliError, badge_class::bundle, event_badges},
    domain::{badge_class::NewBadgeClass, evaluate::Rules},
    store::{Store, StoreError, badge_classes},
};

/// The sample's events, a line each.
pub(super) const EVENTS: &str = include_str!("../../../deploy/samples/events.jsonl");
/// The sample's configuration.
pub(super) const CONFIGURATION: &str = include_str!("../../../deploy/samples/event-badges.json");
const BADGE_CLASSES: &str = include_str!("../../../deploy/samples/badge-classes.json");

macro_rules! image {
    ($name:literal) => {
        (
            concat!($name, ".png"),
            include_bytes!(concat!("../../../deploy/images/", $name, ".png")),
        )
    };
}

const IMAGES: [(&str, &[u8]); 5] = [
    image!("sample-enrolled_three"),
    image!("sample-enrolled_five"),
    image!("sample-completed_two"),
    image!("sample-completed_three"),
    image!("sample-prereq_cs"),
];

/// Stores the sample's badge classes and activates its configuration: its rules.
pub(super) fn store(store: &Store) -> Result<Rules, CliError> {
    let failed = |error: StoreError| CliError::failed(format!("the samples: {error}"));
    let classes = badge_classes().map_err(CliError::Failed)?;
    let created = store.transaction("store_samples", |tx| {
        classes
            .iter()
            .try_for_each(|class| badge_classes::get_or_create(tx, class).map(drop))
    });
    created.map_err(failed)?;
    let configuration = event_badges::parse(CONFIGURATION).map_err(CliError::failed)?;
    event_badges::save(store, &configuration)
        .map_err(failed)?
        .map_err(|refused| CliError::Failed(refused.causes()))
}

fn badge_classes() -> Result<Vec<NewBadgeClass>, Vec<String>> {
    bundle::parse(BADGE_CLASSES, |path| {
        let named = |(name, _): &&(&str, &[u8])| Path::new(path).ends_with(name);
        let image = IMAGES
            .iter()
            .find(named)
            .ok_or_else(|| format!("{path}: not compiled in"))?;
        Ok(image.1.to_vec())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_badge_classes_have_their_images() {
        assert_eq!(badge_classes().expect("the sample").len(), 5);
    }
}
