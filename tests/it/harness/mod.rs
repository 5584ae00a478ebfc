//! What the tests stand on.

pub mod database;
pub mod events;
pub mod fake_badgr;
pub mod images;
pub mod kafka;
pub mod postgres;
pub mod process;
pub mod tokens;
