//! Comparing without being asked: once a day, and soon after the backend answers again.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use super::{
    super::{IssueError, Issuer, delta},
    finding::{Finding, Mode, Repair},
};
use crate::store::{Patience, StoreError, comparison};

/// It is looked once in so many rounds of the issue loop whether a comparison is due.
const ROUNDS: u32 = 20;
/// So long after the backend answers again, and what it may still be at is done, it is compared.
const CALM: Duration = Duration::from_secs(600);

impl Issuer {
    /// Compares when it is time to, until told to stop.
    pub(in crate::issue) async fn compare_by_schedule(
        self: Arc<Self>,
        stop: CancellationToken,
    ) -> Result<(), IssueError> {
        let mut patience = Patience::new("compare");
        let mut answers_again = false;
        while !stop.is_cancelled() {
            match self.compare_if_due(answers_again, &stop).await {
                Ok(()) => patience.rest(),
                Err(error) => {
                    patience.wait(error, &stop).await?;
                    continue;
                }
            }
            answers_again = tokio::select! {
                () = stop.cancelled() => false,
                () = self.answers_again.notified() => true,
                () = tokio::time::sleep(self.settings.poll * ROUNDS) => false,
            };
        }
        Ok(())
    }

    async fn compare_if_due(&self, answers_again: bool, stop: &CancellationToken) -> Result<(), StoreError> {
        let backend = self.backend.name();
        if answers_again {
            let within = delta(self.backend.settle_time() * 2 + CALM);
            self.store
                .run(move |store| store.transaction("hasten_comparison", |tx| comparison::hasten(tx, backend, within)))
                .await?;
        }
        let is_due = move |tx: &mut crate::store::Tx<'_>| comparison::is_due(tx, backend);
        if !self
            .store
            .run(move |store| store.read("comparison_due", is_due))
            .await?
        {
            return Ok(());
        }
        let Some(compared) = self.compare(&Mode::ByItself, stop, &log).await? else {
            return Ok(());
        };
        let (assertions, left) = (compared.assertions, compared.left);
        tracing::info!(
            backend.name = backend,
            assertions.compared = assertions,
            assertions.repaired = compared.repaired,
            assertions.left = left,
            "compared {assertions} assertions with the badge backend {backend}: {} differed and were repaired, {left} were \
             left{}",
            compared.repaired,
            match compared.is_whole {
                true => "",
                false => "; it was broken off",
            }
        );
        Ok(())
    }
}

fn log(finding: &Finding) {
    match finding {
        Finding::Second {
            badge_class,
            award,
            backend_id,
            is_ours,
            repair,
            ..
        } => match repair {
            // Learners may have such from before, and every comparison finds them again.
            Repair::NotAsked | Repair::Left { .. } if !is_ours => tracing::debug!(
                award.id = %award.0,
                "the badge backend holds {backend_id} of badge class {badge_class} beside the assertion of award {}",
                award.0
            ),
            Repair::NotAsked | Repair::Left { .. } => tracing::warn!(
                award.id = %award.0,
                "the badge backend holds {backend_id} of badge class {badge_class}, a second assertion of award {}: {}",
                award.0,
                told(repair)
            ),
            Repair::Done => tracing::warn!(
                award.id = %award.0,
                "{backend_id} of badge class {badge_class} was a second assertion of award {}, and is revoked now",
                award.0
            ),
        },
        Finding::Gone {
            award, reason, repair, ..
        } => tracing::warn!(
            award.id = %award.0,
            "the assertion of award {} holds no more at the badge backend ({reason}): {}",
            award.0,
            told(repair)
        ),
        Finding::Skipped { badge_class, error } => tracing::warn!(
            badge_class.slug = badge_class,
            error.code = error.code(),
            "the assertions of badge class {badge_class} are not compared with the badge backend's: {error}"
        ),
    }
}

fn told(repair: &Repair) -> &str {
    match repair {
        Repair::NotAsked => "left",
        Repair::Done => "marked as revoked",
        Repair::Left { why } => why,
    }
}
