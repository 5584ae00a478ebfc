//! Taking awards that are due, each for as long as a lease.

mod unclaimed;

use std::collections::HashSet;

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use diesel::{
    QueryableByName, RunQueryDsl, sql_query,
    sql_types::{BigInt, Bool, Integer, Nullable, Text, Timestamp},
};

pub(super) use self::unclaimed::{due_and_held, these};
use super::{IS_RETIRED, award_id, award_state};
use crate::{
    domain::{
        LearnerId,
        award::{AwardId, AwardState, Reason, RuleKind},
        badge_class::{BadgeClass, BadgeClassId, BadgeClassKey},
    },
    failpoint::{Place, hit},
    store::{
        AnyConnection, StoreError, Tx,
        bulk::{Column, Statement},
        prepared::Prepare,
        retirement::{self, MAYBE_ISSUED},
        unfold,
    },
};

/// An award that this process may issue until its lease runs out.
#[derive(Clone, PartialEq, Eq)]
pub struct ClaimedAward {
    /// Whom it is for.
    pub learner: LearnerId,
    /// The award.
    pub award: AwardId,
    /// Tells this lease from earlier and later ones.
    pub lease_token: i64,
    /// Their user name.
    pub username: String,
    /// Their full name, where known.
    pub full_name: Option<String>,
    /// The e-mail address of the first claim, which every later one keeps.
    pub recipient: String,
    /// What is awarded.
    pub badge_class: BadgeClass,
    /// Evidence.
    pub evidence_url: Option<String>,
    /// Why.
    pub reason: Reason,
    /// How often it was claimed and not given back unused, this time included.
    pub attempts: u32,
    /// When it was claimed for the first time (since a person last sent it on its way).
    pub first_attempt_at: DateTime<Utc>,
    /// When it was claimed this time, by the database's clock.
    pub claimed_at: DateTime<Utc>,
    /// An earlier request of ours may have been carried out.
    pub posted: bool,
    /// Nothing may be sent before a look-up.
    pub must_look_up: bool,
    /// The learner has, or had, other awards of this badge class.
    pub has_others: bool,
}

/// What a claim brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The awards that are to be issued.
    pub awards: Vec<ClaimedAward>,
    /// Others may be due as well.
    pub more: bool,
}

impl std::fmt::Debug for ClaimedAward {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClaimedAward")
            .field("award", &self.award.0)
            .field("lease_token", &self.lease_token)
            .field("attempts", &self.attempts)
            .field("must_look_up", &self.must_look_up)
            .finish_non_exhaustive()
    }
}

#[derive(QueryableByName)]
struct DueRow {
    #[diesel(sql_type = BigInt)]
    learner_id: i64,
    #[diesel(sql_type = Text)]
    award_id: String,
    #[diesel(sql_type = Text)]
    rule: String,
    #[diesel(sql_type = Bool)]
    by_backfill: bool,
    #[diesel(sql_type = Nullable<Integer>)]
    threshold: Option<i32>,
    #[diesel(sql_type = Nullable<Integer>)]
    rule_count: Option<i32>,
    #[diesel(sql_type = Nullable<Integer>)]
    configuration_id: Option<i32>,
    #[diesel(sql_type = Nullable<Text>)]
    event_id: Option<String>,
    #[diesel(sql_type = Nullable<Timestamp>)]
    event_time: Option<NaiveDateTime>,
    #[diesel(sql_type = Nullable<Text>)]
    evidence_url: Option<String>,
    #[diesel(sql_type = Text)]
    state: String,
    #[diesel(sql_type = Integer)]
    attempts: i32,
    #[diesel(sql_type = Bool)]
    posted: bool,
    #[diesel(sql_type = BigInt)]
    lease_token: i64,
    #[diesel(sql_type = Nullable<Timestamp>)]
    first_post_at: Option<NaiveDateTime>,
    #[diesel(sql_type = Nullable<Text>)]
    recipient: Option<String>,
    #[diesel(sql_type = Text)]
    username: String,
    #[diesel(sql_type = Nullable<Text>)]
    full_name: Option<String>,
    #[diesel(sql_type = Bool)]
    has_others: bool,
    #[diesel(sql_type = Integer)]
    badge_class_id: i32,
    #[diesel(sql_type = Text)]
    public_id: String,
    #[diesel(sql_type = Text)]
    slug: String,
    #[diesel(sql_type = Text)]
    issuing_component: String,
    #[diesel(sql_type = Text)]
    course_id: String,
    #[diesel(sql_type = Text)]
    mode: String,
    #[diesel(sql_type = Text)]
    display_name: String,
    #[diesel(sql_type = Text)]
    description: String,
    #[diesel(sql_type = Text)]
    criteria: String,
    #[diesel(sql_type = Nullable<Text>)]
    backend: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    backend_id: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    backend_image_url: Option<String>,
}

