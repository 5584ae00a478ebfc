//! What operators watch: metrics and logs.

mod logs;
mod metrics;
mod one_line;

pub use logs::{LogFormat, LogQueue, LogsError, check_log_filter, init_logs, init_queued_logs};
pub use metrics::Metrics;
