//! A consumer's loop: poll, decode, apply, and only then move the offsets.

mod measuring;
mod standing;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ops::{Range, RangeInclusive},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use self::standing::Mode;
use super::{
    Batch, BatchOutcome, Breakers, Common, Health, Item, Outcome, Settings, health::Entry, item::next_offsets,
};
use crate::{
    failpoint::{Place, hit},
    kafka::{self, Consumer, ConsumerEvents, KafkaError, Position, TopicPartition},
    store::{Disposition, Store, StoreError, event_badges::RulesCache, positions},
    telemetry::Metrics,
    wire::{decode::TopicTypes, record::Record},
};

const BATCH_RECORDS: usize = 4000;
const BATCH_BYTES: usize = 4 << 20;
/// The longest that one poll waits, and so the longest that a stop waits for an idle consumer.
const POLL: Duration = Duration::from_millis(100);
/// How long the next batch gathers what comes, unless it is full before: as long as the last one took, within these
/// bounds. Each batch costs a dozen statements and a commit, whatever it holds: a processor that has too much to do gets
/// fewer and larger ones.
const GATHER: RangeInclusive<Duration> = Duration::from_millis(3)..=Duration::from_millis(50);
const COMMIT_EVERY: Duration = Duration::from_millis(250);
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
    /// Told when awards were issued that are to be announced.
    pub announcements: Arc<Notify>,
    /// What stops all of them before a flood of records that cannot be processed.
    pub breaker: Arc<Common>,
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
    let mut reading = Reading::start(kafka, topics, settings, shared)?;
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

struct Reading<'a> {
    consumer: Consumer,
    batch: Batch,
    types: &'a TopicTypes,
    shared: &'a Shared,
    entry: Entry,
    breaker: Breakers,
    mode: Mode,
    /// The first offset of each partition that was polled and is not done.
    undone: BTreeMap<(Arc<str>, i32), i64>,
    /// The partitions in which it went back to try again what the database did not take.
    tried_again: BTreeSet<(String, i32)>,
    failures: u32,
    measure_at: Instant,
    commit_at: Instant,
    next_batch_at: Instant,
    uncommitted: bool,
    rebalances: u64,
    lagging: Vec<(String, String)>,
    offset_resets: u64,
}

impl<'a> Reading<'a> {
    /// A member of the group that reads nothing yet.
    fn start(
        kafka: &kafka::Settings,
        topics: &'a Topics,
        settings: &Settings,
        shared: &'a Shared,
    ) -> Result<Self, IngestError> {
        let start = StartOffsets(Arc::clone(&shared.store));
        let consumer = Consumer::new(kafka, &topics.names, start)?;
        // Whether an earlier process stopped before a flood is to be found out first.
        consumer.pause_all()?;
        Ok(Self {
            batch: Batch::new(Arc::clone(&shared.store), Arc::clone(&shared.rules), settings.clone()),
            entry: shared.health.enter(consumer.status()),
            consumer,
            types: &topics.types,
            shared,
            breaker: Breakers::with(&shared.breaker),
            mode: Mode::Starting { look: Instant::now() },
            undone: BTreeMap::new(),
            tried_again: BTreeSet::new(),
            failures: 0,
            measure_at: Instant::now(),
            commit_at: Instant::now(),
            next_batch_at: Instant::now(),
            uncommitted: false,
            rebalances: 0,
            lagging: Vec::new(),
            offset_resets: 0,
        })
    }

