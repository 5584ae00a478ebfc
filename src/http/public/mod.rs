//! The pages the world may see.

pub mod pages;
