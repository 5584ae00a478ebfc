//! What the program may hold: memory with a backlog and a dead database; memory, descriptors and threads under a long load.
//!
//! `ACCOLADE_TEST_BACKLOG` is the number of events of the backlog, `ACCOLADE_TEST_LOAD_SECONDS` how long the load lasts;
//! `tests/run long` sets a million and an hour.

use std::time::{Duration, Instant};

use crate::harness::binary::BinaryApp;
use crate::harness::database::Database;
use crate::harness::events::{Event, Learner, course};
use crate::harness::kafka::RealKafka;
use crate::harness::postgres::Postgres;
use crate::harness::topics::Outgoing;
use crate::harness::world::{PATIENCE, Plan, World, eventually};

/// The most memory that it may ever hold: 128 MiB.
const MOST_KIB: u64 = 128 * 1_024;
const COURSES: u32 = 10;

fn number(setting: &str, default: u64) -> u64 {
    std::env::var(setting).map_or(default, |text| text.parse().expect("a number"))
}

fn plan(database: Database, kafka: &RealKafka) -> Plan {
    let mut plan = Plan::new();
    plan.database(database);
    plan.kafka(kafka);
    plan.set("RUST_LOG", "warn,accolade=info");
    plan
}

fn enrolment(learner: i64, number: u32) -> Outgoing {
    Outgoing::of(&Event::enrollment_created(&Learner::new(learner), &course(number)))
}

async fn applied(world: &World, enrolments: u64, within: Duration) {
    let sql = "SELECT CAST(coalesce(sum(enrolled), 0) AS text) AS line FROM learner";
    eventually("all enrolments are applied", within, async || {
        world.database.lines(sql)[0] == enrolments.to_string()
    })
    .await;
}

#[tokio::test]
async fn memory_is_bounded_with_a_backlog_and_a_dead_database() {
    // More than the two queues of 20,000 records take.
    let backlog = number("ACCOLADE_TEST_BACKLOG", 60_000);
    // As long as it takes to read what it may hold, and longer.
    let dead = Duration::from_secs(number("ACCOLADE_TEST_DEAD_SECONDS", 10));
    let mut cluster = Postgres::own();
    let kafka = RealKafka::start_for(true);
    let app = BinaryApp::start(plan(Database::by_way_of(&cluster.database()), &kafka));
    cluster.stop_immediately();
    let learners = i64::try_from(backlog).expect("a number of events") / i64::from(COURSES);
    for learner in 1..=learners {
        (1..=COURSES).for_each(|number| app.topics.queue(&enrolment(learner, number)));
    }
    app.topics.flush();
    let since = Instant::now();
    eventually("the database has been dead for long", dead + PATIENCE, async || {
        let (status, _) = app.try_get("/livez").await.expect("it answers");
        assert_eq!((status, app.ended()), (200, None), "it lives");
        since.elapsed() >= dead
    })
    .await;
    let (status, body) = app.try_get("/readyz").await.expect("it answers");
    assert_eq!(status, 503, "{body}");
    let waiting = app.peak_memory_kib();
    cluster.start();
    let again = Instant::now();
    applied(&app, backlog, PATIENCE + Duration::from_secs(backlog / 500)).await;
    println!(
        "{backlog} events: peak of {waiting} KiB with a dead database, of {} KiB when all was applied, {:.0?} later",
        app.peak_memory_kib(),
        again.elapsed()
    );
    assert!(waiting < MOST_KIB, "{waiting} KiB with a dead database");
    assert!(
        app.peak_memory_kib() < MOST_KIB,
        "{} KiB after it",
        app.peak_memory_kib()
    );
    assert_eq!(app.terminate(), Some(0), "{}", app.log());
}

/// What it held at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Held {
    descriptors: u64,
    threads: u64,
    memory_kib: u64,
}

impl Held {
    fn by(app: &BinaryApp) -> Self {
        Self {
            descriptors: app.descriptors(),
            threads: app.threads(),
            memory_kib: app.memory_kib(),
        }
    }

    /// The most of each.
    fn most(samples: &[Self]) -> Self {
        let most = |of: fn(&Self) -> u64| samples.iter().map(of).max().expect("there are samples");
        Self {
            descriptors: most(|held| held.descriptors),
            threads: most(|held| held.threads),
            memory_kib: most(|held| held.memory_kib),
        }
    }
}

#[tokio::test]
async fn descriptors_threads_and_memory_do_not_grow_under_load() {
    let duration = Duration::from_secs(number("ACCOLADE_TEST_LOAD_SECONDS", 40));
    let app = BinaryApp::start(plan(Database::postgres(), RealKafka::shared()));
    app.activate("3,enrolled3", "", "");
    let (start, mut samples) = (Instant::now(), Vec::new());
    let mut learner = 0;
    // Ten learners with four courses, and five requests, twice a second.
    let mut turns = tokio::time::interval(Duration::from_millis(500));
    while start.elapsed() < duration {
        turns.tick().await;
        for _ in 0..10 {
            learner += 1;
            (1..=4).for_each(|number| app.topics.queue(&enrolment(learner, number)));
        }
        for path in [
            "/readyz",
            "/metrics",
            "/badges/none",
            "/api/v1/assertions/user/learner1/",
            "/none",
        ] {
            app.text(path).await;
        }
        samples.push(Held::by(&app));
    }
    app.topics.flush();
    let enrolments = u64::try_from(learner).expect("a number of learners") * 4;
    applied(&app, enrolments, PATIENCE).await;
    let quarter = samples.len() / 4;
    // What is opened once, when it is first needed, is there after a while.
    let (early, late) = (
        Held::most(&samples[quarter..2 * quarter]),
        Held::most(&samples[3 * quarter..]),
    );
    println!("{enrolments} events in {duration:.0?}: second quarter {early:?}, last quarter {late:?}");
    assert!(late.descriptors <= early.descriptors + 5, "{early:?} {late:?}");
    assert!(late.threads <= early.threads + 5, "{early:?} {late:?}");
    assert!(late.memory_kib < MOST_KIB, "{late:?}");
    assert!(
        late.memory_kib <= early.memory_kib + 16 * 1_024,
        "memory grows: {early:?} {late:?}"
    );
    assert_eq!(app.terminate(), Some(0), "{}", app.log());
}
