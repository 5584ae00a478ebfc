//! Relays the outbox and the dead letters to Kafka.
//!
//! Only a learner's first unpublished event can be claimed, so that events of one learner appear in order; a row is
//! marked once Kafka acknowledged it, and is sent again (with the same id) when the process dies between the two.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::{
    kafka::{KafkaError, Producer, SendError},
    store::{
        Patience, Store, StoreError,
        dead_letter_relay::{self, ClaimedDeadLetter, DeadLetterLease},
        outbox::{self, ClaimedEvent, EventLease},
    },
    telemetry::Metrics,
    wire::{
        badge_event::{BADGE_REVOKED, OutgoingBadgeEvent, badge_record},
        dead_letter::{dead_letter_digest, dead_letter_record},
        record::OutgoingRecord,
    },
};

/// Events in one claim.
const BATCH: usize = 500;
/// Dead letters in one claim, and about how many bytes of them.
const DEAD_LETTERS: usize = 100;
const DEAD_LETTER_BYTES: i64 = 16 << 20;
/// Longer than a producer tries (120 s).
const LEASE: TimeDelta = TimeDelta::seconds(150);
/// What Kafka did not take is due again after this long.
const PAUSE: TimeDelta = TimeDelta::seconds(2);
const FLUSH: Duration = Duration::from_secs(5);

/// Where events go.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `TOPIC_BADGE_AWARDED`, with the prefix.
    pub badge_awarded: String,
    /// `TOPIC_BADGE_REVOKED`, with the prefix.
    pub badge_revoked: String,
    /// `TOPIC_DEAD_LETTERS`, with the prefix.
    pub dead_letters: String,
    /// The `ce_source` of every event: `PUBLIC_URL`.
    pub source: String,
    /// How often rows are looked for when nothing wakes the loop.
    pub poll: Duration,
}

/// Why publishing cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The database answered with something that waiting does not mend.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What was queued could not be flushed at the end; it stays unpublished, for the next start.
    #[error(transparent)]
    Flush(#[from] KafkaError),
}

impl PublishError {
    /// A stable name, for logs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Store(error) => error.code(),
            Self::Flush(error) => error.code(),
        }
    }
}

/// The relay of one process. Any number of them share a database.
pub struct Publisher {
    store: Arc<Store>,
    events: Producer,
    dead_letters: Producer,
    settings: Settings,
    metrics: Arc<Metrics>,
    wake: Arc<Notify>,
}

/// What became of the rows of one claim.
struct Sent<Lease> {
    acknowledged: Vec<Lease>,
    refused: Vec<Lease>,
}

impl Publisher {
    /// A relay that is woken by `wake`. Dead letters have a producer of their own, so that their topic cannot hold up
    /// the awards.
    pub fn new(
        store: Arc<Store>,
        events: Producer,
        dead_letters: Producer,
        settings: Settings,
        metrics: Arc<Metrics>,
        wake: Arc<Notify>,
    ) -> Self {
        Self {
            store,
            events,
            dead_letters,
            settings,
            metrics,
            wake,
        }
    }

