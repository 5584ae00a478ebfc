//! Every learner against the active configuration: the backfill after an activation, and the sweep that finds what
//! was missed.
//!
//! One process at a time does either, under a lease in the configuration's row. While no backfill is open, the end of
//! that lease is also the time of the next sweep.

mod by_hand;
mod slice;
mod tally;

use std::{collections::HashSet, sync::Arc};

use chrono::{NaiveDateTime, TimeDelta};
use diesel::{
    ExpressionMethods, OptionalExtension, QueryDsl, QueryableByName, RunQueryDsl, sql_query,
    sql_types::{BigInt, Integer, Nullable, Text, Timestamp},
};

pub use self::{
    by_hand::{BackfillProgress, Begun, begin, count_learners, progress},
    tally::{BadgeTally, Tally},
};
use self::{
    slice::{reached_by_held, slice},
    tally::{Reached, reached_by},
};
use super::{
    StoreError, Tx, awards,
    event_badges::{self, RulesCache},
    learners,
    schema::event_badges_configuration as configuration,
};
use crate::domain::{
    LearnerId,
    award::Decision,
    evaluate::{Progress, Rules},
};

/// Learners that one transaction evaluates.
pub const CHUNK: i64 = 2000;
/// The time from one sweep to the next.
pub const SWEEP_EVERY: TimeDelta = TimeDelta::minutes(10);

/// What there is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// Nothing yet, or another process does it.
    Nothing,
    /// The active configuration's backfill is open.
    Backfill,
    /// It is time for a sweep.
    Sweep,
}

/// The right to evaluate learners against a configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// The configuration.
    pub configuration_id: i32,
    token: i64,
}

/// What became of one chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chunk {
    /// These were evaluated, and there may be more.
    More(Evaluated),
    /// These were evaluated, and they were the last: the backfill is done.
    Last(Evaluated),
    /// The claim does not hold any more; nothing was done.
    Lost,
}

/// What a chunk brought.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Evaluated {
    /// Learners that were evaluated.
    pub learners: usize,
    /// Awards that are new.
    pub new: Vec<Decision>,
    /// What the whole backfill has come to with it.
    pub tally: Tally,
}

/// A part of a sweep: learners who seem to miss a badge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suspects {
    /// They, ascending.
    pub learners: Vec<LearnerId>,
    /// Where the next part begins; `None` at the end.
    pub next: Option<i64>,
}

#[derive(QueryableByName)]
struct ClaimRow {
    #[diesel(sql_type = Integer)]
    id: i32,
    #[diesel(sql_type = BigInt)]
    backfill_token: i64,
}

#[derive(QueryableByName)]
struct CursorRow {
    #[diesel(sql_type = Nullable<BigInt>)]
    backfill_cursor: Option<i64>,
    #[diesel(sql_type = Nullable<Text>)]
    backfill_tally: Option<String>,
}

/// Says what is to be done now. Cheap, and takes no lock.
pub fn due(tx: &mut Tx<'_>) -> Result<Due, StoreError> {
    type Active = (Option<NaiveDateTime>, Option<NaiveDateTime>);
    let active: Option<Active> = configuration::table
        .filter(configuration::enabled.eq(true))
        .order((configuration::activated_at.desc(), configuration::id.desc()))
        .select((configuration::backfill_done_at, configuration::backfill_until))
        .first(tx.conn)
        .optional()?;
    let Some((done_at, until)) = active else {
        return Ok(Due::Nothing);
    };
    let now = tx.now()?;
    Ok(match done_at {
        _ if until.is_some_and(|until| until > now) => Due::Nothing,
        None => Due::Backfill,
        Some(_) => Due::Sweep,
    })
}

/// Takes the backfill of the active configuration, if it is open and nobody holds it.
pub fn claim_backfill(tx: &mut Tx<'_>, lease: TimeDelta) -> Result<Option<Claim>, StoreError> {
    claim(
        tx,
        lease,
        "/* backfill::claim_backfill */ UPDATE event_badges_configuration \
         SET backfill_until = $1, backfill_token = backfill_token + 1 \
         WHERE enabled AND backfill_done_at IS NULL AND (backfill_until IS NULL OR backfill_until <= $2) \
         RETURNING id, backfill_token",
    )
}

/// Takes the next sweep, if it is due and nobody took it; the one after it is then due in [`SWEEP_EVERY`].
pub fn claim_sweep(tx: &mut Tx<'_>) -> Result<Option<Claim>, StoreError> {
    claim(
        tx,
        SWEEP_EVERY,
        "/* backfill::claim_sweep */ UPDATE event_badges_configuration \
         SET backfill_until = $1, backfill_token = backfill_token + 1 \
         WHERE enabled AND backfill_done_at IS NOT NULL AND (backfill_until IS NULL OR backfill_until <= $2) \
         RETURNING id, backfill_token",
    )
}

/// Gives a backfill back before its end, so that another may go on with it at once.
pub fn release(tx: &mut Tx<'_>, claim: &Claim) -> Result<(), StoreError> {
    diesel::update(configuration::table.find(claim.configuration_id))
        .filter(configuration::backfill_token.eq(claim.token))
        .set(configuration::backfill_until.eq(None::<NaiveDateTime>))
        .execute(tx.conn)?;
    Ok(())
}

/// Begins this configuration's backfill anew if it is done; an open one stays where it is.
fn reopen(tx: &mut Tx<'_>, configuration_id: i32) -> Result<(), StoreError> {
    diesel::update(configuration::table.find(configuration_id))
        .filter(configuration::backfill_done_at.is_not_null())
        .set((
            configuration::backfill_cursor.eq(None::<i64>),
            configuration::backfill_tally.eq(None::<String>),
            configuration::backfill_done_at.eq(None::<NaiveDateTime>),
            configuration::backfill_until.eq(None::<NaiveDateTime>),
            configuration::backfill_token.eq(configuration::backfill_token + 1),
        ))
        .execute(tx.conn)?;
    Ok(())
}

