//! Relays the outbox and the dead letters to Kafka.
//!
//! A row is claimed, sent, acknowledged, marked: one that was acknowledged and not marked is sent again, with the same
//! id. Of each learner only the first unpublished event can be claimed, so first appearances keep their order.

pub(crate) mod handed;
mod refusals;
pub(crate) mod renewal;
mod sending;
pub(crate) mod sent;

use std::{sync::Arc, time::Duration};

use chrono::TimeDelta;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use self::sent::Sent;
pub use self::{handed::handovers, refusals::Refusals};
use crate::{
    failpoint::{Place, hit},
    kafka::{Producer, SendError},
    store::{
        Patience, Store, StoreError, Tx,
        dead_letter_relay::{self, ClaimedDeadLetter, DeadLetterLease},
        outbox::{self, ClaimedEvent, EventLease, Handover, Marked},
    },
    telemetry::Metrics,
    wire::{
        badge_event::{BADGE_REVOKED, OutgoingBadgeEvent, badge_record},
        dead_letter::{dead_letter_digest, dead_letter_record},
        record::OutgoingRecord,
    },
};

/// Events of one claim, at most.
pub(crate) const EVENTS: usize = 500;
/// Dead letters of one claim, at most, and about how many bytes.
const LETTERS: usize = 100;
const LETTER_BYTES: i64 = 16 * 1024 * 1024;
/// How long a record waits after Kafka did not take it.
pub(crate) const PAUSE: TimeDelta = TimeDelta::seconds(1);

/// Where records go.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `TOPIC_BADGE_AWARDED`
    pub topic_badge_awarded: String,
    /// `TOPIC_BADGE_REVOKED`
    pub topic_badge_revoked: String,
    /// `TOPIC_DEAD_LETTERS`
    pub topic_dead_letters: String,
    /// `ce_source` of the events: `PUBLIC_URL`.
    pub source: String,
    /// How often the outbox is looked at when nothing wakes the loop.
    pub poll: Duration,
    /// How long rows are claimed for, and for how long each time their leases are renewed.
    pub lease: TimeDelta,
}

/// Why publishing cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The database answered with something that waiting does not mend.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl PublishError {
    /// A stable name, for logs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Store(error) => error.code(),
        }
    }
}

/// The publish loop of one process. Any number of them share a database.
pub struct Publisher {
    /// Where the rows are.
    pub store: Arc<Store>,
    /// Where they go.
    pub producer: Producer,
    /// To which topics.
    pub settings: Settings,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Told that there is something to publish.
    pub wake: Arc<Notify>,
    /// What Kafka does not take, for the probes.
    pub refusals: Arc<Refusals>,
}

