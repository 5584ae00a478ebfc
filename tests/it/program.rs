//! The real program as a process: its log, its signals, and what it needs that is not there yet.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use accolade::kafka::EmbeddedBroker;
use serde_json::{Value, json};

use crate::harness::binary::{BinaryApp, program};
use crate::harness::database::Database;
use crate::harness::events::{Event, Learner, course};
use crate::harness::fake_badgr::{FakeBadgr, Fault, Operation};
use crate::harness::world::{PATIENCE, Plan, badge_class, eventually};
use crate::requested::post;

/// A broker in the tests' process, and a service that uses it and a file.
fn plan() -> (EmbeddedBroker, Plan) {
    let topics = [
        "enrollment.created",
        "certificate.generated",
        "badge.awarded",
        "badge.revoked",
        "badges.dead-letters",
    ];
    let broker = EmbeddedBroker::start(&topics.map(|topic| (topic.to_owned(), 4))).expect("a broker");
    let mut plan = Plan::new();
    plan.database(Database::sqlite());
    plan.set("KAFKA_BOOTSTRAP_SERVERS", broker.bootstrap_servers());
    for (name, value) in EmbeddedBroker::consumer_properties() {
        plan.set(&format!("KAFKA_{}", name.replace('.', "_").to_uppercase()), &value);
    }
    (broker, plan)
}

async fn enrolled(app: &BinaryApp, learners: usize) {
    eventually("all events are applied", PATIENCE, async || {
        app.database.count("learner", "enrolled = 1") == learners
    })
    .await;
}

#[tokio::test]
async fn a_log_that_nobody_reads_stops_nothing() {
    const LEARNERS: i64 = 5_000;
    let (_broker, mut plan) = plan();
    plan.set("RUST_LOG", "debug");
    let app = BinaryApp::start_unheard(plan);
    // Each is a line of the log: more than wait to be written, and more than the pipe holds.
    ask_often(&app, 12_000);
    let metrics = app.text("/metrics").await;
    let dropped = metrics
        .lines()
        .find_map(|line| line.strip_prefix("accolade_log_dropped_total "));
    assert_ne!(dropped.expect("the metric is there"), "0");
    let events: Vec<Event> = (1..=LEARNERS)
        .map(|id| Event::enrollment_created(&Learner::new(id), &course(1)))
        .collect();
    app.topics.publish_events(&events);
    enrolled(&app, usize::try_from(LEARNERS).expect("a number")).await;
    assert_eq!(app.terminate(), Some(0));
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once_and_the_log_says_so() {
    for (signal, code) in [("TERM", 143), ("INT", 130)] {
        let badgr = FakeBadgr::start().await;
        let (_broker, mut plan) = plan();
        plan.badgr(&badgr);
        plan.set("BADGR_TIMEOUT", "60");
        let app = BinaryApp::start(plan);
        app.activate("1,one", "", "");
        badgr.order(Operation::Award, Fault::HangBefore);
        app.topics
            .publish_events(&[Event::enrollment_created(&Learner::new(1), &course(1))]);
        eventually("Badgr is asked", PATIENCE, async || badgr.faults_left() == 0).await;
        app.signal(signal);
        let said = format!("SIG{signal}: stopping");
        eventually("it stops", PATIENCE, async || app.log().contains(&said)).await;
        assert_eq!(app.ended(), None, "it waits for Badgr's answer");
        let begun = Instant::now();
        app.signal(signal);
        assert_eq!(app.exit_code(), Some(code));
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
        let said = format!("SIG{signal} again: ended");
        assert!(app.log().contains(&said), "{}", app.log());
    }
}

#[test]
fn a_start_that_fails_says_what_it_said_before_and_why() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let directory = tempfile::tempdir().expect("a directory");
    let output = Command::new(program())
        .env_clear()
        .env("HTTP_LISTEN", &address)
        .env("KAFKA_PORT", "tcp://10.0.0.1:9092")
        .env(
            "DATABASE_URL",
            format!("sqlite://{}", directory.path().join("x.db").display()),
        )
        .arg("serve")
        .output()
        .expect("the program runs");
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let (warning, cause) = (said.find("KAFKA_PORT"), said.find("cannot listen on"));
    assert!(warning.is_some() && warning < cause, "{said}");
}

#[tokio::test]
async fn a_broker_that_is_down_at_the_start_is_waited_for() {
    let (broker, plan) = plan();
    broker.go_down().expect("down");
    let app = BinaryApp::launch(plan);
    let unready = async || -> Option<String> {
        let (status, body) = app.try_get("/readyz").await?;
        let kafka = &body["checks"]["kafka"];
        (status == 503 && kafka["ok"] == false).then(|| kafka["detail"].as_str().unwrap_or_default().to_owned())
    };
    eventually("it says what it waits for", PATIENCE, async || {
        unready().await.is_some_and(|detail| detail.contains("127.0.0.1"))
    })
    .await;
    assert_eq!(app.get("/livez", None).await.0, 200);
    eventually("the log says it too", PATIENCE, async || {
        app.log().contains("waiting for Kafka")
    })
    .await;
    // Long enough for more than one try.
    for _ in 0..3 {
        assert!(unready().await.is_some());
    }
    assert_eq!(app.ended(), None);
    broker.come_up().expect("up");
    app.wait_until_ready();
    let log = app.log();
    assert_eq!(log.matches("waiting for Kafka").count(), 1, "{log}");
    assert!(log.contains("Kafka is there"), "{log}");
    app.topics
        .publish_events(&[Event::enrollment_created(&Learner::new(1), &course(1))]);
    enrolled(&app, 1).await;
    assert_eq!(app.terminate(), Some(0), "{}", app.log());
}

