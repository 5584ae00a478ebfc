//! A backfill that a person asks for, and waits for.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{Backfill, LEASE};
use crate::store::{
    Store, StoreError,
    audit::Actor,
    backfill::{self, Begun, Chunk, Claim, Tally},
};

/// How often one looks at what another process does.
const LOOK: Duration = Duration::from_millis(500);

/// How a backfill ended that was asked for by hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// Every learner was looked at; this came of it.
    Done(Tally),
    /// Another configuration was activated, whose backfill begins by itself.
    Superseded,
    /// It was told to stop; others may go on from here.
    Stopped(Tally),
}

impl Backfill {
    /// Opens the backfill of the active configuration, or takes up one that is open; `None` where no configuration is
    /// active. To be followed by [`Backfill::see_through`].
    pub async fn begin(&self, actor: Actor) -> Result<Option<Begun>, StoreError> {
        let begin = move |store: &Store| store.transaction("begin_backfill", |tx| backfill::begin(tx, LEASE, &actor));
        self.store.run(begin).await
    }

    /// Drives a backfill to its end, or follows whoever does, and takes it over from one that died. A chunk under way is
    /// finished before it stops.
    ///
    /// `tell` hears what it has come to, and whether this process drives it.
    pub async fn see_through(
        &self,
        begun: Begun,
        stop: &CancellationToken,
        mut tell: impl FnMut(&Tally, bool),
    ) -> Result<End, StoreError> {
        let Begun {
            configuration_id: id,
            mut claim,
            mut tally,
        } = begun;
        loop {
            if stop.is_cancelled() {
                if let Some(claim) = claim {
                    self.release(claim).await?;
                }
                return Ok(End::Stopped(tally));
            }
            if let Some(held) = claim {
                match self.chunk(held).await? {
                    Chunk::More(evaluated) => tally = evaluated.tally,
                    Chunk::Last(evaluated) => return Ok(End::Done(evaluated.tally)),
                    Chunk::Lost => claim = None,
                }
                tell(&tally, claim.is_some());
                continue;
            }
            let look = move |store: &Store| store.read("backfill_progress", |tx| backfill::progress(tx, id));
            let Some(progress) = self.store.run(look).await? else {
                return Ok(End::Superseded);
            };
            tally = progress.tally;
            if progress.is_done {
                return Ok(End::Done(tally));
            }
            tell(&tally, false);
            claim = self.claim_of(id).await?;
            if claim.is_none() {
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = tokio::time::sleep(LOOK) => {}
                }
            }
        }
    }

    async fn claim_of(&self, configuration_id: i32) -> Result<Option<Claim>, StoreError> {
        let claim = self.claim().await?;
        match claim {
            Some(other) if other.configuration_id != configuration_id => self.release(other).await.map(|()| None),
            claim => Ok(claim),
        }
    }
}
