//! The relay against the embedded broker, on each database.

mod handed;
mod trouble;

use std::{collections::HashMap, time::Instant};

use chrono::{DateTime, Utc};

use super::*;
use crate::{
    domain::award::AwardState::{Issued, Published},
    kafka::{Consumer, ConsumerEvents, EmbeddedBroker, ProducerOptions, Settings as KafkaSettings, TopicPartition},
    store::{
        audit::{Actor, Via},
        awards::{
            self,
            testing::{claim_all, completed, decision, states},
        },
        dead_letters::{self, NewDeadLetter},
        outbox::LEASE,
        testing::{TestDatabase, databases, seed},
    },
    wire::record::{Header, Record},
};

const AWARDED: &str = "badge.awarded";
const LETTERS_TOPIC: &str = "badges.dead-letters";
const DEADLINE: Duration = Duration::from_secs(20);

struct FromTheStart;

impl ConsumerEvents for FromTheStart {
    fn start_offsets(&self, partitions: &[TopicPartition]) -> Option<HashMap<TopicPartition, i64>> {
        Some(partitions.iter().map(|partition| (partition.clone(), 0)).collect())
    }

    fn revoked(&self, _: &[TopicPartition], _: bool) {}
}

/// A record that is no JSON.
fn broken() -> Record {
    Record {
        topic: "enrollment.created".into(),
        partition: 3,
        offset: 1,
        timestamp: None,
        key: Some(b"7".to_vec()),
        value: Some(b"{".to_vec()),
        headers: Vec::new(),
    }
}

/// [`broken`] as a dead letter that is to be sent; its id.
fn letter(store: &Store) -> i64 {
    seed::dead_letter(store, &broken(), "not_json", "not JSON")
}

struct Running {
    broker: EmbeddedBroker,
    metrics: Arc<Metrics>,
    refusals: Arc<Refusals>,
    relay: mpsc::Sender<Handover>,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<Result<(), PublishError>>,
}

impl Running {
    /// A publisher whose producer takes records up to this size.
    fn start(database: &TestDatabase, largest: usize) -> Self {
        let largest = [("message.max.bytes", largest.to_string())];
        Self::on(broker(), database.store(), &largest, ProducerOptions::default())
    }

    /// A publisher on this broker, with these properties of librdkafka.
    fn on(broker: EmbeddedBroker, store: Arc<Store>, properties: &[(&str, String)], options: ProducerOptions) -> Self {
        Self::that_looks(Duration::from_millis(10), LEASE, broker, store, properties, options)
    }

    /// A publisher that looks for work that often and claims it for so long.
    fn that_looks(
        poll: Duration,
        lease: TimeDelta,
        broker: EmbeddedBroker,
        store: Arc<Store>,
        properties: &[(&str, String)],
        options: ProducerOptions,
    ) -> Self {
        let mut kafka = KafkaSettings::new(broker.bootstrap_servers());
        let properties = properties.iter().cloned();
        kafka
            .extra
            .extend(properties.map(|(name, value)| (name.to_owned(), value)));
        // A topic that refused a record refuses all until then.
        let refresh = "topic.metadata.refresh.interval.ms".to_owned();
        kafka.extra.insert(refresh, "100".to_owned());
        let metrics = Arc::new(Metrics::new());
        let refusals = Arc::new(Refusals::default());
        let publisher = Publisher {
            store,
            producer: Producer::new(&kafka, options).expect("valid settings"),
            settings: Settings {
                topic_badge_awarded: AWARDED.to_owned(),
                topic_badge_revoked: "badge.revoked".to_owned(),
                topic_dead_letters: LETTERS_TOPIC.to_owned(),
                source: "https://badges.example".to_owned(),
                poll,
                lease,
            },
            metrics: Arc::clone(&metrics),
            wake: Arc::new(Notify::new()),
            refusals: Arc::clone(&refusals),
        };
        let stop = CancellationToken::new();
        let (relay, handed) = handovers();
        let task = tokio::spawn(publisher.run(handed, stop.clone()));
        Self {
            broker,
            metrics,
            refusals,
            relay,
            stop,
            task,
        }
    }