/// A learner who is known, and a badge class that anybody may award; answers with the path to award it.
async fn to_be_awarded(app: &BinaryApp) -> String {
    app.topics
        .publish_events(&[Event::enrollment_created(&Learner::new(1), &course(1))]);
    enrolled(app, 1).await;
    let (status, class) = post(app, "/api/badges/v1/badge-classes/", &badge_class("post", "forum", 7)).await;
    assert_eq!(status, 201, "{class}");
    format!("/api/badges/v1/badge-classes/{}/award/?wait=30", class["id"])
}

#[tokio::test]
async fn badges_are_issued_while_all_brokers_are_gone_and_little_is_said() {
    let (broker, mut plan) = plan();
    plan.set("KAFKA_RECONNECT_BACKOFF_MAX_MS", "100");
    let app = BinaryApp::start(plan);
    let award = to_be_awarded(&app).await;
    broker.go_down().expect("down");
    let gone = "no Kafka broker can be reached";
    eventually("it says so", PATIENCE, async || app.log().contains(gone)).await;
    let (status, assertion) = post(&app, &award, &json!({"user_id": 1})).await;
    assert_eq!(status, 200, "{assertion}");
    assert_eq!(app.database.count("outbox", "published_at IS NULL"), 1);
    assert_eq!(app.get("/livez", None).await.0, 200);
    eventually("it tried often", PATIENCE, async || {
        app.log().matches("librdkafka FAIL").count() >= 4
    })
    .await;
    let log = app.log();
    let loud = log.lines().filter(|line| {
        let line: Value = serde_json::from_str(line).unwrap_or_default();
        line["level"] == "WARN" || line["level"] == "ERROR"
    });
    // Two consumers, a producer, and who asks for `/readyz`.
    let loud: Vec<&str> = loud.collect();
    assert!(loud.len() <= 6, "{loud:#?}");
    broker.come_up().expect("up");
    eventually("it is announced", PATIENCE, async || {
        app.database.count("outbox", "published_at IS NULL") == 0
    })
    .await;
    assert_eq!(app.announced(), [("1".to_owned(), "post".to_owned())]);
    assert_eq!(app.terminate(), Some(0), "{}", app.log());
}

#[tokio::test]
async fn told_to_end_while_kafka_says_nothing_it_ends_within_half_a_minute() {
    let (broker, plan) = plan();
    let app = BinaryApp::start(plan);
    let award = to_be_awarded(&app).await;
    broker.answer_after(Duration::from_secs(3_600)).expect("silent");
    let (status, assertion) = post(&app, &award, &json!({"user_id": 1})).await;
    assert_eq!(status, 200, "{assertion}");
    let begun = Instant::now();
    app.signal("TERM");
    app.exit_code();
    assert!(begun.elapsed() < Duration::from_secs(35), "{:?}", begun.elapsed());
    // What was not announced is announced by the next process.
    assert_eq!(app.database.count("outbox", "published_at IS NULL"), 1);
}

#[tokio::test]
async fn it_says_what_it_reads_where_and_how_many_partitions_it_holds() {
    let (_broker, mut plan) = plan();
    plan.set("KAFKA_GROUP_ID", "the-group");
    let app = BinaryApp::start(plan);
    eventually("it says what it reads", PATIENCE, async || {
        app.log().contains("reading as group the-group in the Kafka cluster ")
    })
    .await;
    let log = app.log();
    let line = log
        .lines()
        .find(|line| line.contains("reading as group"))
        .expect("said");
    assert!(line.contains("enrollment.created, certificate.generated"), "{line}");
    eventually("all partitions are counted", PATIENCE, async || {
        let metrics = app.text("/metrics").await;
        metrics.contains("accolade_consumer_assigned_partitions 8")
    })
    .await;
    assert_eq!(app.terminate(), Some(0), "{}", app.log());
}

/// Asks `/livez` so often, over one connection.
fn ask_often(app: &BinaryApp, times: usize) {
    let address = app.http.trim_start_matches("http://").to_owned();
    let mut stream = TcpStream::connect(&address).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time");
    let mut sending = stream.try_clone().expect("a second handle");
    let sender = std::thread::spawn(move || {
        let request = format!("GET /livez HTTP/1.1\r\nHost: {address}\r\n\r\n");
        for _ in 1..times {
            sending.write_all(request.as_bytes()).expect("it reads");
        }
        let last = format!("GET /livez HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        sending.write_all(last.as_bytes()).expect("it reads");
    });
    let mut answers = String::new();
    stream.read_to_string(&mut answers).expect("it answers");
    sender.join().expect("all was asked");
    assert_eq!(answers.matches("HTTP/1.1 200").count(), times);
}
