//! What the benches share: the data, numbers from the environment, medians.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use chrono::{DateTime, TimeDelta};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use serde_json::json;

use crate::harness::database::Database;
use crate::harness::events::Encoded;
use crate::harness::kafka::RealKafka;
use crate::harness::topics::{Outgoing, Topics};
use crate::harness::world::Plan;

/// Without a prefix.
pub const TOPIC: &str = "enrollment.created";
pub const PARTITIONS: i32 = 8;
/// How many records were read and are durable.
pub const READ: &str = "SELECT CAST(coalesce(sum(next_offset), 0) AS text) AS line FROM consumer_position";
const LONG: Duration = Duration::from_secs(900);
pub const LEARNERS: u64 = 500_000;
pub const COURSES: u64 = 2_000;

/// A number from the environment.
pub fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| {
        text.parse().unwrap_or_else(|_| panic!("{name} is a number"))
    })
}

/// The same for several, with commas between them.
pub fn numbers(name: &str, default: &[u64]) -> Vec<u64> {
    let Ok(text) = std::env::var(name) else {
        return default.to_vec();
    };
    let number = |text: &str| text.trim().parse().unwrap_or_else(|_| panic!("{name} holds numbers"));
    text.split(',').map(number).collect()
}

/// SplitMix64, so that each run has the same data.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

/// An enrolment of some 320 bytes.
pub fn event(id: u64, learner: u64, course: u64, is_active: bool, late_ms: u64) -> Vec<u8> {
    let start = DateTime::from_timestamp(1_793_534_400, 0).expect("a time");
    let ms = i64::try_from(id * 2).expect("small") - i64::try_from(late_ms).expect("small");
    let time = (start + TimeDelta::milliseconds(ms)).to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
    let event = json!({
        "specversion": "1.0", "id": format!("{id:032x}"), "source": "/openedx/lms", "type": TOPIC, "time": time,
        "data": {"user": {"id": learner, "username": format!("user{learner}"), "email": format!("user{learner}@example.com")},
                 "course": {"id": course_key(course)}, "mode": "verified", "is_active": is_active},
    });
    event.to_string().into_bytes()
}

fn course_key(course: u64) -> String {
    format!("course-v1:edX+C{course}+2026")
}

/// The keys of all courses of [`enrolments`].
pub fn course_keys() -> Vec<String> {
    (1..=COURSES).map(course_key).collect()
}

/// Enrolments as a busy platform has them: 2,000 courses, 500,000 learners, 2 % twice, 2 % inactive, out of order within
/// five seconds.
pub fn enrolments(number: u64) -> impl Iterator<Item = Vec<u8>> {
    enrolments_of(number, LEARNERS)
}

/// The same of so many learners.
pub fn enrolments_of(number: u64, learners: u64) -> impl Iterator<Item = Vec<u8>> {
    let mut random = Random(7);
    let mut last: Option<Vec<u8>> = None;
    (0..number).map(move |id| {
        let twice = last.take().filter(|_| random.below(50) == 0);
        let body = twice.unwrap_or_else(|| {
            let (learner, course) = (random.below(learners) + 1, random.below(COURSES) + 1);
            event(id, learner, course, random.below(50) != 0, random.below(5_000))
        });
        last = Some(body.clone());
        body
    })
}

/// PostgreSQL and a prefix of its own. `ACCOLADE_BENCH_SETTINGS`, such as `INGEST_CONSUMERS=1,KAFKA_FETCH_MIN_BYTES=1`, changes
/// the service.
pub fn plan_on(kafka: &RealKafka) -> Plan {
    let mut plan = Plan::new();
    plan.database(Database::postgres());
    plan.kafka(kafka);
    plan.set("TOPIC_PARTITIONS", &PARTITIONS.to_string());
    plan.set("RUST_LOG", "warn");
    let more = std::env::var("ACCOLADE_BENCH_SETTINGS").unwrap_or_default();
    for setting in more.split(',').filter(|setting| !setting.is_empty()) {
        let (name, value) = setting
            .split_once('=')
            .expect("ACCOLADE_BENCH_SETTINGS holds NAME=VALUE");
        plan.set(name, value);
    }
    plan
}

