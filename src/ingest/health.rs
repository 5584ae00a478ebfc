//! How the consumers are doing, for the probes.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crate::{kafka::ConsumerStatus, telemetry::Metrics};

/// librdkafka says again what still holds, about once a minute.
const ERROR_STANDS: Duration = Duration::from_secs(90);

/// A consumer that did nothing for so long hangs. Twice as long as `max.poll.interval.ms`, after which the group gives its
/// partitions to others anyway. While it works, each transaction of a batch is a sign of life, and one that is tried again
/// and again ends within three minutes; while it waits for the database or for Kafka, each look is.
const HANGS_AFTER: Duration = Duration::from_secs(600);

/// A member of the group that has no partition for so long is told of.
const IDLE_AFTER: Duration = Duration::from_secs(300);

/// Why a consumer stands still.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paused {
    /// The database does not take its batch.
    Database,
    /// It stopped before a flood of records that cannot be processed.
    DeadLetters,
}

impl Paused {
    const ALL: [Self; 2] = [Self::Database, Self::DeadLetters];

    /// The reason's name in metrics and on `/readyz`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Database => "database",
            Self::DeadLetters => "dead_letters",
        }
    }
}

/// What keeps this process from being ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// A stable name: `kafka`, `database`, `dead_letters`.
    pub reason: &'static str,
    /// What a person needs to know.
    pub detail: String,
}

/// The consumers of one process, to be looked at from anywhere.
#[derive(Debug)]
pub struct Health {
    expected: usize,
    metrics: Arc<Metrics>,
    consumers: Mutex<Vec<State>>,
}

#[derive(Debug)]
struct State {
    status: ConsumerStatus,
    paused: Option<Paused>,
    error: Option<Failure>,
    alive_at: Instant,
    /// Since when it is a member of the group that holds no partition.
    idle_since: Option<Instant>,
    idle_told: bool,
}

/// What went wrong with reading.
#[derive(Debug)]
struct Failure {
    error: String,
    at: Instant,
    /// How often partitions had been given or taken: a later assignment says that it is over.
    rebalances: u64,
}

/// One consumer's own entry.
#[derive(Debug)]
pub(super) struct Entry {
    health: Arc<Health>,
    number: usize,
}

impl Health {
    /// For so many consumers, none of which has begun.
    pub fn new(expected: usize, metrics: Arc<Metrics>) -> Self {
        Self {
            expected,
            metrics,
            consumers: Mutex::default(),
        }
    }

    /// What keeps this process from being ready; empty when nothing does. A member of the group without a partition is
    /// ready: there may be more members than partitions.
    pub fn problems(&self) -> Vec<Problem> {
        let consumers = self.consumers();
        let mut problems: Vec<Problem> = consumers.iter().flat_map(State::problems).collect();
        if consumers.len() < self.expected {
            problems.push(Problem {
                reason: "kafka",
                detail: "the consumers are starting".to_owned(),
            });
        }
        problems.dedup();
        problems
    }

    /// Why consumers stand still, if some do.
    pub fn paused(&self) -> Vec<Paused> {
        let consumers = self.consumers();
        let some = |reason: &Paused| consumers.iter().any(|consumer| consumer.paused == Some(*reason));
        Paused::ALL.into_iter().filter(some).collect()
    }

    /// What a consumer that hangs is to be said of, for `/livez`: nothing but a new start of the process helps. A consumer
    /// that waits, for whatever reason, does not hang.
    pub fn hanging(&self) -> Option<String> {
        self.hanging_at(Instant::now())
    }

    fn hanging_at(&self, now: Instant) -> Option<String> {
        let consumers = self.consumers();
        let silent = consumers
            .iter()
            .map(|consumer| now.saturating_duration_since(consumer.alive_at))
            .max()
            .filter(|silent| *silent > HANGS_AFTER)?;
        Some(format!(
            "A consumer has done nothing for {} s: it hangs. Restart this process.",
            silent.as_secs()
        ))
    }

    pub(super) fn enter(self: &Arc<Self>, status: ConsumerStatus) -> Entry {
        let mut consumers = self.consumers();
        consumers.push(State {
            status,
            paused: None,
            error: None,
            alive_at: Instant::now(),
            idle_since: None,
            idle_told: false,
        });
        Entry {
            health: Arc::clone(self),
            number: consumers.len() - 1,
        }
    }

    fn consumers(&self) -> MutexGuard<'_, Vec<State>> {
        self.consumers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn problems(&self) -> Vec<Problem> {
        let problem = |reason, detail: String| Problem { reason, detail };
        let mut problems = Vec::new();
        if self.status.is_down() {
            let why = self.status.last_failure().unwrap_or_default();
            problems.push(problem("kafka", format!("no broker can be reached: {why}")));
        } else if let Some(failure) = self.error.as_ref().filter(|failure| self.stands(failure)) {
            problems.push(problem("kafka", failure.error.clone()));
        } else if !self.status.has_joined() {
            problems.push(problem("kafka", "not yet a member of the group".to_owned()));
        }
        match self.paused {
            None => {}
            Some(Paused::Database) => problems.push(problem(
                "database",
                "reading waits until the database takes writes again".to_owned(),
            )),
            Some(Paused::DeadLetters) => problems.push(problem(
                "dead_letters",
                "reading stopped before a flood of records that cannot be processed; \
                 `accolade dead-letters resume` lets it go on"
                    .to_owned(),
            )),
        }
        problems
    }

