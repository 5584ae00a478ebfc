//! From Kafka to facts and decisions: one batch in, one transaction, then the offsets may advance.
//!
//! Several consumers, in any number of processes, may see the events of one learner at once, in any order, any number
//! of times. What is right rests on the transaction of [`Batch`] alone, never on partitions, offsets or ownership.

mod batch;
mod breaker;
mod consumer_loop;
mod decide;
pub(crate) mod fold;
mod health;
mod item;
mod judged;
mod lanes;
mod memory;
mod outcome;
mod replay;
mod requests;
#[cfg(test)]
mod tests;

pub use batch::Batch;
pub use breaker::{Breaker, Breakers, Common};
pub use consumer_loop::{IngestError, Shared, Topics, run};
pub use health::{Health, Paused, Problem};
pub use item::{Content, Item};
pub use lanes::Lanes;
pub use outcome::{BatchOutcome, Outcome};
pub use replay::Replayer;

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::store::{awards::AtOnce, outbox::Handover};

/// What ingest does with events.
#[derive(Clone, Default)]
pub struct Settings {
    /// `ENABLE_OPENBADGES`: without it facts are kept and nothing is decided.
    pub award: bool,
    /// `REVOKE_ON_LOSS`: a learner who no longer qualifies loses the badge.
    pub revoke_on_loss: bool,
    /// `EVIDENCE_URL_TEMPLATE`: where a certificate is shown whose event has no `url`.
    pub evidence_url_template: Option<String>,
    /// What issues awards in the transaction that decides them, if the backend needs no more.
    pub issue_at_once: Option<Arc<AtOnce>>,
    /// The way to the relay of this process, which sends at once what is issued at once.
    pub relay: Option<mpsc::Sender<Handover>>,
    /// What the consumers of this process divide large batches by.
    pub lanes: Arc<Lanes>,
}

impl Settings {
    fn evidence_url(&self, certificate_uuid: &str) -> Option<String> {
        let template = self.evidence_url_template.as_deref()?;
        Some(template.replace("{certificate_uuid}", certificate_uuid))
    }
}
