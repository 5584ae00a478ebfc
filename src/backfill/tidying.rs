//! Deletes what is old, once a day.

use chrono::{DateTime, TimeDelta, Utc};
use tokio_util::sync::CancellationToken;

use super::Backfill;
use crate::store::{
    Store, StoreError,
    retention::{self, LEARNERS, LETTERS},
};

/// After a start it is not the first thing to do.
const FIRST: TimeDelta = TimeDelta::minutes(10);
/// A process looks for what is old so often; of several the one that comes first deletes, and the others find nothing.
const EVERY: TimeDelta = TimeDelta::days(1);

/// When it is time to delete.
pub(super) struct Tidying {
    due: DateTime<Utc>,
}

impl Tidying {
    pub(super) fn begun(now: DateTime<Utc>) -> Self {
        Self { due: now + FIRST }
    }

    /// Deletes what is old, if it is time; in transactions that each take a bounded number of rows. Told to stop, or when
    /// another process is at it, it leaves the rest to the next time.
    pub(super) async fn work(&mut self, backfill: &Backfill, stop: &CancellationToken) -> Result<(), StoreError> {
        let now = backfill.store.clock().now();
        if now < self.due {
            return Ok(());
        }
        let events = backfill.delete_events(stop).await?;
        let letters = backfill.delete_letters(stop).await?;
        self.due = now + EVERY;
        if events + letters > 0 {
            tracing::info!(
                events.deleted = events,
                dead_letters.deleted = letters,
                "deleted {events} outgoing events and {letters} dead letters that were sent and dealt with more than {} \
                 days ago",
                retention::KEPT.num_days()
            );
        }
        Ok(())
    }
}

impl Backfill {
    async fn delete_events(&self, stop: &CancellationToken) -> Result<usize, StoreError> {
        let (mut deleted, mut after) = (0, None);
        while !stop.is_cancelled() {
            let slice = move |store: &Store| {
                store.relaxed_transaction("delete_events", |tx| retention::delete_events(tx, after, LEARNERS))
            };
            let Some(slice) = self.store.run(slice).await? else {
                break;
            };
            deleted += slice.deleted;
            after = slice.next;
            if after.is_none() {
                break;
            }
        }
        Ok(deleted)
    }

    async fn delete_letters(&self, stop: &CancellationToken) -> Result<usize, StoreError> {
        let mut deleted = 0;
        while !stop.is_cancelled() {
            let slice = |store: &Store| {
                store.relaxed_transaction("delete_letters", |tx| retention::delete_letters(tx, LETTERS))
            };
            let Some(slice) = self.store.run(slice).await? else {
                break;
            };
            deleted += slice;
            if slice == 0 {
                break;
            }
        }
        Ok(deleted)
    }
}
