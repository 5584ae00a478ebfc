//! Builds the parts and runs them.

pub mod token_cache;
