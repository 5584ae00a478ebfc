//! While a consumer stands still: why, until when, and how it goes on.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{IngestError, Reading};
use crate::{
    ingest::Paused,
    kafka::TopicPartition,
    retry::Backoff,
    store::{Disposition, StoreError, positions},
    wire::record::Record,
};

/// How often a stopped consumer looks whether it may go on.
const LOOK: Duration = Duration::from_secs(1);

/// Whether a consumer reads, and if not, when it looks again.
pub(super) enum Mode {
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

impl Reading<'_> {
    pub(super) fn down(&mut self, error: &StoreError) {
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

    pub(super) fn up(&mut self) {
        self.tried_again.clear();
        if std::mem::take(&mut self.failures) > 0 {
            tracing::info!("the database answers again");
            self.entry.set_paused(None);
        }
    }

    pub(super) fn pause(&self) -> Result<(), IngestError> {
        Ok(self.consumer.pause_all()?)
    }

    pub(super) fn stop_before_flood(&mut self, seen: Option<i64>) -> Result<(), IngestError> {
        self.pause()?;
        // Said only when it is written down: who then lets it go on is heard.
        if let Some(resumed) = seen {
            self.breaker.stop(resumed);
            self.entry.set_paused(Some(Paused::DeadLetters));
        }
        self.mode = Mode::Stopped {
            seen,
            look: Instant::now(),
        };
        Ok(())
    }

    pub(super) fn leave_undone<'r>(&mut self, records: impl IntoIterator<Item = &'r Record>) {
        for record in records {
            let first = self
                .undone
                .entry((Arc::clone(&record.topic), record.partition))
                .or_insert(record.offset);
            *first = record.offset.min(*first);
        }
    }

    /// The database lost what was committed to it: all that it lacks of what this consumer read is read again.
    pub(super) fn go_back(&mut self) {
        let Ok(stored) = self.shared.store.read("positions", positions::all) else {
            // The next try fails like this one.
            return;
        };
        for ((topic, partition), last) in self.batch.last_positions() {
            let offset = stored.get(&(topic.to_owned(), partition)).copied().unwrap_or(0);
            if offset >= last {
                continue;
            }
            tracing::error!(
                kafka.topic = topic,
                kafka.partition = partition,
                kafka.offset = offset,
                "the database went back from offset {last} to {offset} of {topic} [{partition}], which is read again from there"
            );
            let first = self.undone.entry((topic.into(), partition)).or_insert(offset);
            *first = offset.min(*first);
        }
        self.batch.keep_positions(&[]);
    }

    /// Only these partitions are ours any more. Once others have all that was to be tried again, nothing that is read
    /// here may ever tell that the database takes writes again.
    pub(super) fn leave_to_others(&mut self, held: &[TopicPartition]) {
        self.tried_again.retain(|partition| held.contains(partition));
        if matches!(self.mode, Mode::Running) && self.tried_again.is_empty() {
            self.up();
        }
    }

    /// Standing still: looks, now and then, whether it may go on.
    pub(super) fn look(&mut self) -> Result<(), IngestError> {
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
            Mode::Stopped { seen: None, look } if due(look) => {
                let stopped = self
                    .breaker
                    .stopped()
                    .map_or_else(|| store.transaction("stop", positions::pause), Ok);
                match stopped {
                    Ok(resumed) => self.stop_before_flood(Some(resumed)),
                    Err(error) => self.unreadable(error),
                }
            }
            Mode::Stopped { seen: Some(seen), look } if due(look) => {
                match store.read("resume_state", positions::resume_state) {
                    Ok(state) if state.resumed > seen => self.let_pass(seen),
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

    /// Goes on past the records that cannot be processed, as far as there are any by now.
    fn let_pass(&mut self, seen: i64) -> Result<(), IngestError> {
        match self.consumer.ends() {
            Ok(ends) => {
                tracing::info!("an operator lets the records pass that cannot be processed");
                self.breaker.let_pass(ends);
                self.go_on()
            }
            Err(error) => {
                tracing::warn!(
                    error.code = error.code(),
                    "what is to pass is not known, and is asked for again: {error}"
                );
                self.mode = Mode::Stopped {
                    seen: Some(seen),
                    look: Instant::now() + LOOK,
                };
                Ok(())
            }
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
    pub(super) fn go_on(&mut self) -> Result<(), IngestError> {
        let held = self.consumer.assignment();
        while let Some(((topic, partition), offset)) = self.undone.pop_first() {
            let known = (topic.to_string(), partition);
            if !held.contains(&known) {
                continue;
            }
            if let Err(error) = self.consumer.seek(&topic, partition, offset) {
                // Read on without it, and what was not done would be passed over: the next look tries again.
                tracing::warn!(error.code = error.code(), "cannot go back to what is not done: {error}");
                self.undone.insert((topic, partition), offset);
                return Ok(());
            }
            self.tried_again.insert(known);
        }
        self.consumer.resume_all()?;
        if self.tried_again.is_empty() {
            // No batch is to be tried again whose success would say so.
            self.up();
        }
        self.mode = Mode::Running;
        if self.failures == 0 {
            self.entry.set_paused(None);
        }
        Ok(())
    }
}
