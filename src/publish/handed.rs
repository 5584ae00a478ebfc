//! Events that were claimed as they were written: sent as soon as they are committed.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{Publisher, sent::Sent};
use crate::{
    failpoint::{Place, hit},
    kafka::SendError,
    store::{
        Patience, StoreError,
        outbox::{ClaimedEvent, Handover},
    },
};

/// Handovers that wait, at most: whoever finds no room claims nothing, and the relay claims it.
pub(crate) const WAITING: usize = 8;
/// What waited longer is given back: its lease might be over before it is renewed.
pub(crate) const FRESH: Duration = Duration::from_secs(10);
/// So long does what was sent gather before it is marked: nobody waits for it, and a transaction costs the same for many.
pub(crate) const MARK_EVERY: Duration = Duration::from_millis(50);

type SentEvents = Sent<ClaimedEvent, SendError>;

/// A way from those who write events to the relay of the same process.
pub fn handovers() -> (mpsc::Sender<Handover>, mpsc::Receiver<Handover>) {
    mpsc::channel(WAITING)
}

impl Publisher {
    /// Sends what is handed over until told to stop, and what is there then.
    pub(super) async fn relay_handed(
        &self,
        mut handed: mpsc::Receiver<Handover>,
        stop: &CancellationToken,
    ) -> Result<(), StoreError> {
        let (done, sent) = mpsc::channel(WAITING);
        let sending = async move {
            let mut handovers = Vec::with_capacity(WAITING);
            let mut patience = Patience::new("publish: handed over");
            while next(&mut handed, &mut handovers, stop).await {
                match self.send_handed(&mut handovers, stop).await {
                    Ok(sent) => {
                        patience.rest();
                        if done.send(sent).await.is_err() {
                            break;
                        }
                    }
                    Err(error) => patience.wait(error, stop).await?,
                }
            }
            Ok(())
        };
        tokio::try_join!(sending, self.mark_handed(sent, stop))?;
        stop.cancelled().await;
        Ok(())
    }

    async fn send_handed(
        &self,
        handovers: &mut Vec<Handover>,
        stop: &CancellationToken,
    ) -> Result<SentEvents, StoreError> {
        hit(Place::RelayClaimed)?;
        let (fresh, stale): (Vec<Handover>, Vec<Handover>) = handovers
            .drain(..)
            .partition(|handover| handover.claimed_at.elapsed() < FRESH);
        let events = |handovers: Vec<Handover>| handovers.into_iter().flat_map(|handover| handover.events);
        let mut sent = self.send_events(events(fresh).collect(), stop).await?;
        sent.again.extend(events(stale));
        Ok(sent)
    }

    async fn mark_handed(
        &self,
        mut sent: mpsc::Receiver<SentEvents>,
        stop: &CancellationToken,
    ) -> Result<(), StoreError> {
        let mut patience = Patience::new("publish: marking what was handed over");
        while let Some(mut all) = sent.recv().await {
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(MARK_EVERY) => {}
            }
            while let Ok(more) = sent.try_recv() {
                all.extend([more]);
            }
            match self.mark_events(all, stop).await {
                Ok(marked) => {
                    patience.rest();
                    if marked.more {
                        self.wake.notify_one();
                    }
                }
                Err(error) => patience.wait(error, stop).await?,
            }
        }
        Ok(())
    }
}

/// Waits for handovers. Says whether there are any; none after the word to stop, or when nobody can hand over any more.
async fn next(handed: &mut mpsc::Receiver<Handover>, handovers: &mut Vec<Handover>, stop: &CancellationToken) -> bool {
    tokio::select! {
        biased;
        received = handed.recv_many(handovers, WAITING) => received > 0,
        // Whoever hands over has ended by then, and this took all there was.
        () = stop.cancelled() => false,
    }
}
