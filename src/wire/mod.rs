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
pub mod mentions;
pub mod open_edx_dump;
pub mod outgoing_event;
mod platform_event;
pub mod readable;
pub mod record;
pub mod redact;
mod scalar;
pub mod schemas;
pub mod written_configuration;

pub use platform_event::EventType;

#[cfg(test)]
mod tests;
