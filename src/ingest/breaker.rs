//! When so many records cannot be processed that something bigger is wrong: pure.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// So many of the last records are looked at.
const WINDOW: usize = 1000;
/// So many of them may not be bad.
const BAD_IN_WINDOW: usize = WINDOW / 2;
/// So many in a row may not be bad.
const BAD_IN_A_ROW: usize = 200;

/// Trips at half of the last 1,000 records, or 200 in a row, that cannot be processed. Half is asked only when 1,000 records
/// were seen.
#[derive(Debug, Clone)]
pub struct Breaker {
    window: VecDeque<bool>,
    bad: usize,
    in_a_row: usize,
}

impl Default for Breaker {
    fn default() -> Self {
        Self {
            window: VecDeque::with_capacity(WINDOW),
            bad: 0,
            in_a_row: 0,
        }
    }
}

impl Breaker {
    /// Takes note of a record, and says whether it trips.
    pub fn observe(&mut self, bad: bool) -> bool {
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
}

/// What all consumers of a process have in common: a flood over many partitions comes to each of them in part.
#[derive(Debug, Default)]
pub struct Common {
    seen: Mutex<Seen>,
    turn: Mutex<()>,
}

#[derive(Debug, Default)]
struct Seen {
    breaker: Breaker,
    /// By topic and partition: bad records before this offset are let pass.
    let_pass: HashMap<String, HashMap<i32, i64>>,
    /// How often an operator had let consumers go on when the first of them stopped.
    stopped: Option<i64>,
}

impl Common {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Held from the look at records of which some are bad until they are taken note of: of two who look at once, each
    /// would see the half of a flood.
    pub fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The breaker of one consumer, and the one that it has in common with the others.
///
/// Let go on, it lets pass the bad records that are there by then: so one flood passes, and the next one, or the same one
/// again, trips it again.
#[derive(Debug, Default)]
pub struct Breakers {
    own: Breaker,
    common: Arc<Common>,
}

impl Breakers {
    /// Of a further consumer of those that have this in common.
    pub fn with(common: &Arc<Common>) -> Self {
        Self {
            own: Breaker::default(),
            common: Arc::clone(common),
        }
    }

    /// Which of these records (topic, partition, offset) are let pass if they are bad.
    pub fn pass<'r>(&self, records: impl Iterator<Item = (&'r str, i32, i64)>) -> Vec<bool> {
        let seen = self.common.seen();
        let passes = |(topic, partition, offset)| {
            let end = seen.let_pass.get(topic).and_then(|ends| ends.get(&partition));
            end.is_some_and(|end| offset < *end)
        };
        records.map(passes).collect()
    }

    /// Takes note of a record that is not let pass, and says whether either trips.
    pub fn observe(&mut self, bad: bool) -> bool {
        let own = self.own.observe(bad);
        self.common.seen().breaker.observe(bad) || own
    }

    /// Where to stop before these records trip either, as [`Breaker::stops_at`].
    pub fn stops_at(&self, bad: &[bool]) -> Option<usize> {
        let common = self.common.seen().breaker.stops_at(bad);
        self.own.stops_at(bad).into_iter().chain(common).min()
    }

    /// Says that this consumer stopped when an operator had let consumers go on so often.
    pub fn stop(&mut self, resumed: i64) {
        self.common.seen().stopped.get_or_insert(resumed);
    }

    /// The same of the first one that stopped, and is not let go on yet: whoever stops after it stops before the same
    /// flood, and goes on with it.
    pub fn stopped(&self) -> Option<i64> {
        self.common.seen().stopped
    }

    /// Lets pass what is bad before these ends of partitions, and counts anew.
    pub fn let_pass(&mut self, ends: impl IntoIterator<Item = ((String, i32), i64)>) {
        self.own = Breaker::default();
        let mut seen = self.common.seen();
        seen.breaker = Breaker::default();
        seen.stopped = None;
        for ((topic, partition), end) in ends {
            seen.let_pass.entry(topic).or_default().insert(partition, end);
        }
    }

    /// What is before this offset is done; what comes to stand there, in a topic that is made anew, is not let pass.
    pub fn done(&mut self, topic: &str, partition: i32, next: i64) {
        let mut seen = self.common.seen();
        if let Some(ends) = seen.let_pass.get_mut(topic) {
            ends.retain(|of, end| *of != partition || next < *end);
            if ends.is_empty() {
                seen.let_pass.remove(topic);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_over_all_consumers_trips_them() {
        let common = Arc::default();
        let [mut one, mut two] = [Breakers::with(&common), Breakers::with(&common)];
        assert!(!(0..100).any(|_| one.observe(true)));
        assert_eq!(two.stops_at(&[true; 99]), None);
        let after_good = [vec![false; 2], vec![true; 199]].concat();
        assert_eq!(two.stops_at(&after_good), None, "a good one is between");
        assert_eq!(two.stops_at(&[true; 100]), Some(0));
        assert!((0..100).any(|_| two.observe(true)));
    }

    #[test]
    fn let_go_on_it_lets_pass_what_is_there_and_not_the_next_flood() {
        let mut breakers = Breakers::default();
        assert!((0..500).any(|_| breakers.observe(true)));
        let end = |partition, offset| (("a".to_owned(), partition), offset);
        breakers.let_pass([end(0, 5), end(1, 2)]);
        let records = [
            ("a", 0, 4),
            ("a", 0, 5),
            ("a", 1, 1),
            ("a", 1, 2),
            ("a", 2, 0),
            ("b", 0, 0),
        ];
        let passed = |breakers: &Breakers| breakers.pass(records.into_iter());
        assert_eq!(passed(&breakers), [true, false, true, false, false, false]);
        assert!(!breakers.observe(true), "it counts anew");
        breakers.done("a", 0, 4);
        assert!(passed(&breakers)[0]);
        breakers.done("a", 0, 5);
        assert_eq!(passed(&breakers), [false, false, true, false, false, false]);
        breakers.done("a", 1, 9);
        assert_eq!(passed(&breakers), [false; 6]);
        assert_eq!(breakers.stops_at(&[true; 199]), Some(0));
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

    proptest::proptest! {
        #[test]
        fn what_is_left_before_the_stop_never_trips(records in proptest::collection::vec(proptest::bool::weighted(0.95), 0..1500)) {
            let breaker = Breaker::default();
            let stop = breaker.stops_at(&records).unwrap_or(records.len());
            proptest::prop_assert!(!trips(&mut breaker.clone(), records[..stop].iter().copied()));
        }
    }
}
