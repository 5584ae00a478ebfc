//! A single award, and the assertion that came of it.

use diesel::{
    OptionalExtension, RunQueryDsl, sql_query,
    sql_types::{BigInt, Integer, Text},
};

use super::{
    ListedAssertion, ListedAward,
    rows::{AwardRow, ListedAssertionRow, award_columns, badge_class_columns},
};
use crate::{
    domain::{LearnerId, badge_class::BadgeClassId},
    store::{StoreError, Tx},
};

/// The award of this learner and id.
pub fn award(tx: &mut Tx<'_>, learner: LearnerId, id: &str) -> Result<Option<ListedAward>, StoreError> {
    let row = sql_query(concat!(
        "/* award */ SELECT ",
        badge_class_columns!(),
        award_columns!(),
        "WHERE w.learner_id = $1 AND w.id = $2"
    ))
    .bind::<BigInt, _>(learner.0)
    .bind::<Text, _>(id)
    .get_result::<AwardRow>(tx.conn)
    .optional()?;
    Ok(row.map(Into::into))
}

/// The award of this badge class to this learner under this key.
pub fn award_of(
    tx: &mut Tx<'_>,
    learner: LearnerId,
    badge_class: BadgeClassId,
    idempotency_key: &str,
) -> Result<Option<ListedAward>, StoreError> {
    let row = sql_query(concat!(
        "/* award_of */ SELECT ",
        badge_class_columns!(),
        award_columns!(),
        "WHERE w.learner_id = $1 AND w.badge_class_id = $2 AND w.idempotency_key = $3"
    ))
    .bind::<BigInt, _>(learner.0)
    .bind::<Integer, _>(badge_class.0)
    .bind::<Text, _>(idempotency_key)
    .get_result::<AwardRow>(tx.conn)
    .optional()?;
    Ok(row.map(Into::into))
}

/// The assertion of an award, while it holds.
pub fn assertion_of_award(
    tx: &mut Tx<'_>,
    learner: LearnerId,
    award: &str,
) -> Result<Option<ListedAssertion>, StoreError> {
    let row = sql_query(concat!(
        "/* assertion_of_award */ SELECT ",
        badge_class_columns!(),
        ", a.image_url, a.assertion_url, a.created_at \
         FROM assertion a JOIN badge_class b ON b.id = a.badge_class_id WHERE a.learner_id = $1 AND a.award_id = $2 AND a.revoked_at IS NULL"
    ))
    .bind::<BigInt, _>(learner.0)
    .bind::<Text, _>(award)
    .get_result::<ListedAssertionRow>(tx.conn)
    .optional()?;
    Ok(row.map(Into::into))
}
