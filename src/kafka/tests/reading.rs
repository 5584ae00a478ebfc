//! What comes out is what went in.

use std::time::{Duration, Instant};

use super::harness::{
    DEADLINE, Database, TOPIC, broker, close, commit, consumer, database_at, poll, poll_until, poll_until_shared,
    producer, read, record, settings, values, write,
};
use super::raw;
use crate::kafka::{Consumer, PartitionLag};
use crate::wire::record::{Header, OutgoingRecord};

#[tokio::test]
async fn a_record_comes_back_whole() {
    let broker = broker(3);
    let sent = OutgoingRecord {
        topic: TOPIC.to_owned(),
        key: Some(b"course-v1:a+b+c".to_vec()),
        value: Some(vec![0, 255, 1]),
        headers: vec![
            Header::text("ce_type", "a.b"),
            Header {
                name: "none".to_owned(),
                value: None,
            },
            Header {
                name: "empty".to_owned(),
                value: Some(Vec::new()),
            },
            Header::text("ce_type", "again"),
        ],
    };
    let tombstone = OutgoingRecord {
        key: None,
        value: None,
        headers: Vec::new(),
        ..sent.clone()
    };
    let producer = producer(&broker);
    let (partition, offset) = producer.send(sent.clone()).await.expect("written");
    let mut consumer = consumer(&broker, Database::default());
    let got = read(&mut consumer, 1).remove(0);
    assert_eq!(&*got.topic, TOPIC);
    assert_eq!((got.partition, got.offset), (partition, offset));
    assert_eq!(got.key, sent.key);
    assert_eq!(got.value, sent.value);
    assert_eq!(got.headers, sent.headers);
    assert!(got.timestamp.is_some());

    producer.send(tombstone).await.expect("written");
    let got = read(&mut consumer, 1).remove(0);
    assert_eq!((got.key, got.value, got.headers), (None, None, Vec::new()));
    close(consumer);
}

#[tokio::test]
async fn the_first_record_comes_soon_after_the_start() {
    let broker = broker(8);
    write(&producer(&broker), 1).await;
    let started = Instant::now();
    let mut consumer = consumer(&broker, Database::default());
    read(&mut consumer, 1);
    let took = started.elapsed();
    assert!(took < Duration::from_secs(2), "{took:?}");
    assert!(consumer.is_assigned());
    assert_eq!(consumer.assignment().len(), 8);
    assert!(consumer.rebalances() >= 1);
    assert!(consumer.metadata_ok(DEADLINE));
    close(consumer);
}

#[tokio::test]
async fn a_header_name_that_is_not_utf8_spoils_nothing_else() {
    let broker = broker(1);
    raw::write(
        broker.bootstrap_servers(),
        b"value",
        &[(b"ce_type", b"a.b"), (b"caf\xe9", b"x"), (b"ce_id", b"1")],
    );
    let mut consumer = consumer(&broker, Database::default());
    let got = read(&mut consumer, 1).remove(0);
    assert_eq!(got.value.as_deref(), Some(&b"value"[..]));
    let unreadable = Header {
        name: "\u{FFFD}".to_owned(),
        value: None,
    };
    assert_eq!(
        got.headers,
        [Header::text("ce_type", "a.b"), unreadable, Header::text("ce_id", "1"),]
    );
    close(consumer);
}

#[tokio::test]
async fn the_limits_of_a_batch_are_kept() {
    let broker = broker(1);
    write(&producer(&broker), 10).await;
    let mut consumer = consumer(&broker, Database::default());
    let mut batches = Vec::new();
    let deadline = Instant::now() + DEADLINE;
    while batches.iter().sum::<usize>() < 10 {
        assert!(Instant::now() < deadline);
        let batch = consumer
            .poll_batch(4, 4 << 20, Duration::from_millis(50), std::time::Instant::now())
            .expect("polled");
        batches.push(batch.len());
    }
    assert!(batches.iter().all(|count| *count <= 4), "{batches:?}");
    consumer.seek(TOPIC, 0, 0).expect("the partition is held");
    let batch = loop {
        assert!(Instant::now() < deadline);
        let batch = consumer
            .poll_batch(1000, 5, Duration::from_millis(50), std::time::Instant::now())
            .expect("polled");
        if !batch.is_empty() {
            break batch;
        }
    };
    // Key and value hold four bytes a record.
    assert!(batch.len() <= 2, "{batch:?}");
    close(consumer);
}

