//! Where a consumer starts.

use std::time::Duration;

use super::harness::{
    DEADLINE, Database, TOPIC, broker, close, commit, consumer, database_at, done, poll_until, poll_until_shared,
    producer, read, record, values, write,
};
use crate::kafka::{Consumer, EmbeddedBroker, Settings};
use crate::wire::record::OutgoingRecord;

/// A broker with the records 0 to 5, of which the group committed the first three.
async fn half_done() -> EmbeddedBroker {
    let broker = broker(1);
    write(&producer(&broker), 6).await;
    let mut first = consumer(&broker, Database::default());
    read(&mut first, 6);
    commit(&first, 3);
    close(first);
    broker
}

async fn first_value(database: Database) -> String {
    let broker = half_done().await;
    let mut second = consumer(&broker, database);
    let records = read(&mut second, 1);
    close(second);
    values(&records).remove(0)
}

#[tokio::test]
async fn without_a_database_where_the_group_committed() {
    assert_eq!(first_value(Database::default()).await, "3");
}

#[tokio::test]
async fn where_the_database_is_when_it_is_behind() {
    assert_eq!(first_value(database_at(1)).await, "1");
}

#[tokio::test]
async fn where_the_group_committed_when_the_database_is_ahead() {
    assert_eq!(first_value(database_at(5)).await, "3");
}

#[tokio::test]
async fn where_the_database_is_with_the_older_group_protocol_too() {
    let broker = half_done().await;
    let mut settings = Settings::new(broker.bootstrap_servers());
    // The mock does not let a group change its protocol.
    settings.group_id = "classic".to_owned();
    // After the last member has left, the mock waits for others nearly that long.
    for (name, value) in [("session.timeout.ms", "6000"), ("heartbeat.interval.ms", "200")] {
        settings.extra.insert(name.to_owned(), value.to_owned());
    }
    let topics = [TOPIC.to_owned()];
    let mut first = Consumer::new(&settings, &topics, Database::default()).expect("valid settings");
    read(&mut first, 6);
    commit(&first, 4);
    close(first);
    let mut second = Consumer::new(&settings, &topics, database_at(2)).expect("valid settings");
    assert_eq!(values(&read(&mut second, 1))[0], "2");
    close(second);
}

#[tokio::test]
async fn paused_when_partitions_are_given_during_a_pause() {
    let broker = broker(1);
    write(&producer(&broker), 1).await;
    let mut consumer = consumer(&broker, Database::default());
    consumer.pause_all().expect("paused");
    poll_until(&mut consumer, "assigned", |c| c.is_assigned());
    // Long enough for a record to come if it were not paused.
    let none = consumer.poll_batch(10, 1 << 20, Duration::from_millis(500), std::time::Instant::now());
    assert_eq!(none.expect("polled"), []);
    consumer.resume_all().expect("resumed");
    assert_eq!(values(&read(&mut consumer, 1)), ["0"]);
    consumer.commit_sync(DEADLINE).expect("nothing to commit");
    close(consumer);
}

#[tokio::test]
async fn not_paused_when_a_partition_comes_back_that_was_paused_when_it_was_taken() {
    let broker = broker(2);
    let mut first = consumer(&broker, Database::default());
    poll_until(&mut first, "assigned", |c| c.assignment().len() == 2);
    first.pause_all().expect("paused");
    let mut second = consumer(&broker, Database::default());
    poll_until_shared(&mut first, &mut second);
    first.resume_all().expect("resumed");
    close(second);
    poll_until(&mut first, "assigned again", |c| c.assignment().len() == 2);
    let producer = producer(&broker);
    for number in 0..20 {
        let text = number.to_string();
        let key = Some(text.clone().into_bytes());
        let record = OutgoingRecord { key, ..record(&text) };
        producer.send(record).await.expect("written");
    }
    let read = read(&mut first, 20);
    assert!((0..2).all(|partition| read.iter().any(|record| record.partition == partition)));
    close(first);
}

#[tokio::test]
async fn at_the_beginning_when_the_database_is_new() {
    let new = Database {
        offsets: Some([((TOPIC.to_owned(), 7), 9)].into()),
        ..Database::default()
    };
    assert_eq!(first_value(new).await, "0");
}

#[tokio::test]
async fn at_the_beginning_when_the_group_is_new() {
    let broker = broker(1);
    write(&producer(&broker), 3).await;
    let mut consumer = consumer(&broker, database_at(2));
    assert_eq!(values(&read(&mut consumer, 1))[0], "0");
    close(consumer);
}

#[tokio::test]
async fn at_the_beginning_when_the_topic_was_made_anew() {
    let broker = broker(1);
    let producer = producer(&broker);
    let mut first = consumer(&broker, database_at(0));
    write(&producer, 1).await;
    read(&mut first, 1);
    // The offset that the group had in the topic before this one.
    commit(&first, 1000);
    close(first);
    let mut second = consumer(&broker, database_at(1000));
    assert_eq!(values(&read(&mut second, 1)), ["0"]);
    assert_eq!(second.offset_resets(), 1);
    close(second);
}

#[tokio::test]
async fn stored_offsets_are_committed_on_closing() {
    let broker = broker(1);
    let producer = producer(&broker);
    write(&producer, 2).await;
    let mut first = consumer(&broker, Database::default());
    read(&mut first, 2);
    done(&first, 2);
    close(first);
    let mut second = consumer(&broker, Database::default());
    poll_until(&mut second, "assigned", |c| c.is_assigned());
    producer.send(super::harness::record("new")).await.expect("written");
    assert_eq!(values(&read(&mut second, 1)), ["new"]);
    close(second);
}

#[tokio::test]
async fn positions_of_partitions_that_are_not_held_are_passed_over() {
    let broker = broker(1);
    let mut consumer = consumer(&broker, Database::default());
    poll_until(&mut consumer, "assigned", |c| c.is_assigned());
    consumer
        .store_offsets(&[crate::kafka::Position {
            topic: "other".into(),
            partition: 4,
            next_offset: 2,
        }])
        .expect("no error");
    consumer.commit_async().expect("nothing to commit is fine");
    close(consumer);
}
