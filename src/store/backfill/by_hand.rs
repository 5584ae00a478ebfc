//! A backfill that a person asks for.

use chrono::{NaiveDateTime, TimeDelta};
use diesel::{ExpressionMethods, OptionalExtension, QueryDsl, RunQueryDsl};
use serde_json::json;

use super::{Claim, Tally, claim_backfill, reopen};
use crate::store::{
    StoreError, Tx,
    audit::{self, Action, Actor},
    event_badges,
    schema::{event_badges_configuration as configuration, learner},
};

/// A backfill that is open now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Begun {
    /// Of this configuration, the active one.
    pub configuration_id: i32,
    /// The right to drive it; `None` where another process does.
    pub claim: Option<Claim>,
    /// What it had come to before.
    pub tally: Tally,
}

/// Where the backfill of the active configuration stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackfillProgress {
    /// What it has come to.
    pub tally: Tally,
    /// Whether it has come to the end.
    pub is_done: bool,
}

/// Opens the backfill of the active configuration anew if it is done, takes it up if nobody drives it, and notes in the
/// log who did. `None` where no configuration is active.
pub fn begin(tx: &mut Tx<'_>, lease: TimeDelta, actor: &Actor) -> Result<Option<Begun>, StoreError> {
    event_badges::fence_shared(tx)?;
    let Some(active) = event_badges::active(tx)? else {
        return Ok(None);
    };
    reopen(tx, active.id)?;
    let claim = claim_backfill(tx, lease)?;
    let tally = progress(tx, active.id)?
        .map(|progress| progress.tally)
        .unwrap_or_default();
    if claim.is_some() {
        let details = json!({"from": tally.learners});
        audit::record(tx, actor, Action::Backfill, &active.id.to_string(), &details)?;
    }
    Ok(Some(Begun {
        configuration_id: active.id,
        claim,
        tally,
    }))
}

/// Where the backfill of this configuration stands; `None` if it is not the active one any more.
pub fn progress(tx: &mut Tx<'_>, configuration_id: i32) -> Result<Option<BackfillProgress>, StoreError> {
    let row: Option<(Option<String>, Option<NaiveDateTime>)> = configuration::table
        .find(configuration_id)
        .filter(configuration::enabled.eq(true))
        .select((configuration::backfill_tally, configuration::backfill_done_at))
        .first(tx.conn)
        .optional()?;
    row.map(|(tally, done_at)| {
        Ok(BackfillProgress {
            tally: Tally::read(tally.as_deref())?,
            is_done: done_at.is_some(),
        })
    })
    .transpose()
}

/// How many learners there are, retired ones among them.
pub fn count_learners(tx: &mut Tx<'_>) -> Result<i64, StoreError> {
    Ok(learner::table.count().get_result(tx.conn)?)
}
