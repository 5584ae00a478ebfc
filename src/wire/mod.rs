//! Bytes to domain and back; no sockets.

pub mod decode;
pub mod record;
