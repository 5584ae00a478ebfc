//! Writes events to a broker and reads what the service announces.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{ClientConfig, ClientContext, Offset, TopicPartitionList};
use serde_json::Value;

use super::events::{Encoded, Event};

const PATIENCE: Duration = Duration::from_secs(30);

/// A record to write.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// Without the prefix.
    pub topic: String,
    pub key: Option<String>,
    pub value: Encoded,
}

impl Outgoing {
    /// An event, structured, where it belongs.
    pub fn of(event: &Event) -> Self {
        Self {
            topic: event.topic().to_owned(),
            key: Some(event.key()),
            value: event.structured(),
        }
    }

    /// Bytes that are no event.
    pub fn raw(topic: &str, key: &str, body: &[u8]) -> Self {
        Self {
            topic: topic.to_owned(),
            key: Some(key.to_owned()),
            value: Encoded {
                headers: Vec::new(),
                body: body.to_vec(),
            },
        }
    }
}

/// A record as it was read.
#[derive(Clone, Debug)]
pub struct Incoming {
    pub partition: i32,
    pub offset: i64,
    pub key: Option<Vec<u8>>,
    pub headers: Vec<(String, Vec<u8>)>,
    pub body: Vec<u8>,
}

impl Incoming {
    /// The first header of this name, as text.
    pub fn header(&self, name: &str) -> Option<String> {
        let found = self.headers.iter().find(|(key, _)| key == name)?;
        Some(String::from_utf8_lossy(&found.1).into_owned())
    }

    /// The value.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("the value is JSON")
    }

    /// The key, as text.
    pub fn key(&self) -> String {
        String::from_utf8_lossy(self.key.as_deref().unwrap_or_default()).into_owned()
    }
}

#[derive(Default)]
struct Deliveries {
    done: AtomicUsize,
    failed: AtomicUsize,
}

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let counter = if result.is_ok() { &self.done } else { &self.failed };
        counter.fetch_add(1, Ordering::SeqCst);
    }
}

/// The topics of one service on one broker.
pub struct Topics {
    bootstrap: String,
    prefix: Option<String>,
    producer: BaseProducer<Deliveries>,
    readers: Mutex<BTreeMap<String, Reader>>,
}

struct Reader {
    consumer: BaseConsumer,
    /// The next offset of each partition.
    next: BTreeMap<i32, i64>,
    seen: Vec<Incoming>,
}

impl Topics {
    /// The topics with this prefix on this broker.
    pub fn new(bootstrap: &str, prefix: Option<&str>) -> Self {
        let producer = ClientConfig::new()
            .set("bootstrap.servers", bootstrap)
            .set("linger.ms", "1")
            // As long as a broker may be away and start again, while others have the processors.
            .set("message.timeout.ms", "120000")
            .set("reconnect.backoff.max.ms", "1000")
            .set("queue.buffering.max.messages", "1000000")
            .create_with_context(Deliveries::default());
        Self {
            bootstrap: bootstrap.to_owned(),
            prefix: prefix.map(str::to_owned),
            producer: producer.expect("a producer can be made"),
            readers: Mutex::default(),
        }
    }

    /// A topic's whole name.
    pub fn name(&self, topic: &str) -> String {
        self.prefix
            .as_ref()
            .map_or_else(|| topic.to_owned(), |prefix| format!("{prefix}-{topic}"))
    }

    /// Hands a record to the client without waiting for the broker.
    pub fn queue(&self, record: &Outgoing) {
        let topic = self.name(&record.topic);
        let headers = record
            .value
            .headers
            .iter()
            .fold(OwnedHeaders::new(), |headers, (key, value)| {
                headers.insert(Header {
                    key,
                    value: Some(value),
                })
            });
        let mut base = BaseRecord::to(&topic).payload(&record.value.body).headers(headers);
        if let Some(key) = &record.key {
            base = base.key(key.as_bytes());
        }
        while let Err((error, again)) = self.producer.send(base) {
            let is_full = error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull);
            assert!(is_full, "{topic}: {error}");
            self.flush();
            base = again;
        }
    }

    /// Waits until the broker has everything.
    pub fn flush(&self) {
        self.producer.flush(PATIENCE * 5).expect("the broker takes the records");
        let failed = self.producer.context().failed.load(Ordering::SeqCst);
        assert_eq!(failed, 0, "records were not acknowledged");
    }

    /// Writes records; they are acknowledged when this returns.
    pub fn publish(&self, records: &[Outgoing]) {
        let before = self.producer.context().done.load(Ordering::SeqCst);
        records.iter().for_each(|record| self.queue(record));
        self.flush();
        let done = self.producer.context().done.load(Ordering::SeqCst) - before;
        assert!(done >= records.len(), "{done} of {} were acknowledged", records.len());
    }

    /// The same for events, structured.
    pub fn publish_events(&self, events: &[Event]) {
        let records: Vec<Outgoing> = events.iter().map(Outgoing::of).collect();
        self.publish(&records);
    }

    /// Every record of a topic up to now, in the order of partitions and offsets.
    pub fn read(&self, topic: &str) -> Vec<Incoming> {
        let topic = self.name(topic);
        let mut readers = self.readers.lock().expect("no one panics while reading");
        if !readers.contains_key(&topic) {
            let Some(reader) = Reader::of(&self.bootstrap, &topic) else {
                return Vec::new();
            };
            readers.insert(topic.clone(), reader);
        }
        let reader = readers.get_mut(&topic).expect("it was made");
        reader.catch_up(&topic);
        reader.seen.sort_by_key(|record| (record.partition, record.offset));
        reader.seen.clone()
    }

    /// The partitions of a topic, as the broker knows them now.
    pub fn partitions(&self, topic: &str) -> Vec<i32> {
        let topic = self.name(topic);
        let metadata = self.producer.client().fetch_metadata(Some(&topic), PATIENCE);
        let metadata = metadata.expect("the broker answers");
        let partitions = metadata.topics().iter().flat_map(|topic| topic.partitions());
        partitions.map(|partition| partition.id()).collect()
    }

    /// Where each partition of a topic ends.
    pub fn ends(&self, topic: &str) -> BTreeMap<i32, i64> {
        let partitions = self.partitions(topic);
        let topic = self.name(topic);
        let client = self.producer.client();
        let end = |partition: i32| {
            let marks = client.fetch_watermarks(&topic, partition, PATIENCE);
            (partition, marks.expect("the broker says where a partition ends").1)
        };
        partitions.into_iter().map(end).collect()
    }

    /// How many records a topic holds that none was ever deleted from.
    pub fn count(&self, topic: &str) -> usize {
        usize::try_from(self.ends(topic).values().sum::<i64>()).expect("a number of records")
    }

    /// Every record of `badge.awarded` up to now.
    pub fn awarded(&self) -> Vec<Incoming> {
        self.read("badge.awarded")
    }
}

