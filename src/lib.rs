//! Badges for Open edX, from its events.
#![forbid(unsafe_code)]

pub mod kafka;
pub mod wire;
