//! How long it takes from the start of the process until it answers, and until it is ready.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::harness::binary::BinaryApp;
use crate::harness::database::Database;
use crate::harness::kafka::RealKafka;
use crate::support::{make_topic, median, number, plan_on, runtime, topic_of};

const ROUNDS: u64 = 10;
/// It lives, it is ready.
const PATHS: [&str; 2] = ["/livez", "/readyz"];

/// `ACCOLADE_BENCH_ROUNDS` says how often.
pub fn run() -> Result<()> {
    let kafka = RealKafka::start_for(true);
    for (name, database) in [("PostgreSQL", Database::postgres()), ("SQLite", Database::sqlite())] {
        let mut plan = plan_on(&kafka);
        plan.database(database);
        make_topic(&kafka.bootstrap(), &topic_of(&plan));
        let start = Instant::now();
        let mut app = BinaryApp::launch(plan);
        let first = answers(&app, start);
        let mut all = Vec::new();
        for _ in 0..number("ACCOLADE_BENCH_ROUNDS", ROUNDS) {
            assert_eq!(app.terminate(), Some(0));
            let start = Instant::now();
            app.launch_again();
            all.push(answers(&app, start));
        }
        assert_eq!(app.terminate(), Some(0));
        for (number, path) in PATHS.into_iter().enumerate() {
            let again: Vec<f64> = all.iter().map(|times| times[number]).collect();
            let most = again.iter().copied().fold(0.0, f64::max);
            println!(
                "{name:<11} {path:<8} first, with migrations and topics: {:.0} ms; again: median {:.0} ms, at most {most:.0} ms",
                first[number],
                median(&again)
            );
        }
    }
    Ok(())
}

/// Milliseconds since the start until each of [`PATHS`] is answered with 200.
fn answers(app: &BinaryApp, start: Instant) -> [f64; 2] {
    let runtime = runtime();
    PATHS.map(|path| {
        while runtime
            .block_on(app.try_get(path))
            .is_none_or(|(status, _)| status != 200)
        {
            assert!(app.ended().is_none(), "it ended: {}", app.log());
            assert!(
                start.elapsed() < Duration::from_secs(60),
                "{path} is not answered with 200"
            );
            std::thread::sleep(Duration::from_millis(1));
        }
        start.elapsed().as_secs_f64() * 1e3
    })
}
