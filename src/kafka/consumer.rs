//! A member of the consumer group, driven by one thread.

mod ends;
mod properties;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};
use tracing::debug;

use super::bounded::bounded;
use super::message::{TopicNames, to_record};
use super::rebalance::{GroupContext, is_nothing_to_commit};
use super::status::{ConsumerStatus, PartitionLag, State};
use super::{BrokerCode, ConsumerEvents, KafkaError, Settings, TopicPartition};
use crate::wire::record::Record;

/// How long librdkafka may take to move its own position.
const SEEK_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the last commit waits before it asks a rebalancing group again.
const COMMIT_AGAIN: Duration = Duration::from_millis(50);

/// Where the group goes on in a partition: one past the last record that is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// Topic name, as on the broker.
    pub topic: Arc<str>,
    /// Partition of the topic.
    pub partition: i32,
    /// Offset of the next record.
    pub next_offset: i64,
}

/// A member of the consumer group.
///
/// One thread owns it and polls it: at least every `max.poll.interval.ms` (five minutes), also
/// while paused. Rebalances happen inside [`Self::poll_batch`] only, so the partitions of a batch
/// stay ours until the next poll, as far as the brokers hear from us in time. Dropping it closes
/// it, however long that takes; [`Self::close`] is bounded.
pub struct Consumer {
    inner: Arc<BaseConsumer<GroupContext>>,
    state: Arc<State>,
    topics: Vec<String>,
    names: TopicNames,
    pending: Option<KafkaError>,
}

impl Consumer {
    /// Joins the group for these topics. Brokers need not be there yet; nor need the topics.
    ///
    /// # Errors
    /// When librdkafka does not accept the settings, or `topics` is empty.
    pub fn new(settings: &Settings, topics: &[String], events: impl ConsumerEvents) -> Result<Self, KafkaError> {
        let state = Arc::new(State::new());
        let context = GroupContext {
            events: Box::new(events),
            state: Arc::clone(&state),
        };
        let inner: BaseConsumer<GroupContext> = properties::of(settings)
            .create_with_context(context)
            .map_err(|error| KafkaError::of("create the consumer", error))?;
        let names: Vec<&str> = topics.iter().map(String::as_str).collect();
        inner
            .subscribe(&names)
            .map_err(|error| KafkaError::of("subscribe", error))?;
        Ok(Self {
            inner: Arc::new(inner),
            state,
            topics: topics.to_vec(),
            names: TopicNames::default(),
            pending: None,
        })
    }

