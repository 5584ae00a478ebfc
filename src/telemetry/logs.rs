//! The set-up of logs: text for people, JSON for machines, on standard error.

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    io::{self, IsTerminal},
    panic,
    sync::{Mutex, PoisonError, mpsc},
    thread,
    time::Duration,
};

use tracing::Subscriber;
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::{
    EnvFilter,
    fmt::{self, MakeWriter},
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

use super::one_line::OneLine;

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
    /// This is no filter.
    #[error("expected a filter such as info or accolade=debug,warn")]
    Filter,
    /// Logs were set up before, in this process.
    #[error("logs are set up already")]
    Twice,
}

/// Whether this says which lines the log is to have, as `RUST_LOG` does.
///
/// # Errors
/// [`LogsError::Filter`]: it does not.
pub fn check_log_filter(filter: &str) -> Result<(), LogsError> {
    log_filter(filter).map(drop)
}

fn log_filter(filter: &str) -> Result<EnvFilter, LogsError> {
    EnvFilter::try_new(filter).map_err(|_| LogsError::Filter)
}

/// Starts logging, for a command that ends by itself: each line is written before the work goes on. Without a format:
/// text when standard error is a terminal, else JSON.
pub fn init_logs(format: Option<LogFormat>, filter: &str) -> Result<(), LogsError> {
    start(format, filter, io::stderr).map(drop)
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
    let format = start(format, filter, writer)?;
    // The usual hook writes to standard error where the panic is.
    panic::set_hook(Box::new(move |panic| {
        let backtrace = Backtrace::capture();
        match (backtrace.status(), format) {
            (BacktraceStatus::Captured, LogFormat::Json) => tracing::error!("{panic}\n{backtrace}"),
            (BacktraceStatus::Captured, LogFormat::Text) => {
                tracing::error!("{panic}");
                for line in backtrace.to_string().lines() {
                    tracing::error!("{line}");
                }
            }
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
) -> Result<LogFormat, LogsError> {
    let terminal = io::stderr().is_terminal();
    let filter = log_filter(filter)?;
    let format = format.unwrap_or(if terminal { LogFormat::Text } else { LogFormat::Json });
    let started = subscriber(format, terminal, filter, writer).try_init();
    started.map(|()| format).map_err(|_| LogsError::Twice)
}

/// Writes one line an event, whatever it says: a text of somebody else cannot look like a line of ours.
fn subscriber(
    format: LogFormat,
    colours: bool,
    filter: EnvFilter,
    writer: impl for<'a> MakeWriter<'a> + Send + Sync + 'static,
) -> Box<dyn Subscriber + Send + Sync> {
    let registry = tracing_subscriber::registry().with(filter);
    match format {
        LogFormat::Text => {
            let lines = fmt::layer().with_writer(OneLine { writer, colours });
            Box::new(registry.with(lines.with_ansi(colours).with_target(false)))
        }
        LogFormat::Json => Box::new(registry.with(fmt::layer().json().flatten_event(true).with_writer(writer))),
    }
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

#[cfg(test)]
mod tests {
    use std::{io::Write, sync::Arc};

    use super::*;

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("no panic").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: LogFormat, say: impl FnOnce()) -> String {
        let buffer = Buffer::default();
        let writer = buffer.clone();
        let subscriber = subscriber(format, false, EnvFilter::new("info"), move || writer.clone());
        tracing::subscriber::with_default(subscriber, say);
        String::from_utf8(buffer.0.lock().expect("no panic").clone()).expect("UTF-8")
    }

    #[test]
    fn an_event_is_a_line_whatever_it_says() {
        let forged = "said\n2026-11-01T12:00:00Z  INFO forged\r\u{85}\u{2028}\u{2029}\u{b}\u{c}\u{1b}[2J";
        for format in [LogFormat::Text, LogFormat::Json] {
            let lines = logged(format, || {
                tracing::warn!(detail = %forged, "a message: {forged}");
                tracing::info!("the next one");
            });
            assert!(lines.ends_with('\n'), "{lines}");
            assert_eq!(lines.matches('\n').count(), 2, "{lines}");
            let breaks = ['\r', '\u{b}', '\u{c}', '\u{1b}'];
            assert!(!lines.contains(breaks), "{lines:?}");
            if format == LogFormat::Text {
                assert!(!lines.contains(['\u{85}', '\u{2028}', '\u{2029}']), "{lines:?}");
                assert_eq!(
                    lines.matches("said\\n2026-11-01T12:00:00Z  INFO forged\\r").count(),
                    2,
                    "{lines}"
                );
            } else {
                let objects = lines.lines().map(serde_json::from_str::<serde_json::Value>);
                assert!(
                    objects
                        .into_iter()
                        .all(|object| object.is_ok_and(|object| object.is_object()))
                );
            }
        }
    }
}
