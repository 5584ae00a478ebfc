//! What the world sees of the demo: `badge.awarded` on the embedded broker.

use std::{
    collections::HashMap,
    thread::{self, JoinHandle},
    time::Duration,
};

use serde_json::Value;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::story::Earned;
use crate::{
    cli::CliError,
    kafka::{self, Consumer, ConsumerEvents, EmbeddedBroker, KafkaError, TopicPartition},
};

/// How soon the reader notices that nobody listens any more.
const POLL: Duration = Duration::from_millis(100);
const CLOSE: Duration = Duration::from_secs(1);

/// One `badge.awarded`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Award {
    /// Who has which badge.
    pub(super) earned: Earned,
    /// The badge's name.
    pub(super) name: String,
    /// The id of the public page.
    pub(super) page: String,
}

/// The awards as they come.
pub(super) struct Awards {
    coming: Receiver<Result<Award, CliError>>,
    reader: Option<JoinHandle<()>>,
}

impl Awards {
    /// Reads the topic from its beginning.
    pub(super) fn watch(servers: &str, topic: &str) -> Result<Self, CliError> {
        let mut settings = kafka::Settings::new(servers);
        settings.group_id = "accolade-demo".to_owned();
        settings.extra = EmbeddedBroker::consumer_properties();
        let consumer = Consumer::new(&settings, &[topic.to_owned()], FromTheBeginning)?;
        let (awards, coming) = channel(1_000);
        let reader = thread::Builder::new()
            .name("awards".to_owned())
            .spawn(move || read(consumer, &awards));
        let reader = reader.map_err(KafkaError::Thread)?;
        Ok(Self {
            coming,
            reader: Some(reader),
        })
    }

    /// The next award.
    pub(super) async fn next(&mut self) -> Result<Award, CliError> {
        let ended = || Err(CliError::failed("the reader of badge.awarded ended; try again"));
        self.coming.recv().await.unwrap_or_else(ended)
    }
}

impl Drop for Awards {
    fn drop(&mut self) {
        self.coming.close();
        if let Some(reader) = self.reader.take() {
            // A panic over there has been reported over there.
            let _ = reader.join();
        }
    }
}

fn read(mut consumer: Consumer, awards: &Sender<Result<Award, CliError>>) {
    while !awards.is_closed() {
        let batch = match consumer.poll_batch(100, 1 << 20, POLL) {
            Ok(batch) => batch,
            Err(error) if error.is_fatal() => {
                drop(awards.blocking_send(Err(error.into())));
                break;
            }
            Err(error) => {
                tracing::warn!(error.code = error.code(), "reading badge.awarded: {error}");
                continue;
            }
        };
        for record in batch {
            let award = award(record.value.as_deref().unwrap_or_default());
            if awards.blocking_send(award).is_err() {
                break;
            }
        }
    }
    // The broker ends with this process anyway.
    drop(consumer.close(CLOSE));
}

/// What a `badge.awarded` says.
fn award(value: &[u8]) -> Result<Award, CliError> {
    let event: Value = serde_json::from_slice(value).unwrap_or_default();
    let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    let award = || {
        let course = text("/badge_class/course_id").filter(|course| !course.is_empty());
        let url = text("/assertion/assertion_url")?;
        Some(Award {
            earned: Earned {
                username: text("/user/username")?,
                badge: course.or_else(|| text("/badge_class/slug"))?,
            },
            name: text("/badge_class/display_name")?,
            page: url.rsplit('/').next()?.to_owned(),
        })
    };
    award().ok_or_else(|| CliError::failed("badge.awarded: an event without user, badge class or assertion"))
}

/// There is nothing to go on from.
struct FromTheBeginning;

impl ConsumerEvents for FromTheBeginning {
    fn start_offsets(&self, _: &[TopicPartition]) -> Option<HashMap<TopicPartition, i64>> {
        Some(HashMap::new())
    }

    fn revoked(&self, _: &[TopicPartition], _: bool) {}
}

#[cfg(test)]
mod tests {
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
}
