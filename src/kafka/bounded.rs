//! Calls of librdkafka that have no time limit of their own.

use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Duration;

use tracing::warn;

use super::KafkaError;

/// Runs a call on a thread of its own, and abandons it after `timeout`.
///
/// # Errors
/// [`KafkaError::TimedOut`] when it was abandoned; or there is no thread to be had.
pub(super) fn bounded<T: Send + 'static>(
    operation: &'static str,
    timeout: Duration,
    call: impl FnOnce() -> T + Send + 'static,
) -> Result<T, KafkaError> {
    let (sender, receiver) = sync_channel(1);
    thread::Builder::new().name(operation.to_owned()).spawn(move || {
        // Whoever asked may have gone.
        let _ = sender.send(call());
    })?;
    receiver.recv_timeout(timeout).map_err(|error| {
        if error == RecvTimeoutError::Disconnected {
            warn!("the thread to {operation} panicked");
        }
        KafkaError::TimedOut { operation }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_without_an_end_is_abandoned() {
        let (hold, held) = sync_channel::<()>(0);
        let result = bounded("wait", Duration::from_millis(10), move || held.recv());
        assert_eq!(result.expect_err("abandoned").code(), "timed_out");
        drop(hold);
    }
}
