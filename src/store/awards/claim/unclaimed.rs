//! Awards that are issued in the transaction that takes them, and need no lease.

use std::collections::HashSet;

use diesel::{
    QueryableByName, RunQueryDsl, sql_query,
    sql_types::{BigInt, Text, Timestamp, Untyped},
};

use super::{
    super::{AwardKey, award_id},
    ClaimedAward, DueRow, WHOLE, claimed,
};
use crate::{
    domain::LearnerId,
    store::{
        AnyConnection, StoreError, Tx,
        bulk::{Column, Statement},
        prepared::Prepare,
    },
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
    let lock = match tx.conn {
        AnyConnection::Postgres(_) => "FOR UPDATE OF award SKIP LOCKED",
        AnyConnection::Sqlite(_) => "",
    };
    let rows: Vec<DueRow> = Statement::<Untyped>::new(
        "/* awards::these */ WITH d AS (SELECT award.* FROM",
        vec![
            (
                "learner_id",
                Column::BigInts(awards.iter().map(|(learner, _)| learner.0).collect()),
            ),
            ("id", Column::Texts(ids.iter().map(|id| Some(id.as_str())).collect())),
        ],
        format!(
            "CROSS JOIN award WHERE award.learner_id = x.learner_id AND award.id = x.id AND award.state = 'pending' \
             AND NOT award.posted {lock}) {WHOLE} WHERE l.retired_at IS NULL AND coalesce(d.recipient, l.email) IS NOT NULL"
        ),
    )
    .load(tx)?;
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
    let held: Vec<i64> = Statement::<BigInt>::new(
        "/* awards::issue_due */ SELECT l.learner_id FROM",
        vec![("learner_id", Column::BigInts(learners.to_vec()))],
        "CROSS JOIN learner l WHERE l.learner_id = x.learner_id",
    )
    .on_postgres(" FOR NO KEY UPDATE OF l SKIP LOCKED")
    .load(tx)?;
    Ok(held.into_iter().collect())
}
