//! Brokers that fail one by one, fall silent, or do not take a commit.

use std::time::{Duration, Instant};

use rdkafka::mocking::MockCoordinator;
use rdkafka::types::RDKafkaApiKey;
use rdkafka::types::RDKafkaRespErr::{
    RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS, RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION,
    RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS,
};

use super::harness::{
    DEADLINE, Database, TOPIC, broker, close, commit, consumer, done, poll_until, producer, read, record, settings,
    values, write,
};
use crate::kafka::{Consumer, EmbeddedBroker, Producer, ProducerOptions, Settings};

/// Nobody waits so long.
const NEVER: Duration = Duration::from_secs(3_600);

#[tokio::test(flavor = "multi_thread")]
async fn when_a_broker_dies_another_one_leads_and_nothing_is_lost_or_doubled() {
    let broker = EmbeddedBroker::start_brokers(3, &[(TOPIC.to_owned(), 1)]).expect("brokers");
    let lead = |number: i32| {
        let group = settings(&broker).group_id;
        let told = broker.with(move |cluster| {
            cluster.partition_leader(TOPIC, 0, Some(number))?;
            cluster.coordinator(MockCoordinator::Group(group), number)
        });
        told.expect("told").expect("it leads");
    };
    let mut clients = settings(&broker);
    clients
        .extra
        .insert("reconnect.backoff.max.ms".to_owned(), "200".to_owned());
    lead(1);
    let mut consumer = Consumer::new(&clients, &[TOPIC.to_owned()], Database::default()).expect("valid settings");
    let mut clients = clients.clone();
    clients.extra.retain(|name, _| name == "reconnect.backoff.max.ms");
    let producer = Producer::new(&clients, ProducerOptions::default()).expect("valid settings");
    write(&producer, 3).await;
    assert_eq!(values(&read(&mut consumer, 3)), ["0", "1", "2"]);
    commit(&consumer, 3);

    broker
        .with(|cluster| cluster.broker_down(1))
        .expect("told")
        .expect("down");
    let written = tokio::spawn(async move { write(&producer, 3).await });
    lead(2);
    assert_eq!(values(&read(&mut consumer, 3)), ["0", "1", "2"]);
    written.await.expect("written");
    commit(&consumer, 6);
    poll_until(&mut consumer, "an end", |consumer| {
        consumer.lag().iter().all(|lag| lag.records == 0)
    });
    assert!(!consumer.status().is_down(), "two brokers are there");
    close(consumer);
}

#[tokio::test]
async fn a_broker_that_says_nothing_is_told_of_and_read_from_when_it_speaks() {
    let broker = broker(1);
    let mut impatient = settings(&broker);
    for (name, value) in [("socket.timeout.ms", "500"), ("reconnect.backoff.max.ms", "200")] {
        impatient.extra.insert(name.to_owned(), value.to_owned());
    }
    let mut consumer = Consumer::new(&impatient, &[TOPIC.to_owned()], Database::default()).expect("valid settings");
    poll_until(&mut consumer, "assigned", Consumer::is_assigned);
    broker.answer_after(NEVER).expect("silent");
    let begun = Instant::now();
    poll_until(&mut consumer, "reported as down", |c| c.status().is_down());
    assert!(begun.elapsed() < DEADLINE / 2, "{:?}", begun.elapsed());
    broker.answer_after(Duration::ZERO).expect("it speaks");
    producer(&broker).send(record("after")).await.expect("written");
    assert_eq!(values(&read(&mut consumer, 1)), ["after"]);
    assert!(!consumer.status().is_down());
    close(consumer);
}

#[tokio::test]
async fn a_commit_that_is_refused_skips_nothing_and_later_ones_pass() {
    for error in [
        RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS,
        RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS,
    ] {
        let broker = broker(1);
        write(&producer(&broker), 5).await;
        let mut first = consumer(&broker, Database::default());
        read(&mut first, 5);
        let refused = broker.with(move |cluster| cluster.request_errors(RDKafkaApiKey::OffsetCommit, &[error]));
        refused.expect("told");
        done(&first, 2);
        first.commit_async().expect("under way");
        done(&first, 4);
        let committed = first.commit_sync(DEADLINE);
        assert!(committed.is_ok(), "{error:?}: {committed:?}");
        close(first);
        let mut second = consumer(&broker, Database::default());
        // librdkafka repeats some of them, after the later one perhaps: then a little is read again.
        let from = values(&read(&mut second, 1)).remove(0);
        assert!(["2", "4"].contains(&from.as_str()), "{error:?}: {from}");
        close(second);
    }
}

#[tokio::test]
async fn the_last_commit_waits_until_the_group_takes_it() {
    let broker = broker(1);
    write(&producer(&broker), 5).await;
    let mut first = consumer(&broker, Database::default());
    read(&mut first, 5);
    let refused = broker.with(|cluster| {
        cluster.request_errors(
            RDKafkaApiKey::OffsetCommit,
            &[RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS; 20],
        );
    });
    refused.expect("told");
    done(&first, 4);
    assert!(first.commit_sync(DEADLINE).is_err(), "it is not taken now");
    first.commit_at_last(DEADLINE).expect("taken in the end");
    close(first);
    let mut second = consumer(&broker, Database::default());
    assert_eq!(values(&read(&mut second, 1)), ["4"]);
    close(second);
}

#[tokio::test]
async fn the_last_commit_and_the_end_are_bounded_while_the_broker_says_nothing() {
    let moment = Duration::from_millis(100);
    for commits in [true, false] {
        let broker = broker(1);
        write(&producer(&broker), 3).await;
        let mut consumer = consumer(&broker, Database::default());
        read(&mut consumer, 3);
        done(&consumer, 3);
        broker.answer_after(NEVER).expect("silent");
        // Without an end of its own the one waits for the broker, and the other for the commit that belongs to it.
        let ended = if commits {
            consumer.commit_at_last(moment)
        } else {
            consumer.close(moment)
        };
        let error = ended.expect_err("nobody answers");
        assert_eq!(error.code(), "timed_out", "{error}");
    }
}

#[tokio::test]
async fn a_member_whose_commit_shows_that_the_group_forgot_it_joins_again_and_reads_again() {
    let broker = broker(1);
    write(&producer(&broker), 5).await;
    // The protocol that knows generations; with a new name, for the mock does not let a group change its protocol.
    let mut clients = Settings::new(broker.bootstrap_servers());
    clients.group_id = "classic".to_owned();
    for (name, value) in [("session.timeout.ms", "6000"), ("heartbeat.interval.ms", "200")] {
        clients.extra.insert(name.to_owned(), value.to_owned());
    }
    let member = || Consumer::new(&clients, &[TOPIC.to_owned()], Database::default()).expect("valid settings");
    let mut first = member();
    read(&mut first, 5);
    let forgotten = broker.with(|cluster| {
        cluster.request_errors(RDKafkaApiKey::OffsetCommit, &[RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION]);
    });
    forgotten.expect("told");
    done(&first, 2);
    first.commit_async().expect("under way");
    assert_eq!(values(&read(&mut first, 5)), ["0", "1", "2", "3", "4"]);
    commit(&first, 4);
    close(first);
    let mut second = member();
    assert_eq!(values(&read(&mut second, 1))[0], "4");
    close(second);
}
