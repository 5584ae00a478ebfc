//! Bytes to domain and back; no sockets.

pub mod record;