#[tokio::test]
async fn what_was_paused_and_sought_is_delivered_again() {
    let broker = broker(1);
    let producer = producer(&broker);
    write(&producer, 5).await;
    let mut consumer = consumer(&broker, Database::default());
    read(&mut consumer, 5);
    consumer.pause_all().expect("paused");
    consumer.seek(TOPIC, 0, 2).expect("sought");
    write(&producer, 1).await;
    let mut polls = 0;
    while polls < 10 {
        assert_eq!(poll(&mut consumer), [], "nothing comes while paused");
        polls += 1;
    }
    consumer.resume_all().expect("resumed");
    assert_eq!(values(&read(&mut consumer, 4)), ["2", "3", "4", "0"]);
    close(consumer);
}

#[tokio::test]
async fn a_record_of_sixteen_mebibytes_passes() {
    let broker = broker(1);
    let big = OutgoingRecord {
        value: Some(vec![7; 16 << 20]),
        ..record("")
    };
    producer(&broker).send(big).await.expect("written");
    let mut consumer = consumer(&broker, Database::default());
    let got = read(&mut consumer, 1).remove(0);
    assert_eq!(got.value.map(|value| value.len()), Some(16 << 20));
    close(consumer);
}

#[tokio::test]
async fn lag_is_known_once_offsets_are_stored() {
    let broker = broker(1);
    write(&producer(&broker), 5).await;
    let mut consumer = consumer(&broker, database_at(0));
    read(&mut consumer, 5);
    commit(&consumer, 3);
    poll_until(&mut consumer, "a lag of two", |consumer| {
        consumer.lag()
            == [PartitionLag {
                topic: TOPIC.to_owned(),
                partition: 0,
                records: 2,
            }]
    });
    close(consumer);
}

#[tokio::test]
async fn a_second_member_takes_its_share_and_nothing_is_lost() {
    let broker = broker(2);
    let database = Database::default();
    let mut first = consumer(&broker, database.clone());
    poll_until(&mut first, "assigned", |c| c.assignment().len() == 2);
    let mut second = consumer(&broker, Database::default());
    poll_until_shared(&mut first, &mut second);
    assert_ne!(first.assignment(), second.assignment());
    assert_eq!(database.revoked.lock().expect("whole").len(), 1);
    close(second);
    poll_until(&mut first, "all again", |c| c.assignment().len() == 2);
    close(first);
}

#[test]
fn a_broker_that_is_down_at_the_start_delays_and_does_not_fail() {
    let broker = broker(1);
    broker.go_down().expect("down");
    let mut consumer = Consumer::new(&settings(&broker), &[TOPIC.to_owned()], Database::default())
        .expect("a broker that is down is no error");
    poll_until(&mut consumer, "reported as down", |c| c.status().is_down());
    assert!(!consumer.is_assigned());
    assert!(!consumer.metadata_ok(Duration::from_millis(100)));
    assert!(consumer.status().last_failure().is_some());
    broker.come_up().expect("up");
    poll_until(&mut consumer, "assigned", Consumer::is_assigned);
    assert!(!consumer.status().is_down());
    close(consumer);
}

#[test]
fn closing_is_bounded_when_the_broker_is_gone() {
    let broker = broker(1);
    let mut consumer = super::harness::consumer(&broker, Database::default());
    poll_until(&mut consumer, "assigned", Consumer::is_assigned);
    broker.go_down().expect("down");
    let started = Instant::now();
    // Whether it made it in time or was abandoned: it returns.
    let _ = consumer.close(Duration::from_millis(300));
    assert!(started.elapsed() < Duration::from_secs(3));
}
