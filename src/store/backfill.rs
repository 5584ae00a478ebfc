//! Every learner against the active configuration: the backfill after an activation, and the sweep that finds what
//! was missed.
//!
//! One process at a time does either, under a lease in the configuration's row. While no backfill is open, the end of
//! that lease is also the time of the next sweep.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use chrono::{NaiveDateTime, TimeDelta};
use diesel::{
    BoolExpressionMethods, ExpressionMethods, OptionalExtension, QueryDsl, QueryableByName, RunQueryDsl, sql_query,
    sql_types::{BigInt, Integer, Nullable, Timestamp},
};

use super::{
    StoreError, Tx, awards,
    event_badges::{self, RulesCache},
    facts, learners,
    losses::LOST,
    schema::{award, event_badges_configuration as configuration, learner},
};
use crate::domain::{
    CourseKey, LearnerId,
    award::Decision,
    evaluate::{Condition, LearnerChange, Progress, Rules, evaluate},
};

/// Learners that one transaction evaluates.
pub const CHUNK: i64 = 1000;
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
}

/// How far the backfill of the active configuration is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackfillProgress {
    /// The configuration.
    pub configuration_id: i32,
    /// Learners that it has come past.
    pub evaluated: i64,
    /// Learners that there are.
    pub learners: i64,
    /// Whether it has come to the end.
    pub done: bool,
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

/// Begins the active configuration's backfill anew if it is done; an open one goes on where it is. Returns the
/// configuration, `None` where none is active.
pub fn reopen(tx: &mut Tx<'_>) -> Result<Option<i32>, StoreError> {
    event_badges::fence_shared(tx)?;
    let Some(active) = event_badges::active(tx)? else {
        return Ok(None);
    };
    diesel::update(configuration::table.find(active.id))
        .filter(configuration::backfill_done_at.is_not_null())
        .set((
            configuration::backfill_cursor.eq(None::<i64>),
            configuration::backfill_done_at.eq(None::<NaiveDateTime>),
            configuration::backfill_until.eq(None::<NaiveDateTime>),
            configuration::backfill_token.eq(configuration::backfill_token + 1),
        ))
        .execute(tx.conn)?;
    Ok(Some(active.id))
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
         WHERE id = $2 AND backfill_token = $3 AND enabled AND backfill_done_at IS NULL RETURNING backfill_cursor",
    )
    .bind::<Timestamp, _>(now + lease)
    .bind::<Integer, _>(claim.configuration_id)
    .bind::<BigInt, _>(claim.token)
    .get_result(tx.conn)
    .optional()?;
    let Some(CursorRow { backfill_cursor }) = held else {
        return Ok(Chunk::Lost);
    };
    let Some(rules) = rules_of(tx, claim, cache)? else {
        return Ok(Chunk::Lost);
    };
    let mut next = learner::table
        .order(learner::learner_id)
        .select(learner::learner_id)
        .limit(chunk)
        .into_boxed();
    if let Some(cursor) = backfill_cursor {
        next = next.filter(learner::learner_id.gt(cursor));
    }
    let ids: Vec<i64> = next.load(tx.conn)?;
    let learners: Vec<LearnerId> = ids.iter().copied().map(LearnerId).collect();
    let evaluated = Evaluated {
        learners: learners.len(),
        new: decide_and_insert(tx, &rules, &learners)?,
    };
    let last = i64::try_from(ids.len()).is_ok_and(|found| found < chunk);
    diesel::update(configuration::table.find(claim.configuration_id))
        .set((
            configuration::backfill_cursor.eq(ids.last().copied().or(backfill_cursor)),
            configuration::backfill_done_at.eq(last.then_some(now)),
            configuration::backfill_until.eq(now + if last { SWEEP_EVERY } else { lease }),
        ))
        .execute(tx.conn)?;
    Ok(if last {
        Chunk::Last(evaluated)
    } else {
        Chunk::More(evaluated)
    })
}