    fn stands(&self, failure: &Failure) -> bool {
        failure.at.elapsed() < ERROR_STANDS && failure.rebalances == self.status.rebalances()
    }
}

impl Entry {
    pub(super) fn alive(&self) {
        self.change(|state| state.alive_at = Instant::now());
    }

    /// Counts the partitions that this process holds. True once this consumer has been a member without one for five
    /// minutes; once for each such time.
    pub(super) fn look_at_partitions(&self, now: Instant) -> bool {
        let held: usize = {
            let consumers = self.health.consumers();
            consumers.iter().map(|state| state.status.assignment().len()).sum()
        };
        let gauge = &self.health.metrics.consumer_assigned_partitions;
        gauge.set(i64::try_from(held).unwrap_or(i64::MAX));
        self.change(|state| {
            if !state.status.has_joined() || state.status.is_assigned() {
                (state.idle_since, state.idle_told) = (None, false);
                return false;
            }
            let since = *state.idle_since.get_or_insert(now);
            let tell = !state.idle_told && now.saturating_duration_since(since) >= IDLE_AFTER;
            state.idle_told |= tell;
            tell
        })
    }

    /// Keeps the last error; says whether it is another than before.
    pub(super) fn set_error(&self, error: Option<String>) -> bool {
        self.change(|state| {
            let other = state.error.as_ref().map(|failure| &failure.error) != error.as_ref();
            let rebalances = state.status.rebalances();
            state.error = error.map(|error| Failure {
                error,
                at: Instant::now(),
                rebalances,
            });
            other
        })
    }

    pub(super) fn set_paused(&self, paused: Option<Paused>) {
        self.change(|state| state.paused = paused);
        let now = self.health.paused();
        for reason in Paused::ALL {
            let gauge = self
                .health
                .metrics
                .consumer_paused
                .with_label_values(&[reason.as_str()]);
            gauge.set(i64::from(now.contains(&reason)));
        }
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.health.consumers()[self.number])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_consumer_that_does_nothing_for_long_hangs_and_one_that_goes_on_does_not() {
        let health = Arc::new(Health::new(2, Arc::new(Metrics::new())));
        let begun = Instant::now();
        assert_eq!(health.hanging_at(begun + 2 * HANGS_AFTER), None, "none has begun");
        let (first, second) = (
            health.enter(ConsumerStatus::detached()),
            health.enter(ConsumerStatus::detached()),
        );
        let long_after = Instant::now() + HANGS_AFTER + Duration::from_secs(1);
        let said = health.hanging_at(long_after).expect("both hang");
        assert!(said.contains("601 s"), "{said}");
        let later = |entry: &Entry| entry.change(|state| state.alive_at = long_after);
        later(&first);
        assert!(health.hanging_at(long_after).is_some(), "the other one hangs");
        later(&second);
        assert_eq!(health.hanging_at(long_after + HANGS_AFTER), None);
        first.alive();
        assert!(
            health.hanging_at(long_after + HANGS_AFTER).is_some(),
            "a sign of life counts"
        );
    }

    #[test]
    fn a_member_without_a_partition_is_told_of_once_and_is_ready() {
        let metrics = Arc::new(Metrics::new());
        let health = Arc::new(Health::new(2, Arc::clone(&metrics)));
        let (status, other) = (ConsumerStatus::detached(), ConsumerStatus::detached());
        let (idle, busy) = (health.enter(status.clone()), health.enter(other.clone()));
        let begun = Instant::now();
        assert!(!idle.look_at_partitions(begun), "it has not joined");
        let partition = ("enrollment.created".to_owned(), 0);
        status.give(&[]);
        other.give(&[partition.clone(), ("enrollment.created".to_owned(), 1)]);
        let looks = |entry: &Entry, after: Duration| entry.look_at_partitions(begun + after);
        assert!(!looks(&idle, Duration::ZERO) && !looks(&busy, Duration::ZERO));
        assert_eq!(metrics.consumer_assigned_partitions.get(), 2);
        let later = IDLE_AFTER / 2;
        assert!(!looks(&idle, later) && looks(&idle, IDLE_AFTER) && !looks(&busy, IDLE_AFTER));
        assert!(!looks(&idle, 2 * IDLE_AFTER), "once");
        assert_eq!(health.problems(), []);
        status.give(&[partition]);
        assert!(!looks(&idle, 3 * IDLE_AFTER));
        assert_eq!(metrics.consumer_assigned_partitions.get(), 3);
    }

    #[test]
    fn an_error_stands_until_partitions_are_given() {
        let health = Arc::new(Health::new(1, Arc::new(Metrics::new())));
        let status = ConsumerStatus::detached();
        let entry = health.enter(status.clone());
        status.give(&[("enrollment.created".to_owned(), 0)]);
        assert!(entry.set_error(Some("no such topic".to_owned())));
        assert_eq!(health.problems()[0].detail, "no such topic");
        status.give(&[("certificate.generated".to_owned(), 0)]);
        assert_eq!(health.problems(), []);
        assert!(!entry.set_error(Some("no such topic".to_owned())), "it was said before");
        assert_eq!(health.problems()[0].detail, "no such topic");
    }
}