    /// The first records of a topic.
    fn read(&self, topic: &str, count: usize) -> Vec<Record> {
        let mut settings = KafkaSettings::new(self.broker.bootstrap_servers());
        settings.extra = EmbeddedBroker::consumer_properties();
        let mut consumer = Consumer::new(&settings, &[topic.to_owned()], FromTheStart).expect("valid settings");
        let deadline = Instant::now() + DEADLINE;
        let mut records = Vec::new();
        while records.len() < count {
            assert!(Instant::now() < deadline, "{} of {count} records came", records.len());
            let wait = Duration::from_millis(50);
            records.extend(
                consumer
                    .poll_batch(1000, usize::MAX, wait, std::time::Instant::now())
                    .expect("polled"),
            );
        }
        records
    }

    async fn stop(self) {
        self.stop.cancel();
        self.task.await.expect("no panic").expect("no error");
    }
}

fn broker() -> EmbeddedBroker {
    let topics = [AWARDED, "badge.revoked", LETTERS_TOPIC].map(|topic| (topic.to_owned(), 2));
    EmbeddedBroker::start(&topics).expect("a broker")
}

fn issue_all(store: &Store, payload: &str) -> usize {
    let mut done: Vec<awards::Completed> = claim_all(store).iter().map(completed).collect();
    for one in &mut done {
        one.payload = payload.to_owned();
    }
    let written = store.transaction("test", |tx| awards::complete(tx, &done));
    written.expect("written").len()
}

