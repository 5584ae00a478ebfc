//! A consumer's loop: poll, decode, apply, and only then move the offsets.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Range,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{
    Batch, BatchOutcome, Breaker, Content, Health, Item, Outcome, Paused, Settings, batch::next_offsets, health::Entry,
};
use crate::{
    kafka::{self, Consumer, ConsumerEvents, KafkaError, Position, TopicPartition},
    retry::Backoff,
    store::{Disposition, Store, StoreError, event_badges::RulesCache, positions},
    telemetry::Metrics,
    wire::{decode::TopicTypes, record::Record},
};

const BATCH_RECORDS: usize = 1000;
const BATCH_BYTES: usize = 4 << 20;
/// The longest that one poll waits, and so the longest that a stop waits for an idle consumer.
const POLL: Duration = Duration::from_millis(100);
/// How often a stopped consumer looks whether it may go on.
const LOOK: Duration = Duration::from_secs(1);
const LAG: Duration = Duration::from_secs(1);
const COMMIT_TIMEOUT: Duration = Duration::from_secs(5);
const CLOSE_TIMEOUT: Duration = Duration::from_secs(8);

/// Why a consumer ended before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// The database holds something that this version does not understand, or does not even take a dead letter.
    #[error("ingest: {0}")]
    Store(#[from] StoreError),
    /// The settings are refused, or the brokers want no more of this member.
    #[error("ingest: {0}")]
    Kafka(#[from] KafkaError),
}

impl IngestError {
    /// A stable name, for logs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Store(error) => error.code(),
            Self::Kafka(error) => error.code(),
        }
    }
}

/// What a consumer shares with the rest of the process.
#[derive(Clone)]
pub struct Shared {
    /// Where facts and decisions go.
    pub store: Arc<Store>,
    /// The rules, as last read.
    pub rules: Arc<RulesCache>,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// For the probes.
    pub health: Arc<Health>,
    /// Told when there are new awards to issue.
    pub awards: Arc<Notify>,
    /// Ends the loop.
    pub stop: CancellationToken,
}

/// Which topics are read, and what they hold.
#[derive(Debug, Clone, Default)]
pub struct Topics {
    /// Names of all topics that are read.
    pub names: Vec<String>,
    /// What events without a type are.
    pub types: TopicTypes,
}

/// Reads until told to stop. Blocks: to be called on a thread of its own, once for each member of the group.
///
/// A database that does not answer is waited for, and brokers too. On the stop the batch in hand is finished or rolled
/// back, offsets are committed, and the group is left, all within about fifteen seconds.
pub fn run(kafka: &kafka::Settings, topics: &Topics, settings: &Settings, shared: &Shared) -> Result<(), IngestError> {
    let start = StartOffsets(Arc::clone(&shared.store));
    let consumer = Consumer::new(kafka, &topics.names, start)?;
    // Whether an earlier process stopped before a flood is to be found out first.
    consumer.pause_all()?;
    let mut reading = Reading {
        batch: Batch::new(Arc::clone(&shared.store), Arc::clone(&shared.rules), settings.clone()),
        entry: shared.health.enter(consumer.status()),
        consumer,
        types: &topics.types,
        shared,
        breaker: Breaker::default(),
        mode: Mode::Starting { look: Instant::now() },
        undone: BTreeMap::new(),
        failures: 0,
        lag_at: Instant::now(),
        lagging: Vec::new(),
    };
    let mut ended = Ok(());
    while ended.is_ok() && !shared.stop.is_cancelled() {
        ended = reading.round();
    }
    reading.close();
    ended
}

/// The database's own positions.
struct StartOffsets(Arc<Store>);

impl ConsumerEvents for StartOffsets {
    fn start_offsets(&self, assigned: &[TopicPartition]) -> Option<HashMap<TopicPartition, i64>> {
        let known = self.0.read("start_offsets", positions::all);
        let mut known = known
            .inspect_err(|error| tracing::warn!(error.code = error.code(), "positions are not known: {error}"))
            .ok()?;
        known.retain(|partition, _| assigned.contains(partition));
        Some(known)
    }

    fn revoked(&self, _: &[TopicPartition], _: bool) {}
}

enum Mode {
    /// Not yet sure whether an earlier process stopped.
    Starting {
        look: Instant,
    },
    Running,
    /// Waiting for the database.
    Down {
        look: Instant,
    },
    /// Stopped before a flood, until `resumed` is above this; `None` when the stop is not yet written down.
    Stopped {
        seen: Option<i64>,
        look: Instant,
    },
}

struct Reading<'a> {
    consumer: Consumer,
    batch: Batch,
    types: &'a TopicTypes,
    shared: &'a Shared,
    entry: Entry,
    breaker: Breaker,
    mode: Mode,
    /// The first offset of each partition that was polled and is not done.
    undone: BTreeMap<(Arc<str>, i32), i64>,
    failures: u32,
    lag_at: Instant,
    lagging: Vec<(String, String)>,
}

