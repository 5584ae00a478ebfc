//! Rooms of HTTP.
pub mod public;
