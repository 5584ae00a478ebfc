//! The lock of one share of all learners, for transactions that write many of them.

/// First half of the keys of these locks; each has two halves.
const LANES: i32 = 0x6163_636f;

/// One of several equal shares of all learners.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lane {
    /// Which one, from 0.
    pub number: u16,
    /// Of how many. Lanes of different divisions do not exclude each other.
    pub of: u16,
}

impl Lane {
    /// What a transaction says on PostgreSQL that waits for the others of this lane.
    pub(super) fn lock(self) -> String {
        let key = i32::from(self.of) << u16::BITS | i32::from(self.number);
        format!("SELECT pg_advisory_xact_lock({LANES}, {key}); ")
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, thread, time::Instant};

    use super::*;
    use crate::{
        clock::SystemClock,
        store::{
            Store, StoreError, Tx,
            testing::{postgres, wait_for_a_waiter},
        },
    };

    fn write(store: &Store, number: u16, of: u16, work: impl FnMut(&mut Tx<'_>) -> Result<(), StoreError>) {
        let lane = Some(Lane { number, of });
        let written = store.batch_transaction("test", Instant::now(), 1, lane, work);
        written.expect("committed");
    }

    #[test]
    fn a_writer_waits_for_others_of_its_lane_and_not_for_those_of_other_lanes() {
        let Some(database) = postgres() else { return };
        let another_process = database.another(Arc::new(SystemClock), 2);
        thread::scope(|scope| {
            write(&database.store(), 1, 4, |tx| {
                write(&another_process, 2, 4, |_| Ok(()));
                write(&another_process, 1, 2, |_| Ok(()));
                scope.spawn(|| write(&another_process, 1, 4, |_| Ok(())));
                wait_for_a_waiter(tx)
            });
        });
    }
}
