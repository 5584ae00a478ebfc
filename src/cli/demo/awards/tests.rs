use serde_json::json;

use super::*;
use crate::{
    kafka::{Producer, ProducerOptions},
    wire::record::OutgoingRecord,
};

fn event(course: Option<&str>) -> Vec<u8> {
    let event = json!({"assertion": {"id": "a", "assertion_url": "http://x/ob2/assertions/9f3c"},
        "badge_class": {"slug": "three", "display_name": "Three", "course_id": course}, "user": {"username": "ada"}});
    event.to_string().into_bytes()
}

#[test]
fn an_award_is_told_by_its_course_or_else_by_its_slug() {
    let three = award(&event(None)).expect("an award");
    assert_eq!((three.earned.badge.as_str(), three.page.as_str()), ("three", "9f3c"));
    assert_eq!(
        award(&event(Some("edX/A/1"))).expect("an award").earned.badge,
        "edX/A/1"
    );
    assert!(award(b"{}").is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn awards_are_seen_as_they_come() {
    let topic = "badge.awarded".to_owned();
    let broker = EmbeddedBroker::start(&[(topic.clone(), 2)]).expect("a broker");
    let mut awards = Awards::watch(broker.bootstrap_servers(), &topic).expect("a reader");
    let settings = kafka::Settings::new(broker.bootstrap_servers());
    let producer = Producer::new(&settings, ProducerOptions::default()).expect("a producer");
    let record = OutgoingRecord {
        topic,
        key: None,
        value: Some(event(None)),
        headers: Vec::new(),
    };
    producer.send(record).await.expect("written");
    let seen = tokio::time::timeout(Duration::from_secs(20), awards.next()).await;
    assert_eq!(seen.expect("in time").expect("an award").earned.username, "ada");
}
