//! What must be there before the loops begin: tables, supplied images, topics.

use std::{future::Future, sync::Arc, time::Duration};

use anyhow::{Context as _, anyhow};
use tokio_util::sync::CancellationToken;

use crate::{
    config::Topics,
    kafka::{self, KafkaError},
    retry::Backoff,
    store::{Disposition, Store, StoreError, completion_images},
};

/// How long one try to reach Kafka may take.
const TELL_WITHIN: Duration = Duration::from_secs(20);

/// Brings the tables to this version, or waits until somebody else did; `Ok(false)`: stopped before.
pub(super) async fn database(store: &Arc<Store>, migrate: bool, stop: &CancellationToken) -> anyhow::Result<bool> {
    let step = || async {
        let ran = store.run(move |store| prepare(store, migrate)).await?;
        for migration in &ran {
            tracing::info!("migration {migration} ran");
        }
        Ok(())
    };
    until_done("the database", stop, step, |error: &StoreError| {
        error.disposition() == Disposition::Retry
    })
    .await
    .context("the database cannot be prepared")
}

fn prepare(store: &Store, migrate: bool) -> Result<Vec<String>, StoreError> {
    let ran = if migrate {
        store.migrate()?
    } else {
        let pending = store.pending_migrations()?;
        if !pending.is_empty() {
            return Err(StoreError::Exhausted {
                message: format!(
                    "migrations are pending ({}); run `accolade migrate`",
                    pending.join(", ")
                ),
            });
        }
        Vec::new()
    };
    store.transaction("supply_images", completion_images::supply)?;
    Ok(ran)
}

/// Creates missing topics, or says which are missing; `Ok(false)`: stopped before.
///
/// Without `CREATE_TOPICS` nothing is waited for: consumers find a topic when it appears.
pub(super) async fn topics(kafka: &kafka::Settings, topics: &Topics, stop: &CancellationToken) -> anyhow::Result<bool> {
    if !topics.create {
        return Ok(true);
    }
    let names: Vec<String> = topics.read().into_iter().chain(topics.written()).collect();
    let step = || async {
        let created = kafka::admin::ensure_topics(kafka, &names, topics.partitions).await?;
        for topic in &created {
            tracing::info!(kafka.topic = topic, "created topic {topic}");
        }
        Ok(())
    };
    until_done("Kafka", stop, step, KafkaError::is_retriable)
        .await
        .context("the topics cannot be created; create them, or set CREATE_TOPICS=false")
}

/// Says once which cluster was reached, and what is read there as which group: another program of the same group would
/// take partitions from this one.
pub(super) async fn tell_group(kafka: &kafka::Settings, topics: &[String], stop: &CancellationToken) {
    let mut attempts = 0;
    let cluster = loop {
        match kafka::admin::reach(kafka, TELL_WITHIN).await {
            Ok(cluster) => break cluster,
            Err(_) => attempts += 1,
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(Backoff::DEPENDENCY.delay(attempts, rand::random())) => {}
        }
    };
    let (group, id) = (&kafka.group_id, cluster.id.as_deref().unwrap_or("that has no id"));
    let topics = topics.join(", ");
    tracing::info!(
        kafka.group = group,
        kafka.cluster = id,
        kafka.topics = topics,
        "reading as group {group} in the Kafka cluster {id}: {topics}"
    );
}

/// Does a step again until it is done. What is waited for is said once, and again when it is there.
async fn until_done<E, Step>(
    what: &str,
    stop: &CancellationToken,
    mut step: impl FnMut() -> Step,
    may_pass: impl Fn(&E) -> bool,
) -> anyhow::Result<bool>
where
    E: std::error::Error + Send + Sync + 'static,
    Step: Future<Output = Result<(), E>>,
{
    let mut attempts = 0;
    loop {
        let done = tokio::select! {
            () = stop.cancelled() => return Ok(false),
            done = step() => done,
        };
        match done {
            Ok(()) => {
                if attempts > 0 {
                    tracing::info!("{what} is there");
                }
                return Ok(true);
            }
            Err(error) if !may_pass(&error) => return Err(anyhow!(error)),
            Err(error) => {
                attempts += 1;
                if attempts == 1 {
                    tracing::warn!("waiting for {what}: {error}");
                }
                let pause = Backoff::DEPENDENCY
                    .delay(attempts, rand::random())
                    .min(Duration::from_secs(5));
                tokio::select! {
                    () = stop.cancelled() => return Ok(false),
                    () = tokio::time::sleep(pause) => {}
                }
            }
        }
    }
}
