//! Sending a claim's records, and what came of each.

use std::{
    collections::BTreeMap,
    future::Future,
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;

use super::{Publisher, sent::Sent};
use crate::{
    failpoint::{Place, hit},
    kafka::{Receipt, SendError},
    wire::record::OutgoingRecord,
};

impl Publisher {
    /// Queues every record, in order, and waits for what the brokers say.
    pub(super) async fn send<T>(
        &self,
        records: Vec<(T, OutgoingRecord)>,
        stop: &CancellationToken,
    ) -> Sent<T, SendError> {
        let mut queued: Vec<(T, String, Result<Receipt, SendError>)> = Vec::with_capacity(records.len());
        for (item, record) in records {
            let receipt = self.producer.enqueue(&record).await;
            queued.push((item, record.topic, receipt));
        }
        let mut sent = Sent::with_capacity(queued.len());
        let lost = hit(Place::Sent).is_err();
        let mut grace = Grace::new(stop);
        // By topic, whether it took all records.
        let mut topics: BTreeMap<String, Option<SendError>> = BTreeMap::new();
        for (item, topic, receipt) in queued {
            let delivered = match receipt {
                Ok(receipt) => grace.bound(receipt.delivered()).await,
                Err(error) => Some(Err(error)),
            };
            let said = delivered
                .map(|said| said.map(|_| ()))
                .filter(|said| said.is_err() || !lost);
            match &said {
                Some(Ok(())) => {
                    topics.entry(topic).or_default();
                }
                Some(Err(error)) if error.is_retriable() => {
                    tracing::debug!(error.code = error.code(), "not published yet: {error}");
                    topics.entry(topic).or_default().get_or_insert_with(|| error.clone());
                }
                Some(Err(_)) | None => {}
            }
            sent.note(item, said, SendError::is_retriable);
        }
        for (topic, error) in &topics {
            self.refusals.keep(topic, error.as_ref(), Instant::now());
        }
        sent
    }
}

/// After the word to stop, acknowledgements are awaited for a few seconds in all.
struct Grace<'a> {
    stop: &'a CancellationToken,
    until: Option<Instant>,
}

impl<'a> Grace<'a> {
    const LASTS: Duration = Duration::from_secs(5);

    fn new(stop: &'a CancellationToken) -> Self {
        Self { stop, until: None }
    }

    /// The future's answer, or nothing when its time is over.
    async fn bound<F: Future>(&mut self, future: F) -> Option<F::Output> {
        let mut future = std::pin::pin!(future);
        if self.until.is_none() {
            tokio::select! {
                biased;
                output = &mut future => return Some(output),
                () = self.stop.cancelled() => self.until = Some(Instant::now() + Self::LASTS),
            }
        }
        let left = self
            .until
            .unwrap_or_else(Instant::now)
            .saturating_duration_since(Instant::now());
        tokio::time::timeout(left, future).await.ok()
    }
}
