//! Several consumers on real Kafka and PostgreSQL: they come and go, the database crashes, everything comes twice and
//! keyed by course. The facts are those of the model, and so are the decisions.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use accolade::clock::SystemClock;
use accolade::domain::badge_class::{BadgeClassKey, NewBadgeClass};
use accolade::ingest::{self, Health, IngestError, Shared};
use accolade::kafka;
use accolade::store::{self, Store, badge_classes, completion_images};
use accolade::telemetry::Metrics;
use accolade::wire::decode::TopicTypes;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::harness::events::{Event, Learner, course};
use crate::harness::images;
use crate::harness::kafka::RealKafka;
use crate::harness::postgres::Postgres;
use crate::harness::process::wait_until;
use crate::harness::topics::Topics;
use crate::model::{COMPLETED, ENROLLED, LEARNERS, Life, POISON, group, records};

const PATIENCE: Duration = Duration::from_secs(120);
const TOPICS: [&str; 2] = ["enrollment.created", "certificate.generated"];

/// Consumers of one group, each with a store of its own, as processes have.
struct Group {
    url: String,
    kafka: kafka::Settings,
    topics: ingest::Topics,
}

struct Member {
    stop: CancellationToken,
    metrics: Arc<Metrics>,
    thread: JoinHandle<Result<(), IngestError>>,
}

impl Group {
    /// Of this name, on this broker and database.
    fn new(url: &str, bootstrap: &str, name: &str, topics: &Topics) -> Self {
        Self {
            url: url.to_owned(),
            kafka: kafka::Settings {
                group_id: name.to_owned(),
                ..kafka::Settings::new(bootstrap)
            },
            topics: ingest::Topics {
                names: TOPICS.map(|topic| topics.name(topic)).to_vec(),
                types: TopicTypes::new([topics.name(TOPICS[0])], [topics.name(TOPICS[1])]),
            },
        }
    }

    fn join(&self) -> Member {
        let stop = CancellationToken::new();
        let metrics = Arc::new(Metrics::new());
        let shared = Shared {
            store: open(&self.url),
            rules: Arc::default(),
            health: Arc::new(Health::new(1, Arc::clone(&metrics))),
            metrics: Arc::clone(&metrics),
            awards: Arc::new(Notify::new()),
            announcements: Arc::default(),
            breaker: Arc::default(),
            stop: stop.clone(),
        };
        let (kafka, topics) = (self.kafka.clone(), self.topics.clone());
        let settings = ingest::Settings {
            award: true,
            ..ingest::Settings::default()
        };
        let thread = std::thread::spawn(move || ingest::run(&kafka, &topics, &settings, &shared));
        Member { stop, metrics, thread }
    }
}

impl Member {
    fn leave(self) {
        self.stop.cancel();
        let ended = self.thread.join().expect("a consumer does not panic");
        ended.expect("a consumer ends when it is told so");
    }
}

fn open(url: &str) -> Arc<Store> {
    let settings = store::Settings {
        url: url.parse().expect("a URL"),
        pool_size: 3,
    };
    Arc::new(Store::open(&settings, Arc::new(SystemClock), Arc::new(Metrics::new())))
}

/// Badge classes, images and the configuration.
fn prepare(cluster: &Postgres, url: &str) {
    let store = open(url);
    store.migrate().expect("migrations run");
    let prepared = store.transaction("prepare", |tx| {
        for slug in ["e1", "e3", "e5", "c1", "c3", "pair"] {
            let key = BadgeClassKey {
                slug: slug.to_owned(),
                issuing_component: "openedx__course".to_owned(),
                course_id: String::new(),
            };
            let class = NewBadgeClass {
                key,
                mode: String::new(),
                display_name: slug.to_owned(),
                description: String::new(),
                criteria: String::new(),
                image: images::square(8, 1),
            };
            badge_classes::get_or_create(tx, &class)?;
        }
        completion_images::set(tx, "verified", &images::square(8, 1), true)
    });
    prepared.expect("prepared");
    let sql = format!(
        "INSERT INTO event_badges_configuration \
         (created_at, courses_enrolled, courses_completed, course_groups, enabled, activated_at) \
         VALUES (now(), '{ENROLLED}', '{COMPLETED}', '{}', true, now())",
        group()
    );
    cluster.psql(name_of(url), &sql);
}

fn name_of(url: &str) -> &str {
    url.rsplit('/').next().expect("the URL ends with the name")
}

async fn make_topics(bootstrap: &str, topics: &Topics) {
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .create()
        .expect("a client");
    for topic in TOPICS {
        let name = topics.name(topic);
        let new = NewTopic::new(&name, 4, TopicReplication::Fixed(1));
        let made = admin
            .create_topics([&new], &AdminOptions::new())
            .await
            .expect("the broker answers");
        assert_eq!(made, [Ok(name.clone())]);
    }
}

