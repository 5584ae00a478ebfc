//! The set-up of logs: text for people, JSON for machines, on standard error.

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    io::{self, IsTerminal},
    panic,
    sync::{Mutex, PoisonError, mpsc},
    thread,
    time::Duration,
};

use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::{
    EnvFilter,
    fmt::{self, MakeWriter},
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

/// How many lines wait for standard error at most: some megabytes.
const QUEUE_LINES: usize = 10_000;
/// How long the end of the process waits for the last lines to be written.
const LAST_LINES: Duration = Duration::from_secs(2);

/// How a line of the log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Why there are no logs.
#[derive(Debug, thiserror::Error)]
pub enum LogsError {
    /// `RUST_LOG` is no filter.
    #[error("RUST_LOG: expected a filter such as info or accolade=debug,warn")]
    Filter,
    /// Logs were set up before, in this process.
    #[error("logs are set up already")]
    Twice,
}

/// Starts logging, for a command that ends by itself: each line is written before the work goes on. Without a format:
/// text when standard error is a terminal, else JSON.
pub fn init_logs(format: Option<LogFormat>, filter: &str) -> Result<(), LogsError> {
    start(format, filter, io::stderr)
}

/// Starts logging, for a service that must not stand still because nobody takes its log: lines, and panics, wait in a
/// queue for a thread that writes them. When the queue is full they are dropped, and counted.
pub fn init_queued_logs(format: Option<LogFormat>, filter: &str) -> Result<LogQueue, LogsError> {
    let (writer, guard) = NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(QUEUE_LINES)
        .thread_name("log")
        .finish(io::stderr());
    let dropped = writer.error_counter();
    start(format, filter, writer)?;
    // The usual hook writes to standard error where the panic is.
    panic::set_hook(Box::new(|panic| {
        let backtrace = Backtrace::capture();
        match backtrace.status() {
            BacktraceStatus::Captured => tracing::error!("{panic}\n{backtrace}"),
            _ => tracing::error!("{panic}"),
        }
    }));
    Ok(LogQueue {
        guard: Mutex::new(Some(guard)),
        dropped,
    })
}

fn start(
    format: Option<LogFormat>,
    filter: &str,
    writer: impl for<'a> MakeWriter<'a> + Send + Sync + 'static,
) -> Result<(), LogsError> {
    let terminal = io::stderr().is_terminal();
    let filter = EnvFilter::try_new(filter).map_err(|_| LogsError::Filter)?;
    let format = format.unwrap_or(if terminal { LogFormat::Text } else { LogFormat::Json });
    let registry = tracing_subscriber::registry().with(filter);
    let started = match format {
        LogFormat::Text => registry
            .with(fmt::layer().with_writer(writer).with_ansi(terminal).with_target(false))
            .try_init(),
        LogFormat::Json => registry
            .with(fmt::layer().json().flatten_event(true).with_writer(writer))
            .try_init(),
    };
    started.map_err(|_| LogsError::Twice)
}

/// The lines that wait to be written. Dropping it ends it.
#[derive(Debug)]
pub struct LogQueue {
    guard: Mutex<Option<WorkerGuard>>,
    dropped: ErrorCounter,
}

impl LogQueue {
    /// Writes what waits, for two seconds at most; what is said from now on is lost. To be called as the last thing of a
    /// process. Again does nothing.
    pub fn end(&self) {
        let Some(guard) = self.guard.lock().unwrap_or_else(PoisonError::into_inner).take() else {
            return;
        };
        // The guard tells of a full queue on standard output, which may be blocked too.
        let (done, written) = mpsc::channel();
        let ending = thread::Builder::new().spawn(move || {
            drop(guard);
            let _ = done.send(());
        });
        if ending.is_ok() {
            let _ = written.recv_timeout(LAST_LINES);
        }
    }

    /// How many lines were dropped up to now.
    pub(super) fn dropped(&self) -> ErrorCounter {
        self.dropped.clone()
    }
}

impl Drop for LogQueue {
    fn drop(&mut self) {
        self.end();
    }
}
