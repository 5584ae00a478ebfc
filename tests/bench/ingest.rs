//! How fast facts come from Kafka into PostgreSQL: the service against the floor of `floor.rs`, in turns, on one topic.

use anyhow::Result;

use crate::floor;
use crate::harness::binary::BinaryApp;
use crate::harness::database::Database;
use crate::harness::kafka::RealKafka;
use crate::harness::topics::Topics;
use crate::support::{Outcome, READ, enrolments, make_topic, median, number, plan_on, publish, rate, topic_of};

const EVENTS: u64 = 400_000;
const ROUNDS: u64 = 3;
pub const THRESHOLD: u64 = 3;

/// Events a second from the first commit that is seen to the last one, and the most memory in MiB.
pub fn service(kafka: &RealKafka, prefix: &str, events: u64) -> Result<(f64, u64, Outcome)> {
    let mut plan = plan_on(kafka);
    let group = plan.settings["TOPIC_PREFIX"].clone();
    plan.set("KAFKA_GROUP_ID", &group);
    plan.set("TOPIC_PREFIX", prefix);
    let mut app = BinaryApp::with_roles(plan, "http");
    app.activate(&format!("{THRESHOLD},three"), "", "");
    assert_eq!(app.terminate(), Some(0));
    app.start_again_as("ingest,http");
    let speed = rate(&app.database, "ingest", READ, events)?;
    let memory = app.peak_memory_kib() / 1024;
    assert_eq!(app.terminate(), Some(0));
    Ok((speed, memory, Outcome::of(&app.database, "learner_course")))
}

/// `ACCOLADE_BENCH_EVENTS` and `ACCOLADE_BENCH_ROUNDS` say how much.
pub fn run() -> Result<()> {
    let events = number("ACCOLADE_BENCH_EVENTS", EVENTS);
    let rounds = number("ACCOLADE_BENCH_ROUNDS", ROUNDS);
    let kafka = RealKafka::start_for(true);
    let plan = plan_on(&kafka);
    let topic = topic_of(&plan);
    let prefix = plan.settings["TOPIC_PREFIX"].clone();
    make_topic(&kafka.bootstrap(), &topic);
    let topics = Topics::new(&kafka.bootstrap(), Some(&prefix));
    publish(&topics, enrolments(events));

    let (mut floors, mut services) = (Vec::new(), Vec::new());
    for round in 1..=rounds {
        let database = Database::postgres();
        let floor = floor::run(&kafka.bootstrap(), &topic, database.url(), events, THRESHOLD);
        let expected = Outcome::of(&database, "fact");
        let (service, memory, outcome) = service(&kafka, &prefix, events)?;
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
    Ok(())
}
