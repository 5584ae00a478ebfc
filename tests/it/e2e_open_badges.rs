//! The public documents of the built-in issuer hold before the validator that others use.

use std::process::Command;

use crate::harness::app::TestApp;
use crate::harness::events::{Event, Learner, course};
use crate::harness::world::{PATIENCE, World, eventually};
use serde_json::Value;

/// Runs the validator; what it complains of.
async fn complaints(url: &str, email: &str) -> Result<(), String> {
    let python = std::env::var("ACCOLADE_PYTHON").expect("ACCOLADE_PYTHON names a Python (tests/run sets it)");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/check_openbadges.py");
    let arguments = [
        script.to_owned(),
        url.to_owned(),
        "--email".to_owned(),
        email.to_owned(),
    ];
    let run = move || Command::new(python).args(arguments).output().expect("Python runs");
    let output = tokio::task::spawn_blocking(run).await.expect("it does not panic");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() { Ok(()) } else { Err(text) }
}

async fn awarded(app: &World, learner: &Learner, number: usize) -> Vec<Value> {
    eventually("the badges are announced", PATIENCE, async || {
        app.announced().len() == number
    })
    .await;
    let own = app
        .topics
        .awarded()
        .into_iter()
        .filter(|record| record.key() == learner.id.to_string());
    own.map(|record| record.json()).collect()
}

#[tokio::test]
async fn each_kind_of_badge_is_a_valid_open_badge_of_its_recipient() {
    let app = TestApp::builder().setting("ISSUER_NAME", "Academy & Söhne").start();
    app.activate("1,one", "", "");
    let ada = Learner::new(1);
    app.topics.publish_events(&[
        Event::enrollment_created(&ada, &course(1)),
        Event::certificate_generated(&ada, &course(1)),
    ]);
    let bodies = awarded(&app, &ada, 2).await;
    for body in &bodies {
        let url = body["assertion"]["assertion_url"].as_str().expect("a URL");
        assert_eq!(complaints(url, "learner1@example.com").await, Ok(()), "{body}");
        let other = complaints(url, "somebody.else@example.com").await;
        assert!(other.is_err(), "the badge is everybody's");
        let (_, document) = app.get(url, None).await;
        assert!(!document.to_string().contains("learner1@"), "{document}");
    }
}
