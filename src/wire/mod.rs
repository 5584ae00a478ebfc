//! Bytes to domain and back; no sockets.

pub mod asyncapi;
pub mod badge_class;
pub mod badge_event;
mod canonical;
mod cloud_event;
pub mod dead_letter;
pub mod decode;
mod event_data;
pub mod fields;
pub mod outgoing_event;
mod platform_event;
pub mod record;
mod scalar;
pub mod schemas;

pub use platform_event::EventType;

#[cfg(test)]
mod tests;