pub fn configuration(bootstrap: &str) -> ClientConfig {
    let mut configuration = ClientConfig::new();
    configuration.set("bootstrap.servers", bootstrap);
    configuration
}

/// All of a topic.
pub fn from_the_beginning(topic: &str) -> TopicPartitionList {
    let mut assignment = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        assignment
            .add_partition_offset(topic, partition, Offset::Beginning)
            .expect("a partition");
    }
    assignment
}

pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
}

pub fn make_topic(bootstrap: &str, name: &str) {
    make_topic_of(bootstrap, name, PARTITIONS);
}

/// A topic of so many partitions.
pub fn make_topic_of(bootstrap: &str, name: &str, partitions: i32) {
    make(bootstrap, &NewTopic::new(name, partitions, TopicReplication::Fixed(1)));
}

/// This topic.
pub fn make(bootstrap: &str, new: &NewTopic<'_>) {
    let admin: AdminClient<DefaultClientContext> = configuration(bootstrap).create().expect("a client");
    let made = runtime()
        .block_on(admin.create_topics([new], &AdminOptions::new()))
        .expect("the broker answers");
    assert!(made.iter().all(Result::is_ok), "{made:?}");
}

/// The topic of enrolments under this plan's prefix.
pub fn topic_of(plan: &Plan) -> String {
    format!("{}-{TOPIC}", plan.settings["TOPIC_PREFIX"])
}

/// Writes these events, keyed by their number, and waits until the broker has them.
pub fn publish(topics: &Topics, events: impl Iterator<Item = Vec<u8>>) {
    for (id, body) in events.enumerate() {
        topics.queue(&Outgoing {
            topic: TOPIC.to_owned(),
            key: Some(id.to_string()),
            value: Encoded {
                headers: Vec::new(),
                body,
            },
        });
    }
    topics.flush();
}

/// Asks the database until a count is reached; how fast it grew, a second, from the first sight of it to the end.
/// An error if it was over at once.
pub fn rate(database: &Database, what: &str, sql: &str, target: u64) -> Result<f64> {
    rate_seen(database, what, sql, target, Duration::from_millis(100))
}

/// The same where the look itself takes its time: so much lies between two of them.
pub fn rate_seen(database: &Database, what: &str, sql: &str, target: u64, pause: Duration) -> Result<f64> {
    let begun = Instant::now();
    let mut first = None;
    loop {
        let count: u64 = database.lines(sql)[0].parse().expect("a number");
        let now = Instant::now();
        if count > 0 && first.is_none() {
            first = Some((now, count));
        }
        if let Some((start, before)) = first
            && count >= target
        {
            ensure!(
                count > before,
                "{what}: all {count} were there at once; it takes more of them to measure"
            );
            #[expect(clippy::cast_precision_loss, reason = "small numbers")]
            return Ok((count - before) as f64 / now.duration_since(start).as_secs_f64());
        }
        assert!(begun.elapsed() < LONG, "{what}: {count} of {target} after {LONG:?}");
        std::thread::sleep(pause);
    }
}

/// What came of a run, to be compared with the others.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcome {
    pub facts: usize,
    pub enrolled: String,
    pub awards: usize,
}

impl Outcome {
    /// As a database tells it that keeps facts in this table.
    pub fn of(database: &Database, facts: &str) -> Self {
        Self {
            facts: database.count(facts, "true"),
            enrolled: database.lines("SELECT CAST(sum(enrolled) AS text) AS line FROM learner")[0].clone(),
            awards: database.count("award", "true"),
        }
    }
}

/// The middle one; of an even number the upper of both.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}
