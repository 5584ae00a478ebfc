//! Accolade: badges for Open edX, from its events.
//!
//! The rooms, from the bottom up; imports point down only (`tests/it/layering.rs` holds it):
//!
//! | layer | rooms |
//! | --- | --- |
//! | 6, for tests alone | `simulation` |
//! | 5 | `main`, [`cli`], [`app`] |
//! | 4 | [`config`] |
//! | 3 | [`http`], [`ingest`], [`issue`], [`publish`], [`backfill`] |
//! | 2 | [`store`], [`backend`], [`kafka`] |
//! | 1 | [`wire`] |
//! | 0 | [`domain`], [`clock`], [`failpoint`], [`retry`], [`secret`], [`telemetry`] |

#![forbid(unsafe_code)]

pub mod app;
pub mod backend;
pub mod backfill;
pub mod cli;
pub mod clock;
pub mod config;
pub mod domain;
pub mod failpoint;
pub mod http;
pub mod ingest;
pub mod issue;
pub mod kafka;
pub mod publish;
pub mod retry;
pub mod secret;
#[cfg(test)]
mod simulation;
pub mod store;
pub mod telemetry;
pub mod wire;
