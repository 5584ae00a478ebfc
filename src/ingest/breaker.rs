//! When so many records cannot be processed that something bigger is wrong: pure.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// So many of the last records are looked at.
const WINDOW: usize = 1000;
/// So many of them may not be bad.
const BAD_IN_WINDOW: usize = WINDOW / 2;
/// So many in a row may not be bad.
const BAD_IN_A_ROW: usize = 200;

/// Trips at half of the last 1,000 records, or 200 in a row, that cannot be processed.
///
/// Half is asked only when 1,000 records were seen. Once let go on, it keeps quiet until a good record was seen, and
/// counts from there anew: so one flood passes, and the next one, or the same one again, trips it again.
#[derive(Debug, Clone)]
pub struct Breaker {
    window: VecDeque<bool>,
    bad: usize,
    in_a_row: usize,
    armed: bool,
}

impl Default for Breaker {
    fn default() -> Self {
        Self {
            window: VecDeque::with_capacity(WINDOW),
            bad: 0,
            in_a_row: 0,
            armed: true,
        }
    }
}

impl Breaker {
    /// Takes note of a record, and says whether it trips.
    pub fn observe(&mut self, bad: bool) -> bool {
        if !self.armed && bad {
            return false;
        }
        self.armed = true;
        if self.window.len() == WINDOW && self.window.pop_front() == Some(true) {
            self.bad -= 1;
        }
        self.window.push_back(bad);
        self.bad += usize::from(bad);
        self.in_a_row = if bad { self.in_a_row + 1 } else { 0 };
        let half = self.window.len() == WINDOW && self.bad >= BAD_IN_WINDOW;
        bad && (half || self.in_a_row >= BAD_IN_A_ROW)
    }

    /// Where to stop before these records trip it: at the first of the unbroken row of bad records that does, as far as
    /// it is among them. `None` when they do not. Takes no note of them.
    pub fn stops_at(&self, bad: &[bool]) -> Option<usize> {
        let mut ahead = self.clone();
        let tripping = bad.iter().position(|bad| ahead.observe(*bad))?;
        let good = bad[..tripping].iter().rposition(|bad| !bad);
        Some(good.map_or(0, |good| good + 1))
    }

    /// Lets what comes pass, until a good record was seen.
    pub fn let_pass(&mut self) {
        *self = Self {
            armed: false,
            ..Self::default()
        };
    }
}

/// The breaker of one consumer, and the one of all consumers of its process: a flood over many partitions comes to each
/// of them in part.
#[derive(Debug, Default)]
pub struct Breakers {
    own: Breaker,
    common: Arc<Mutex<Breaker>>,
}

impl Breakers {
    /// Of a further consumer of those that have this one in common.
    pub fn with(common: &Arc<Mutex<Breaker>>) -> Self {
        Self {
            own: Breaker::default(),
            common: Arc::clone(common),
        }
    }

    fn common(&self) -> MutexGuard<'_, Breaker> {
        self.common.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of a record, and says whether either trips. What this consumer lets pass does not count for the others.
    pub fn observe(&mut self, bad: bool) -> bool {
        let counts = self.own.armed || !bad;
        let own = self.own.observe(bad);
        (counts && self.common().observe(bad)) || own
    }

    /// Where to stop before these records trip either, as [`Breaker::stops_at`].
    pub fn stops_at(&self, bad: &[bool]) -> Option<usize> {
        let passes = if self.own.armed {
            0
        } else {
            bad.iter().take_while(|bad| **bad).count()
        };
        let common = self.common().stops_at(&bad[passes..]).map(|stop| stop + passes);
        self.own.stops_at(bad).into_iter().chain(common).min()
    }

