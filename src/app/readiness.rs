//! What `/livez` and `/readyz` ask.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use super::prepare::Waits;
use crate::{
    config::Topics,
    http::{Probes, ReadinessCheck},
    ingest::Health,
    kafka,
    publish::Refusals,
    store::Store,
};

/// The consumers for `/livez`, if this process has some; and for `/readyz` all that it needs.
pub(super) fn probes(
    store: &Arc<Store>,
    kafka: &kafka::Settings,
    topics: &Topics,
    health: Option<Arc<Health>>,
    refusals: Option<Arc<Refusals>>,
    start: (&CancellationToken, &Arc<Waits>),
) -> Probes {
    let ready = checks(store, kafka, topics, health.clone(), refusals, start);
    Probes {
        hanging: Box::new(move || health.as_ref()?.hanging()),
        ready,
    }
}

/// One probe for each part that this process needs.
fn checks(
    store: &Arc<Store>,
    kafka: &kafka::Settings,
    topics: &Topics,
    health: Option<Arc<Health>>,
    refusals: Option<Arc<Refusals>>,
    start: (&CancellationToken, &Arc<Waits>),
) -> Vec<ReadinessCheck> {
    let database = Arc::clone(store);
    let migrations = Arc::clone(store);
    let servers = kafka.clone();
    let names: Vec<String> = topics.read().into_iter().chain(topics.written()).collect();
    let (prepared, waits) = (start.0.clone(), Arc::clone(start.1));
    let mut checks = vec![
        ReadinessCheck {
            name: "database",
            check: Box::new(move || {
                let store = Arc::clone(&database);
                Box::pin(async move { store.run(Store::ping).await.map_err(|error| error.to_string()) })
            }),
        },
        ReadinessCheck {
            name: "migrations",
            check: Box::new(move || {
                let store = Arc::clone(&migrations);
                Box::pin(async move {
                    let pending = store
                        .run(Store::pending_migrations)
                        .await
                        .map_err(|error| error.to_string())?;
                    if pending.is_empty() {
                        Ok(())
                    } else {
                        Err(format!("pending: {}; run `accolade migrate`", pending.join(", ")))
                    }
                })
            }),
        },
        ReadinessCheck {
            name: "kafka",
            check: Box::new(move || {
                let (servers, names) = (servers.clone(), names.clone());
                Box::pin(async move {
                    let cluster = kafka::admin::reach(&servers, Duration::from_millis(1800)).await;
                    let cluster = cluster.map_err(|error| error.to_string())?;
                    let missing: Vec<String> = names.into_iter().filter(|name| !cluster.has(name)).collect();
                    if missing.is_empty() {
                        Ok(())
                    } else {
                        Err(format!("missing topics: {}; create them", missing.join(", ")))
                    }
                })
            }),
        },
        ReadinessCheck {
            name: "start",
            check: Box::new(move || {
                let started = match prepared.is_cancelled() {
                    true => Ok(()),
                    false => Err(waits
                        .now()
                        .unwrap_or_else(|| "waiting for the database and Kafka".to_owned())),
                };
                Box::pin(async move { started })
            }),
        },
    ];
    if let Some(health) = health {
        checks.push(ReadinessCheck {
            name: "consumer",
            check: Box::new(move || {
                let problems = health.problems();
                Box::pin(async move {
                    if problems.is_empty() {
                        return Ok(());
                    }
                    let all: Vec<String> = problems
                        .iter()
                        .map(|problem| format!("{}: {}", problem.reason, problem.detail))
                        .collect();
                    Err(all.join("; "))
                })
            }),
        });
    }
    if let Some(refusals) = refusals {
        checks.push(ReadinessCheck {
            name: "publish",
            check: Box::new(move || {
                let problems = refusals.problems();
                Box::pin(async move {
                    match problems.is_empty() {
                        true => Ok(()),
                        false => Err(format!(
                            "Kafka does not let this process write; give it the rights: {}",
                            problems.join("; ")
                        )),
                    }
                })
            }),
        });
    }
    checks
}
