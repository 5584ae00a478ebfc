//! How fast awards that are decided become published, with the built-in issuer: claimed, issued, announced, marked.

use std::time::Duration;

use anyhow::Result;

use crate::harness::binary::BinaryApp;
use crate::harness::kafka::RealKafka;
use crate::support::{READ, enrolments, make_topic, number, plan_on, publish, rate, rate_seen, topic_of};

const EVENTS: u64 = 600_000;
/// To count what is left takes PostgreSQL some twenty milliseconds, for the index holds what was done as well.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Decides on the awards of so many events first, about one in eleven.
pub fn run() -> Result<()> {
    let events = number("ACCOLADE_BENCH_EVENTS", EVENTS);
    let kafka = RealKafka::start_for(true);
    let plan = plan_on(&kafka);
    make_topic(&kafka.bootstrap(), &topic_of(&plan));
    let mut app = BinaryApp::with_roles(plan, "http");
    app.activate("3,three", "", "");
    assert_eq!(app.terminate(), Some(0));
    publish(&app.topics, enrolments(events));
    app.start_again_as("ingest,http");
    rate(&app.database, "ingest", READ, events)?;
    assert_eq!(app.terminate(), Some(0));

    let decided = u64::try_from(app.database.count("award", "true")).expect("small");
    app.start_again_as("award,publish,http");
    // By the index of what is left: to count what is published takes longer each time.
    let published = format!("SELECT CAST({decided} - count(*) AS text) AS line FROM award WHERE state <> 'published'");
    let speed = rate_seen(&app.database, "awards", &published, decided, LOOK_EVERY)?;
    let memory = app.peak_memory_kib() / 1024;
    assert_eq!(app.terminate(), Some(0));
    println!("decided to published, {decided} awards: {speed:.0} awards/s, peak {memory} MiB");
    Ok(())
}
