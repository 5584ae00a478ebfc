//! The real program and a PostgreSQL that is not there yet.

use crate::harness::binary::BinaryApp;
use crate::harness::events::{Event, Learner, course};
use crate::harness::kafka::RealKafka;
use crate::harness::postgres::Postgres;
use crate::harness::world::{PATIENCE, Plan, eventually};

#[tokio::test]
async fn a_database_that_is_down_at_the_start_is_waited_for() {
    let mut cluster = Postgres::own();
    let url = cluster.database();
    cluster.stop_immediately();
    let mut plan = Plan::new();
    plan.database(crate::harness::database::Database::by_way_of(&url));
    plan.kafka(RealKafka::shared());
    let app = BinaryApp::launch(plan);
    eventually("it says what it waits for", PATIENCE, async || {
        let Some((503, body)) = app.try_get("/readyz").await else {
            return false;
        };
        let waits = body["checks"]["start"]["detail"].as_str().unwrap_or_default();
        body["checks"]["database"]["ok"] == false && waits.contains("waiting for the database: ")
    })
    .await;
    let (status, _) = app.get("/livez", None).await;
    assert_eq!((status, app.ended()), (200, None));
    cluster.start();
    app.wait_until_ready();
    let log = app.log();
    assert_eq!(log.matches("waiting for the database").count(), 1, "{log}");
    app.topics
        .publish_events(&[Event::enrollment_created(&Learner::new(1), &course(1))]);
    eventually("the event is applied", PATIENCE, async || {
        app.database.count("learner", "enrolled = 1") == 1
    })
    .await;
    assert_eq!(app.terminate(), Some(0), "{}", app.log());
}