#[derive(QueryableByName)]
struct ExpiredRow {
    #[diesel(sql_type = Text)]
    id: String,
    #[diesel(sql_type = Text)]
    state: String,
}

/// Takes up to `limit` awards that are due and says all that issuing them needs; what may have been sent goes first.
///
/// When this is committed the awards are `issuing`: from then on the outside may know of them. A lease that ran out is
/// an unknown outcome: such an award becomes `uncertain`, due after `settle`, unless its learner retired. Awards of learners without an e-mail
/// address become `blocked`. Awards that others hold are passed over; those of retired learners are never taken.
pub fn claim(tx: &mut Tx<'_>, limit: usize, lease: TimeDelta, settle: TimeDelta) -> Result<Claim, StoreError> {
    let now = tx.now()?;
    expire_leases(tx, now, settle)?;
    let due = due(tx, now, limit)?;
    if !due.is_empty() {
        hit(Place::Selected)?;
    }
    let more = due.len() == limit;
    let (ready, without_email): (Vec<DueRow>, Vec<DueRow>) = due.into_iter().partition(|row| row.recipient.is_some());
    if !without_email.is_empty() {
        block(tx, now, &without_email)?;
    }
    if !ready.is_empty() {
        take(tx, now, lease, &ready)?;
    }
    let awards = ready
        .into_iter()
        .map(|row| claimed(row, now))
        .collect::<Result<_, _>>()?;
    Ok(Claim { awards, more })
}

fn expire_leases(tx: &mut Tx<'_>, now: NaiveDateTime, settle: TimeDelta) -> Result<(), StoreError> {
    let expired: Vec<ExpiredRow> = sql_query(format!(
        "/* awards::expire_leases */ WITH d AS MATERIALIZED (SELECT learner_id, id FROM award \
         WHERE state = 'issuing' AND next_attempt_at < $1 ORDER BY next_attempt_at LIMIT 1000 {}) \
         UPDATE award SET state = CASE WHEN {IS_RETIRED} THEN 'cancelled' ELSE 'uncertain' END, posted = true, \
         lease_until = NULL, next_attempt_at = $2, updated_at = $1, last_error = CASE WHEN {IS_RETIRED} THEN '{MAYBE_ISSUED}' \
         ELSE 'the lease ran out before its outcome was stored' END \
         FROM d WHERE award.learner_id = d.learner_id AND award.id = d.id RETURNING award.id, award.state",
        unfold::skip_locked(tx.conn),
    ))
    .bind::<Timestamp, _>(now)
    .bind::<Timestamp, _>(now + settle)
    .prepared()
    .load(tx.conn)?;
    let cancelled = expired.iter().filter(|row| row.state == AwardState::Cancelled.as_str());
    retirement::warn_of_maybe_issued(cancelled.map(|row| row.id.as_str()));
    Ok(())
}

/// All that issuing the awards in `d` needs.
const WHOLE: &str = "SELECT d.learner_id, d.id AS award_id, d.rule, d.by_backfill, d.threshold, d.rule_count, \
     d.configuration_id, d.event_id, d.event_time, d.evidence_url, d.state, d.attempts, d.posted, d.lease_token, \
     d.first_post_at, coalesce(d.recipient, l.email) AS recipient, l.username, l.full_name, \
     EXISTS (SELECT 1 FROM award o WHERE o.learner_id = d.learner_id AND o.id <> d.id \
     AND o.badge_class_id = d.badge_class_id) AS has_others, \
     b.id AS badge_class_id, b.public_id, b.slug, b.issuing_component, b.course_id, b.mode, b.display_name, \
     b.description, b.criteria, b.backend, b.backend_id, b.backend_image_url \
     FROM d JOIN learner l ON l.learner_id = d.learner_id JOIN badge_class b ON b.id = d.badge_class_id";

fn due(tx: &mut Tx<'_>, now: NaiveDateTime, limit: usize) -> Result<Vec<DueRow>, StoreError> {
    let of_state = |state: &str, lock: &str| {
        format!(
            "SELECT * FROM award WHERE state = '{state}' AND next_attempt_at <= $1 AND EXISTS \
             (SELECT 1 FROM learner l WHERE l.learner_id = award.learner_id AND l.retired_at IS NULL) \
             ORDER BY next_attempt_at LIMIT $2 {lock}"
        )
    };
    let lock = match tx.conn {
        AnyConnection::Postgres(_) => "FOR UPDATE SKIP LOCKED",
        AnyConnection::Sqlite(_) => "",
    };
    let sql = format!(
        "/* awards::claim */ WITH u AS ({}), p AS ({}), \
         d AS (SELECT * FROM u UNION ALL SELECT * FROM p LIMIT $2) {WHOLE}",
        of_state("uncertain", lock),
        of_state("pending", lock),
    );
    Ok(sql_query(sql)
        .bind::<Timestamp, _>(now)
        .bind::<BigInt, _>(i64::try_from(limit).unwrap_or(i64::MAX))
        .prepared()
        .load(tx.conn)?)
}

