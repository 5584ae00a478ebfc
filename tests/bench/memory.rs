//! What the service takes while nothing happens, and at most while it reads a backlog and issues what follows from it.

use std::time::Duration;

use anyhow::Result;

use crate::harness::binary::BinaryApp;
use crate::harness::database::Database;
use crate::harness::kafka::RealKafka;
use crate::harness::process::wait_until;
use crate::support::{READ, enrolments, make_topic, number, plan_on, publish, rate, topic_of};
use crate::usage::{Memory, cpu};

const EVENTS: u64 = 300_000;
/// After the start, and then once more to measure.
const SECONDS: u64 = 30;

/// `ACCOLADE_BENCH_EVENTS` and `ACCOLADE_BENCH_SECONDS` say how much and how long.
pub fn run() -> Result<()> {
    let kafka = RealKafka::start_for(true);
    for (name, database) in [("PostgreSQL", Database::postgres()), ("SQLite", Database::sqlite())] {
        on(&kafka, name, database)?;
    }
    Ok(())
}

fn on(kafka: &RealKafka, name: &str, database: Database) -> Result<()> {
    let events = number("ACCOLADE_BENCH_EVENTS", EVENTS);
    let mut plan = plan_on(kafka);
    plan.database(database);
    make_topic(&kafka.bootstrap(), &topic_of(&plan));
    let mut app = BinaryApp::start(plan);
    app.activate("3,three", "", "");
    println!("{name:<11} idle after the start:         {}", idle(&app));
    assert_eq!(app.terminate(), Some(0));

    publish(&app.topics, enrolments(events));
    app.start_again();
    let speed = rate(&app.database, "ingest", READ, events)?;
    println!(
        "{name:<11} {events} events, {speed:.0} a second:  peak {} MiB",
        app.peak_memory_kib() / 1024
    );
    wait_until("all awards are published", Duration::from_secs(300), || {
        app.database.count("award", "state <> 'published'") == 0
    });
    let awards = app.database.count("award", "true");
    assert!(awards > 0, "nobody has earned anything");
    assert_eq!(app.topics.awarded().len(), awards, "each is announced once");
    println!(
        "{name:<11} until {awards} awards were published: peak {} MiB",
        app.peak_memory_kib() / 1024
    );
    println!("{name:<11} idle after that:              {}", idle(&app));
    assert_eq!(app.terminate(), Some(0));
    Ok(())
}

/// Lets some time pass, and says what it takes in the same time once more.
fn idle(app: &BinaryApp) -> String {
    let time = Duration::from_secs(number("ACCOLADE_BENCH_SECONDS", SECONDS));
    std::thread::sleep(time);
    let before = cpu(app.pid());
    std::thread::sleep(time);
    let share = (cpu(app.pid()) - before) / time.as_secs_f64() * 100.0;
    let Memory { rss, pss, anonymous } = Memory::of(app.pid());
    let [rss, pss, anonymous] = [rss, pss, anonymous].map(|kib| kib / 1024);
    format!("RSS {rss} MiB (PSS {pss}, anonymous {anonymous}), {share:.1} % of a core")
}
