use diesel::connection::SimpleConnection as _;
use serde_json::json;

use super::*;
use crate::{
    ingest::{Paused, tests::support::shared},
    kafka::{EmbeddedBroker, Producer, ProducerOptions},
    store::testing,
    wire::record::OutgoingRecord,
};

const TOPIC: &str = "enrollment.created";

/// Rounds until it is so.
fn rounds(reading: &mut Reading<'_>, what: &str, holds: impl Fn(&Reading<'_>) -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !holds(reading) {
        assert!(Instant::now() < deadline, "never: {what}");
        reading.round().expect("a round");
    }
}

/// One that is to apply a record anew waits for the database no more once the record's partition was taken: nothing that
/// it reads could tell it that the database takes writes again.
#[tokio::test]
async fn who_lost_what_it_was_to_try_again_does_not_wait_for_the_database() {
    let database = testing::sqlite();
    let store = database.store();
    let broker = EmbeddedBroker::start(&[(TOPIC.to_owned(), 1)]).expect("the broker starts");
    let mut kafka = kafka::Settings::new(broker.bootstrap_servers());
    let producer = Producer::new(&kafka, ProducerOptions::default()).expect("valid settings");
    let body = json!({"user": {"id": 1, "username": "ada"}, "course": {"id": "course-v1:a+b+c"}});
    let record = OutgoingRecord {
        topic: TOPIC.to_owned(),
        key: None,
        value: Some(body.to_string().into_bytes()),
        headers: Vec::new(),
    };
    producer.send(record).await.expect("written");
    // The database answers, and does not take what is written.
    let renamed = store.transaction("rename", |tx| {
        Ok(tx.conn.batch_execute("ALTER TABLE learner RENAME TO away")?)
    });
    renamed.expect("renamed");

    kafka.extra = EmbeddedBroker::consumer_properties();
    let topics = Topics {
        names: vec![TOPIC.to_owned()],
        types: TopicTypes::new([TOPIC], []),
    };
    let shared = shared(store);
    let mut reading = Reading::start(&kafka, &topics, &Settings::default(), &shared).expect("a member");
    rounds(&mut reading, "it waits", |reading| {
        matches!(reading.mode, Mode::Down { .. })
    });
    assert_eq!(shared.health.paused(), [Paused::Database]);
    reading.go_on().expect("it goes back to the record");
    assert!(matches!(reading.mode, Mode::Running));
    assert_eq!(
        shared.health.paused(),
        [Paused::Database],
        "an answer to a ping says nothing of writing"
    );
    reading.consumer.unsubscribe();
    rounds(&mut reading, "it is taken", |reading| {
        reading.consumer.assignment().is_empty()
    });
    assert_eq!(shared.health.paused(), []);
    reading.close();
}
