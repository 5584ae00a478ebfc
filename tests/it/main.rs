//! The integration tests: one binary, a module a subject.

mod harness;

mod deployment;
mod e2e_fixtures;
mod fake_badgr;
mod fixtures;
mod layering;
mod migrations;
