//! What is known of a consumer from time to time: its lag, its partitions, what it missed.

use std::time::{Duration, Instant};

use super::Reading;
use crate::kafka;

/// How often it is looked at.
const EVERY: Duration = Duration::from_secs(1);

impl Reading<'_> {
    /// Keeps the gauges of this consumer, once a second.
    pub(super) fn measure(&mut self) {
        let now = Instant::now();
        if self.measure_at > now {
            return;
        }
        self.measure_at = now + EVERY;
        self.measure_lag();
        let resets = self.consumer.offset_resets();
        let metrics = &self.shared.metrics;
        metrics
            .consumer_offset_resets
            .inc_by(resets.saturating_sub(self.offset_resets));
        self.offset_resets = resets;
        if self.entry.look_at_partitions(now) {
            tracing::warn!(
                "a consumer has joined the group and got no partition for five minutes: there are more members than \
                 partitions, or another program uses KAFKA_GROUP_ID"
            );
        }
    }

    fn measure_lag(&mut self) {
        let gauge = &self.shared.metrics.consumer_lag;
        let lag = self.consumer.lag();
        let labels = |lag: &kafka::PartitionLag| (lag.topic.clone(), lag.partition.to_string());
        let lagging: Vec<(String, String)> = lag.iter().map(labels).collect();
        for (topic, partition) in self.lagging.iter().filter(|gone| !lagging.contains(gone)) {
            // Another consumer of this process may hold it, and says so within a second.
            drop(gauge.remove_label_values(&[topic, partition]));
        }
        for (lag, (topic, partition)) in lag.iter().zip(&lagging) {
            let records = i64::try_from(lag.records).unwrap_or(i64::MAX);
            gauge.with_label_values(&[topic, partition]).set(records);
        }
        self.lagging = lagging;
    }
}
