//! How long to wait before the next attempt: pure, the jitter comes in as an argument.

use std::time::Duration;

/// Exponential backoff with full jitter above half of each step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The delay before the second attempt, before jitter.
    pub base: Duration,
    /// No delay is longer.
    pub cap: Duration,
}

impl Backoff {
    /// For awards: 5 s, doubling, at most an hour.
    pub const AWARDS: Self = Self {
        base: Duration::from_secs(5),
        cap: Duration::from_secs(3600),
    };
    /// For a transaction that was in another's way: 10 ms, doubling, at most 0.1 s.
    pub const CONTENTION: Self = Self {
        base: Duration::from_millis(10),
        cap: Duration::from_millis(100),
    };
    /// For a dependency that is down: 0.2 s, doubling, at most 30 s.
    pub const DEPENDENCY: Self = Self {
        base: Duration::from_millis(200),
        cap: Duration::from_secs(30),
    };

    /// The delay after this many failed attempts (at least 1), between half of the step and the whole of it.
    ///
    /// `jitter` is drawn evenly from 0 to 1; what lies outside counts as the nearer bound.
    pub fn delay(&self, attempts: u32, jitter: f64) -> Duration {
        let doublings = attempts.saturating_sub(1).min(30);
        let step = self.base.saturating_mul(1 << doublings).min(self.cap);
        let share = if jitter.is_nan() { 0.0 } else { jitter.clamp(0.0, 1.0) };
        step.mul_f64(0.5 + share / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn every_delay_stays_in_its_band(attempts in 0u32..200, jitter in 0.0f64..=1.0) {
            let delay = Backoff::AWARDS.delay(attempts, jitter);
            proptest::prop_assert!(delay >= Backoff::AWARDS.base / 2);
            proptest::prop_assert!(delay <= Backoff::AWARDS.cap);
        }
    }

    #[test]
    fn steps_double_up_to_the_cap() {
        let steps: Vec<u64> = [1, 2, 3, 20].map(|n| Backoff::AWARDS.delay(n, 1.0).as_secs()).into();
        assert_eq!(steps, [5, 10, 20, 3600]);
    }
}