    /// Waits up to `first_wait` for a record, then takes along whatever else is there or comes
    /// until `gather_until`, until there are `max_records` or they hold `max_bytes` (which the last
    /// one may exceed). Records of a partition come in the order of their offsets; records of partitions
    /// that were taken meanwhile are left out. An empty batch is no error.
    ///
    /// # Errors
    /// What librdkafka does not mend alone: a missing topic, missing rights, a poll that came too
    /// late ([`KafkaError::is_retriable`] or not, polling on is right) and fatal errors
    /// ([`KafkaError::is_fatal`]: build a new consumer). That brokers cannot be reached is no
    /// error here; see [`ConsumerStatus::is_down`].
    pub fn poll_batch(
        &mut self,
        max_records: usize,
        max_bytes: usize,
        first_wait: Duration,
        gather_until: Instant,
    ) -> Result<Vec<Record>, KafkaError> {
        if let Some(error) = self.pending.take() {
            return Err(error);
        }
        let deadline = Instant::now() + first_wait;
        let mut batch = Vec::new();
        let mut bytes = 0;
        // Most records are there already: the clock is asked only once there is none.
        let mut wait = Duration::ZERO;
        loop {
            let polled = self.inner.poll(wait);
            leave_out_taken(&self.state, &mut batch);
            wait = Duration::ZERO;
            match polled {
                Some(Ok(message)) => {
                    self.state.observer.answered();
                    let record = to_record(&message, &mut self.names);
                    bytes += record.size();
                    batch.push(record);
                    if batch.len() >= max_records || bytes >= max_bytes {
                        break;
                    }
                }
                Some(Err(error)) => match complaint(error) {
                    None => {}
                    Some(error) if batch.is_empty() => return Err(error),
                    Some(error) => {
                        self.pending = Some(error);
                        break;
                    }
                },
                None => {
                    let until = if batch.is_empty() { deadline } else { gather_until };
                    let millis = until.saturating_duration_since(Instant::now()).as_millis();
                    if millis == 0 {
                        break;
                    }
                    // Whole ones: rdkafka spins through what is left of one.
                    wait = Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX));
                }
            }
        }
        Ok(batch)
    }

    /// Marks everything before these positions as done; the next commit carries it. Positions of
    /// partitions that are no longer ours are passed over: their new owner reads from what was
    /// committed.
    ///
    /// # Errors
    /// Only when librdkafka is unusable.
    pub fn store_offsets(&self, positions: &[Position]) -> Result<(), KafkaError> {
        if positions.is_empty() {
            return Ok(());
        }
        let mut list = TopicPartitionList::with_capacity(positions.len());
        for position in positions {
            list.add_partition_offset(
                &position.topic,
                position.partition,
                Offset::Offset(position.next_offset),
            )
            .map_err(|error| KafkaError::of("store offsets", error))?;
        }
        match self.inner.store_offsets(&list) {
            Err(ClientError::StoreOffset(RDKafkaErrorCode::State | RDKafkaErrorCode::UnknownPartition)) => {
                debug!("offsets of partitions that went away were not stored");
                Ok(())
            }
            result => result.map_err(|error| KafkaError::of("store offsets", error)),
        }
    }

    /// Sends the stored offsets to the group, without waiting. That it failed is logged and does no
    /// harm: the next commit carries more.
    ///
    /// # Errors
    /// When it could not even be queued.
    pub fn commit_async(&self) -> Result<(), KafkaError> {
        committed(self.inner.commit_consumer_state(CommitMode::Async))
    }

    /// Sends the stored offsets to the group and waits up to `timeout` for the answer.
    ///
    /// # Errors
    /// The broker's answer, or [`KafkaError::TimedOut`]: it may still come to pass.
    pub fn commit_sync(&self, timeout: Duration) -> Result<(), KafkaError> {
        let inner = Arc::clone(&self.inner);
        bounded("commit offsets", timeout, move || {
            committed(inner.commit_consumer_state(CommitMode::Sync))
        })?
    }

    /// [`Self::commit_sync`] before the end: while the group is rebalancing it takes no offsets, so that this goes along
    /// with it and asks again, until `timeout`. Records that come meanwhile are thrown away.
    ///
    /// # Errors
    /// As of [`Self::commit_sync`].
    pub fn commit_at_last(&mut self, timeout: Duration) -> Result<(), KafkaError> {
        let deadline = Instant::now() + timeout;
        loop {
            let result = self.commit_sync(deadline.saturating_duration_since(Instant::now()));
            // Without the time to hear an answer it would only say that time was up, and not what the group says.
            let may_ask_again = Instant::now() + COMMIT_AGAIN < deadline;
            match result {
                Err(error) if error.is_rebalance() && may_ask_again => {
                    debug!("the last offsets wait for the group: {error}");
                    // What it has to say is said by the next commit.
                    let _ = self.inner.poll(COMMIT_AGAIN);
                }
                result => return result,
            }
        }
    }

    /// Stops the fetching of all partitions, and of those given from now on. What was fetched but
    /// not yet polled is thrown away: before [`Self::resume_all`], seek to the first record not
    /// done.
    ///
    /// # Errors
    /// When librdkafka refuses.
    pub fn pause_all(&self) -> Result<(), KafkaError> {
        self.state.paused.store(true, Ordering::Relaxed);
        self.held(|list| self.inner.pause(list))
            .map_err(|error| KafkaError::of("pause", error))
    }

    /// Ends [`Self::pause_all`].
    ///
    /// # Errors
    /// When librdkafka refuses.
    pub fn resume_all(&self) -> Result<(), KafkaError> {
        self.state.paused.store(false, Ordering::Relaxed);
        self.held(|list| self.inner.resume(list))
            .map_err(|error| KafkaError::of("resume", error))
    }

    /// Makes this offset the next one of a partition that is held.
    ///
    /// # Errors
    /// When the partition is not held, or librdkafka did not do it in time.
    pub fn seek(&self, topic: &str, partition: i32, offset: i64) -> Result<(), KafkaError> {
        self.inner
            .seek(topic, partition, Offset::Offset(offset), SEEK_TIMEOUT)
            .map_err(|error| KafkaError::of("seek", error))
    }

    /// A view of this consumer for other threads.
    pub fn status(&self) -> ConsumerStatus {
        ConsumerStatus(Arc::clone(&self.state))
    }

    /// See [`ConsumerStatus::assignment`].
    pub fn assignment(&self) -> Vec<TopicPartition> {
        self.status().assignment()
    }

    /// See [`ConsumerStatus::is_assigned`].
    pub fn is_assigned(&self) -> bool {
        self.status().is_assigned()
    }

    /// See [`ConsumerStatus::rebalances`].
    pub fn rebalances(&self) -> u64 {
        self.status().rebalances()
    }

    /// See [`ConsumerStatus::offset_resets`].
    pub fn offset_resets(&self) -> u64 {
        self.status().offset_resets()
    }

    /// See [`ConsumerStatus::lag`].
    pub fn lag(&self) -> Vec<PartitionLag> {
        self.status().lag()
    }

    /// Whether a broker answers within this time.
    pub fn metadata_ok(&self, timeout: Duration) -> bool {
        let topic = self.topics.first().map(String::as_str);
        let answer = self.inner.fetch_metadata(topic, timeout);
        if answer.is_ok() {
            self.state.observer.answered();
        }
        answer.is_ok()
    }

    /// Commits what is stored, leaves the group and ends. Takes at most `deadline`: then what is
    /// left is abandoned on a thread of its own, and the group finds out by its session timeout.
    ///
    /// # Errors
    /// [`KafkaError::TimedOut`] when it was abandoned.
    pub fn close(self, deadline: Duration) -> Result<(), KafkaError> {
        let Self { inner, .. } = self;
        bounded("close the consumer", deadline, move || {
            inner.unsubscribe();
            drop(inner);
        })
    }

    /// Gives all partitions back, by the polls that follow.
    #[cfg(test)]
    pub fn unsubscribe(&self) {
        self.inner.unsubscribe();
    }

    /// Calls with all partitions held, if there are any.
    fn held(&self, call: impl FnOnce(&TopicPartitionList) -> Result<(), ClientError>) -> Result<(), ClientError> {
        let list = self.inner.assignment()?;
        if list.count() == 0 {
            return Ok(());
        }
        call(&list)
    }
}