/// Evaluates the next learners of a claimed backfill, keeps what they are to get, and moves on. One transaction.
///
/// Whoever activates another configuration waits for this, or this finds its claim lost.
pub fn evaluate_chunk(
    tx: &mut Tx<'_>,
    claim: &Claim,
    cache: &RulesCache,
    chunk: i64,
    lease: TimeDelta,
) -> Result<Chunk, StoreError> {
    event_badges::fence_shared(tx)?;
    let now = tx.now()?;
    let held: Option<CursorRow> = sql_query(
        "/* backfill::evaluate_chunk */ UPDATE event_badges_configuration SET backfill_until = $1 \
         WHERE id = $2 AND backfill_token = $3 AND enabled AND backfill_done_at IS NULL \
         RETURNING backfill_cursor, backfill_tally",
    )
    .bind::<Timestamp, _>(now + lease)
    .bind::<Integer, _>(claim.configuration_id)
    .bind::<BigInt, _>(claim.token)
    .get_result(tx.conn)
    .optional()?;
    let Some(held) = held else {
        return Ok(Chunk::Lost);
    };
    let Some(rules) = rules_of(tx, claim, cache)? else {
        return Ok(Chunk::Lost);
    };
    let found = slice(tx, &rules, held.backfill_cursor, chunk)?;
    let (reached, new) = decide_and_insert(tx, &rules, &found.suspects)?;
    // Of those who were held, what was seen then counts.
    let others = found.reached.iter().copied();
    let others = others.filter(|(learner, _)| found.suspects.binary_search(learner).is_err());
    let reached: HashSet<Reached> = others.chain(reached).collect();
    let mut tally = Tally::read(held.backfill_tally.as_deref())?;
    tally.count(found.learners, &reached, &new);
    let is_last = !found.is_full;
    diesel::update(configuration::table.find(claim.configuration_id))
        .set((
            configuration::backfill_cursor.eq(found.last.or(held.backfill_cursor)),
            configuration::backfill_tally.eq(tally.text()),
            configuration::backfill_done_at.eq(is_last.then_some(now)),
            configuration::backfill_until.eq(now + if is_last { SWEEP_EVERY } else { lease }),
        ))
        .execute(tx.conn)?;
    let evaluated = Evaluated {
        learners: found.learners,
        new,
        tally,
    };
    Ok(if is_last {
        Chunk::Last(evaluated)
    } else {
        Chunk::More(evaluated)
    })
}

/// Looks for learners who seem to miss a badge of these rules, from this id on. Takes no lock: they may have it by
/// now, or lose their claim to it.
pub fn suspects(tx: &mut Tx<'_>, rules: &Rules, after: Option<i64>, chunk: i64) -> Result<Suspects, StoreError> {
    let found = slice(tx, rules, after, chunk)?;
    Ok(Suspects {
        learners: found.suspects,
        next: found.last.filter(|_| found.is_full),
    })
}

/// Evaluates suspects of a sweep for good and keeps what they are to get; `None` if the sweep's claim does not hold any
/// more.
pub fn repair(
    tx: &mut Tx<'_>,
    claim: &Claim,
    cache: &RulesCache,
    suspects: &[LearnerId],
) -> Result<Option<Vec<Decision>>, StoreError> {
    event_badges::fence_shared(tx)?;
    let held: i64 = configuration::table
        .find(claim.configuration_id)
        .filter(configuration::backfill_token.eq(claim.token))
        .filter(configuration::enabled.eq(true))
        .count()
        .get_result(tx.conn)?;
    match rules_of(tx, claim, cache)? {
        Some(rules) if held == 1 => Ok(Some(decide_and_insert(tx, &rules, suspects)?.1)),
        _ => Ok(None),
    }
}

/// The rules that a claim is for, unless another configuration is active by now.
pub fn rules_of(tx: &mut Tx<'_>, claim: &Claim, cache: &RulesCache) -> Result<Option<Arc<Rules>>, StoreError> {
    let rules = event_badges::active_rules(tx, cache)?;
    Ok(rules.filter(|rules| rules.configuration_id == claim.configuration_id))
}

fn claim(tx: &mut Tx<'_>, lease: TimeDelta, update: &str) -> Result<Option<Claim>, StoreError> {
    let now = tx.now()?;
    let row: Option<ClaimRow> = sql_query(update)
        .bind::<Timestamp, _>(now + lease)
        .bind::<Timestamp, _>(now)
        .get_result(tx.conn)
        .optional()?;
    Ok(row.map(|row| Claim {
        configuration_id: row.id,
        token: row.backfill_token,
    }))
}

/// Holds these learners, and keeps what they have reached and do not have: all that they have reached, and what is new.
fn decide_and_insert(
    tx: &mut Tx<'_>,
    rules: &Rules,
    ids: &[LearnerId],
) -> Result<(Vec<Reached>, Vec<Decision>), StoreError> {
    let held = learners::hold(tx, ids)?;
    let progress: Vec<(LearnerId, Progress)> = held
        .iter()
        .filter(|learner| learner.retired_at.is_none())
        .map(|learner| (learner.id, learner.progress))
        .collect();
    let decisions = reached_by_held(tx, rules, &progress)?;
    let new = awards::insert_decisions(tx, &decisions)?;
    Ok((decisions.iter().map(reached_by).collect(), new))
}

#[cfg(test)]
mod tests;
