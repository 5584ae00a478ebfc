//! Leaves a backend alone that keeps failing, and comes back to it gently. Pure: time and chance come in.

use std::time::{Duration, Instant};

use crate::{backend::BackendError, retry::Backoff};

/// After so many failures in a row the backend is left alone.
const THRESHOLD: u32 = 5;

/// How many requests the backend may be asked at once, now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Breaker {
    /// Requests at once when all is well.
    full: usize,
    state: State,
    /// Failures in a row.
    failures: u32,
    /// The backend asked not to be troubled until then.
    not_before: Option<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Up to `limit` requests at once; each success doubles it.
    Closed { limit: usize },
    /// Nothing until then, and then one request to try.
    Open { until: Instant, times: u32 },
}

/// What an outcome changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// The backend is left alone from now on.
    Opened,
    /// The backend is asked again.
    Closed,
}

impl Breaker {
    pub(crate) fn new(full: usize) -> Self {
        Self {
            full,
            state: State::Closed { limit: full },
            failures: 0,
            not_before: None,
        }
    }

    /// How many more requests may be sent beside those under way; zero and a time when to ask again.
    pub(crate) fn allowance(&self, now: Instant, under_way: usize) -> Result<usize, Duration> {
        /// When something under way ends, this is asked again anyway.
        const RECHECK: Duration = Duration::from_secs(1);
        match self.state {
            State::Closed { limit } if limit > under_way => Ok(limit - under_way),
            State::Open { until, .. } if now < until => Err(until - now),
            State::Open { .. } if under_way == 0 => Ok(1),
            State::Closed { .. } | State::Open { .. } => Err(RECHECK),
        }
    }

