//! Builds the parts and runs them.

pub mod roles;
pub mod signals;
pub mod supervisor;
pub mod token_cache;