/// Looks for learners who seem to miss a badge of these rules, from this id on. Takes no lock: they may have it by
/// now, or lose their claim to it.
pub fn suspects(tx: &mut Tx<'_>, rules: &Rules, after: Option<i64>, chunk: i64) -> Result<Suspects, StoreError> {
    let mut next = learner::table
        .filter(learner::retired_at.is_null())
        .order(learner::learner_id)
        .select((learner::learner_id, learner::enrolled, learner::completed))
        .limit(chunk)
        .into_boxed();
    if let Some(after) = after {
        next = next.filter(learner::learner_id.gt(after));
    }
    let rows: Vec<(i64, i32, i32)> = next.load(tx.conn)?;
    let (Some(first), Some(last)) = (rows.first(), rows.last()) else {
        return Ok(Suspects {
            learners: Vec::new(),
            next: None,
        });
    };
    let known: HashSet<(i64, i32)> = award::table
        .filter(award::learner_id.between(first.0, last.0))
        .filter(award::idempotency_key.eq(""))
        .filter(award::state_reason.is_null().or(award::state_reason.ne(LOST)))
        .select((award::learner_id, award::badge_class_id))
        .load(tx.conn)?
        .into_iter()
        .collect();
    let progress: Vec<(LearnerId, Progress)> = rows
        .iter()
        .map(|&(id, enrolled, completed)| (LearnerId(id), Progress { enrolled, completed }))
        .collect();
    let mut learners: Vec<LearnerId> = decide(tx, rules, &progress)?
        .into_iter()
        .filter(|decision| !known.contains(&(decision.learner.0, decision.badge_class.0)))
        .map(|decision| decision.learner)
        .collect();
    learners.sort_unstable();
    learners.dedup();
    let full = i64::try_from(rows.len()).is_ok_and(|found| found == chunk);
    Ok(Suspects {
        learners,
        next: full.then_some(last.0),
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
        Some(rules) if held == 1 => decide_and_insert(tx, &rules, suspects).map(Some),
        _ => Ok(None),
    }
}

/// The rules that a claim is for, unless another configuration is active by now.
pub fn rules_of(tx: &mut Tx<'_>, claim: &Claim, cache: &RulesCache) -> Result<Option<Arc<Rules>>, StoreError> {
    let rules = event_badges::active_rules(tx, cache)?;
    Ok(rules.filter(|rules| rules.configuration_id == claim.configuration_id))
}

/// How far the active configuration's backfill is; `None` where none is active.
pub fn progress(tx: &mut Tx<'_>) -> Result<Option<BackfillProgress>, StoreError> {
    let Some(active) = event_badges::active(tx)? else {
        return Ok(None);
    };
    let learners: i64 = learner::table.count().get_result(tx.conn)?;
    let done = active.backfill_done_at.is_some();
    let evaluated = match active.backfill_cursor {
        _ if done => learners,
        None => 0,
        Some(cursor) => learner::table
            .filter(learner::learner_id.le(cursor))
            .count()
            .get_result(tx.conn)?,
    };
    Ok(Some(BackfillProgress {
        configuration_id: active.id,
        evaluated,
        learners,
        done,
    }))
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

fn decide_and_insert(tx: &mut Tx<'_>, rules: &Rules, ids: &[LearnerId]) -> Result<Vec<Decision>, StoreError> {
    let held = learners::hold(tx, ids)?;
    let progress: Vec<(LearnerId, Progress)> = held
        .iter()
        .filter(|learner| learner.retired_at.is_none())
        .map(|learner| (learner.id, learner.progress))
        .collect();
    let decisions = decide(tx, rules, &progress)?;
    awards::insert_decisions(tx, &decisions)
}

/// All that these learners have reached, whatever they have already.
fn decide(tx: &mut Tx<'_>, rules: &Rules, learners: &[(LearnerId, Progress)]) -> Result<Vec<Decision>, StoreError> {
    let smallest_group = rules.rules.iter().filter_map(|rule| match &rule.condition {
        Condition::Group(courses) => Some(courses.len()),
        Condition::Enrolled(_) | Condition::Completed(_) => None,
    });
    let mut passed: HashMap<LearnerId, HashSet<CourseKey>> = HashMap::new();
    if let Some(smallest) = smallest_group.min() {
        let enough = |progress: &Progress| usize::try_from(progress.completed).is_ok_and(|passed| passed >= smallest);
        let candidates = learners.iter().filter(|(_, progress)| enough(progress));
        let candidates: Vec<LearnerId> = candidates.map(|(learner, _)| *learner).collect();
        passed = facts::passed_courses(tx, &candidates)?;
    }
    let nothing = HashSet::new();
    let decisions = learners.iter().flat_map(|(learner, progress)| {
        let passed = passed.get(learner).unwrap_or(&nothing);
        let newly_passed: Vec<CourseKey> = passed.iter().cloned().collect();
        let change = LearnerChange {
            learner: *learner,
            before: Progress::default(),
            after: *progress,
            newly_passed: &newly_passed,
            passed,
            cause: None,
        };
        evaluate(rules, &change)
    });
    Ok(decisions.collect())
}

#[cfg(test)]
mod tests;
