//! Batches on SQLite, and on PostgreSQL where there is one.

mod badges;
mod by_hand;
mod exhausted;
mod histories;
mod lanes;
mod losses;
mod plans;
mod races;
mod reading;
mod replay;
mod retirement;
mod slow;
pub(super) mod support;
mod traps;