    /// Publishes until told to stop; then once more what is there, and flushes.
    pub async fn run(self, stop: CancellationToken) -> Result<(), PublishError> {
        let publisher = Arc::new(self);
        let relay = {
            let (publisher, stop) = (Arc::clone(&publisher), stop.clone());
            tokio::spawn(async move { publisher.relay_dead_letters(&stop).await })
        };
        let published = publisher.relay_events(&stop).await;
        let relayed = relay
            .await
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()));
        published.and(relayed)?;
        publisher.events.flush(FLUSH).await?;
        publisher.dead_letters.flush(FLUSH).await?;
        Ok(())
    }

    async fn relay_events(&self, stop: &CancellationToken) -> Result<(), StoreError> {
        let mut patience = Patience::new("publish");
        loop {
            let last = stop.is_cancelled();
            match self.publish_events().await {
                Ok(more) => {
                    patience.rest();
                    if more && !last {
                        continue;
                    }
                }
                Err(_) if last => return Ok(()),
                Err(error) => patience.wait(error, stop).await?,
            }
            if last {
                return Ok(());
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.wake.notified() => {}
                () = tokio::time::sleep(self.settings.poll) => {}
            }
        }
    }

    /// Publishes what can be claimed now. Says whether there may be more.
    async fn publish_events(&self) -> Result<bool, StoreError> {
        let claimed = self
            .store
            .run(|store| store.transaction("claim_events", |tx| outbox::claim(tx, BATCH, LEASE)))
            .await?;
        if claimed.is_empty() {
            return Ok(false);
        }
        let mut receipts = Vec::with_capacity(claimed.len());
        for event in &claimed {
            receipts.push(self.events.enqueue(&self.record(event)).await);
        }
        let mut sent = Sent {
            acknowledged: Vec::new(),
            refused: Vec::new(),
        };
        let mut parked = Vec::new();
        for (event, receipt) in claimed.iter().zip(receipts) {
            let outcome = match receipt {
                Ok(receipt) => receipt.delivered().await,
                Err(error) => Err(error),
            };
            match outcome {
                Ok(_) => {
                    self.count(event);
                    sent.acknowledged.push(event.lease);
                }
                Err(error @ (SendError::TooLarge | SendError::Permanent(_))) => parked.push((event, error.to_string())),
                Err(error) => {
                    if sent.refused.is_empty() {
                        tracing::warn!(error.code = error.code(), "an event stays in the outbox: {error}");
                    }
                    sent.refused.push(event.lease);
                }
            }
        }
        for (event, problem) in &parked {
            tracing::error!(
                event.id = %event.event_id,
                "event {} is parked, and with it the later ones of its learner: {problem}",
                event.event_id
            );
        }
        let parked: Vec<(EventLease, String)> = parked.into_iter().map(|(event, why)| (event.lease, why)).collect();
        let progress = !sent.acknowledged.is_empty();
        self.store
            .run(move |store| {
                store.transaction("publish_events", |tx| {
                    outbox::mark_published(tx, &sent.acknowledged)?;
                    outbox::release(tx, &sent.refused, PAUSE)?;
                    for (lease, reason) in &parked {
                        outbox::park(tx, *lease, reason)?;
                    }
                    Ok(())
                })
            })
            .await?;
        Ok(progress)
    }

    fn record(&self, event: &ClaimedEvent) -> OutgoingRecord {
        let topic = if event.event_type == BADGE_REVOKED {
            &self.settings.badge_revoked
        } else {
            &self.settings.badge_awarded
        };
        let outgoing = OutgoingBadgeEvent {
            event_id: event.event_id,
            event_type: &event.event_type,
            source: &self.settings.source,
            time: event.created_at,
            learner: event.lease.learner,
            seq: event.lease.seq,
            payload: &event.payload,
        };
        badge_record(topic, &outgoing)
    }

    fn count(&self, event: &ClaimedEvent) {
        let topic = if event.event_type == BADGE_REVOKED {
            &self.settings.badge_revoked
        } else {
            &self.settings.badge_awarded
        };
        self.metrics.published.with_label_values(&[topic.as_str()]).inc();
        if let Some(time) = event.event_time {
            self.metrics
                .award_latency
                .observe(seconds_since(time, self.store.clock().now()));
        }
    }

    async fn relay_dead_letters(&self, stop: &CancellationToken) -> Result<(), StoreError> {
        let mut patience = Patience::new("dead letters");
        loop {
            let last = stop.is_cancelled();
            match self.publish_dead_letters().await {
                Ok(more) => {
                    patience.rest();
                    if more && !last {
                        continue;
                    }
                }
                Err(_) if last => return Ok(()),
                Err(error) => patience.wait(error, stop).await?,
            }
            if last {
                return Ok(());
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(self.settings.poll) => {}
            }
        }
    }

    async fn publish_dead_letters(&self) -> Result<bool, StoreError> {
        let claimed = self
            .store
            .run(|store| {
                store.transaction("claim_dead_letters", |tx| {
                    dead_letter_relay::claim(tx, DEAD_LETTERS, DEAD_LETTER_BYTES, LEASE)
                })
            })
            .await?;
        if claimed.is_empty() {
            return Ok(false);
        }
        let mut sent: Sent<DeadLetterLease> = Sent {
            acknowledged: Vec::new(),
            refused: Vec::new(),
        };
        let sending = claimed.iter().map(|letter| self.send_dead_letter(letter));
        let outcomes = futures_util::future::join_all(sending).await;
        for (letter, outcome) in claimed.iter().zip(outcomes) {
            match outcome {
                Ok(()) => sent.acknowledged.push(letter.lease),
                Err(error) => {
                    if sent.refused.is_empty() {
                        tracing::warn!(error.code = error.code(), "a dead letter stays in the store: {error}");
                    }
                    sent.refused.push(letter.lease);
                }
            }
        }
        let acknowledged = u64::try_from(sent.acknowledged.len()).unwrap_or(u64::MAX);
        let topic = [self.settings.dead_letters.as_str()];
        self.metrics.published.with_label_values(&topic).inc_by(acknowledged);
        self.store
            .run(move |store| {
                store.transaction("publish_dead_letters", |tx| {
                    dead_letter_relay::mark_published(tx, &sent.acknowledged)?;
                    dead_letter_relay::release(tx, &sent.refused, PAUSE)
                })
            })
            .await?;
        Ok(acknowledged > 0)
    }

    /// Sends a dead letter whole, or what the brokers take of it when they refuse its size.
    async fn send_dead_letter(&self, letter: &ClaimedDeadLetter) -> Result<(), SendError> {
        let topic = &self.settings.dead_letters;
        let whole = dead_letter_record(topic, &letter.record, &letter.reason, &letter.message);
        match self.dead_letters.send(whole).await {
            Err(SendError::TooLarge) => {
                let digest = dead_letter_digest(topic, &letter.record, &letter.reason, &letter.message);
                self.dead_letters.send(digest).await.map(drop)
            }
            other => other.map(drop),
        }
    }
}

fn seconds_since(time: DateTime<Utc>, now: DateTime<Utc>) -> f64 {
    (now - time).as_seconds_f64().max(0.0)
}
