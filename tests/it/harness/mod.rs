//! What the tests stand on.

pub mod app;
pub mod binary;
pub mod certificates;
pub mod database;
pub mod events;
pub mod fake_badgr;
pub mod images;
pub mod kafka;
pub mod logs;
pub mod postgres;
pub mod process;
pub mod proxy;
pub mod small_disk;
pub mod tls;
pub mod tokens;
pub mod topics;
pub mod world;
