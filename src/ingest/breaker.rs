//! When so many records cannot be processed that something bigger is wrong: pure.

use std::collections::VecDeque;

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

#[cfg(test)]
mod tests {
    use super::*;

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
