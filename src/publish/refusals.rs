//! What Kafka does not take, and why: for the log and for `/readyz`.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::kafka::SendError;

/// What failed waits a second and is sent again: what was not met for so long is over, or another process has sent it.
const STANDS: Duration = Duration::from_secs(90);

/// By topic, why it does not take records, as far as this process knows.
#[derive(Debug, Default)]
pub struct Refusals(Mutex<BTreeMap<String, Refusal>>);

#[derive(Debug)]
struct Refusal {
    error: SendError,
    at: Instant,
}

/// What is new.
#[derive(Debug, PartialEq, Eq)]
enum News {
    None,
    Fails,
    Works,
}

impl Refusals {
    /// The topics that this process may not write to, and what the brokers say, for `/readyz`. That brokers cannot be
    /// reached, or are busy, is not among it.
    pub fn problems(&self) -> Vec<String> {
        self.problems_at(Instant::now())
    }

    /// Whether the last records of this topic were not taken, for whatever reason.
    #[cfg(test)]
    pub(super) fn fails(&self, topic: &str) -> bool {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.contains_key(topic)
    }

    fn problems_at(&self, now: Instant) -> Vec<String> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter()
            .filter(|(_, refusal)| refusal.error.is_refusal() && refusal.stands(now))
            .map(|(topic, refusal)| format!("{topic}: {}", refusal.error.broker_code()))
            .collect()
    }

    /// Keeps what came of sending to a topic, and says it when it is something else than before.
    pub(super) fn keep(&self, topic: &str, error: Option<&SendError>, now: Instant) {
        match (self.news(topic, error, now), error) {
            (News::Fails, Some(error)) => tracing::warn!(
                error.code = error.code(),
                kafka.topic = topic,
                "Kafka does not take the records of {topic}, which are sent again and again: {error}"
            ),
            (News::Works, _) => tracing::info!(kafka.topic = topic, "Kafka takes the records of {topic} again"),
            (News::None | News::Fails, _) => {}
        }
    }

    fn news(&self, topic: &str, error: Option<&SendError>, now: Instant) -> News {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(error) = error else {
            return match all.remove(topic) {
                Some(_) => News::Works,
                None => News::None,
            };
        };
        let refusal = Refusal {
            error: error.clone(),
            at: now,
        };
        match all.insert(topic.to_owned(), refusal) {
            Some(before) if before.error == *error && before.stands(now) => News::None,
            _ => News::Fails,
        }
    }
}

impl Refusal {
    fn stands(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.at) < STANDS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_told_when_it_begins_when_it_changes_and_when_it_is_over() {
        let refusals = Refusals::default();
        let (rights, brokers) = (SendError::without_rights(), SendError::without_brokers());
        let now = Instant::now();
        let later = now + Duration::from_secs(1);
        let news = |error: Option<&SendError>, at| refusals.news("badge.awarded", error, at);
        assert_eq!(news(None, now), News::None);
        assert_eq!(news(Some(&brokers), now), News::Fails);
        assert_eq!(refusals.problems_at(now), [""; 0], "the probe of Kafka says that");
        assert_eq!(news(Some(&rights), now), News::Fails);
        assert_eq!(news(Some(&rights), later), News::None);
        let said = refusals.problems_at(later);
        assert_eq!(said.len(), 1);
        assert!(
            said[0].starts_with("badge.awarded: ") && said[0].contains("authorization"),
            "{said:?}"
        );
        assert_eq!(
            refusals.problems_at(later + STANDS),
            [""; 0],
            "another process may have sent it"
        );
        assert_eq!(news(Some(&rights), later + STANDS), News::Fails);
        assert_eq!(refusals.news("badge.revoked", None, later), News::None);
        assert_eq!(news(None, later + STANDS), News::Works);
        assert_eq!(refusals.problems_at(later + STANDS), [""; 0]);
    }
}
