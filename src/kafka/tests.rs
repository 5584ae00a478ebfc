//! The room against the embedded broker.

mod admin;
mod harness;
mod producer;
mod raw;
mod reading;
mod starting;
mod trouble;
