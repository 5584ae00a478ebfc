//! The tokens that replicas share: one sealed text for each key, and who may replace it.

use chrono::{NaiveDateTime, TimeDelta};
use diesel::{
    OptionalExtension, QueryableByName, RunQueryDsl, sql_query,
    sql_types::{BigInt, Binary, Nullable, Text, Timestamp},
};

use super::{StoreError, Tx};

/// What is kept under a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CachedTokens {
    /// What was saved last.
    pub sealed: Option<Vec<u8>>,
    /// How long from now nobody may ask for tokens; zero when anybody may.
    pub wait: TimeDelta,
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Nullable<Binary>)]
    tokens: Option<Vec<u8>>,
    #[diesel(sql_type = Nullable<Timestamp>)]
    not_before: Option<NaiveDateTime>,
    #[diesel(sql_type = BigInt)]
    lease_token: i64,
}

impl Row {
    fn cached(self, now: NaiveDateTime) -> CachedTokens {
        let wait = self.not_before.map(|at| at - now).unwrap_or_default();
        CachedTokens {
            sealed: self.tokens,
            wait: wait.max(TimeDelta::zero()),
        }
    }
}

/// What is kept under this key.
pub fn load(tx: &mut Tx<'_>, key: &str) -> Result<CachedTokens, StoreError> {
    let now = tx.now()?;
    let row = sql_query(
        "/* token_cache::load */ SELECT tokens, not_before, lease_token FROM token_cache WHERE cache_key = $1",
    )
    .bind::<Text, _>(key)
    .get_result::<Row>(tx.conn)
    .optional()?;
    Ok(row.map_or(
        CachedTokens {
            sealed: None,
            wait: TimeDelta::zero(),
        },
        |row| row.cached(now),
    ))
}

/// Takes the right to replace what is kept, for so long, and says what is kept; `None` while another has that right.
pub fn lease(tx: &mut Tx<'_>, key: &str, lasting: TimeDelta) -> Result<Option<(i64, CachedTokens)>, StoreError> {
    let now = tx.now()?;
    let row = sql_query(
        "/* token_cache::lease */ INSERT INTO token_cache (cache_key, version, lease_token, lease_until) \
         VALUES ($1, 0, 1, $2) \
         ON CONFLICT (cache_key) DO UPDATE \
         SET lease_token = token_cache.lease_token + 1, lease_until = excluded.lease_until \
         WHERE token_cache.lease_until IS NULL OR token_cache.lease_until <= $3 \
         RETURNING tokens, not_before, lease_token",
    )
    .bind::<Text, _>(key)
    .bind::<Timestamp, _>(now + lasting)
    .bind::<Timestamp, _>(now)
    .get_result::<Row>(tx.conn)
    .optional()?;
    Ok(row.map(|row| (row.lease_token, row.cached(now))))
}

/// Replaces what is kept and gives the right back. Says whether it did: not when the right has passed to another.
pub fn save(tx: &mut Tx<'_>, key: &str, lease: i64, sealed: &[u8]) -> Result<bool, StoreError> {
    let updated = sql_query(
        "/* token_cache::save */ UPDATE token_cache \
         SET tokens = $1, version = version + 1, lease_until = NULL, not_before = NULL \
         WHERE cache_key = $2 AND lease_token = $3",
    )
    .bind::<Binary, _>(sealed)
    .bind::<Text, _>(key)
    .bind::<BigInt, _>(lease)
    .execute(tx.conn)?;
    Ok(updated == 1)
}

/// Gives the right back without new tokens; nobody may ask for them for `wait` from now on.
pub fn release(tx: &mut Tx<'_>, key: &str, lease: i64, wait: TimeDelta) -> Result<bool, StoreError> {
    let not_before = (wait > TimeDelta::zero()).then_some(tx.now()? + wait);
    let updated = sql_query(
        "/* token_cache::release */ UPDATE token_cache SET lease_until = NULL, not_before = $1 \
         WHERE cache_key = $2 AND lease_token = $3",
    )
    .bind::<Nullable<Timestamp>, _>(not_before)
    .bind::<Text, _>(key)
    .bind::<BigInt, _>(lease)
    .execute(tx.conn)?;
    Ok(updated == 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Store, testing};

    const KEY: &str = "badgr-tokens";
    const LASTING: TimeDelta = TimeDelta::seconds(25);

    fn take(store: &Store) -> Option<(i64, CachedTokens)> {
        store
            .transaction("test", |tx| lease(tx, KEY, LASTING))
            .expect("answers")
    }

    fn kept(store: &Store) -> CachedTokens {
        store.read("test", |tx| load(tx, KEY)).expect("answers")
    }

    #[test]
    fn one_at_a_time_may_replace_what_is_kept() {
        let database = testing::sqlite();
        let store = database.store();
        assert_eq!(kept(&store).sealed, None);
        let (first, cached) = take(&store).expect("free");
        assert_eq!(cached.sealed, None);
        assert_eq!(take(&store), None);
        assert!(
            store
                .transaction("test", |tx| save(tx, KEY, first, b"one"))
                .expect("saved")
        );
        assert_eq!(kept(&store).sealed.as_deref(), Some(&b"one"[..]));
        let (second, cached) = take(&store).expect("free again");
        assert_eq!(cached.sealed.as_deref(), Some(&b"one"[..]));
        database.clock.advance(LASTING + TimeDelta::seconds(1));
        let (third, _) = take(&store).expect("the second lease ran out");
        assert!(
            !store
                .transaction("test", |tx| save(tx, KEY, second, b"two"))
                .expect("answers")
        );
        assert!(
            store
                .transaction("test", |tx| save(tx, KEY, third, b"three"))
                .expect("saved")
        );
        assert_eq!(kept(&store).sealed.as_deref(), Some(&b"three"[..]));
    }

    #[test]
    fn nobody_asks_before_the_time_is_up() {
        let database = testing::sqlite();
        let store = database.store();
        let (lease, _) = take(&store).expect("free");
        let wait = TimeDelta::seconds(60);
        assert!(
            store
                .transaction("test", |tx| release(tx, KEY, lease, wait))
                .expect("released")
        );
        let left = kept(&store).wait;
        assert!(left > TimeDelta::seconds(50) && left <= wait, "{left}");
        let (_, cached) = take(&store).expect("free");
        assert!(cached.wait > TimeDelta::seconds(50));
        database.clock.advance(wait);
        assert_eq!(kept(&store).wait, TimeDelta::zero());
    }
}
