//! The producer's context: hands each acknowledgement to the one who waits for it.

use std::sync::Arc;

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::producer::{DeliveryResult, ProducerContext};
use tokio::sync::{Notify, oneshot};

use super::observer::Observer;

/// Partition and offset of a written record, or why it was not written.
pub(super) type Outcome = Result<(i32, i64), RDKafkaErrorCode>;

/// rdkafka's context for a producer.
pub(super) struct DeliveryContext {
    pub(super) observer: Arc<Observer>,
    /// Told of every record that leaves the queue.
    pub(super) room: Arc<Notify>,
}

impl ClientContext for DeliveryContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.observer.log(level, facility, message);
    }

    fn stats_raw(&self, _: &[u8]) {}

    fn error(&self, error: ClientError, reason: &str) {
        self.observer.error(&error, reason);
    }
}

impl ProducerContext for DeliveryContext {
    type DeliveryOpaque = Box<oneshot::Sender<Outcome>>;

    fn delivery(&self, result: &DeliveryResult<'_>, receipt: Self::DeliveryOpaque) {
        let outcome = match result {
            Ok(message) => {
                self.observer.answered();
                Ok((message.partition(), message.offset()))
            }
            Err((error, _)) => Err(error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown)),
        };
        // Whoever sent it may no longer want to know.
        let _ = receipt.send(outcome);
        self.room.notify_one();
    }
}
