//! The integration tests: one binary, a module a subject.

mod harness;

mod e2e_fixtures;
mod fake_badgr;
mod fixtures;
