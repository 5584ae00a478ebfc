//! Metrics: each declared once, its help text beside it.

use std::sync::{
    OnceLock,
    atomic::{AtomicUsize, Ordering},
};

use prometheus::{
    Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};
use tracing_appender::non_blocking::ErrorCounter;

use super::LogQueue;

/// Seconds from a millisecond to ten minutes.
const LATENCY: [f64; 16] = [
    0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 600.0,
];

/// What the kernel counts of this process: `accolade_process_…`.
#[cfg(target_os = "linux")]
fn process() -> prometheus::process_collector::ProcessCollector {
    let id = std::process::id().try_into().expect("the kernel's own number of it");
    prometheus::process_collector::ProcessCollector::new(id, "accolade")
}

macro_rules! metrics {
    ($( $(#[doc = $help:literal])+ $field:ident : $kind:ident ( $name:literal $(, [$($label:literal),+])? $(; $buckets:expr)? ) ),+ $(,)?) => {
        /// Every metric of the service. Names begin with `accolade_`; no learner is in a label.
        #[derive(Debug)]
        pub struct Metrics {
            registry: Registry,
            log_lines: DroppedLines,
            $( $(#[doc = $help])+ pub $field: $kind, )+
        }

        impl Metrics {
            /// All metrics at zero, in a registry of their own.
            pub fn new() -> Self {
                let registry = Registry::new();
                $(
                    let $field = metrics!(@make $kind, $name, concat!($($help),+).trim() $(, [$($label),+])? $(; $buckets)?);
                    registry.register(Box::new($field.clone())).expect("each metric has a name of its own");
                )+
                #[cfg(target_os = "linux")]
                registry
                    .register(Box::new(process()))
                    .expect("process metrics have names of their own");
                let metrics = Self { registry, log_lines: DroppedLines::default(), $( $field, )+ };
                metrics.start_at_zero();
                metrics
            }

            /// Name and help text of each metric, for the documentation's test.
            pub fn described() -> Vec<(&'static str, &'static str)> {
                vec![ $( (concat!("accolade_", $name), concat!($($help),+).trim()) ),+ ]
            }
        }
    };
    (@make IntCounter, $name:literal, $help:expr) => { IntCounter::with_opts(Opts::new(concat!("accolade_", $name), $help)).expect("a valid metric") };
    (@make IntGauge, $name:literal, $help:expr) => { IntGauge::with_opts(Opts::new(concat!("accolade_", $name), $help)).expect("a valid metric") };
    (@make Gauge, $name:literal, $help:expr) => { Gauge::with_opts(Opts::new(concat!("accolade_", $name), $help)).expect("a valid metric") };
    (@make Histogram, $name:literal, $help:expr; $buckets:expr) => { Histogram::with_opts(HistogramOpts::new(concat!("accolade_", $name), $help).buckets($buckets.to_vec())).expect("a valid metric") };
    (@make IntCounterVec, $name:literal, $help:expr, [$($label:literal),+]) => { IntCounterVec::new(Opts::new(concat!("accolade_", $name), $help), &[$($label),+]).expect("a valid metric") };
    (@make IntGaugeVec, $name:literal, $help:expr, [$($label:literal),+]) => { IntGaugeVec::new(Opts::new(concat!("accolade_", $name), $help), &[$($label),+]).expect("a valid metric") };
    (@make HistogramVec, $name:literal, $help:expr, [$($label:literal),+]; $buckets:expr) => { HistogramVec::new(HistogramOpts::new(concat!("accolade_", $name), $help).buckets($buckets.to_vec()), &[$($label),+]).expect("a valid metric") };
}

metrics! {
    /// Records taken from Kafka, by what became of them: applied, stale, ignored, dead_lettered.
    events: IntCounterVec("events_total", ["topic", "outcome"]),
    /// Records in one batch.
    ingest_batch_events: Histogram("ingest_batch_events"; [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0, 4000.0]),
    /// Seconds from the first record of a batch in hand to its commit.
    ingest_batch_duration: Histogram("ingest_batch_duration_seconds"; LATENCY),
    /// Records of a partition that are not yet committed.
    consumer_lag: IntGaugeVec("consumer_lag_records", ["topic", "partition"]),
    /// Seconds between the timestamp of the last record that was processed and the moment it was.
    consumer_time_lag: Gauge("consumer_time_lag_seconds"),
    /// 1 while consumers of this process stand still, by why: dead_letters, database.
    consumer_paused: IntGaugeVec("consumer_paused", ["reason"]),
    /// Partitions that the consumers of this process hold.
    consumer_assigned_partitions: IntGauge("consumer_assigned_partitions"),
    /// Times that a partition was read on from its beginning because Kafka did not hold the next record any more.
    consumer_offset_resets: IntCounter("consumer_offset_resets_total"),
    /// Awards decided, by the kind of their rule.
    awards_decided: IntCounterVec("awards_decided_total", ["kind"]),
    /// Awards in the database, by state.
    awards: IntGaugeVec("awards", ["state"]),
    /// Seconds from the time of the event that brought an award to its publication.
    award_latency: Histogram("award_latency_seconds"; LATENCY),
    /// Seconds since the oldest award was decided that is still to be issued.
    award_oldest_pending_age: Gauge("award_oldest_pending_age_seconds"),
    /// Requests to the badge backend, by operation and status code, or the kind of failure.
    backend_requests: IntCounterVec("backend_requests_total", ["backend", "operation", "code"]),
    /// Seconds that a request to the badge backend took.
    backend_request_duration: HistogramVec("backend_request_duration_seconds", ["backend", "operation"]; LATENCY),
    /// 1 while the badge backend is left alone because it keeps failing.
    backend_breaker_open: IntGauge("backend_breaker_open"),
    /// Second assertions of an award that the comparison with Badgr found live there, and revoked.
    badgr_duplicate_assertions: IntCounter("badgr_duplicate_assertions_total"),
    /// Assertions that the comparison with Badgr found revoked or gone there, and marked as revoked.
    badgr_lost_assertions: IntCounter("badgr_lost_assertions_total"),
    /// Outgoing events that Kafka has not acknowledged.
    outbox_unpublished: IntGauge("outbox_unpublished"),
    /// Seconds since the oldest of them was written.
    outbox_oldest_age: Gauge("outbox_oldest_age_seconds"),
    /// Records that Kafka acknowledged.
    published: IntCounterVec("published_total", ["topic"]),
    /// Records that could not be processed, by the topic they came from and why.
    dead_letters: IntCounterVec("dead_letters_total", ["topic", "reason"]),
    /// Connections to the database: in_use, idle.
    db_pool_connections: IntGaugeVec("db_pool_connections", ["state"]),
    /// Transactions that were run again.
    db_retries: IntCounterVec("db_retries_total", ["sqlstate"]),
    /// Awards that only the sweeper found: a bug detector, but for changed configurations.
    sweeper_repairs: IntCounter("sweeper_repairs_total"),
    /// Learners that the backfill of the active configuration has evaluated.
    backfill_learners: IntCounter("backfill_learners_total"),
    /// Lines of the log that were dropped because nobody took them.
    log_dropped: IntCounter("log_dropped_total"),
    /// 1, with the version and the commit of this build.
    build_info: IntGaugeVec("build_info", ["version", "commit"]),
}

/// What the queue of the log counts, and how much of it is in the metric.
#[derive(Debug, Default)]
struct DroppedLines {
    counter: OnceLock<ErrorCounter>,
    told: AtomicUsize,
}

impl DroppedLines {
    /// Those since the last call.
    fn new_ones(&self) -> usize {
        let dropped = self.counter.get().map_or(0, ErrorCounter::dropped_lines);
        dropped.saturating_sub(self.told.fetch_max(dropped, Ordering::Relaxed))
    }
}

impl Metrics {
    /// Counts what this queue drops; only the first one that is given.
    pub fn count_dropped_lines_of(&self, log: &LogQueue) {
        drop(self.log_lines.counter.set(log.dropped()));
    }

    /// The Prometheus text of every metric.
    pub fn render(&self) -> String {
        self.log_dropped
            .inc_by(u64::try_from(self.log_lines.new_ones()).unwrap_or(u64::MAX));
        TextEncoder::new()
            .encode_to_string(&self.registry.gather())
            .unwrap_or_default()
    }

    /// Starts what is counted for these topics, and for this backend, at zero too.
    pub fn expect(&self, topics_read: &[String], topics_written: &[String], backend: &str) {
        for topic in topics_read {
            for outcome in ["applied", "stale", "ignored", "dead_lettered"] {
                self.events.with_label_values(&[topic.as_str(), outcome]).inc_by(0);
            }
            for reason in ["not_json", "schema", "invalid_course_key", "too_large", "headers"] {
                self.dead_letters.with_label_values(&[topic.as_str(), reason]).inc_by(0);
            }
        }
        for topic in topics_written {
            self.published.with_label_values(&[topic.as_str()]).inc_by(0);
        }
        let operation = [backend, "award"];
        self.backend_requests
            .with_label_values(&[backend, "award", "201"])
            .inc_by(0);
        self.backend_request_duration.with_label_values(&operation);
    }

    /// Label values that are known beforehand stand at zero from the start, so that `rate()` and `absent()` work.
    fn start_at_zero(&self) {
        use crate::domain::award::{AwardState, RuleKind};
        for state in AwardState::ALL {
            self.awards.with_label_values(&[state.as_str()]).set(0);
        }
        for kind in RuleKind::ALL {
            self.awards_decided.with_label_values(&[kind.as_str()]).reset();
        }
        for reason in ["dead_letters", "database"] {
            self.consumer_paused.with_label_values(&[reason]).set(0);
        }
        for state in ["in_use", "idle"] {
            self.db_pool_connections.with_label_values(&[state]).set(0);
        }
        for sqlstate in ["40001", "40P01", "55P03", "57014"] {
            self.db_retries.with_label_values(&[sqlstate]).reset();
        }
        let commit = option_env!("ACCOLADE_COMMIT").unwrap_or("unknown");
        self.build_info
            .with_label_values(&[env!("CARGO_PKG_VERSION"), commit])
            .set(1);
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}