async fn until(what: &str, so: impl Fn() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !so() {
        assert!(Instant::now() < deadline, "never came: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn header(record: &Record, name: &str) -> String {
    String::from_utf8(record.header(name).expect(name).to_vec()).expect("text")
}

#[tokio::test(flavor = "multi_thread")]
async fn events_arrive_in_order_per_learner_and_their_awards_are_published() {
    for database in databases() {
        let store = database.store();
        let badges = ["one", "two", "three"].map(|slug| database.badge_class(slug));
        database.decide(1..=20, &badges[0]);
        for badge in &badges[1..] {
            let more: Vec<_> = (1..=20).map(|learner| decision(learner, badge)).collect();
            let new = store.transaction("test", |tx| awards::insert_decisions(tx, &more));
            assert_eq!(new.expect("stored").len(), 20);
        }
        assert_eq!(issue_all(&store, r#"{"a":1}"#), 60);

        let running = Running::start(&database, 1_000_000);
        let records = tokio::task::block_in_place(|| running.read(AWARDED, 60));
        until("published", || states(&store) == [(Published, 60)]).await;
        let mut last: HashMap<String, i64> = HashMap::new();
        for record in &records {
            let learner = String::from_utf8(record.key.clone().expect("a key")).expect("text");
            assert_eq!(header(record, "ce_subject"), learner);
            let sequence: i64 = header(record, "ce_sequence").parse().expect("a number");
            let before = last.insert(learner, sequence).unwrap_or(0);
            assert_eq!(sequence, before + 1);
        }
        assert_eq!(last.len(), 20);
        assert_eq!(records[0].value.as_deref(), Some(&br#"{"a":1}"#[..]));
        assert_eq!(header(&records[0], "ce_source"), "https://badges.example");
        let time: DateTime<Utc> = header(&records[0], "ce_time").parse().expect("a time");
        assert!(time > DateTime::UNIX_EPOCH);
        assert_eq!(running.metrics.published.with_label_values(&[AWARDED]).get(), 60);
        assert_eq!(running.metrics.award_latency.get_sample_count(), 60);
        running.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_never_fits_is_set_aside_and_others_pass() {
    for database in databases() {
        let store = database.store();
        database.decide([1], &database.badge_class("one"));
        assert_eq!(issue_all(&store, &"x".repeat(5000)), 1);
        database.decide([2], &database.badge_class("one"));
        assert_eq!(issue_all(&store, "{}"), 1);
        let running = Running::start(&database, 3000);
        until("the other", || states(&store) == [(Issued, 1), (Published, 1)]).await;
        let records = tokio::task::block_in_place(|| running.read(AWARDED, 1));
        assert_eq!(header(&records[0], "ce_subject"), "2");
        running.stop().await;
        assert_eq!(store.read("test", outbox::backlog).expect("read").0, 1);
        let left = store.transaction("test", |tx| outbox::claim(tx, 10, LEASE));
        assert_eq!(left.expect("claimed"), [], "not tried again and again");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_pass_whole_or_as_a_digest() {
    for database in databases() {
        let store = database.store();
        let record = |offset: i64, size: usize| Record {
            offset,
            key: Some(vec![0xff]),
            value: Some(vec![0xfe; size]),
            headers: vec![Header {
                name: "h".to_owned(),
                value: Some(vec![0x80]),
            }],
            ..broken()
        };
        let (small, large) = (record(1, 10), record(2, 5000));
        let letters = [&small, &large].map(|record| NewDeadLetter {
            record,
            reason: "not_json",
            message: "not JSON",
        });
        let stored = store.transaction("test", |tx| dead_letters::insert(tx, &letters));
        stored.expect("stored");
        let running = Running::start(&database, 3000);
        let mut records = tokio::task::block_in_place(|| running.read(LETTERS_TOPIC, 2));
        records.sort_by_key(|record| header(record, "__connect.errors.offset"));
        assert_eq!(records[0].value, small.value);
        assert_eq!(records[0].headers[0], small.headers[0]);
        assert_eq!(header(&records[0], "accolade-reason"), "not_json");
        assert_eq!(records[1].value.as_ref().map(Vec::len), Some(1024));
        assert_eq!(header(&records[1], "accolade-value-length"), "5000");
        running.stop().await;
        let left = store.transaction("test", |tx| dead_letter_relay::claim(tx, 10, 1000, LEASE));
        assert_eq!(left.expect("claimed"), []);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_that_was_dropped_before_it_was_sent_is_sent_whole_and_then_erased() {
    for database in databases() {
        let store = database.store();
        let id = letter(&store);
        let actor = Actor {
            name: "ada".to_owned(),
            via: Via::Api,
        };
        let dropped = store.transaction("test", |tx| dead_letters::drop_by(tx, id, &actor));
        dropped.expect("dropped");
        let running = Running::start(&database, 1_000_000);
        let sent = tokio::task::block_in_place(|| running.read(LETTERS_TOPIC, 1));
        let record = broken();
        assert_eq!((&sent[0].key, &sent[0].value), (&record.key, &record.value));
        until("erased", || {
            let read = store.read("test", |tx| dead_letters::get(tx, id));
            let (letter, record) = read.expect("read").expect("its row stays");
            letter.sent_at.is_some() && (record.key, record.value) == (None, None)
        })
        .await;
        running.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_was_away_gets_everything_when_it_is_back() {
    for database in databases() {
        let store = database.store();
        let running = Running::start(&database, 1_000_000);
        running.broker.go_down().expect("down");
        database.decide(1..=5, &database.badge_class("one"));
        assert_eq!(issue_all(&store, "{}"), 5);
        assert_eq!(states(&store), [(Issued, 5)]);
        running.broker.come_up().expect("up");
        until("published", || states(&store) == [(Published, 5)]).await;
        running.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_rights_are_named_until_they_are_given() {
    for database in databases() {
        let store = database.store();
        let running = Running::start(&database, 1_000_000);
        running.broker.refuse_writes(1).expect("told");
        database.decide(1..=3, &database.badge_class("one"));
        assert_eq!(issue_all(&store, "{}"), 3);
        until("named", || {
            let problems = running.refusals.problems();
            problems.len() == 1 && problems[0].starts_with("badge.awarded: ")
        })
        .await;
        until("published", || states(&store) == [(Published, 3)]).await;
        assert_eq!(running.refusals.problems(), [""; 0]);
        running.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn when_one_half_ends_with_an_error_so_does_the_other() {
    for database in databases() {
        let store = database.store();
        letter(&store);
        let spoilt = store.transaction("test", seed::spoil_dead_letters);
        assert_eq!(spoilt.expect("written"), 1);
        let running = Running::start(&database, 1_000_000);
        let ended = tokio::time::timeout(DEADLINE, running.task)
            .await
            .expect("it ends by itself");
        let error = ended
            .expect("no panic")
            .expect_err("a stored value cannot be understood");
        assert_eq!(error.code(), "database_corrupt");
        running.stop.cancel();
    }
}