impl Publisher {
    /// Publishes until told to stop; what is in flight then is awaited for a moment and marked. What is `handed` over by
    /// others of this process, who end before this, goes out without a claim.
    pub async fn run(self, handed: mpsc::Receiver<Handover>, stop: CancellationToken) -> Result<(), PublishError> {
        let publisher = Arc::new(self);
        // Whichever ends first ends the other: never half alive.
        let either = stop.child_token();
        let letters = {
            let (publisher, either) = (Arc::clone(&publisher), either.clone());
            tokio::spawn(async move {
                let _ends = either.clone().drop_guard();
                publisher.relay_letters(&either).await
            })
        };
        let events = {
            let _ends = either.clone().drop_guard();
            tokio::try_join!(publisher.relay_events(&either), publisher.relay_handed(handed, &either))
                .map(|((), ())| ())
        };
        if events.is_err() {
            letters.abort();
        }
        match letters.await {
            Ok(letters) => Ok(events.and(letters)?),
            Err(ended) => match ended.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_aborted) => Ok(events?),
            },
        }
    }

    async fn relay_events(&self, stop: &CancellationToken) -> Result<(), StoreError> {
        let mut patience = Patience::new("publish");
        while !stop.is_cancelled() {
            match self.publish_events(stop).await {
                Ok(true) => patience.rest(),
                Ok(false) => {
                    patience.rest();
                    self.idle(stop).await;
                }
                Err(error) => patience.wait(error, stop).await?,
            }
        }
        Ok(())
    }

    async fn relay_letters(&self, stop: &CancellationToken) -> Result<(), StoreError> {
        let mut patience = Patience::new("publish: dead letters");
        while !stop.is_cancelled() {
            match self.publish_letters(stop).await {
                Ok(true) => patience.rest(),
                Ok(false) => {
                    patience.rest();
                    tokio::select! {
                        () = stop.cancelled() => {}
                        () = tokio::time::sleep(self.settings.poll) => {}
                    }
                }
                Err(error) => patience.wait(error, stop).await?,
            }
        }
        Ok(())
    }

    /// Publishes one claim of events. Says whether there was any that went out.
    async fn publish_events(&self, stop: &CancellationToken) -> Result<bool, StoreError> {
        let lease = self.settings.lease;
        let events = self
            .store
            .run(move |store| store.claim_transaction("claim_events", true, |tx| outbox::claim(tx, EVENTS, lease)))
            .await?;
        if events.is_empty() {
            return Ok(false);
        }
        hit(Place::RelayClaimed)?;
        let sent = self.send_events(events, stop).await?;
        let went_out = !sent.acknowledged.is_empty();
        self.mark_events(sent, stop).await?;
        Ok(went_out)
    }

    async fn send_events(
        &self,
        events: Vec<ClaimedEvent>,
        stop: &CancellationToken,
    ) -> Result<Sent<ClaimedEvent, SendError>, StoreError> {
        let leases: Vec<EventLease> = events.iter().map(|event| event.lease).collect();
        let records: Vec<(ClaimedEvent, OutgoingRecord)> =
            events.into_iter().map(|event| self.with_record(event)).collect();
        let renew = move |tx: &mut Tx<'_>, lease| outbox::renew(tx, &leases, lease);
        let sent = self.renewing(self.send(records, stop), renew).await;
        hit(Place::Acknowledged)?;
        let now = self.store.clock().now();
        for event in &sent.acknowledged {
            let topic = self.topic(&event.event_type);
            self.metrics.published.with_label_values(&[topic]).inc();
            if let Some(time) = event.event_time
                && event.event_type != BADGE_REVOKED
            {
                let age = (now - time).to_std().unwrap_or_default();
                self.metrics.award_latency.observe(age.as_secs_f64());
            }
        }
        for (event, error) in &sent.refused {
            tracing::error!(
                event.id = %event.event_id,
                error.code = error.code(),
                "the event {} is set aside, and with it the later ones of its learner: {error}",
                event.event_id
            );
        }
        Ok(sent)
    }

    /// Keeps what came of sending.
    async fn mark_events(
        &self,
        sent: Sent<ClaimedEvent, SendError>,
        stop: &CancellationToken,
    ) -> Result<Marked, StoreError> {
        let leases = |events: &[ClaimedEvent]| events.iter().map(|event| event.lease).collect::<Vec<EventLease>>();
        let (acknowledged, again) = (leases(&sent.acknowledged), leases(&sent.again));
        let refused: Vec<(EventLease, &'static str)> = sent
            .refused
            .iter()
            .map(|(event, error)| (event.lease, error.code()))
            .collect();
        let marked = self
            .keep("mark_published", stop, move |tx| {
                let marked = outbox::mark_published(tx, &acknowledged)?;
                if !again.is_empty() {
                    outbox::release(tx, &again, PAUSE)?;
                }
                for (lease, reason) in &refused {
                    outbox::park(tx, *lease, reason)?;
                }
                Ok(marked)
            })
            .await?;
        hit(Place::Marked)?;
        Ok(marked)
    }

    /// Writes what came of sending, waiting for a database that is down; told to stop, only once.
    async fn keep<T: Send + 'static>(
        &self,
        name: &'static str,
        stop: &CancellationToken,
        work: impl Fn(&mut Tx<'_>) -> Result<T, StoreError> + Send + Sync + 'static,
    ) -> Result<T, StoreError> {
        let mut patience = Patience::new("publish: marking");
        let work = Arc::new(work);
        loop {
            let once = Arc::clone(&work);
            let kept = self
                .store
                .run(move |store| store.relaxed_transaction(name, |tx| once(tx)))
                .await;
            match kept {
                Ok(kept) => {
                    patience.rest();
                    return Ok(kept);
                }
                Err(error) if stop.is_cancelled() => return Err(error),
                Err(error) => patience.wait(error, stop).await?,
            }
        }
    }

    /// Publishes one claim of dead letters. Says whether there was any that went out.
    async fn publish_letters(&self, stop: &CancellationToken) -> Result<bool, StoreError> {
        let lease = self.settings.lease;
        let letters = self
            .store
            .run(move |store| {
                store.relaxed_transaction("claim_dead_letters", |tx| {
                    dead_letter_relay::claim(tx, LETTERS, LETTER_BYTES, lease)
                })
            })
            .await?;
        if letters.is_empty() {
            return Ok(false);
        }
        let topic = self.settings.topic_dead_letters.as_str();
        let leases: Vec<DeadLetterLease> = letters.iter().map(|letter| letter.lease).collect();
        let renew = move |tx: &mut Tx<'_>, lease| dead_letter_relay::renew(tx, &leases, lease);
        let sent = self.renewing(self.send_letters(letters, stop), renew).await;
        for (letter, error) in &sent.refused {
            tracing::error!(
                dead_letter.id = letter.lease.id,
                error.code = error.code(),
                "the dead letter {} stays in the database: Kafka does not even take its digest: {error}",
                letter.lease.id
            );
        }
        self.metrics
            .published
            .with_label_values(&[topic])
            .inc_by(u64::try_from(sent.acknowledged.len()).unwrap_or_default());
        let went_out = !sent.acknowledged.is_empty();
        let lease = |letter: &ClaimedDeadLetter| letter.lease;
        // What is refused even so is in the store, where it can be read: it is not sent again and again.
        let mut done: Vec<DeadLetterLease> = sent.acknowledged.iter().map(lease).collect();
        done.extend(sent.refused.iter().map(|(letter, _)| letter.lease));
        let again: Vec<DeadLetterLease> = sent.again.iter().map(lease).collect();
        self.keep("mark_dead_letters", stop, move |tx| {
            dead_letter_relay::mark_published(tx, &done)?;
            dead_letter_relay::release(tx, &again, PAUSE)
        })
        .await?;
        Ok(went_out)
    }

    /// Sends dead letters, and of those that Kafka refuses a digest.
    async fn send_letters(
        &self,
        letters: Vec<ClaimedDeadLetter>,
        stop: &CancellationToken,
    ) -> Sent<ClaimedDeadLetter, SendError> {
        let topic = self.settings.topic_dead_letters.as_str();
        let whole = letters.into_iter().map(|letter| {
            let record = dead_letter_record(topic, &letter.record, &letter.reason, &letter.message);
            (letter, record)
        });
        let mut sent = self.send(whole.collect(), stop).await;
        let digests = sent.refused.drain(..).map(|(letter, _)| {
            let record = dead_letter_digest(topic, &letter.record, &letter.reason, &letter.message);
            (letter, record)
        });
        let digested = self.send(digests.collect(), stop).await;
        sent.extend([digested]);
        sent
    }

    fn with_record(&self, event: ClaimedEvent) -> (ClaimedEvent, OutgoingRecord) {
        let record = badge_record(
            self.topic(&event.event_type),
            &OutgoingBadgeEvent {
                event_id: event.event_id,
                event_type: &event.event_type,
                source: &self.settings.source,
                time: event.created_at,
                learner: event.lease.learner,
                seq: event.lease.seq,
                payload: &event.payload,
            },
        );
        (event, record)
    }

    fn topic(&self, event_type: &str) -> &str {
        if event_type == BADGE_REVOKED {
            &self.settings.topic_badge_revoked
        } else {
            &self.settings.topic_badge_awarded
        }
    }

    async fn idle(&self, stop: &CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.wake.notified() => {}
            () = tokio::time::sleep(self.settings.poll) => {}
        }
    }
}

#[cfg(test)]
mod tests;
