//! How fast facts come from Kafka into PostgreSQL: the service against the floor of `floor.rs` and a plain consumer in
//! Python (`plain_consumer.py`), in turns, on the same topic.
//!
//! `ACCOLADE_BENCH_EVENTS` and `ACCOLADE_BENCH_ROUNDS` say how much; `ACCOLADE_BIN` names the program. Everything shares
//! the machine: the ratios count.

#[path = "../it/harness/mod.rs"]
#[expect(dead_code, reason = "the tests use the rest")]
mod harness;

mod floor;
mod support;

use std::time::{Duration, Instant};

use harness::binary::BinaryApp;
use harness::database::Database;
use harness::events::Encoded;
use harness::kafka::RealKafka;
use harness::topics::Outgoing;
use harness::world::Plan;
use support::{TOPIC, enrolments, make_topic, median, number, plan_on};

const EVENTS: u64 = 400_000;
const ROUNDS: u64 = 3;
const THRESHOLD: u64 = 3;
const LONG: Duration = Duration::from_secs(900);

/// What came of a run, to be compared with the others.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    facts: usize,
    enrolled: String,
    awards: usize,
}

impl Outcome {
    fn of_service(database: &Database) -> Self {
        Self {
            facts: database.count("learner_course", "true"),
            enrolled: database.lines("SELECT CAST(sum(enrolled) AS text) AS line FROM learner")[0].clone(),
            awards: database.count("award", "true"),
        }
    }

    fn of_floor(database: &Database) -> Self {
        Self {
            facts: database.count("fact", "true"),
            enrolled: database.lines("SELECT CAST(sum(enrolled) AS text) AS line FROM learner")[0].clone(),
            awards: database.count("award", "true"),
        }
    }
}

/// Events a second from the first commit that is seen to the last one, and the most memory in MiB.
fn service(kafka: &RealKafka, prefix: &str, events: u64) -> (f64, u64, Outcome) {
    let mut plan: Plan = plan_on(kafka);
    let group = plan.settings["TOPIC_PREFIX"].clone();
    plan.set("KAFKA_GROUP_ID", &group);
    plan.set("TOPIC_PREFIX", prefix);
    let mut app = BinaryApp::with_roles(plan, "http");
    app.activate(&format!("{THRESHOLD},three"), "", "");
    assert_eq!(app.terminate(), Some(0));
    app.start_again_as("ingest,http");
    let begun = Instant::now();
    let mut first = None;
    let speed = loop {
        let sql = "SELECT CAST(coalesce(sum(next_offset), 0) AS text) AS line FROM consumer_position";
        let done: u64 = app.database.lines(sql)[0].parse().expect("a number");
        let now = Instant::now();
        if done > 0 && first.is_none() {
            first = Some((now, done));
        }
        if let Some((start, before)) = first
            && done >= events
        {
            #[expect(clippy::cast_precision_loss, reason = "small numbers")]
            break (done - before) as f64 / now.duration_since(start).as_secs_f64();
        }
        assert!(begun.elapsed() < LONG, "{done} of {events} after {LONG:?}");
        std::thread::sleep(Duration::from_millis(100));
    };
    let memory = app.peak_memory_kib() / 1024;
    assert_eq!(app.terminate(), Some(0));
    (speed, memory, Outcome::of_service(&app.database))
}

fn main() {
    let (events, rounds) = (
        number("ACCOLADE_BENCH_EVENTS", EVENTS),
        number("ACCOLADE_BENCH_ROUNDS", ROUNDS),
    );
    let kafka = RealKafka::start_for(true);
    println!("program: {}", harness::binary::program());
    let plan = plan_on(&kafka);
    let prefix = plan.settings["TOPIC_PREFIX"].clone();
    let topic = format!("{prefix}-{TOPIC}");
    make_topic(&kafka.bootstrap(), &topic);
    let topics = harness::topics::Topics::new(&kafka.bootstrap(), Some(&prefix));
    for (id, body) in enrolments(events).enumerate() {
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

    let (mut floors, mut services) = (Vec::new(), Vec::new());
    for round in 1..=rounds {
        let database = Database::postgres();
        let floor = floor::run(&kafka.bootstrap(), &topic, database.url(), events, THRESHOLD);
        let expected = Outcome::of_floor(&database);
        let (service, memory, outcome) = service(&kafka, &prefix, events);
        assert_eq!(outcome, expected, "both know the same");
        println!(
            "round {round}: floor {floor:>8.0} events/s   service {service:>8.0} events/s   ratio {:.2}   {memory} MiB   {outcome:?}",
            service / floor
        );
        floors.push(floor);
        services.push(service);
    }
    println!(
        "medians of {events} events: floor {:.0}, service {:.0} events/s, ratio {:.2}",
        median(&floors),
        median(&services),
        median(&services) / median(&floors)
    );
}
