//! Brokers, consumers and records for the tests of this room.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::kafka::{
    Consumer, ConsumerEvents, EmbeddedBroker, Position, Producer, ProducerOptions, Settings, TopicPartition,
};
use crate::wire::record::{OutgoingRecord, Record};

pub const TOPIC: &str = "learning-events";
pub const DEADLINE: Duration = Duration::from_secs(20);

/// What the database would say, and what the consumer reported.
#[derive(Debug, Clone, Default)]
pub struct Database {
    pub offsets: Option<HashMap<TopicPartition, i64>>,
    pub revoked: Arc<Mutex<Vec<TopicPartition>>>,
}

impl ConsumerEvents for Database {
    fn start_offsets(&self, _: &[TopicPartition]) -> Option<HashMap<TopicPartition, i64>> {
        self.offsets.clone()
    }

    fn revoked(&self, partitions: &[TopicPartition], _: bool) {
        let mut revoked = self.revoked.lock().expect("no test panics with it");
        revoked.extend(partitions.iter().cloned());
    }
}

/// A database that knows this next offset of partition 0.
pub fn database_at(offset: i64) -> Database {
    Database {
        offsets: Some(HashMap::from([((TOPIC.to_owned(), 0), offset)])),
        ..Database::default()
    }
}

/// A broker with the topic in so many partitions.
pub fn broker(partitions: i32) -> EmbeddedBroker {
    EmbeddedBroker::start(&[(TOPIC.to_owned(), partitions)]).expect("the broker starts")
}

pub fn settings(broker: &EmbeddedBroker) -> Settings {
    let mut settings = Settings::new(broker.bootstrap_servers());
    settings.extra = EmbeddedBroker::consumer_properties();
    settings
        .extra
        .insert("statistics.interval.ms".to_owned(), "100".to_owned());
    settings
}

pub fn consumer(broker: &EmbeddedBroker, database: Database) -> Consumer {
    Consumer::new(&settings(broker), &[TOPIC.to_owned()], database).expect("valid settings")
}

pub fn producer(broker: &EmbeddedBroker) -> Producer {
    producer_with(broker, &[], DEADLINE)
}

pub fn producer_with(broker: &EmbeddedBroker, extra: &[(&str, &str)], delivery_timeout: Duration) -> Producer {
    let mut settings = Settings::new(broker.bootstrap_servers());
    for (name, value) in extra {
        settings.extra.insert((*name).to_owned(), (*value).to_owned());
    }
    let options = ProducerOptions {
        delivery_timeout,
        ..ProducerOptions::default()
    };
    Producer::new(&settings, options).expect("valid settings")
}

pub fn record(value: &str) -> OutgoingRecord {
    OutgoingRecord {
        topic: TOPIC.to_owned(),
        key: Some(b"key".to_vec()),
        value: Some(value.as_bytes().to_vec()),
        headers: Vec::new(),
    }
}

/// Writes records with the values 0, 1, ….
pub async fn write(producer: &Producer, count: usize) {
    for number in 0..count {
        producer.send(record(&number.to_string())).await.expect("written");
    }
}

/// Polls until so many records have come.
pub fn read(consumer: &mut Consumer, count: usize) -> Vec<Record> {
    let deadline = Instant::now() + DEADLINE;
    let mut records = Vec::new();
    while records.len() < count {
        assert!(
            Instant::now() < deadline,
            "only {} of {count} records came",
            records.len()
        );
        records.extend(poll(consumer));
    }
    records
}

/// Polls until a condition holds; no record may come meanwhile.
pub fn poll_until(consumer: &mut Consumer, what: &str, holds: impl Fn(&Consumer) -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !holds(consumer) {
        assert!(Instant::now() < deadline, "never {what}");
        let records = poll(consumer);
        assert!(records.is_empty(), "unexpected: {records:?}");
    }
}

/// Polls both until each holds one partition.
pub fn poll_until_shared(first: &mut Consumer, second: &mut Consumer) {
    let deadline = Instant::now() + DEADLINE;
    while first.assignment().len() != 1 || second.assignment().len() != 1 {
        assert!(Instant::now() < deadline, "the partitions were not shared");
        poll(first);
        poll(second);
    }
}

pub fn poll(consumer: &mut Consumer) -> Vec<Record> {
    consumer
        .poll_batch(1000, 4 << 20, Duration::from_millis(50), std::time::Instant::now())
        .expect("the poll succeeds")
}

pub fn values(records: &[Record]) -> Vec<String> {
    records
        .iter()
        .map(|record| String::from_utf8(record.value.clone().unwrap_or_default()).expect("a test's value"))
        .collect()
}

/// Marks everything before this offset of partition 0 as done.
pub fn done(consumer: &Consumer, next_offset: i64) {
    let position = Position {
        topic: TOPIC.into(),
        partition: 0,
        next_offset,
    };
    consumer.store_offsets(&[position]).expect("stored");
}

/// The same, and commits.
pub fn commit(consumer: &Consumer, next_offset: i64) {
    done(consumer, next_offset);
    consumer.commit_sync(DEADLINE).expect("committed");
}

pub fn close(consumer: Consumer) {
    consumer.close(DEADLINE).expect("closed in time");
}
