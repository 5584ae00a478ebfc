//! `ENABLE_OPENBADGES=false`: nothing is awarded, and what was awarded before is still revoked.

use serde_json::json;

use crate::harness::app::TestApp;
use crate::harness::database::Database;
use crate::harness::events::{Event, Learner, course};
use crate::harness::world::{PATIENCE, badge_class, eventually};
use crate::requested::post;

const AWARD: &str = "/api/badges/v1/badge-classes/1/award/";

#[tokio::test]
async fn badges_of_before_are_revoked_and_no_request_is_taken() {
    let database = Database::of_environment();
    let learner = json!({"username": "learner1"});
    let app = TestApp::builder().database(database.clone()).start();
    app.topics
        .publish_events(&[Event::enrollment_created(&Learner::new(1), &course(1))]);
    eventually("the learner is known", PATIENCE, async || {
        database.count("learner", "learner_id = 1") == 1
    })
    .await;
    let class = badge_class("first_post", "forum", 7);
    assert_eq!(post(&app, "/api/badges/v1/badge-classes/", &class).await.0, 201);
    let (status, assertion) = post(&app, &format!("{AWARD}?wait=30"), &learner).await;
    assert_eq!(status, 200, "{assertion}");
    eventually("it is announced", PATIENCE, async || app.announced().len() == 1).await;
    drop(app);

    let app = TestApp::builder()
        .database(database.clone())
        .setting("ENABLE_OPENBADGES", "false")
        .start();
    let again = json!({"username": "learner1", "idempotency_key": "again"});
    let (status, problem) = post(&app, AWARD, &again).await;
    let detail = problem["detail"].as_str().expect("a detail");
    assert!(status == 409 && detail.contains("ENABLE_OPENBADGES"), "{problem}");
    assert_eq!(database.count("award", "1 = 1"), 1);
    let id = database.lines("SELECT id AS line FROM assertion").remove(0);
    let revoke = format!("/api/badges/v1/assertions/{id}/revoke/");
    let (status, revoked) = post(&app, &revoke, &json!({"reason": "by mistake"})).await;
    assert_eq!((status, &revoked["revoked"]), (200, &json!(true)), "{revoked}");
    eventually("it is told of", PATIENCE, async || {
        app.topics.read("badge.revoked").len() == 1
    })
    .await;
}
