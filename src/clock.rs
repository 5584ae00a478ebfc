//! The only place that asks what time it is.

use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, TimeDelta, Utc};

/// Where the time comes from.
///
/// The database has a clock of its own, by which leases and due times are reckoned; [`Clock::skew`] is added to it, so
/// that a test which moves its clock moves the database's along.
pub trait Clock: Send + Sync + 'static {
    /// The time now, in UTC.
    fn now(&self) -> DateTime<Utc>;
    /// How far this clock is ahead of the system's.
    fn skew(&self) -> TimeDelta;
}

/// The system's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }

    fn skew(&self) -> TimeDelta {
        TimeDelta::zero()
    }
}

/// The system's clock, set forward by hand. For tests.
#[derive(Debug, Default)]
pub struct ManualClock {
    ahead_us: AtomicI64,
}

impl ManualClock {
    /// Moves this clock forward.
    pub fn advance(&self, by: TimeDelta) {
        let us = by.num_microseconds().unwrap_or(i64::MAX);
        self.ahead_us.fetch_add(us, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> DateTime<Utc> {
        Utc::now() + self.skew()
    }

    fn skew(&self) -> TimeDelta {
        TimeDelta::microseconds(self.ahead_us.load(Ordering::SeqCst))
    }
}

/// The clock of a machine that is wrong by so much, while the database's is right. For tests.
#[cfg(test)]
#[derive(Debug)]
pub(crate) struct WrongClock(pub(crate) TimeDelta);

#[cfg(test)]
impl Clock for WrongClock {
    fn now(&self) -> DateTime<Utc> {
        Utc::now() + self.0
    }

    fn skew(&self) -> TimeDelta {
        TimeDelta::zero()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_moves_by_what_it_is_told() {
        let clock = ManualClock::default();
        let before = clock.now();
        clock.advance(TimeDelta::hours(2));
        assert_eq!(clock.skew(), TimeDelta::hours(2));
        assert!(clock.now() >= before + TimeDelta::hours(2));
    }
}
