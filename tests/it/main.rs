//! The integration tests: one binary, a module a subject.

mod harness;

mod fake_badgr;
mod fixtures;
mod e2e_fixtures;