    /// Whether the backend is left alone, or tried after that.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.state, State::Open { .. })
    }

    /// How many awards are to be claimed, so that there are always some at hand when a request ends: half as many as
    /// requests under way. None while there are half of these.
    pub(crate) fn wanted(&self, now: Instant, under_way: usize, at_hand: usize) -> usize {
        match self.state {
            State::Closed { limit } => {
                let ahead = limit.div_ceil(2);
                let missing = (limit + ahead).saturating_sub(under_way + at_hand);
                if missing >= ahead.div_ceil(2) { missing } else { 0 }
            }
            State::Open { .. } => self
                .allowance(now, under_way)
                .unwrap_or_default()
                .saturating_sub(at_hand),
        }
    }

    /// Takes note of what came of a call; `jitter` is drawn evenly from 0 to 1.
    pub(crate) fn note(&mut self, said: Result<(), &BackendError>, now: Instant, jitter: f64) -> Option<Change> {
        match said {
            Err(BackendError::NotSent { retry_after, .. }) => self.failed(now, *retry_after, jitter),
            Err(BackendError::Unknown { .. }) => self.failed(now, None, jitter),
            Ok(())
            | Err(BackendError::AlreadyAwarded { .. } | BackendError::Blocked { .. } | BackendError::Refused { .. }) => {
                self.answered(now)
            }
        }
    }

    /// The backend answered, whatever it said.
    fn answered(&mut self, now: Instant) -> Option<Change> {
        self.failures = 0;
        match self.state {
            // What was under way when it asked for time.
            State::Open { .. } if self.not_before.is_some_and(|at| now < at) => None,
            State::Closed { limit } => {
                let limit = limit.saturating_mul(2).min(self.full);
                self.state = State::Closed { limit };
                None
            }
            State::Open { .. } => {
                self.state = State::Closed { limit: 1 };
                Some(Change::Closed)
            }
        }
    }

    /// The backend did not answer, or asked not to be troubled for `retry_after`.
    fn failed(&mut self, now: Instant, retry_after: Option<Duration>, jitter: f64) -> Option<Change> {
        self.failures = self.failures.saturating_add(1);
        let asked_for = retry_after.unwrap_or_default().min(Duration::from_secs(3600));
        self.not_before = self.not_before.max(retry_after.map(|_| now + asked_for));
        let (times, change) = match self.state {
            State::Closed { .. } if self.failures < THRESHOLD && retry_after.is_none() => return None,
            State::Closed { .. } => (1, Some(Change::Opened)),
            // What was under way when it opened counts no more, but its wish for time does.
            State::Open { until, times } if now < until => {
                let until = self.not_before.map_or(until, |at| until.max(at));
                self.state = State::Open { until, times };
                return None;
            }
            State::Open { times, .. } => (times.saturating_add(1), None),
        };
        let pause = Backoff::DEPENDENCY.delay(times.saturating_add(2), jitter);
        let until = now + pause.max(asked_for);
        self.state = State::Open { until, times };
        change
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(now: Instant) -> Breaker {
        let mut breaker = Breaker::new(16);
        for _ in 1..THRESHOLD {
            assert_eq!(breaker.failed(now, None, 1.0), None);
        }
        assert_eq!(breaker.failed(now, None, 1.0), Some(Change::Opened));
        breaker
    }

    #[test]
    fn it_opens_after_failures_in_a_row_only() {
        let now = Instant::now();
        let mut breaker = Breaker::new(16);
        for _ in 0..20 {
            assert_eq!(breaker.failed(now, None, 1.0), None);
            assert_eq!(breaker.answered(now), None);
        }
        assert_eq!(breaker.allowance(now, 3), Ok(13));
        assert!(opened(now).allowance(now, 0).is_err());
    }

    #[test]
    fn one_request_tries_and_the_next_come_gently() {
        let now = Instant::now();
        let mut breaker = opened(now);
        let wait = breaker.allowance(now, 0).expect_err("open");
        let later = now + wait;
        assert_eq!(breaker.allowance(later, 0), Ok(1));
        assert!(breaker.allowance(later, 1).is_err(), "one alone tries");
        assert_eq!(breaker.failed(later, None, 1.0), None);
        let longer = breaker.allowance(later, 0).expect_err("still open");
        assert!(longer > wait);
        assert_eq!(breaker.answered(later), Some(Change::Closed));
        for limit in [1, 2, 4, 8, 16, 16] {
            assert_eq!(breaker.allowance(later, 0), Ok(limit));
            assert_eq!(breaker.answered(later), None);
        }
    }

    #[test]
    fn half_as_many_as_are_under_way_are_wanted_at_hand_and_no_few_of_them() {
        let now = Instant::now();
        let breaker = Breaker::new(16);
        assert_eq!(breaker.wanted(now, 0, 0), 24);
        assert_eq!(breaker.wanted(now, 16, 4), 4);
        assert_eq!(breaker.wanted(now, 16, 5), 0);
        assert_eq!(Breaker::new(1).wanted(now, 1, 0), 1);
        assert_eq!(Breaker::new(1).wanted(now, 1, 1), 0);
        let opened = opened(now);
        assert_eq!(opened.wanted(now, 0, 0), 0, "it is left alone");
        let later = now + opened.allowance(now, 0).expect_err("open");
        assert_eq!(opened.wanted(later, 0, 0), 1, "one tries");
        assert_eq!(opened.wanted(later, 0, 1), 0);
    }

    #[test]
    fn a_server_that_asks_for_time_gets_it() {
        let now = Instant::now();
        let mut breaker = Breaker::new(16);
        let minute = Duration::from_secs(60);
        assert_eq!(breaker.failed(now, Some(minute), 0.0), Some(Change::Opened));
        assert_eq!(breaker.allowance(now, 0), Err(minute));
        assert_eq!(
            breaker.failed(now, None, 0.0),
            None,
            "what was under way changes nothing"
        );
        assert_eq!(breaker.allowance(now + minute, 0), Ok(1));
    }

    #[test]
    fn what_was_under_way_neither_shortens_nor_hides_the_time_that_a_server_asks_for() {
        let (now, minute) = (Instant::now(), Duration::from_secs(60));
        let mut breaker = Breaker::new(16);
        assert_eq!(breaker.failed(now, Some(minute), 0.0), Some(Change::Opened));
        assert_eq!(breaker.answered(now), None, "an answer to an earlier request");
        assert_eq!(breaker.allowance(now, 0), Err(minute));
        assert_eq!(breaker.failed(now, Some(2 * minute), 0.0), None);
        assert_eq!(breaker.allowance(now, 0), Err(2 * minute));
        assert_eq!(breaker.allowance(now + 2 * minute, 0), Ok(1));
        assert_eq!(breaker.answered(now + 2 * minute), Some(Change::Closed));
    }
}
