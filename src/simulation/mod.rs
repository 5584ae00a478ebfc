//! Decisions, the award's state machine, tokens, breakers, retries and the relay in a world without threads: a virtual
//! clock, a scheduler and faults, all from one seed.
//!
//! What decides is the real code: [`domain`](crate::domain), [`Fold`](crate::ingest::fold::Fold),
//! [`Backoff`](crate::retry::Backoff), both breakers, [`UnderLease`](crate::issue::under_lease::UnderLease),
//! [`Renewal`](crate::backend::badgr::renewal::Renewal) and [`Sent`](crate::publish::sent::Sent). What stands around it is
//! modelled here in memory: database, brokers, Badgr and the loops of the processes. `tests/README.md` says more.

mod backfilling;
mod badgr;
mod batch;
mod broker;
mod chance;
mod check;
mod database;
mod ingesting;
mod issuing;
mod open;
mod outbox;
mod people;
mod plan;
mod relaying;
mod replica;
mod schedule;
mod tests;
mod tokens;
mod world;
