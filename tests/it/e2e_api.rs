//! The descriptions before validators of others, and the service before a fuzzer that reads the descriptions.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Map, Value, json};

use crate::harness::app::TestApp;
use crate::harness::binary::BinaryApp;
use crate::harness::events::{Event, Learner, course};
use crate::harness::kafka::RealKafka;
use crate::harness::tokens::Token;
use crate::harness::topics::{Incoming, Outgoing};
use crate::harness::world::{PATIENCE, Plan, World, badge_class, eventually};

/// A program of the Python environment of the API's checks; what it leaves behind is left in this directory.
async fn run(directory: &Path, program: &str, arguments: Vec<String>) -> Output {
    let bin = std::env::var("ACCOLADE_API_BIN").expect("ACCOLADE_API_BIN names a bin directory (tests/run sets it)");
    let mut command = Command::new(Path::new(&bin).join(program));
    command.current_dir(directory);
    let run = move || command.args(arguments).output().expect("it runs");
    tokio::task::spawn_blocking(run).await.expect("it does not panic")
}

fn fixture(name: &str) -> String {
    format!("{}/tests/fixtures/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// A record as `check_descriptions.py` reads it.
fn line(message: &str, record: &Incoming) -> String {
    let headers = record.headers.iter().map(|(name, value)| {
        let value = String::from_utf8_lossy(value).into_owned();
        (name.clone(), Value::from(value))
    });
    let payload = serde_json::from_slice(&record.body)
        .unwrap_or_else(|_| Value::from(String::from_utf8_lossy(&record.body).into_owned()));
    json!({"message": message, "headers": headers.collect::<Map<_, _>>(), "payload": payload}).to_string()
}

async fn post(app: &World, path: &str, body: &Value) -> (u16, Value) {
    let token = Token::of_administrator("root").hs256();
    let request = app.client.post(format!("{}/api/badges/v1/{path}", app.http));
    let request = request.header("Authorization", format!("JWT {token}")).json(body);
    let answer = request.send().await.expect("the service answers");
    let status = answer.status().as_u16();
    (status, answer.json().await.unwrap_or(Value::Null))
}

#[tokio::test]
async fn the_descriptions_are_valid_and_what_the_service_writes_is_as_described() {
    let app = TestApp::builder().dead_letters(1).start();
    app.activate("1,one", "", "");
    let ada = Learner::new(1);
    let enrolled = Outgoing::of(&Event::enrollment_created(&ada, &course(1)));
    let poison = Outgoing::raw("enrollment.created", "1", b"{no JSON");
    app.topics.publish(&[enrolled, poison]);
    app.quiet(2).await;
    let awarded = app.topics.awarded();
    let id = awarded[0].json()["assertion"]["id"].as_str().expect("an id").to_owned();
    let (status, said) = post(
        &app,
        &format!("assertions/{id}/revoke/"),
        &json!({"reason": "In error"}),
    )
    .await;
    assert_eq!(status, 200, "{said}");
    eventually("the revocation is told", PATIENCE, async || {
        !app.topics.read("badge.revoked").is_empty()
    })
    .await;
    let written = [
        ("BadgeAwarded", awarded),
        ("BadgeRevoked", app.topics.read("badge.revoked")),
        ("DeadLetter", app.topics.read("badges.dead-letters")),
    ];
    let directory = tempfile::tempdir().expect("a temporary directory");
    let write = |name: &str, text: String| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).expect("the file can be written");
        path.display().to_string()
    };
    let mut lines = String::new();
    for (message, records) in written {
        assert!(!records.is_empty(), "no {message} was written");
        for record in &records {
            lines.push_str(&line(message, record));
            lines.push('\n');
        }
    }
    let schema = std::env::var("ACCOLADE_ASYNCAPI_SCHEMA").expect("ACCOLADE_ASYNCAPI_SCHEMA (tests/run sets it)");
    let arguments = vec![
        fixture("check_descriptions.py"),
        write("openapi.json", app.cli(&["openapi"])),
        write("asyncapi.json", app.cli(&["asyncapi"])),
        schema,
        write("records.jsonl", lines),
    ];
    let output = run(directory.path(), "python", arguments).await;
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaints}");
}

/// What the examples of the document name.
async fn seed(app: &World) {
    let mut ada = Learner::new(42);
    ada.username = "ada".to_owned();
    for (seed, slug) in (0..).zip(["enrolled_three", "enrolled_five", "prereq_cs"]) {
        let (status, said) = post(app, "badge-classes/", &badge_class(slug, "openedx__course", seed)).await;
        assert_eq!(status, 201, "{said}");
    }
    for (seed, number) in (3..).zip(4..=7) {
        let class = badge_class(&format!("number_{number}"), "", seed);
        assert_eq!(post(app, "badge-classes/", &class).await.0, 201);
    }
    app.topics
        .publish_events(&[Event::enrollment_created(&ada, "course-v1:edX+DemoX+2026")]);
    app.quiet(1).await;
    let award = json!({"username": "ada"});
    let (status, said) = post(app, "badge-classes/7/award/?wait=20", &award).await;
    assert_eq!(status, 200, "{said}");
}

/// The fuzzer needs minutes for a text of 64 KiB that fits a pattern; that longer ones are refused is shown elsewhere.
fn leave_out_long_lengths(document: &mut Value) {
    let schemas = document["components"]["schemas"].as_object_mut().expect("schemas");
    for (_, schema) in schemas {
        if schema["maxLength"].as_u64().is_some_and(|most| most > 10_000) {
            schema.as_object_mut().expect("a schema").remove("maxLength");
        }
    }
}

#[tokio::test]
async fn a_fuzzer_finds_no_error_of_the_server_and_no_answer_outside_of_the_document() {
    let mut plan = Plan::new();
    plan.kafka(RealKafka::shared());
    let app = BinaryApp::start(plan);
    seed(&app).await;
    let (status, mut document) = app.get("/api/openapi.json", None).await;
    assert_eq!(status, 200);
    leave_out_long_lengths(&mut document);
    let directory = tempfile::tempdir().expect("a temporary directory");
    let report = directory.path().display();
    let file = directory.path().join("openapi.json");
    std::fs::write(&file, document.to_string()).expect("the file can be written");
    let document = file.display().to_string();
    let token = Token::of_administrator("root").hs256();
    let arguments = [
        format!("--config-file={}", fixture("schemathesis.toml")),
        "run".to_owned(),
        document,
        format!("--url={}", app.http),
        format!("--header=Authorization: Bearer {token}"),
        "--report=ndjson".to_owned(),
        format!("--report-dir={report}"),
    ];
    let output = run(directory.path(), "schemathesis", arguments.into()).await;
    let said = String::from_utf8_lossy(&output.stdout);
    println!("{said}");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let log = app.log();
    let errors: Vec<&str> = log.lines().filter(|line| line.contains(r#""level":"ERROR""#)).collect();
    assert!(errors.is_empty(), "the service had errors of its own: {errors:?}");
}
