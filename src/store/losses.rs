//! Awards of learners who no longer qualify.
//!
//! What is surely not at the backend is cancelled, and taken again when the learner qualifies again: it is as if it had
//! not been looked at in between. What is there, or may be, is to be revoked once it is known to be there. Until the
//! revocation was tried for the first time it is withdrawn when the learner qualifies again; from then on the badge is
//! lost for good.

use std::collections::HashSet;

use diesel::{
    QueryableByName, RunQueryDsl, sql_query,
    sql_types::{BigInt, Bool, Integer, Text, Timestamp},
};
use serde::Serialize;

use super::{
    AnyConnection, StoreError, Tx,
    awards::{AwardKey, KeyRow, NEW_AWARD},
    unfold,
};
use crate::domain::losses::{Loss, LostBadge};

/// The state reason of awards that were cancelled because the learner no longer qualifies.
pub(super) const LOST: &str = "lost";

#[derive(QueryableByName, Serialize)]
struct LostRow {
    #[diesel(sql_type = BigInt)]
    learner_id: i64,
    #[diesel(sql_type = Integer)]
    badge_class_id: i32,
    #[diesel(sql_type = Text)]
    reason: String,
}

#[derive(Serialize)]
struct LostCourse<'a> {
    learner_id: i64,
    course_id: &'a str,
    reason: &'a str,
}

#[derive(Serialize)]
struct Returned {
    learner_id: i64,
    id: String,
}

const RETURNED: &[(&str, &str)] = &[("learner_id", "bigint"), ("id", "text")];
const LOST_BADGE: &[(&str, &str)] = &[
    ("learner_id", "bigint"),
    ("badge_class_id", "integer"),
    ("reason", "text"),
];
const LOST_COURSE: &[(&str, &str)] = &[("learner_id", "bigint"), ("course_id", "text"), ("reason", "text")];

/// The awards in `x` that a loss may take: none that somebody asked for.
const TAKEN: &str = "award.learner_id = x.learner_id AND award.badge_class_id = x.badge_class_id \
     AND award.idempotency_key = '' AND award.rule <> 'requested'";

/// Takes these badges where the learners have them, or are to get them. What was taken before stays so. The caller holds
/// the learners' rows.
pub fn apply(tx: &mut Tx<'_>, losses: &[Loss]) -> Result<(), StoreError> {
    if losses.is_empty() {
        return Ok(());
    }
    let mut lost = completions(tx, losses)?;
    lost.extend(losses.iter().filter_map(|loss| match &loss.badge {
        LostBadge::Rule(badge_class) => Some(LostRow {
            learner_id: loss.learner.0,
            badge_class_id: badge_class.0,
            reason: loss.reason.clone(),
        }),
        LostBadge::Completion(_) => None,
    }));
    let lost = unfold::json(&lost);
    hold_awards(tx, &lost)?;
    let now = tx.now()?;
    sql_query(format!(
        "/* losses::apply */ UPDATE award SET state = 'cancelled', state_reason = '{LOST}', updated_at = $1 FROM {} \
         WHERE {TAKEN} AND award.state IN ('pending', 'blocked', 'failed', 'dead') AND NOT award.posted",
        unfold::rows(tx.conn, "$2", LOST_BADGE),
    ))
    .bind::<Timestamp, _>(now)
    .bind::<Text, _>(&lost)
    .execute(tx.conn)?;
    sql_query(format!(
        "/* losses::apply */ INSERT INTO revocation \
         (learner_id, award_id, reason, created_at, next_attempt_at, by_loss) \
         SELECT award.learner_id, award.id, x.reason, $1, $1, true FROM {} JOIN award ON {TAKEN} \
         LEFT JOIN assertion a ON a.learner_id = award.learner_id AND a.award_id = award.id \
         WHERE award.state <> 'cancelled' AND a.revoked_at IS NULL \
         ON CONFLICT (learner_id, award_id) DO NOTHING",
        unfold::rows(tx.conn, "$2", LOST_BADGE),
    ))
    .bind::<Timestamp, _>(now)
    .bind::<Text, _>(&lost)
    .execute(tx.conn)?;
    Ok(())
}

/// Takes these awards that came back from a worker, where they were lost meanwhile and surely nothing of them was sent.
pub(super) fn take_returned(tx: &mut Tx<'_>, awards: &[AwardKey]) -> Result<(), StoreError> {
    let rows = |keys: &[AwardKey]| {
        let row = |(learner, award): &AwardKey| Returned {
            learner_id: learner.0,
            id: award.0.to_string(),
        };
        unfold::json(&keys.iter().map(row).collect::<Vec<_>>())
    };
    if awards.is_empty() {
        return Ok(());
    }
    let now = tx.now()?;
    let taken: Vec<KeyRow> = sql_query(format!(
        "/* losses::take_returned */ UPDATE award SET state = 'cancelled', state_reason = '{LOST}', updated_at = $1 FROM {} \
         WHERE award.learner_id = x.learner_id AND award.id = x.id \
         AND award.state IN ('pending', 'blocked', 'failed', 'dead') AND NOT award.posted \
         AND EXISTS (SELECT 1 FROM revocation r WHERE r.learner_id = award.learner_id AND r.award_id = award.id \
         AND r.by_loss) RETURNING award.learner_id, award.id",
        unfold::rows(tx.conn, "$2", RETURNED),
    ))
    .bind::<Timestamp, _>(now)
    .bind::<Text, _>(rows(awards))
    .load(tx.conn)?;
    if taken.is_empty() {
        return Ok(());
    }
    let taken = taken.into_iter().map(KeyRow::key).collect::<Result<Vec<_>, _>>()?;
    sql_query(format!(
        "/* losses::take_returned */ DELETE FROM revocation WHERE by_loss AND EXISTS \
         (SELECT 1 FROM {} WHERE x.learner_id = revocation.learner_id AND x.id = revocation.award_id)",
        unfold::rows(tx.conn, "$1", RETURNED),
    ))
    .bind::<Text, _>(rows(&taken))
    .execute(tx.conn)?;
    Ok(())
}

