//! What becomes of topics, partitions and members on real Kafka while the real program reads.

use std::time::Duration;

use rand::RngExt;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;

use crate::harness::binary::BinaryApp;
use crate::harness::database::Database;
use crate::harness::events::{Event, Learner, course};
use crate::harness::kafka::RealKafka;
use crate::harness::topics::{Outgoing, Topics};
use crate::harness::world::{PATIENCE, Plan, World, eventually};

fn plan() -> Plan {
    let mut plan = Plan::new();
    plan.database(Database::postgres());
    plan.kafka(RealKafka::shared());
    // New and lost partitions are seen within a second; a dead member is gone after six.
    plan.set("KAFKA_TOPIC_METADATA_REFRESH_INTERVAL_MS", "1000");
    plan.set("KAFKA_SESSION_TIMEOUT_MS", "6000");
    plan
}

fn admin() -> AdminClient<DefaultClientContext> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", RealKafka::shared().bootstrap());
    config.create().expect("a client")
}

/// The topics of this plan, by a producer that knows nothing of them yet.
fn topics(plan: &Plan) -> Topics {
    let prefix = plan.settings.get("TOPIC_PREFIX").map(String::as_str);
    Topics::new(&RealKafka::shared().bootstrap(), prefix)
}

fn enrolments(learners: std::ops::Range<i64>) -> Vec<Outgoing> {
    learners
        .map(|id| Outgoing::of(&Event::enrollment_created(&Learner::new(id), &course(1))))
        .collect()
}

async fn applied(world: &World, learners: usize) {
    eventually("all learners are enrolled", PATIENCE, async || {
        world.database.count("learner", "enrolled = 1") == learners
    })
    .await;
}

async fn create(names: &[String], partitions: i32) {
    let new: Vec<NewTopic<'_>> = names
        .iter()
        .map(|name| NewTopic::new(name, partitions, TopicReplication::Fixed(1)))
        .collect();
    let made = admin().create_topics(&new, &AdminOptions::new()).await;
    assert!(made.expect("the broker answers").iter().all(Result::is_ok));
}

#[tokio::test]
async fn partitions_that_are_added_are_read_from_their_beginning() {
    let mut plan = plan();
    plan.set("TOPIC_PARTITIONS", "1");
    let late = topics(&plan);
    let app = BinaryApp::start(plan);
    app.topics.publish(&enrolments(0..5));
    applied(&app, 5).await;
    let name = app.topics.name("enrollment.created");
    let added = admin()
        .create_partitions(&[NewPartitions::new(&name, 6)], &AdminOptions::new())
        .await;
    assert_eq!(added.expect("the broker answers"), [Ok(name)]);
    eventually("whoever writes knows of them", PATIENCE, async || {
        late.partitions("enrollment.created").len() == 6
    })
    .await;
    // They hold records before the service knows of them.
    late.publish(&enrolments(5..60));
    applied(&app, 60).await;
    let partitions = "SELECT CAST(count(*) AS text) AS line FROM consumer_position WHERE next_offset > 0";
    assert!(app.database.lines(partitions)[0].parse::<i32>().expect("a number") > 1);
    assert_eq!(app.terminate(), Some(0), "{}", app.log());
}

#[tokio::test]
async fn topics_that_are_missing_are_named_and_waited_for_and_may_be_made_anew() {
    let mut plan = plan();
    plan.set("CREATE_TOPICS", "false");
    let late = topics(&plan);
    let app = BinaryApp::launch(plan);
    let name = late.name("certificate.generated");
    eventually("readiness names what is missing", PATIENCE, async || {
        app.try_get("/readyz")
            .await
            .is_some_and(|(status, body)| status == 503 && body.to_string().contains(&name))
    })
    .await;
    let all = [
        "enrollment.created",
        "certificate.generated",
        "badge.awarded",
        "badge.revoked",
        "badges.dead-letters",
    ];
    create(&all.map(|topic| late.name(topic)), 2).await;
    app.wait_until_ready();
    late.publish(&enrolments(0..20));
    applied(&app, 20).await;

    let name = late.name("enrollment.created");
    let deleted = admin().delete_topics(&[&name], &AdminOptions::new()).await;
    assert_eq!(deleted.expect("the broker answers"), [Ok(name.clone())]);
    eventually("readiness names what is missing", PATIENCE, async || {
        let (status, body) = app.get("/readyz", None).await;
        status == 503 && body.to_string().contains(&name)
    })
    .await;
    create(&[name], 2).await;
    app.wait_until_ready();
    let prefix = app.settings.get("TOPIC_PREFIX").map(String::as_str);
    Topics::new(&RealKafka::shared().bootstrap(), prefix).publish(&enrolments(20..30));
    applied(&app, 30).await;
    assert_eq!(app.terminate(), Some(0), "{}", app.log());
}

#[tokio::test]
async fn of_two_processes_of_one_static_name_one_ends_and_says_why() {
    let mut plan = plan();
    plan.set("KAFKA_GROUP_INSTANCE_ID", "the-only-one");
    let first = BinaryApp::start(plan);
    first.topics.publish(&enrolments(0..20));
    applied(&first, 20).await;
    assert_eq!(first.ended(), None, "its own consumers get along");
    let second = BinaryApp::launch(Plan::also(&first));
    eventually("one of them ends", PATIENCE, async || {
        first.ended().or(second.ended()).is_some()
    })
    .await;
    let (ended, other) = match first.ended() {
        Some(_) => (&first, &second),
        None => (&second, &first),
    };
    assert_eq!(
        ended.ended().and_then(|status| status.code()),
        Some(1),
        "{}",
        ended.log()
    );
    let log = ended.log();
    assert!(log.contains("instance"), "it says why: {log}");
    other.wait_until_ready();
    other.topics.publish(&enrolments(20..30));
    applied(other, 30).await;
    assert_eq!(other.terminate(), Some(0), "{}", other.log());
}

#[tokio::test]
async fn told_to_end_at_any_moment_it_ends_well_and_reads_nothing_twice() {
    const ROUNDS: i64 = 6;
    let mut app = BinaryApp::start(plan());
    for round in 0..ROUNDS {
        let records = enrolments(round * 100..(round + 1) * 100);
        records.iter().for_each(|record| app.topics.queue(record));
        let moment = Duration::from_millis(rand::rng().random_range(0..400));
        tokio::time::sleep(moment).await;
        let metrics = app.text("/metrics").await;
        assert_eq!(stale(&metrics), 0, "{metrics}");
        assert_eq!(app.terminate(), Some(0));
        app.topics.flush();
        app.start_again();
    }
    applied(&app, 600).await;
    assert_eq!(stale(&app.text("/metrics").await), 0);
    assert_eq!(app.terminate(), Some(0));
}

/// Records that brought nothing new, in all.
fn stale(metrics: &str) -> u64 {
    let lines = metrics
        .lines()
        .filter(|line| line.starts_with("accolade_events_total{") && line.contains("\"stale\""));
    lines
        .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
        .sum()
}