impl Reading<'_> {
    fn round(&mut self) -> Result<(), IngestError> {
        self.entry.alive();
        self.measure_lag();
        let records = match self.consumer.poll_batch(BATCH_RECORDS, BATCH_BYTES, POLL) {
            Ok(records) => {
                if !records.is_empty() {
                    self.entry.set_error(None);
                }
                records
            }
            Err(error) if error.is_fatal() => return Err(error.into()),
            Err(error) => {
                if self.entry.set_error(Some(error.to_string())) {
                    tracing::warn!(error.code = error.code(), "reading from Kafka: {error}");
                }
                Vec::new()
            }
        };
        if matches!(self.mode, Mode::Running) {
            return if records.is_empty() { Ok(()) } else { self.take(records) };
        }
        self.leave_undone(&records);
        self.look()
    }

    /// Processes a batch, as far as it may and can be.
    fn take(&mut self, records: Vec<Record>) -> Result<(), IngestError> {
        let mut items: Vec<Item> = records.into_iter().map(|record| Item::of(record, self.types)).collect();
        let bad: Vec<bool> = items.iter().map(Item::is_unprocessable).collect();
        let stop = self.breaker.stops_at(&bad);
        let end = stop.unwrap_or(items.len());
        let (done, outcomes) = self.apply(&mut items[..end])?;
        // What only the database refused is known by now, and counts too.
        let tripped = outcomes
            .into_iter()
            .fold(false, |tripped, bad| self.breaker.observe(bad) || tripped);
        let undone: Vec<&Record> = items[done..].iter().map(|item| &item.record).collect();
        if done < end {
            self.leave_undone(undone);
            self.pause()?;
        } else if stop.is_some() || tripped {
            if let Some(first) = undone.first() {
                tracing::error!(
                    kafka.topic = &*first.topic,
                    kafka.partition = first.partition,
                    kafka.offset = first.offset,
                    "stopped at offset {} of {} [{}]: too many records cannot be processed; \
                     `accolade dead-letters resume` lets them pass",
                    first.offset,
                    first.topic,
                    first.partition,
                );
            } else {
                tracing::error!(
                    "stopped: too many records cannot be processed; `accolade dead-letters resume` lets them pass"
                );
            }
            self.leave_undone(undone);
            self.stop_before_flood(None)?;
        }
        Ok(())
    }

    /// Applies these records, in one transaction unless the data of one are at fault: then it is isolated by halving.
    /// Returns how many are done, fewer than all when the database is down, and which of these were bad.
    fn apply(&mut self, items: &mut [Item]) -> Result<(usize, Vec<bool>), IngestError> {
        let mut todo: Vec<Range<usize>> = Vec::new();
        todo.extend((!items.is_empty()).then_some(0..items.len()));
        let mut bad = Vec::with_capacity(items.len());
        while let Some(range) = todo.pop() {
            let begun = Instant::now();
            let part = &mut items[range.clone()];
            let error = match self.batch.apply(part) {
                Ok(outcome) => {
                    bad.extend(outcome.records.iter().map(|outcome| *outcome == Outcome::DeadLettered));
                    self.committed(part, &outcome, begun.elapsed());
                    continue;
                }
                Err(error) => error,
            };
            match (error.disposition(), part) {
                (Disposition::Retry, _) => {
                    self.down(&error);
                    break;
                }
                (Disposition::DeadLetter, [item]) if !item.is_unprocessable() => {
                    item.content = Content::Unprocessable {
                        reason: "database_data",
                        message: "the database refuses what this record says".to_owned(),
                    };
                    todo.push(range);
                }
                (Disposition::DeadLetter, part) if part.len() > 1 => {
                    let middle = range.start + part.len() / 2;
                    todo.push(middle..range.end);
                    todo.push(range.start..middle);
                }
                (Disposition::DeadLetter | Disposition::Stop, _) => return Err(error.into()),
            }
        }
        Ok((bad.len(), bad))
    }

    /// The work is durable: the offsets may follow.
    fn committed(&mut self, items: &[Item], outcome: &BatchOutcome, took: Duration) {
        self.up();
        let positions: Vec<Position> = next_offsets(items)
            .into_iter()
            .map(|next| Position {
                topic: next.topic.into(),
                partition: next.partition,
                next_offset: next.offset,
            })
            .collect();
        let committed = self.consumer.store_offsets(&positions);
        if let Err(error) = committed.and_then(|()| self.consumer.commit_async()) {
            // The next batch commits more; until then the database's positions stand.
            tracing::warn!(error.code = error.code(), "offsets were not committed: {error}");
        }
        let metrics = &self.shared.metrics;
        outcome.count(metrics);
        metrics.ingest_batch_events.observe(count(items.len()));
        metrics.ingest_batch_duration.observe(took.as_secs_f64());
        if let Some(sent) = items.last().and_then(|item| item.record.timestamp) {
            let behind = self.shared.store.clock().now() - sent;
            metrics.consumer_time_lag.set(behind.as_seconds_f64().max(0.0));
        }
        if outcome.has_awards() {
            self.shared.awards.notify_one();
        }
    }

    fn down(&mut self, error: &StoreError) {
        if self.failures == 0 {
            tracing::error!(error.code = error.code(), "reading waits for the database: {error}");
        }
        self.failures = self.failures.saturating_add(1);
        self.entry.set_paused(Some(Paused::Database));
        let look = Instant::now() + Backoff::DEPENDENCY.delay(self.failures, rand::random());
        match &mut self.mode {
            Mode::Starting { look: next } | Mode::Stopped { look: next, .. } => *next = look,
            Mode::Running | Mode::Down { .. } => self.mode = Mode::Down { look },
        }
    }

    fn up(&mut self) {
        if std::mem::take(&mut self.failures) > 0 {
            tracing::info!("the database answers again");
            self.entry.set_paused(None);
        }
    }

    fn pause(&self) -> Result<(), IngestError> {
        Ok(self.consumer.pause_all()?)
    }

    fn stop_before_flood(&mut self, seen: Option<i64>) -> Result<(), IngestError> {
        self.pause()?;
        self.mode = Mode::Stopped {
            seen,
            look: Instant::now(),
        };
        self.entry.set_paused(Some(Paused::DeadLetters));
        Ok(())
    }

    fn leave_undone<'r>(&mut self, records: impl IntoIterator<Item = &'r Record>) {
        for record in records {
            let first = self
                .undone
                .entry((Arc::clone(&record.topic), record.partition))
                .or_insert(record.offset);
            *first = record.offset.min(*first);
        }
    }

    /// Standing still: looks, now and then, whether it may go on.
    fn look(&mut self) -> Result<(), IngestError> {
        let now = Instant::now();
        let store = Arc::clone(&self.shared.store);
        let due = |look: Instant| look <= now;
        match self.mode {
            Mode::Starting { look } if due(look) => match store.read("resume_state", positions::resume_state) {
                Ok(state) if state.paused => {
                    self.up();
                    tracing::error!(
                        "stopped, as before this start: too many records cannot be processed; \
                         `accolade dead-letters resume` lets them pass"
                    );
                    self.stop_before_flood(Some(state.resumed))
                }
                Ok(_) => self.go_on(),
                Err(error) => self.unreadable(error),
            },
            Mode::Down { look } if due(look) => match store.ping() {
                Ok(()) => self.go_on(),
                Err(error) => self.unreadable(error),
            },
            Mode::Stopped { seen: None, look } if due(look) => match store.transaction("stop", positions::pause) {
                Ok(resumed) => self.stop_before_flood(Some(resumed)),
                Err(error) => self.unreadable(error),
            },
            Mode::Stopped { seen: Some(seen), look } if due(look) => {
                match store.read("resume_state", positions::resume_state) {
                    Ok(state) if state.resumed > seen => {
                        tracing::info!("an operator lets the records pass that cannot be processed");
                        self.breaker.let_pass();
                        self.go_on()
                    }
                    Ok(_) => {
                        self.up();
                        self.entry.set_paused(Some(Paused::DeadLetters));
                        self.mode = Mode::Stopped {
                            seen: Some(seen),
                            look: now + LOOK,
                        };
                        Ok(())
                    }
                    Err(error) => self.unreadable(error),
                }
            }
            Mode::Running | Mode::Starting { .. } | Mode::Down { .. } | Mode::Stopped { .. } => Ok(()),
        }
    }

    fn unreadable(&mut self, error: StoreError) -> Result<(), IngestError> {
        match error.disposition() {
            // Tables that are not there yet are made by another process.
            Disposition::Retry | Disposition::DeadLetter => {
                self.down(&error);
                Ok(())
            }
            Disposition::Stop => Err(error.into()),
        }
    }

    /// Reads on, from the first record of each partition that is not done.
    fn go_on(&mut self) -> Result<(), IngestError> {
        let held = self.consumer.assignment();
        let mut goes_back = false;
        while let Some(((topic, partition), offset)) = self.undone.pop_first() {
            if !held.contains(&(topic.to_string(), partition)) {
                continue;
            }
            if let Err(error) = self.consumer.seek(&topic, partition, offset) {
                // Read on without it, and what was not done would be passed over: the next look tries again.
                tracing::warn!(error.code = error.code(), "cannot go back to what is not done: {error}");
                self.undone.insert((topic, partition), offset);
                return Ok(());
            }
            goes_back = true;
        }
        self.consumer.resume_all()?;
        if !goes_back {
            // No batch is to be tried again whose success would say so.
            self.up();
        }
        self.mode = Mode::Running;
        if self.failures == 0 {
            self.entry.set_paused(None);
        }
        Ok(())
    }

    fn measure_lag(&mut self) {
        if self.lag_at > Instant::now() {
            return;
        }
        self.lag_at = Instant::now() + LAG;
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

    fn close(self) {
        if let Err(error) = self.consumer.commit_sync(COMMIT_TIMEOUT) {
            tracing::warn!(
                error.code = error.code(),
                "the last offsets were not committed: {error}"
            );
        }
        if let Err(error) = self.consumer.close(CLOSE_TIMEOUT) {
            tracing::warn!(error.code = error.code(), "the group was not left: {error}");
        }
    }
}

fn count(records: usize) -> f64 {
    u32::try_from(records).map_or(f64::MAX, f64::from)
}