/// Removes the records of partitions that were taken since the last call.
fn leave_out_taken(state: &State, batch: &mut Vec<Record>) {
    let taken = state.drain_taken();
    if taken.is_empty() || batch.is_empty() {
        return;
    }
    let taken: HashSet<(&str, i32)> = taken
        .iter()
        .map(|(topic, partition)| (topic.as_str(), *partition))
        .collect();
    batch.retain(|record| !taken.contains(&(&*record.topic, record.partition)));
}

/// The errors of a poll that are for the caller; `None` for what librdkafka mends alone.
fn complaint(error: ClientError) -> Option<KafkaError> {
    match error {
        ClientError::PartitionEOF(_) | ClientError::NoMessageReceived => None,
        ClientError::MessageConsumption(code) if BrokerCode(code).is_transport() => None,
        other => Some(KafkaError::of("poll", other)),
    }
}

/// A commit of nothing is a commit.
fn committed(result: Result<(), ClientError>) -> Result<(), KafkaError> {
    match result {
        Err(error) if is_nothing_to_commit(&error) => Ok(()),
        result => result.map_err(|error| KafkaError::of("commit offsets", error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_partitions_that_were_taken_are_left_out() {
        let state = State::new();
        let record = |partition| Record {
            topic: "t".into(),
            partition,
            offset: 1,
            timestamp: None,
            key: None,
            value: None,
            headers: Vec::new(),
        };
        state.given(&[("t".to_owned(), 0), ("t".to_owned(), 1)]);
        let mut batch = vec![record(0), record(1)];
        leave_out_taken(&state, &mut batch);
        assert_eq!(batch.len(), 2);
        state.taken(&[("t".to_owned(), 0)]);
        leave_out_taken(&state, &mut batch);
        assert_eq!(batch, [record(1)]);
        // It came back, and what comes now is of the new assignment.
        state.given(&[("t".to_owned(), 0)]);
        batch.push(record(0));
        leave_out_taken(&state, &mut batch);
        assert_eq!(batch.len(), 2);
    }
}
