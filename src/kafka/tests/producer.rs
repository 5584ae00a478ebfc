//! Writing when all is not well.

use std::time::{Duration, Instant};

use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

use super::harness::{DEADLINE, Database, broker, close, consumer, producer, producer_with, read, record, values};
use crate::kafka::{Producer, ProducerOptions, SendError, Settings};
use crate::wire::record::OutgoingRecord;

/// librdkafka counts a record until a moment after it told of its delivery.
async fn nothing_in_flight(producer: &Producer) {
    let counted = async {
        while producer.in_flight() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let counted = tokio::time::timeout(DEADLINE, counted).await;
    counted.expect("what was written is in flight no more");
}

#[tokio::test]
async fn a_full_queue_waits_and_drops_nothing() {
    let broker = broker(1);
    let producer = producer_with(&broker, &[("queue.buffering.max.messages", "3")], DEADLINE);
    broker.go_down().expect("down");
    let mut receipts = Vec::new();
    for number in 0..3 {
        receipts.push(producer.enqueue(&record(&number.to_string())).await.expect("room"));
    }
    let fourth = record("3");
    let waiting = producer.enqueue(&fourth);
    tokio::pin!(waiting);
    assert!(
        tokio::time::timeout(Duration::from_millis(200), &mut waiting)
            .await
            .is_err(),
        "there is no room"
    );
    broker.come_up().expect("up");
    receipts.push(waiting.await.expect("there is room now"));
    let mut offsets = Vec::new();
    for receipt in receipts {
        offsets.push(receipt.delivered().await.expect("written").1);
    }
    assert!(offsets.is_sorted(), "{offsets:?}");
    let mut consumer = consumer(&broker, Database::default());
    assert_eq!(values(&read(&mut consumer, 4)), ["0", "1", "2", "3"]);
    close(consumer);
}

#[tokio::test]
async fn a_fatal_error_builds_one_new_producer() {
    let broker = broker(1);
    let producer = producer(&broker);
    let clone = producer.clone();
    producer.send(record("before")).await.expect("written");
    broker
        .with(|cluster| {
            cluster.request_errors(
                RDKafkaApiKey::Produce,
                &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER],
            );
        })
        .expect("told");
    let mut receipts = Vec::new();
    for _ in 0..5 {
        receipts.push(producer.enqueue(&record("lost")).await.expect("queued"));
    }
    let mut fatal = 0;
    for receipt in receipts {
        match receipt.delivered().await {
            Err(SendError::Fatal(_)) => fatal += 1,
            other => assert!(other.is_ok(), "{other:?}"),
        }
    }
    assert!(fatal >= 1);
    assert_eq!(producer.renewals(), 1);
    assert!(producer.shares_client_with(&clone));
    clone.send(record("after")).await.expect("written");
    producer.flush(DEADLINE).await.expect("flushed");
    nothing_in_flight(&producer).await;
}

#[tokio::test]
async fn refusals_are_sorted_by_what_to_do() {
    let broker = broker(1);
    let producer = producer(&broker);
    let answers = [
        (RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, "too_large"),
        (RDKafkaRespErr::RD_KAFKA_RESP_ERR_INVALID_RECORD, "permanent"),
    ];
    for (answer, expected) in answers {
        broker
            .with(move |cluster| cluster.request_errors(RDKafkaApiKey::Produce, &[answer]))
            .expect("told");
        let error = producer.send(record("x")).await.expect_err("refused");
        assert_eq!(error.code(), expected, "{error}");
    }
    let too_large = OutgoingRecord {
        value: Some(vec![0; 17_000_001]),
        ..record("")
    };
    assert_eq!(producer.send(too_large).await, Err(SendError::TooLarge));
    producer.send(record("fine")).await.expect("written");
}

#[tokio::test]
async fn what_a_broker_cannot_do_for_the_moment_is_written_all_the_same() {
    let broker = broker(1);
    let refresh = [("topic.metadata.refresh.interval.ms", "100")];
    let producer = producer_with(&broker, &refresh, DEADLINE);
    for answer in [
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS_AFTER_APPEND,
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR,
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_THROTTLING_QUOTA_EXCEEDED,
    ] {
        broker
            .with(move |cluster| cluster.request_errors(RDKafkaApiKey::Produce, &[answer]))
            .expect("told");
        let deadline = Instant::now() + DEADLINE;
        while let Err(error) = producer.send(record("x")).await {
            assert!(error.is_retriable(), "{answer:?}: {error}");
            assert!(Instant::now() < deadline, "{answer:?}: for ever");
        }
    }
    nothing_in_flight(&producer).await;
}

#[tokio::test]
async fn missing_rights_are_retriable_and_given_back() {
    let broker = broker(1);
    let refresh = [("topic.metadata.refresh.interval.ms", "100")];
    let producer = producer_with(&broker, &refresh, DEADLINE);
    broker
        .with(|cluster| {
            cluster.request_errors(
                RDKafkaApiKey::Produce,
                &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED],
            );
        })
        .expect("told");
    let deadline = Instant::now() + DEADLINE;
    let mut refused = 0;
    while let Err(error) = producer.send(record("x")).await {
        assert!(error.is_retriable(), "{error}");
        assert_eq!(error.broker_code().name(), "TopicAuthorizationFailed");
        assert!(Instant::now() < deadline, "refused for ever");
        refused += 1;
    }
    assert!(refused >= 1);
}

#[tokio::test]
async fn a_broker_that_is_down_at_the_start_delays_and_does_not_fail() {
    let broker = broker(1);
    broker.go_down().expect("down");
    let producer = producer(&broker);
    let receipt = producer.enqueue(&record("early")).await.expect("queued");
    broker.come_up().expect("up");
    receipt.delivered().await.expect("written");
}

#[tokio::test]
async fn an_outage_longer_than_the_delivery_timeout_is_retriable() {
    let broker = broker(1);
    broker.go_down().expect("down");
    let producer = producer_with(&broker, &[], Duration::from_millis(300));
    let error = producer.send(record("x")).await.expect_err("too late");
    assert!(error.is_retriable(), "{error}");
    assert_eq!(error.broker_code().name(), "MessageTimedOut");
    let flushed = producer.flush(DEADLINE).await;
    flushed.expect("nothing is left");
}

#[test]
fn settings_that_librdkafka_refuses_are_an_error_without_the_value() {
    let mut settings = Settings::new("127.0.0.1:1");
    settings
        .extra
        .insert("security.protocol".to_owned(), "hunter2".to_owned());
    let error = Producer::new(&settings, ProducerOptions::default())
        .err()
        .expect("refused");
    assert_eq!(error.code(), "invalid_property");
    assert!(!format!("{error:?} {error}").contains("hunter2"));
}
