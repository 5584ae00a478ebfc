//! What must be there before the loops begin: tables, supplied images, topics.

use std::{
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

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

/// What the start waits for at the moment, and why, for `/readyz`.
#[derive(Debug, Default)]
pub(super) struct Waits(Mutex<Option<String>>);

impl Waits {
    /// Empty while nothing failed.
    pub(super) fn now(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, what: Option<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = what;
    }
}

/// Brings the tables to this version, or waits until somebody else did; `Ok(false)`: stopped before.
pub(super) async fn database(
    store: &Arc<Store>,
    migrate: bool,
    waits: &Waits,
    stop: &CancellationToken,
) -> anyhow::Result<bool> {
    let step = || async {
        let ran = store.run(move |store| prepare(store, migrate)).await?;
        for migration in &ran {
            tracing::info!("migration {migration} ran");
        }
        Ok(())
    };
    let may_pass = |error: &StoreError| error.disposition() == Disposition::Retry;
    until_done("the database", waits, stop, step, may_pass, |error| {
        error.code().to_owned()
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
/// Without `CREATE_TOPICS` nothing is waited for: consumers find a topic when it appears. Rights that are missing are
/// waited for: somebody gives them, or creates the topics.
pub(super) async fn topics(
    kafka: &kafka::Settings,
    topics: &Topics,
    waits: &Waits,
    stop: &CancellationToken,
) -> anyhow::Result<bool> {
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
    until_done("Kafka", waits, stop, step, KafkaError::is_mended_elsewhere, kind)
        .await
        .context("the topics cannot be created")
}

/// Errors of one kind are told once.
fn kind(error: &KafkaError) -> String {
    let code = error.broker_code().map(|code| code.name());
    format!("{} {}", error.code(), code.unwrap_or_default())
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

/// Does a step again until it is done. What is waited for is said once for each kind of error, and again when it is there.
async fn until_done<E, Step>(
    what: &str,
    waits: &Waits,
    stop: &CancellationToken,
    mut step: impl FnMut() -> Step,
    may_pass: impl Fn(&E) -> bool,
    kind: impl Fn(&E) -> String,
) -> anyhow::Result<bool>
where
    E: std::error::Error + Send + Sync + 'static,
    Step: Future<Output = Result<(), E>>,
{
    let mut attempts = 0;
    let mut told = None;
    loop {
        let done = tokio::select! {
            () = stop.cancelled() => return Ok(false),
            done = step() => done,
        };
        match done {
            Ok(()) => {
                if attempts > 0 {
                    waits.set(None);
                    tracing::info!("{what} is there");
                }
                return Ok(true);
            }
            Err(error) if !may_pass(&error) => return Err(anyhow!(error)),
            Err(error) => {
                attempts += 1;
                waits.set(Some(format!("waiting for {what}: {error}")));
                let kind = Some(kind(&error));
                if told != kind {
                    tracing::warn!("waiting for {what}: {error}");
                    told = kind;
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn missing_rights_are_waited_for_and_told() {
        let (waits, stop) = (Arc::new(Waits::default()), CancellationToken::new());
        let (given, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
        let waiting = {
            let (waits, given, asked) = (Arc::clone(&waits), Arc::clone(&given), Arc::clone(&asked));
            tokio::spawn(async move {
                let step = async || {
                    asked.fetch_add(1, Ordering::SeqCst);
                    match given.load(Ordering::SeqCst) {
                        true => Ok(()),
                        false => Err(KafkaError::without_rights("badge.awarded")),
                    }
                };
                until_done("Kafka", &waits, &stop, step, KafkaError::is_mended_elsewhere, kind).await
            })
        };
        while asked.load(Ordering::SeqCst) < 5 {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        assert!(!waiting.is_finished(), "the process goes on");
        let told = waits.now().expect("it waits");
        assert!(
            told.contains("badge.awarded") && told.contains("authorization"),
            "{told}"
        );
        given.store(true, Ordering::SeqCst);
        assert!(waiting.await.expect("no panic").expect("no error"));
        assert_eq!(waits.now(), None);
    }
}
