//! How long it takes from the start of the process until `/readyz` says so.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::harness::binary::BinaryApp;
use crate::harness::database::Database;
use crate::harness::kafka::RealKafka;
use crate::support::{make_topic, median, number, plan_on, runtime, topic_of};

const ROUNDS: u64 = 10;

/// `ACCOLADE_BENCH_ROUNDS` says how often.
pub fn run() -> Result<()> {
    let kafka = RealKafka::start_for(true);
    for (name, database) in [("PostgreSQL", Database::postgres()), ("SQLite", Database::sqlite())] {
        let mut plan = plan_on(&kafka);
        plan.database(database);
        make_topic(&kafka.bootstrap(), &topic_of(&plan));
        let start = Instant::now();
        let mut app = BinaryApp::launch(plan);
        let first = until_ready(&app, start);
        let mut all = Vec::new();
        for _ in 0..number("ACCOLADE_BENCH_ROUNDS", ROUNDS) {
            assert_eq!(app.terminate(), Some(0));
            let start = Instant::now();
            app.launch_again();
            all.push(until_ready(&app, start));
        }
        let most = all.iter().copied().fold(0.0, f64::max);
        println!(
            "{name:<11} first, with migrations and topics: {first:.0} ms; again: median {:.0} ms, at most {most:.0} ms",
            median(&all)
        );
        assert_eq!(app.terminate(), Some(0));
    }
    Ok(())
}

/// Milliseconds since the start.
fn until_ready(app: &BinaryApp, start: Instant) -> f64 {
    let runtime = runtime();
    while runtime
        .block_on(app.try_get("/readyz"))
        .is_none_or(|(status, _)| status != 200)
    {
        assert!(app.ended().is_none(), "it ended: {}", app.log());
        assert!(start.elapsed() < Duration::from_secs(60), "it does not become ready");
        std::thread::sleep(Duration::from_millis(1));
    }
    start.elapsed().as_secs_f64() * 1e3
}
