//! Gauges that are read from the database.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use crate::{
    domain::award::AwardState,
    store::{Store, StoreError, awards, outbox},
    telemetry::Metrics,
};

/// How often the gauges are read.
const EVERY: Duration = Duration::from_secs(5);
/// From so many on, published awards are counted only once in [`DEAR_ROUNDS`] rounds.
const DEAR: i64 = 100_000;
const DEAR_ROUNDS: u32 = 12;

/// Reads awards by state, their oldest age, the outbox's backlog and the pool's connections into the metrics;
/// `with_published` counts the published awards as well.
pub fn refresh_gauges(store: &Store, metrics: &Metrics, with_published: bool) -> Result<(), StoreError> {
    let (in_use, idle) = store.pool_state();
    metrics
        .db_pool_connections
        .with_label_values(&["in_use"])
        .set(in_use.into());
    metrics
        .db_pool_connections
        .with_label_values(&["idle"])
        .set(idle.into());
    let set = |state: AwardState, count| metrics.awards.with_label_values(&[state.as_str()]).set(count);
    store.read("refresh_gauges", |tx| {
        for (state, count) in awards::counts_by_open_state(tx)? {
            set(state, count);
        }
        if with_published {
            set(AwardState::Published, awards::count_published(tx)?);
        }
        metrics.award_oldest_pending_age.set(awards::oldest_pending_age(tx)?);
        let (events, age) = outbox::backlog(tx)?;
        metrics.outbox_unpublished.set(events);
        metrics.outbox_oldest_age.set(age);
        Ok(())
    })
}

/// Refreshes the gauges until told to stop. One task a process is enough, whatever its roles.
pub async fn keep_gauges(store: Arc<Store>, metrics: Arc<Metrics>, stop: CancellationToken) {
    let published = metrics.awards.with_label_values(&[AwardState::Published.as_str()]);
    for round in 0u32.. {
        let with_published = published.get() < DEAR || round % DEAR_ROUNDS == 0;
        let gauges = Arc::clone(&metrics);
        let refreshed = store
            .run(move |store| refresh_gauges(store, &gauges, with_published))
            .await;
        if let Err(error) = refreshed {
            tracing::debug!(error.code = error.code(), "the gauges are old: {error}");
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}
