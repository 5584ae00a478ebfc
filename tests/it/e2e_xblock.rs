//! A block in the real XBlock runtime awards its badge once, by the service that `deploy/openedx` brings.

use std::process::Command;

use crate::harness::app::TestApp;
use crate::harness::events::{Event, Learner, course};
use crate::harness::tokens::Token;
use crate::harness::world::World;
use serde_json::{Value, json};

/// Lets this learner visit the block, twice; what came of it.
async fn visits(app: &World, learner: &Learner) -> Value {
    let python = std::env::var("ACCOLADE_PYTHON").expect("ACCOLADE_PYTHON names a Python (tests/run sets it)");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/xblock_badging.py");
    let environment = [
        ("ACCOLADE_URL", app.http.clone()),
        ("ACCOLADE_TOKEN", Token::of_administrator("lms").hs256()),
        ("ACCOLADE_USER_ID", learner.id.to_string()),
        ("ACCOLADE_USERNAME", learner.username.clone()),
    ];
    let run = move || {
        let mut command = Command::new(python);
        command.arg(script).envs(environment);
        command.output().expect("Python runs")
    };
    let output = tokio::task::spawn_blocking(run).await.expect("it does not panic");
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaints}");
    serde_json::from_slice(&output.stdout).expect("it prints JSON")
}

#[tokio::test]
async fn a_block_that_is_visited_twice_awards_its_badge_once() {
    let app = TestApp::builder().start();
    let ada = Learner::new(1);
    app.topics
        .publish_events(&[Event::enrollment_created(&ada, &course(1))]);
    app.quiet(1).await;
    let expected = json!({"awarded": 1, "visits": 2, "assertions": 1});
    assert_eq!(visits(&app, &ada).await, expected);
    let announced = [("1".to_owned(), "hidden_room".to_owned())];
    app.expect_announced(&announced).await;

    // Another process of the LMS, which kept no state of the block.
    let expected = json!({"awarded": 0, "visits": 2, "assertions": 1});
    assert_eq!(visits(&app, &ada).await, expected);
    app.quiet(1).await;
    app.expect_announced(&announced).await;
}
