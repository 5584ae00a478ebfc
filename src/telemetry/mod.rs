//! What operators watch: metrics and logs.

mod logs;
mod metrics;

pub use logs::{LogFormat, LogsError, init_logs};
pub use metrics::Metrics;