impl Reader {
    /// `None`: there is no such topic yet.
    fn of(bootstrap: &str, topic: &str) -> Option<Self> {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", bootstrap)
            .set("group.id", "accolade-test-reader")
            .set("enable.auto.commit", "false")
            .set("auto.offset.reset", "earliest")
            .set("fetch.queue.backoff.ms", "10")
            .create()
            .expect("a consumer can be made");
        let metadata = consumer
            .fetch_metadata(Some(topic), PATIENCE)
            .expect("the broker answers");
        let partitions = metadata.topics().iter().flat_map(|topic| topic.partitions());
        let next: BTreeMap<i32, i64> = partitions.map(|partition| (partition.id(), 0)).collect();
        let mut assignment = TopicPartitionList::new();
        for partition in next.keys() {
            let added = assignment.add_partition_offset(topic, *partition, Offset::Beginning);
            added.expect("a partition can be read from its beginning");
        }
        if next.is_empty() {
            return None;
        }
        consumer.assign(&assignment).expect("partitions can be assigned");
        Some(Self {
            consumer,
            next,
            seen: Vec::new(),
        })
    }

    /// Reads all that the partitions hold now; an empty poll says nothing of that.
    fn catch_up(&mut self, topic: &str) {
        let end = |partition: &i32| {
            let marks = self.consumer.fetch_watermarks(topic, *partition, PATIENCE);
            (*partition, marks.expect("the broker says where a partition ends").1)
        };
        let ends: Vec<(i32, i64)> = self.next.keys().map(end).collect();
        let start = Instant::now();
        while ends.iter().any(|(partition, end)| self.next[partition] < *end) {
            assert!(
                start.elapsed() < PATIENCE,
                "{topic}: {:?} of {ends:?} was read",
                self.next
            );
            let Some(message) = self.consumer.poll(Duration::from_millis(100)) else {
                continue;
            };
            let incoming = incoming(&message.unwrap_or_else(|error| panic!("{topic}: {error}")));
            self.next.insert(incoming.partition, incoming.offset + 1);
            self.seen.push(incoming);
        }
    }
}

fn incoming(message: &impl Message) -> Incoming {
    let headers = message.headers().into_iter().flat_map(Headers::iter);
    let headers = headers.map(|header| (header.key.to_owned(), header.value.unwrap_or_default().to_vec()));
    Incoming {
        partition: message.partition(),
        offset: message.offset(),
        key: message.key().map(<[u8]>::to_vec),
        headers: headers.collect(),
        body: message.payload().unwrap_or_default().to_vec(),
    }
}

#[test]
fn what_is_written_is_read_once_with_its_headers() {
    use super::events::{Learner, course};
    let names = ["enrollment.created", "badge.awarded"].map(|topic| (format!("x-{topic}"), 3));
    let broker = accolade::kafka::EmbeddedBroker::start(&names).expect("a broker");
    let topics = Topics::new(broker.bootstrap_servers(), Some("x"));
    assert!(topics.awarded().is_empty() && topics.read("no.such").is_empty());
    let enrol = |id| Event::enrollment_created(&Learner::new(id), &course(1));
    topics.publish_events(&[enrol(1), enrol(2)]);
    let mut record = Outgoing::raw("badge.awarded", "7", b"{}");
    record.value.headers = vec![("a".to_owned(), "1".to_owned()), ("a".to_owned(), "2".to_owned())];
    topics.publish(&[record]);
    let found = |topic: &str, number: usize| {
        let mut records = Vec::new();
        super::process::wait_until("the records are there", PATIENCE, || {
            records = topics.read(topic);
            records.len() >= number
        });
        records
    };
    assert_eq!(found("enrollment.created", 2).len(), 2);
    let announced = found("badge.awarded", 1);
    assert_eq!(
        (announced.len(), announced[0].key(), announced[0].json()),
        (1, "7".to_owned(), serde_json::json!({}))
    );
    assert_eq!(
        (announced[0].headers.len(), announced[0].header("a").as_deref()),
        (2, Some("1"))
    );
    topics.publish_events(&[enrol(3)]);
    assert_eq!(found("enrollment.created", 3).len(), 3, "reading goes on where it was");
}
