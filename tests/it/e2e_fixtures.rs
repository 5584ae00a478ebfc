//! The programs that tests stand on do start, stop, and keep what they were given.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{FutureProducer, FutureRecord};

use crate::harness::kafka::RealKafka;
use crate::harness::postgres::Postgres;

#[test]
fn a_database_survives_a_crash_of_its_server() {
    let mut cluster = Postgres::own();
    let url = cluster.database();
    let (port, first) = (cluster.port(), cluster.pid());
    let name = url.rsplit('/').next().expect("the URL ends with the name").to_owned();
    cluster.psql(&name, "CREATE TABLE kept AS SELECT 42 AS answer");
    cluster.stop_immediately();
    cluster.start();
    assert_eq!(
        (cluster.port(), cluster.psql(&name, "SELECT answer FROM kept").as_str()),
        (port, "42")
    );
    assert_ne!(cluster.pid(), first);
}

#[test]
fn each_test_has_a_database_of_its_own_in_the_shared_cluster() {
    let (one, other) = (Postgres::shared().database(), Postgres::shared().database());
    assert_ne!(one, other);
    assert_eq!(Postgres::shared().psql("postgres", "SHOW fsync"), "on");
}

#[tokio::test]
async fn an_acknowledged_record_survives_the_kill_of_its_broker() {
    let mut kafka = RealKafka::start();
    let topic = format!("{}-kept", RealKafka::topic_prefix());
    let configuration = {
        let mut configuration = ClientConfig::new();
        configuration.set("bootstrap.servers", kafka.bootstrap());
        configuration
    };
    let admin: AdminClient<DefaultClientContext> = configuration.create().expect("a client can be made");
    let new = NewTopic::new(&topic, -1, TopicReplication::Fixed(1));
    let made = admin
        .create_topics([&new], &AdminOptions::new())
        .await
        .expect("the broker answers");
    assert_eq!(made, [Ok(topic.clone())]);
    let producer: FutureProducer = configuration.create().expect("a producer can be made");
    let record = FutureRecord::to(&topic).key("1").payload("one").partition(3);
    producer
        .send(record, Duration::from_secs(20))
        .await
        .expect("the record is acknowledged");
    let first = kafka.pid();
    kafka.kill();
    kafka.restart();
    assert_ne!(kafka.pid(), first);
    let consumer: BaseConsumer = configuration.create().expect("a consumer can be made");
    let metadata = consumer
        .fetch_metadata(Some(&topic), Duration::from_secs(20))
        .expect("the broker answers");
    assert_eq!(metadata.topics()[0].partitions().len(), 8);
    let marks = consumer
        .fetch_watermarks(&topic, 3, Duration::from_secs(20))
        .expect("the partition has a leader");
    assert_eq!(marks, (0, 1));
}

#[test]
fn the_shared_broker_makes_no_topics_by_itself() {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", RealKafka::shared().bootstrap())
        .set("allow.auto.create.topics", "true")
        .create()
        .expect("a consumer can be made");
    let topic = format!("{}-none", RealKafka::topic_prefix());
    let metadata = consumer
        .fetch_metadata(Some(&topic), Duration::from_secs(20))
        .expect("the broker answers");
    assert!(metadata.topics()[0].partitions().is_empty());
}