    fn round(&mut self) -> Result<(), IngestError> {
        self.entry.alive();
        self.measure();
        self.commit_now_and_then();
        let polled = self
            .consumer
            .poll_batch(BATCH_RECORDS, BATCH_BYTES, POLL, self.next_batch_at);
        let records = match polled {
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
        let rebalances = self.consumer.rebalances();
        if self.rebalances != rebalances {
            self.rebalances = rebalances;
            let held = self.consumer.assignment();
            self.batch.keep_positions(&held);
            self.leave_to_others(&held);
        }
        if matches!(self.mode, Mode::Running) {
            let begun = Instant::now();
            if !records.is_empty() {
                self.take(records)?;
            }
            self.next_batch_at = Instant::now() + begun.elapsed().clamp(*GATHER.start(), *GATHER.end());
            return Ok(());
        }
        self.leave_undone(&records);
        self.look()
    }

    /// Processes a batch, as far as it may and can be.
    fn take(&mut self, records: Vec<Record>) -> Result<(), IngestError> {
        let mut items: Vec<Item> = records.into_iter().map(|record| Item::of(record, self.types)).collect();
        let records = items.iter().map(|item| &item.record);
        let passes = self
            .breaker
            .pass(records.map(|record| (&*record.topic, record.partition, record.offset)));
        let bad: Vec<bool> = items.iter().map(Item::is_unprocessable).collect();
        let counted: Vec<usize> = (0..items.len()).filter(|n| !(bad[*n] && passes[*n])).collect();
        let bad: Vec<bool> = counted.iter().map(|n| bad[*n]).collect();
        let _turn = bad.contains(&true).then(|| self.shared.breaker.turn());
        let stop = self.breaker.stops_at(&bad).map(|n| counted[n]);
        let end = stop.unwrap_or(items.len());
        let (done, outcomes) = self.apply(&mut items[..end])?;
        // What only the database refused is known by now, and counts too.
        let mut tripped = false;
        for (bad, passes) in outcomes.into_iter().zip(passes) {
            tripped |= !(bad && passes) && self.breaker.observe(bad);
        }
        for next in next_offsets(&items[..done]) {
            self.breaker.done(&next.topic, next.partition, next.offset);
        }
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

    /// Applies these records, in one transaction unless one is at fault, for its data or because it makes us panic: then it is
    /// isolated by halving.
    /// Returns how many are done, fewer than all when the database is down, and which of these were bad.
    fn apply(&mut self, items: &mut [Item]) -> Result<(usize, Vec<bool>), IngestError> {
        let mut todo: Vec<Range<usize>> = Vec::new();
        todo.extend((!items.is_empty()).then_some(0..items.len()));
        let mut bad = Vec::with_capacity(items.len());
        let mut panicked = None;
        while let Some(range) = todo.pop() {
            self.entry.alive();
            let begun = Instant::now();
            let part = &mut items[range.clone()];
            let Ok(applied) = catch_unwind(AssertUnwindSafe(|| self.batch.apply(part))) else {
                self.batch.forget();
                if let [item] = part {
                    // Once more alone, in case it was not the record's doing.
                    if panicked == Some(range.start) {
                        tracing::error!(
                            kafka.topic = &*item.record.topic,
                            kafka.partition = item.record.partition,
                            kafka.offset = item.record.offset,
                            "processing offset {} of {} [{}] panics: it is set aside as a dead letter",
                            item.record.offset,
                            item.record.topic,
                            item.record.partition,
                        );
                        item.give_up();
                    }
                    panicked = Some(range.start);
                    todo.push(range);
                } else {
                    halve(&mut todo, range);
                }
                continue;
            };
            let error = match applied {
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
                    if error.went_back() {
                        self.go_back();
                    }
                    break;
                }
                (Disposition::DeadLetter, [item]) if !item.is_unprocessable() => {
                    item.refuse();
                    todo.push(range);
                }
                (Disposition::DeadLetter, part) if part.len() > 1 => halve(&mut todo, range),
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
        if let Err(error) = self.consumer.store_offsets(&positions) {
            tracing::warn!(error.code = error.code(), "offsets were not stored: {error}");
        }
        self.uncommitted = true;
        let metrics = &self.shared.metrics;
        outcome.count(metrics);
        metrics.ingest_batch_events.observe(count(items.len()));
        metrics.ingest_batch_duration.observe(took.as_secs_f64());
        if let Some(sent) = items.last().and_then(|item| item.record.timestamp) {
            let behind = self.shared.store.clock().now() - sent;
            metrics.consumer_time_lag.set(behind.as_seconds_f64().max(0.0));
        }
        outcome.wake(&self.shared.awards, &self.shared.announcements);
    }

    /// Commits to Kafka what is stored, now and then: the database's positions are exact, and the brokers have better
    /// to do than to take a commit for every few records.
    fn commit_now_and_then(&mut self) {
        if !self.uncommitted || self.commit_at > Instant::now() {
            return;
        }
        self.commit_at = Instant::now() + COMMIT_EVERY;
        self.uncommitted = false;
        if hit(Place::BeforeOffsets).is_err() {
            self.uncommitted = true;
            return;
        }
        if let Err(error) = self.consumer.commit_async() {
            self.uncommitted = true;
            tracing::warn!(error.code = error.code(), "offsets were not committed: {error}");
        }
        self.uncommitted |= hit(Place::AfterOffsets).is_err();
    }

    fn close(mut self) {
        if let Err(error) = self.consumer.commit_at_last(COMMIT_TIMEOUT) {
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

fn halve(todo: &mut Vec<Range<usize>>, range: Range<usize>) {
    let middle = usize::midpoint(range.start, range.end);
    todo.push(middle..range.end);
    todo.push(range.start..middle);
}

fn count(records: usize) -> f64 {
    u32::try_from(records).map_or(f64::MAX, f64::from)
}

#[cfg(test)]
mod tests;