/// Blocks these awards, but for those whose learner another transaction holds: it may be bringing the address.
fn block(tx: &mut Tx<'_>, now: NaiveDateTime, rows: &[DueRow]) -> Result<(), StoreError> {
    let mut learners: Vec<i64> = rows.iter().map(|row| row.learner_id).collect();
    learners.sort_unstable();
    learners.dedup();
    let held: Vec<i64> = Statement::<BigInt>::new(
        "/* awards::claim */ SELECT l.learner_id FROM",
        vec![("learner_id", Column::BigInts(learners))],
        "CROSS JOIN learner l WHERE l.learner_id = x.learner_id AND l.email IS NULL ORDER BY l.learner_id",
    )
    .on_postgres(" FOR UPDATE OF l SKIP LOCKED")
    .load(tx)?;
    let held: HashSet<i64> = held.into_iter().collect();
    let blocked: Vec<&DueRow> = rows.iter().filter(|row| held.contains(&row.learner_id)).collect();
    let mut columns = keys(&blocked);
    columns.push(("blocked_at", Column::Times(vec![Some(now); blocked.len()])));
    Statement::<()>::new(
        "/* awards::claim */ UPDATE award SET state = 'blocked', state_reason = 'no_email', updated_at = x.blocked_at FROM",
        columns,
        "WHERE award.learner_id = x.learner_id AND award.id = x.id",
    )
    .execute(tx)?;
    Ok(())
}

fn keys<'a>(rows: &[&'a DueRow]) -> Vec<(&'static str, Column<'a>)> {
    vec![
        (
            "learner_id",
            Column::BigInts(rows.iter().map(|row| row.learner_id).collect()),
        ),
        (
            "id",
            Column::Texts(rows.iter().map(|row| Some(row.award_id.as_str())).collect()),
        ),
    ]
}

/// While an award is `issuing` its due time is the end of its lease: one index then serves every state.
fn take(tx: &mut Tx<'_>, now: NaiveDateTime, lease: TimeDelta, rows: &[DueRow]) -> Result<(), StoreError> {
    let mut columns = keys(&rows.iter().collect::<Vec<_>>());
    columns.push((
        "recipient",
        Column::Texts(rows.iter().map(|row| row.recipient.as_deref()).collect()),
    ));
    columns.push(("taken_at", Column::Times(vec![Some(now); rows.len()])));
    columns.push(("lease_until", Column::Times(vec![Some(now + lease); rows.len()])));
    Statement::<()>::new(
        "/* awards::claim */ UPDATE award SET state = 'issuing', state_reason = NULL, attempts = attempts + 1, \
         lease_token = lease_token + 1, lease_until = x.lease_until, next_attempt_at = x.lease_until, \
         first_post_at = coalesce(first_post_at, x.taken_at), recipient = x.recipient, updated_at = x.taken_at FROM",
        columns,
        "WHERE award.learner_id = x.learner_id AND award.id = x.id",
    )
    .execute(tx)?;
    Ok(())
}

fn claimed(row: DueRow, now: NaiveDateTime) -> Result<ClaimedAward, StoreError> {
    let rule = RuleKind::parse(&row.rule).ok_or_else(|| StoreError::Corrupt(format!("rule {:?}", row.rule)))?;
    Ok(ClaimedAward {
        learner: LearnerId(row.learner_id),
        award: award_id(&row.award_id)?,
        lease_token: row.lease_token + 1,
        username: row.username,
        full_name: row.full_name,
        recipient: row.recipient.unwrap_or_default(),
        badge_class: BadgeClass {
            id: BadgeClassId(row.badge_class_id),
            key: BadgeClassKey {
                slug: row.slug,
                issuing_component: row.issuing_component,
                course_id: row.course_id,
            },
            mode: row.mode,
            display_name: row.display_name,
            description: row.description,
            criteria: row.criteria,
            backend: row.backend,
            backend_id: row.backend_id,
            backend_image_url: row.backend_image_url,
            public_id: row.public_id,
        },
        evidence_url: row.evidence_url,
        reason: Reason {
            rule,
            by_backfill: row.by_backfill,
            threshold: row.threshold,
            count: row.rule_count,
            configuration_id: row.configuration_id,
            event_id: row.event_id,
            event_time: row.event_time.map(|time| time.and_utc()),
        },
        attempts: u32::try_from(row.attempts).unwrap_or_default() + 1,
        first_attempt_at: row.first_post_at.unwrap_or(now).and_utc(),
        claimed_at: now.and_utc(),
        must_look_up: row.posted || award_state(&row.state)? == AwardState::Uncertain,
        posted: row.posted,
        has_others: row.has_others,
    })
}
