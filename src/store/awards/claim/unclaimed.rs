//! Awards that are issued in the transaction that takes them, and need no lease.

use std::collections::HashSet;

use diesel::{
    QueryableByName, RunQueryDsl, sql_query,
    sql_types::{BigInt, Text, Timestamp},
};

use super::{
    super::{AwardKey, award_id},
    ClaimedAward, DueRow, LearnerRow, TAKEN, Taken, WHOLE, claimed,
};
use crate::{
    domain::LearnerId,
    store::{AnyConnection, StoreError, Tx, prepared::Prepare, unfold},
};

#[derive(QueryableByName)]
struct DueKey {
    #[diesel(sql_type = BigInt)]
    learner_id: i64,
    #[diesel(sql_type = Text)]
    id: String,
}

/// Those of these awards that are pending, as [`claim`] would bring them, of learners who have an e-mail address and did
/// not retire. Nothing is written: for whoever issues them in this very transaction, which holds the learners' rows. Until
/// it ends nobody else takes them; those that another holds are passed over.
pub(in crate::store::awards) fn these(tx: &mut Tx<'_>, awards: &[AwardKey]) -> Result<Vec<ClaimedAward>, StoreError> {
    let now = tx.now()?;
    let ids: Vec<String> = awards.iter().map(|(_, award)| award.0.to_string()).collect();
    let keys: Vec<Taken<'_>> = awards
        .iter()
        .zip(&ids)
        .map(|((learner, _), id)| Taken {
            learner_id: learner.0,
            id,
            recipient: "",
        })
        .collect();
    let lock = match tx.conn {
        AnyConnection::Postgres(_) => "FOR UPDATE OF award SKIP LOCKED",
        AnyConnection::Sqlite(_) => "",
    };
    let rows: Vec<DueRow> = sql_query(format!(
        "/* awards::these */ WITH d AS (SELECT award.* FROM {} JOIN award ON award.learner_id = x.learner_id \
         AND award.id = x.id WHERE award.state = 'pending' AND NOT award.posted {lock}) {WHOLE} \
         WHERE l.retired_at IS NULL AND coalesce(d.recipient, l.email) IS NOT NULL",
        unfold::rows(tx.conn, "$1", TAKEN),
    ))
    .bind::<Text, _>(unfold::json(&keys))
    .prepared()
    .load(tx.conn)?;
    let mut these: Vec<ClaimedAward> = rows
        .into_iter()
        .map(|row| claimed(row, now))
        .collect::<Result<_, _>>()?;
    // Here, where no plan is made for it: PostgreSQL would rather go through all learners in order than sort.
    these.sort_by_key(|award| (award.learner, award.award.0));
    Ok(these)
}

/// Up to `limit` awards that are due and were never asked for, and how many there were before those were left out whose
/// learner another transaction holds; the learners' rows are held from then on.
pub(in crate::store::awards) fn due_and_held(
    tx: &mut Tx<'_>,
    limit: usize,
) -> Result<(Vec<AwardKey>, usize), StoreError> {
    let now = tx.now()?;
    let due: Vec<DueKey> = sql_query(
        "/* awards::issue_due */ SELECT learner_id, id FROM award WHERE state = 'pending' AND next_attempt_at <= $1 \
         AND NOT posted ORDER BY next_attempt_at LIMIT $2",
    )
    .bind::<Timestamp, _>(now)
    .bind::<BigInt, _>(i64::try_from(limit).unwrap_or(i64::MAX))
    .prepared()
    .load(tx.conn)?;
    let mut learners: Vec<i64> = due.iter().map(|row| row.learner_id).collect();
    learners.sort_unstable();
    learners.dedup();
    let held = hold(tx, &learners)?;
    let keys = due.iter().filter(|row| held.contains(&row.learner_id));
    let keys = keys.map(|row| Ok((LearnerId(row.learner_id), award_id(&row.id)?)));
    Ok((keys.collect::<Result<_, StoreError>>()?, due.len()))
}

/// Holds the rows of those of these learners that no other transaction holds: nobody is waited for, so in any order.
fn hold(tx: &mut Tx<'_>, learners: &[i64]) -> Result<HashSet<i64>, StoreError> {
    let lock = match tx.conn {
        AnyConnection::Postgres(_) => "FOR NO KEY UPDATE SKIP LOCKED",
        AnyConnection::Sqlite(_) => "",
    };
    let held: Vec<LearnerRow> = sql_query(format!(
        "/* awards::issue_due */ SELECT learner_id FROM learner WHERE learner_id IN {} {lock}",
        unfold::integers(tx.conn, "$1"),
    ))
    .bind::<Text, _>(unfold::json(learners))
    .prepared()
    .load(tx.conn)?;
    Ok(held.into_iter().map(|row| row.learner_id).collect())
}
