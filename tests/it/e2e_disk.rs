//! The real program and a PostgreSQL whose disk is full.

use std::ops::RangeInclusive;

use crate::harness::binary::BinaryApp;
use crate::harness::database::Database;
use crate::harness::events::{Event, Learner, course};
use crate::harness::kafka::RealKafka;
use crate::harness::postgres::Postgres;
use crate::harness::process::wait_until;
use crate::harness::world::{PATIENCE, Plan, World, eventually};

const EARLY: usize = 100;
const ALL: usize = 3_000;

fn enrol(world: &World, learners: RangeInclusive<usize>) {
    let ids = learners.map(|id| i64::try_from(id).expect("a number of learners"));
    let events: Vec<Event> = ids
        .map(|id| Event::enrollment_created(&Learner::new(id), &course(1)))
        .collect();
    world.topics.publish_events(&events);
}

/// Until `/readyz` answers 503, and a check says this.
async fn unready(app: &BinaryApp, check: &str, detail: &str) {
    let what = format!("/readyz says {detail:?} of {check}");
    eventually(&what, PATIENCE, async || {
        assert_eq!(app.ended(), None, "it ended: {}", app.log());
        let Some((status, body)) = app.try_get("/readyz").await else {
            return false;
        };
        let check = &body["checks"][check];
        let said = check["detail"].as_str().unwrap_or_default();
        status == 503 && check["ok"] == false && said.contains(detail)
    })
    .await;
}

#[tokio::test]
async fn a_disk_that_is_full_is_waited_for_and_nothing_is_lost() {
    const FULL: &str = "No space left on device";
    const NEXT_FILE: &str = "SELECT pg_logical_emit_message(false, '', ''), pg_switch_wal()";
    let Some(mut cluster) = Postgres::on_small_disk() else {
        return;
    };
    let url = cluster.database();
    let mut plan = Plan::new();
    plan.database(Database::by_way_of(&url));
    plan.kafka(RealKafka::shared());
    let app = BinaryApp::start(plan);
    enrol(&app, 1..=EARLY);
    app.quiet(EARLY).await;

    // There is no room for rows, but for now in the file of the write-ahead log that was just begun.
    cluster.psql("postgres", NEXT_FILE);
    cluster.psql("postgres", "CHECKPOINT");
    cluster.disk().fill();
    let rows = "CREATE TABLE filler AS SELECT n, repeat('x', 900) FROM generate_series(1, 10000) n";
    let refused = cluster.try_psql("postgres", rows).expect_err("there is no room");
    assert!(refused.contains(FULL), "{refused}");
    enrol(&app, EARLY + 1..=ALL);
    unready(&app, "consumer", "database: ").await;
    assert!(app.log().contains("database_exhausted"), "{}", app.log());

    // Nor is there for the next such file, and PostgreSQL stops itself.
    wait_until("PostgreSQL ends", PATIENCE, || {
        cluster.disk().fill();
        drop(cluster.try_psql("postgres", NEXT_FILE));
        cluster.has_ended()
    });
    let log = cluster.log();
    let panic = log.lines().find(|line| line.contains("PANIC"));
    assert!(panic.is_some_and(|line| line.contains(FULL)), "{log}");
    unready(&app, "database", "").await;
    assert_eq!(app.get("/livez", None).await.0, 200);

    cluster.disk().make_room();
    cluster.start();
    app.quiet(ALL).await;
    app.wait_until_ready();
    assert_eq!(app.topics.count("enrollment.created"), ALL);
    assert_eq!(app.database.count("learner", "enrolled = 1"), ALL);
    assert_eq!(app.database.count("learner_course", "enrolled"), ALL);
    assert_eq!(app.letters(), Vec::<String>::new());
    assert_eq!(app.terminate(), Some(0), "{}", app.log());
}
