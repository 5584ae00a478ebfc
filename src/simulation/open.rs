//! Transactions that are open over several steps, with the locks that they hold.

use super::schedule::Process;
use crate::domain::LearnerId;

/// An open transaction: what it holds is given back when it ends, and when its process dies.
pub(super) struct Open {
    process: Process,
    pub(super) number: u64,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.process.with(|world| {
            world.database.unlock(self.number);
            world.touched = true;
        });
    }
}

impl Open {
    /// Begins one that shares the configuration's fence and holds these learners, once they are free.
    pub(super) async fn begin(process: &Process, learners: &[LearnerId]) -> Self {
        loop {
            let begun = process.with(|world| {
                world.transactions += 1;
                let number = world.transactions;
                let now = world.now;
                world.database.lock(now, number, learners).then_some(number)
            });
            if let Some(number) = begun {
                return Self {
                    process: process.clone(),
                    number,
                };
            }
            process.takes(5, 200).await;
        }
    }
}
