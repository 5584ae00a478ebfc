//! The integration tests: one binary, a module a subject.

mod harness;

mod badgr;
mod deployment;
mod e2e_fixtures;
mod fake_badgr;
mod fixtures;
mod http_backend;
mod layering;
mod migrations;
mod properties;
