//! The integration tests: one binary, a module a subject.

mod harness;

mod backfill;
mod badgr;
mod badgr_faults;
mod commands;
mod comparison;
mod dead_letters;
mod deployment;
mod e2e_api;
mod e2e_chaos;
mod e2e_crash;
mod e2e_fixtures;
mod e2e_ingest;
mod e2e_open_badges;
mod e2e_whole;
mod e2e_xblock;
mod fake_badgr;
mod fixtures;
mod http_api;
mod http_backend;
mod import_openedx;
mod layering;
mod leaving;
mod ledgers;
mod lives;
mod migrations;
mod model;
mod model_check;
mod open_edx_semantics;
mod own_backend;
mod program;
mod properties;
mod requested;
mod story;
mod switched_off;
