//! What the demo starts with: the sample files, compiled in.

use std::sync::Arc;

use crate::{
    cli::badge_class::bundle,
    domain::evaluate::Rules,
    store::{Store, StoreError, badge_classes, event_badges},
};

/// The sample's events, a line each.
pub(super) const EVENTS: &str = include_str!("../../../deploy/samples/events.jsonl");
const BADGE_CLASSES: &str = include_str!("../../../deploy/samples/badge-classes.json");
pub(super) const CONFIGURATION: &str = include_str!("../../../deploy/samples/event-badges.json");

macro_rules! images {
    ($($name:literal),+ $(,)?) => {
        [$(($name, include_bytes!(concat!("../../../deploy/", $name)).as_slice())),+]
    };
}

const IMAGES: [(&str, &[u8]); 5] = images![
    "images/sample-enrolled_three.png",
    "images/sample-enrolled_five.png",
    "images/sample-completed_two.png",
    "images/sample-completed_three.png",
    "images/sample-prereq_cs.png",
];