#[tokio::test]
async fn consumers_that_come_and_go_and_a_database_that_crashes_lose_and_double_nothing() {
    let mut cluster = Postgres::own();
    let url = cluster.database();
    prepare(&cluster, &url);
    let prefix = RealKafka::topic_prefix();
    let bootstrap = RealKafka::shared().bootstrap();
    let topics = Topics::new(&bootstrap, Some(&prefix));
    make_topics(&bootstrap, &topics).await;
    let group = Group::new(&url, &bootstrap, &prefix, &topics);
    let records = records();
    let read = |cluster: &Postgres| -> usize {
        let sql = "SELECT coalesce(sum(next_offset), 0) FROM consumer_position";
        cluster.psql(name_of(&url), sql).parse().expect("a number")
    };
    let third = records.len() / 3;

    let (first, second) = (group.join(), group.join());
    topics.publish(&records[..third]);
    wait_until("the first third is read", PATIENCE, || read(&cluster) >= third);
    first.leave();
    topics.publish(&records[third..2 * third]);
    cluster.stop_immediately();
    let third_member = group.join();
    topics.publish(&records[2 * third..]);
    cluster.start();
    wait_until("everything is read", PATIENCE, || read(&cluster) == records.len());
    second.leave();
    third_member.leave();

    let lines = |sql: &str| -> Vec<String> { cluster.psql(name_of(&url), sql).lines().map(str::to_owned).collect() };
    for life in (1..=LEARNERS).map(Life::of) {
        let id = life.learner.id;
        let counters = lines(&format!(
            "SELECT enrolled || ' ' || completed FROM learner WHERE learner_id = {id}"
        ));
        assert_eq!(counters, [life.counters()], "{id}");
        let badges = lines(&format!(
            "SELECT CASE WHEN b.course_id = '' THEN b.slug ELSE b.course_id END FROM award a \
             JOIN badge_class b ON b.id = a.badge_class_id WHERE a.learner_id = {id}"
        ));
        let found: BTreeSet<String> = badges.iter().cloned().collect();
        let (demanded, possible) = life.badges();
        assert_eq!(found.len(), badges.len(), "{id} has a badge twice: {badges:?}");
        assert!(
            demanded.is_subset(&found),
            "{id} lacks {:?}",
            demanded.difference(&found)
        );
        assert!(
            found.is_subset(&possible),
            "{id} did not earn {:?}",
            found.difference(&possible)
        );
    }
    let letters = lines("SELECT DISTINCT topic || record_partition || ' ' || record_offset FROM dead_letter");
    assert_eq!(letters.len(), POISON);
}

#[tokio::test]
async fn what_retention_took_before_it_was_read_is_counted_and_the_rest_is_read() {
    let cluster = Postgres::shared();
    let url = cluster.database();
    open(&url).migrate().expect("migrations run");
    let prefix = RealKafka::topic_prefix();
    let bootstrap = RealKafka::shared().bootstrap();
    let topics = Topics::new(&bootstrap, Some(&prefix));
    make_topics(&bootstrap, &topics).await;
    let group = Group::new(&url, &bootstrap, &prefix, &topics);
    let enrol = |ids: std::ops::RangeInclusive<i64>| {
        let events: Vec<Event> = ids
            .map(|id| Event::enrollment_created(&Learner::new(id), &course(1)))
            .collect();
        topics.publish_events(&events);
    };
    let known = || {
        cluster.psql(
            name_of(&url),
            "SELECT string_agg(learner_id::text, ' ' ORDER BY learner_id) FROM learner",
        )
    };
    let ids = |ids: &[std::ops::RangeInclusive<i64>]| {
        let all = ids.iter().cloned().flatten().map(|id| id.to_string());
        all.collect::<Vec<_>>().join(" ")
    };

    let first = group.join();
    enrol(1..=10);
    wait_until("the first are read", PATIENCE, || known() == ids(&[1..=10]));
    let metrics = Arc::clone(&first.metrics);
    first.leave();
    assert_eq!(metrics.consumer_offset_resets.get(), 0);

    enrol(11..=30);
    delete_records(&bootstrap, &topics.name(TOPICS[0])).await;
    enrol(31..=40);
    let second = group.join();
    wait_until("the last are read", PATIENCE, || known() == ids(&[1..=10, 31..=40]));
    wait_until("the gap is counted", PATIENCE, || {
        second.metrics.consumer_offset_resets.get() > 0
    });
    let counted = second.metrics.consumer_offset_resets.get();
    assert!(counted <= 4, "{counted}: once for each partition at most");
    second.leave();
}

/// As retention does: every record that is there now.
async fn delete_records(bootstrap: &str, topic: &str) {
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .create()
        .expect("a client");
    let mut all = TopicPartitionList::new();
    for partition in 0..4 {
        all.add_partition_offset(topic, partition, Offset::End).expect("added");
    }
    let deleted = admin.delete_records(&all, &AdminOptions::new()).await;
    for partition in deleted.expect("the broker answers").elements() {
        partition.error().expect("deleted");
    }
}

#[tokio::test]
async fn topics_that_were_made_are_known_to_the_next_who_asks() {
    let settings = kafka::Settings::new(RealKafka::shared().bootstrap());
    for _ in 0..3 {
        let prefix = RealKafka::topic_prefix();
        let names = TOPICS.map(|topic| format!("{prefix}-{topic}"));
        let made = kafka::admin::ensure_topics(&settings, &names, 8).await;
        assert_eq!(made.expect("the broker makes them"), names);
        let missing = kafka::admin::missing_topics(&settings, &names).await;
        assert_eq!(missing.expect("the broker answers"), Vec::<String>::new());
    }
}
