//! For how long PostgreSQL's plans of the statements of a batch are kept.
//!
//! A plan for a small batch takes longer to make than to carry out, so a connection keeps the plans of its batches. But a
//! plan suits the tables as they were when it was made: of a table that was nearly empty it would rather read all, and
//! does so for as long as it is kept, while the table grows. PostgreSQL makes it anew once autovacuum has analyzed the
//! table, up to minutes later.

use std::time::{Duration, Instant};

/// What a batch begins with that goes by the plans that there are.
pub(super) const KEPT: &str = "SET LOCAL plan_cache_mode = force_generic_plan; ";
/// What a batch begins with whose plans are to be made anew.
pub(super) const MADE_ANEW: &str = "DISCARD PLANS; SET LOCAL plan_cache_mode = force_generic_plan; ";

/// Other processes make tables grow too.
const LAST: Duration = Duration::from_secs(1);
/// At most so many rows more than there were may be read in vain.
const RECORDS: usize = 10_000;

/// The plans that a connection keeps for batches.
#[derive(Debug)]
pub(super) struct KeptPlans {
    made: Instant,
    records: usize,
}

impl KeptPlans {
    pub(super) fn new() -> Self {
        Self {
            made: Instant::now(),
            records: 0,
        }
    }

    /// Whether plans are to be made anew before so many more records are written.
    pub(super) fn are_too_old(&mut self, records: usize) -> bool {
        let too_old = self.records >= RECORDS || self.made.elapsed() >= LAST;
        if too_old {
            *self = Self::new();
        }
        self.records = self.records.saturating_add(records);
        too_old
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_are_kept_for_a_second_or_ten_thousand_records() {
        let mut plans = KeptPlans::new();
        assert!(!plans.are_too_old(RECORDS));
        assert!(plans.are_too_old(1));
        assert!(!plans.are_too_old(1));
        plans.made -= LAST;
        assert!(plans.are_too_old(1));
        assert!(!plans.are_too_old(1));
    }
}
