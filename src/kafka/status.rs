//! How a consumer is doing, to be looked at from other threads.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Deserialize;

use super::TopicPartition;
use super::observer::Observer;

/// A live view of a [`super::Consumer`], cheap to clone, and valid after the consumer has gone.
#[derive(Debug, Clone)]
pub struct ConsumerStatus(pub(super) Arc<State>);

/// How many records of a partition the group has not yet done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionLag {
    /// Topic name, as on the broker.
    pub topic: String,
    /// Partition of the topic.
    pub partition: i32,
    /// Records between the stored offset and the end.
    pub records: u64,
}

impl ConsumerStatus {
    /// The partitions held now, sorted.
    pub fn assignment(&self) -> Vec<TopicPartition> {
        self.0.assigned().iter().cloned().collect()
    }

    /// Holds a partition.
    pub fn is_assigned(&self) -> bool {
        !self.0.assigned().is_empty()
    }

    /// Is a member of the group, if perhaps one without a partition: there may be more members than
    /// partitions.
    pub fn has_joined(&self) -> bool {
        self.0.joined.load(Ordering::Relaxed)
    }

    /// How often partitions were given or taken.
    pub fn rebalances(&self) -> u64 {
        self.0.rebalances.load(Ordering::Relaxed)
    }

    /// How often a partition was read on from its beginning because the offset to go on from was not in the log any
    /// more: retention was faster than the group, or the topic was made anew.
    pub fn offset_resets(&self) -> u64 {
        self.0.observer.offset_resets()
    }

    /// What is still to be done in each partition held. A partition of which it is not known yet is
    /// absent. As old as the last statistics: about five seconds while the consumer is polled.
    pub fn lag(&self) -> Vec<PartitionLag> {
        let assigned = self.0.assigned();
        let lag = self.0.lag.lock().unwrap_or_else(PoisonError::into_inner);
        lag.iter()
            .filter(|lag| assigned.contains(&(lag.topic.clone(), lag.partition)))
            .cloned()
            .collect()
    }

    /// No broker could be reached since one last answered.
    pub fn is_down(&self) -> bool {
        self.0.observer.is_down()
    }

    /// Why a broker could not be reached the last time.
    pub fn last_failure(&self) -> Option<String> {
        self.0.observer.reason()
    }
}

#[cfg(test)]
impl ConsumerStatus {
    /// The status of no consumer.
    pub(crate) fn detached() -> Self {
        Self(Arc::new(State::new()))
    }

    /// As if these partitions had been given to it.
    pub(crate) fn give(&self, partitions: &[TopicPartition]) {
        self.0.given(partitions);
    }
}

/// What the callbacks leave for the consumer and for those who look at it.
#[derive(Debug)]
pub(super) struct State {
    pub(super) observer: Observer,
    assigned: Mutex<BTreeSet<TopicPartition>>,
    taken: Mutex<Vec<TopicPartition>>,
    lag: Mutex<Vec<PartitionLag>>,
    rebalances: AtomicU64,
    joined: AtomicBool,
    /// Partitions that are given while this is set are paused.
    pub(super) paused: AtomicBool,
}

impl State {
    pub(super) fn new() -> Self {
        Self {
            observer: Observer::new("consumer"),
            assigned: Mutex::new(BTreeSet::new()),
            taken: Mutex::new(Vec::new()),
            lag: Mutex::new(Vec::new()),
            rebalances: AtomicU64::new(0),
            joined: AtomicBool::new(false),
            paused: AtomicBool::new(false),
        }
    }

    fn assigned(&self) -> MutexGuard<'_, BTreeSet<TopicPartition>> {
        self.assigned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn given(&self, partitions: &[TopicPartition]) {
        self.assigned().extend(partitions.iter().cloned());
        self.joined.store(true, Ordering::Relaxed);
        self.rebalances.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn taken(&self, partitions: &[TopicPartition]) {
        let mut assigned = self.assigned();
        for partition in partitions {
            assigned.remove(partition);
        }
        self.taken
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(partitions.iter().cloned());
        self.rebalances.fetch_add(1, Ordering::Relaxed);
    }

    /// The partitions that were taken since the last call.
    pub(super) fn drain_taken(&self) -> Vec<TopicPartition> {
        std::mem::take(&mut *self.taken.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads librdkafka's statistics. What cannot be read leaves everything as it was.
    pub(super) fn statistics(&self, json: &[u8]) {
        let Ok(statistics) = serde_json::from_slice::<Statistics>(json) else {
            tracing::debug!("the statistics of librdkafka cannot be read");
            return;
        };
        if statistics.brokers.values().any(|b| b.state == "UP") {
            self.observer.answered();
        }
        *self.lag.lock().unwrap_or_else(PoisonError::into_inner) = statistics.lag();
    }
}

/// The part of librdkafka's statistics that is used here (STATISTICS.md of librdkafka).
#[derive(Debug, Deserialize)]
struct Statistics {
    #[serde(default)]
    brokers: HashMap<String, BrokerStatistics>,
    #[serde(default)]
    topics: HashMap<String, TopicStatistics>,
}

#[derive(Debug, Deserialize)]
struct BrokerStatistics {
    state: String,
}

#[derive(Debug, Deserialize)]
struct TopicStatistics {
    partitions: HashMap<String, PartitionStatistics>,
}

#[derive(Debug, Deserialize)]
struct PartitionStatistics {
    partition: i32,
    consumer_lag: i64,
    consumer_lag_stored: i64,
}

impl Statistics {
    /// The lag behind the stored offset, else behind the committed one. Both are -1 until known.
    fn lag(self) -> Vec<PartitionLag> {
        let mut lag: Vec<_> = self
            .topics
            .into_iter()
            .flat_map(|(topic, statistics)| {
                statistics.partitions.into_values().filter_map(move |partition| {
                    let known = [partition.consumer_lag_stored, partition.consumer_lag]
                        .into_iter()
                        .find_map(|lag| u64::try_from(lag).ok())?;
                    Some(PartitionLag {
                        topic: topic.clone(),
                        partition: partition.partition,
                        records: known,
                    })
                })
            })
            .collect();
        lag.sort_by(|a, b| (&a.topic, a.partition).cmp(&(&b.topic, b.partition)));
        lag
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lag_is_absent_until_it_is_known() {
        let state = Arc::new(State::new());
        state.given(&[("t".to_owned(), 0), ("t".to_owned(), 1)]);
        let partition = |number: i32, committed: i64, stored: i64| {
            serde_json::json!({
                "partition": number, "consumer_lag": committed, "consumer_lag_stored": stored,
            })
        };
        let statistics = serde_json::json!({
            "brokers": {"b": {"state": "UP"}},
            "topics": {"t": {"partitions": {
                "0": partition(0, -1, -1),
                "1": partition(1, 9, 4),
                "2": partition(2, 3, 3),
                "-1": partition(-1, -1, -1),
            }}},
        });
        state.statistics(statistics.to_string().as_bytes());
        state.statistics(b"not statistics");
        assert_eq!(
            ConsumerStatus(state).lag(),
            [PartitionLag {
                topic: "t".to_owned(),
                partition: 1,
                records: 4
            }]
        );
    }
}
