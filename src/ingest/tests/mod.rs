//! Batches on SQLite, and on PostgreSQL where there is one.

mod badges;
mod histories;
mod lanes;
mod races;
mod reading;
mod support;