/// Holds the awards that may be taken: what a worker brings back meanwhile is met by [`take_returned`].
fn hold_awards(tx: &mut Tx<'_>, lost: &str) -> Result<(), StoreError> {
    if let AnyConnection::Sqlite(_) = tx.conn {
        return Ok(());
    }
    sql_query(format!(
        "/* losses::hold_awards */ SELECT 1 FROM {} JOIN award ON {TAKEN} WHERE award.state <> 'cancelled' \
         ORDER BY award.learner_id, award.id FOR NO KEY UPDATE OF award",
        unfold::rows(tx.conn, "$1", LOST_BADGE),
    ))
    .bind::<Text, _>(lost)
    .execute(tx.conn)?;
    Ok(())
}

/// Takes these decisions (a JSON array of new awards) again that were lost before they were issued, and returns them; and
/// withdraws the revocations of those that were issued, where none was tried yet.
pub(super) fn regain(tx: &mut Tx<'_>, decisions: &str) -> Result<HashSet<AwardKey>, StoreError> {
    if !is_anything_lost(tx)? {
        return Ok(HashSet::new());
    }
    sql_query(format!(
        "/* losses::regain */ DELETE FROM revocation WHERE by_loss AND attempts = 0 AND EXISTS \
         (SELECT 1 FROM {} WHERE x.learner_id = revocation.learner_id AND x.id = revocation.award_id)",
        unfold::rows(tx.conn, "$1", NEW_AWARD),
    ))
    .bind::<Text, _>(decisions)
    .execute(tx.conn)?;
    let now = tx.now()?;
    sql_query(format!(
        "/* losses::regain */ UPDATE award SET state = 'pending', state_reason = NULL, rule = x.rule, \
         by_backfill = x.by_backfill, threshold = x.threshold, rule_count = x.rule_count, \
         configuration_id = x.configuration_id, event_id = x.event_id, event_time = x.event_time, \
         evidence_url = x.evidence_url, attempts = 0, first_post_at = NULL, last_error = NULL, \
         next_attempt_at = $1, updated_at = $1 FROM {} \
         WHERE award.learner_id = x.learner_id AND award.id = x.id AND award.state = 'cancelled' \
         AND award.state_reason = '{LOST}' RETURNING award.learner_id, award.id",
        unfold::rows(tx.conn, "$2", NEW_AWARD),
    ))
    .bind::<Timestamp, _>(now)
    .bind::<Text, _>(decisions)
    .load::<KeyRow>(tx.conn)?
    .into_iter()
    .map(KeyRow::key)
    .collect()
}

/// Whether anything can be taken again at all. Cheap: most services take no badges.
fn is_anything_lost(tx: &mut Tx<'_>) -> Result<bool, StoreError> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Bool)]
        is_lost: bool,
    }
    let row: Row = sql_query(format!(
        "/* losses::is_anything_lost */ SELECT (EXISTS (SELECT 1 FROM revocation WHERE by_loss AND attempts = 0) \
         OR EXISTS (SELECT 1 FROM award WHERE state = 'cancelled' AND state_reason = '{LOST}')) AS is_lost"
    ))
    .get_result(tx.conn)?;
    Ok(row.is_lost)
}

/// The completion badges of these courses that the learners have, whatever their mode was.
fn completions(tx: &mut Tx<'_>, losses: &[Loss]) -> Result<Vec<LostRow>, StoreError> {
    let courses: Vec<LostCourse<'_>> = losses
        .iter()
        .filter_map(|loss| match &loss.badge {
            LostBadge::Completion(course) => Some(LostCourse {
                learner_id: loss.learner.0,
                course_id: course.as_str(),
                reason: &loss.reason,
            }),
            LostBadge::Rule(_) => None,
        })
        .collect();
    if courses.is_empty() {
        return Ok(Vec::new());
    }
    Ok(sql_query(format!(
        "/* losses::completions */ SELECT a.learner_id, a.badge_class_id, x.reason FROM {} \
         JOIN award a ON a.learner_id = x.learner_id AND a.rule = 'course_completion' \
         JOIN badge_class b ON b.id = a.badge_class_id AND b.course_id = x.course_id",
        unfold::rows(tx.conn, "$1", LOST_COURSE),
    ))
    .bind::<Text, _>(unfold::json(&courses))
    .load(tx.conn)?)
}
