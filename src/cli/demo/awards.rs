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
        let batch = match consumer.poll_batch(100, 1 << 20, POLL, std::time::Instant::now()) {
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
mod tests;
