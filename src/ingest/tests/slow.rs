//! A database that is slow, and a clock that steps back, beside a broker that goes on.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, mpsc::channel},
    time::{Duration, Instant},
};

use chrono::TimeDelta;
use diesel::connection::SimpleConnection;

use super::reading::{Running, TOPIC, broker, enrolled, learners, position, send};
use crate::{
    clock::WrongClock,
    kafka::{self, Consumer, ConsumerEvents, EmbeddedBroker, TopicPartition},
    store::testing::{databases, postgres, sqlite},
};

/// Another member of the group, which does nothing but hold partitions.
struct Idle;

impl ConsumerEvents for Idle {
    fn start_offsets(&self, _: &[TopicPartition]) -> Option<HashMap<TopicPartition, i64>> {
        None
    }

    fn revoked(&self, _: &[TopicPartition], _: bool) {}
}

fn events(running: &Running, outcome: &str) -> u64 {
    let counted = running.shared.metrics.events.with_label_values(&[TOPIC, outcome]);
    counted.get()
}

fn also(properties: &[(&str, &str)], mut to: BTreeMap<String, String>) -> BTreeMap<String, String> {
    let properties = properties.iter().copied();
    to.extend(properties.map(|(name, value)| (name.to_owned(), value.to_owned())));
    to
}

#[tokio::test]
async fn who_polls_too_late_says_so_joins_again_and_does_nothing_twice() {
    let database = sqlite();
    let store = database.store();
    let (broker, producer) = broker();
    let impatient = also(
        &[("max.poll.interval.ms", "1000")],
        EmbeddedBroker::consumer_properties(),
    );
    let running = Running::of(&broker, database.store(), None, impatient);
    send(&producer, enrolled(1, "ada")).await;
    running.wait("the first", |_| position(&store) == Some(1));

    // SQLite has one writer.
    let ((holds, held), (release, released)) = (channel(), channel::<()>());
    let other = database.store();
    let holder = std::thread::spawn(move || {
        let passed = other.transaction("hold", |_| {
            holds.send(()).expect("the test waits");
            released.recv().expect("it is told to go on");
            Ok(())
        });
        passed.expect("nobody is in its way");
    });
    held.recv().expect("held");
    send(&producer, enrolled(2, "bob")).await;
    let mut settings = kafka::Settings::new(broker.bootstrap_servers());
    settings.extra = EmbeddedBroker::consumer_properties();
    let mut second = Consumer::new(&settings, &[TOPIC.to_owned()], Idle).expect("valid settings");
    let deadline = Instant::now() + Duration::from_secs(30);
    while !second.is_assigned() {
        assert!(Instant::now() < deadline, "the partition stays with who does not poll");
        let polled = second.poll_batch(1, usize::MAX, Duration::from_millis(20), Instant::now());
        drop(polled.expect("polled"));
    }
    release.send(()).expect("it waits");
    holder.join().expect("no panic");
    running.wait("written late", |_| position(&store) == Some(2));
    second.close(Duration::from_secs(5)).expect("closed");

    running.wait("read again", |running| events(running, "stale") >= 1);
    send(&producer, enrolled(3, "cyd")).await;
    // Counted once it is committed.
    running.wait("it goes on", |running| {
        position(&store) == Some(3) && events(running, "applied") >= 3
    });
    assert_eq!((events(&running, "applied"), learners(&store)), (3, 3));
    let said = running.said();
    let warnings: Vec<&str> = said
        .lines()
        .filter(|line| line.contains("reading from Kafka: "))
        .collect();
    assert_eq!(warnings.len(), 1, "{said}");
    assert!(
        warnings[0].contains("WARN") && warnings[0].contains("max.poll.interval.ms"),
        "{said}"
    );
    running.stop();
}

#[tokio::test]
async fn commits_that_take_seconds_cost_time_and_nothing_else() {
    let Some(database) = postgres() else { return };
    let store = database.store();
    let slow = store.transaction("slow", |tx| {
        Ok(tx.conn.batch_execute(
            "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS \
             $$ BEGIN PERFORM pg_sleep(4.5); RETURN NULL; END $$; \
             CREATE CONSTRAINT TRIGGER wait AFTER INSERT OR UPDATE ON consumer_position \
             DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION wait()",
        )?)
    });
    slow.expect("made");
    let (broker, producer) = broker();
    for learner in 0..2 {
        send(&producer, enrolled(learner, "ada")).await;
    }
    // Who says nothing for so long is out of the group. (A second is too short for the mock's first assignment.)
    let session = also(
        &[("session.timeout.ms", "4000"), ("heartbeat.interval.ms", "200")],
        BTreeMap::new(),
    );
    let running = Running::of(&broker, database.store(), None, session);
    running.wait("written", |_| position(&store) == Some(2));
    running.wait("counted", |running| events(running, "applied") == 2);
    assert_eq!(events(&running, "stale"), 0);
    let said = running.said();
    assert_eq!(said.matches("partitions assigned").count(), 1, "{said}");
    assert!(!said.contains("WARN") && !said.contains("ERROR"), "{said}");
    running.stop();
}

#[tokio::test]
async fn a_clock_that_steps_back_behind_the_records_stops_nothing() {
    for database in databases() {
        let (broker, producer) = broker();
        let back = database.another(Arc::new(WrongClock(TimeDelta::days(-3_650))), 2);
        let running = Running::of(&broker, back, None, EmbeddedBroker::consumer_properties());
        send(&producer, enrolled(1, "ada")).await;
        running.wait("applied", |running| events(running, "applied") == 1);
        assert!(running.shared.metrics.consumer_time_lag.get().abs() < f64::EPSILON);
        running.stop();
    }
}
