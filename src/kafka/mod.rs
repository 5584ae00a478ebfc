//! Kafka: the only room that knows rdkafka.
//!
//! | to | take |
//! | --- | --- |
//! | read events in a consumer group, on a thread of one's own | [`Consumer`], [`ConsumerEvents`] |
//! | see from elsewhere how that goes | [`ConsumerStatus`] |
//! | write records, from async code | [`Producer`] |
//! | create topics, see what is missing, see whether the brokers answer | [`admin`] |
//! | run without a Kafka | [`EmbeddedBroker`] |
//!
//! What goes in and out are the owned types of [`crate::wire::record`]; no type of rdkafka is in a
//! signature. Delivery is at least once both ways: offsets are stored only when told, and a record
//! whose acknowledgement was lost is written again. All clients reconnect on their own for ever, so
//! none of the constructors fails because a broker is down.

pub mod admin;
mod bounded;
mod consumer;
mod delivery;
mod embedded;
mod error;
mod message;
mod observer;
mod producer;
mod rebalance;
mod settings;
mod status;
#[cfg(test)]
mod tests;

pub use consumer::{Consumer, Position};
pub use embedded::EmbeddedBroker;
pub use error::{BrokerCode, KafkaError, SendError};
pub use producer::{Producer, ProducerOptions, Receipt};
pub use rebalance::ConsumerEvents;
pub use settings::{Settings, check_properties, is_known_property};
pub use status::{ConsumerStatus, PartitionLag};

/// A partition: topic name as on the broker, and number.
pub type TopicPartition = (String, i32);