    /// Lets what comes to this consumer pass, until a good record was seen.
    pub fn let_pass(&mut self) {
        self.own.let_pass();
        self.common().let_pass();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_over_all_consumers_trips_them() {
        let common = Arc::default();
        let [mut one, mut two] = [Breakers::with(&common), Breakers::with(&common)];
        let observed = |breakers: &mut Breakers, bad: &[bool]| bad.iter().any(|bad| breakers.observe(*bad));
        assert!(!observed(&mut one, &[true; 100]));
        assert_eq!(two.stops_at(&[true; 99]), None);
        assert_eq!(
            two.stops_at(&[vec![false; 2], vec![true; 99]].concat()),
            None,
            "a good one is between"
        );
        assert_eq!(two.stops_at(&[true; 100]), Some(0));
        assert!(observed(&mut two, &[true; 100]));
        one.let_pass();
        two.let_pass();
        assert!(!observed(&mut one, &[true; 300]));
        // The other has its part of the flood behind it.
        assert!(!observed(&mut two, &[true, false]));
        assert_eq!(
            one.stops_at(&[true; 300]),
            None,
            "the rest of the flood that was let pass"
        );
        assert!(!observed(&mut one, &[true; 300]));
        assert_eq!(
            one.stops_at(&[vec![true; 300], vec![false], vec![true; 200]].concat()),
            Some(301)
        );
    }

    #[test]
    fn a_flood_at_one_consumer_trips_it_whatever_the_others_read() {
        let common = Arc::default();
        let [mut one, mut two] = [Breakers::with(&common), Breakers::with(&common)];
        for _ in 0..199 {
            assert!(!one.observe(true));
            (0..9).for_each(|_| assert!(!two.observe(false)));
        }
        assert!(one.observe(true));
    }

    fn trips(breaker: &mut Breaker, records: impl IntoIterator<Item = bool>) -> bool {
        let mut tripped = false;
        for bad in records {
            tripped |= breaker.observe(bad);
        }
        tripped
    }

    #[test]
    fn two_hundred_in_a_row_trip_and_fewer_do_not() {
        let mut breaker = Breaker::default();
        assert!(!trips(&mut breaker, [true; 199]));
        assert!(!trips(&mut breaker, [false]));
        assert!(!trips(&mut breaker, [true; 199]));
        assert!(breaker.observe(true));
    }

    #[test]
    fn half_of_a_thousand_trip_when_a_thousand_were_seen() {
        let mut breaker = Breaker::default();
        assert!(!trips(&mut breaker, (0..999).map(|n| n % 2 == 0)));
        assert!(!trips(&mut breaker, [false]));
        assert!(breaker.observe(true));
        let mut breaker = Breaker::default();
        assert!(!trips(&mut breaker, (0..3000).map(|n| n % 3 == 0)));
    }

    #[test]
    fn it_stops_before_the_row_that_trips_it() {
        let records: Vec<bool> = [vec![false; 3], vec![true; 5], vec![false; 2], vec![true; 250]].concat();
        let breaker = Breaker::default();
        assert_eq!(breaker.stops_at(&records), Some(10));
        assert_eq!(breaker.stops_at(&records[..209]), None);
        let mut begun = Breaker::default();
        trips(&mut begun, [true; 150]);
        assert_eq!(begun.stops_at(&[true; 50]), Some(0), "the row began before");
    }

    #[test]
    fn let_go_on_it_lets_one_flood_pass_and_not_the_next() {
        let mut breaker = Breaker::default();
        breaker.let_pass();
        assert!(!trips(&mut breaker, [true; 5000]));
        assert!(!breaker.observe(false));
        assert!(trips(&mut breaker, [true; 200]));
    }

    proptest::proptest! {
        #[test]
        fn what_is_left_before_the_stop_never_trips(records in proptest::collection::vec(proptest::bool::weighted(0.95), 0..1500)) {
            let breaker = Breaker::default();
            let stop = breaker.stops_at(&records).unwrap_or(records.len());
            proptest::prop_assert!(!trips(&mut breaker.clone(), records[..stop].iter().copied()));
        }
    }
}
