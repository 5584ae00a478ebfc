//! The tokens of the badge backend in the database, shared by every replica.

use std::{sync::Arc, time::Duration};

use chrono::TimeDelta;

use crate::{
    backend::{
        BoxFuture,
        badgr::{Cached, Lease, TokenCache, TokenCacheError},
    },
    store::{
        Store, StoreError,
        token_cache::{self, CachedTokens},
    },
};

/// The row of `BADGR_TOKENS_CACHE_KEY`.
pub struct StoreTokenCache {
    store: Arc<Store>,
    key: String,
}

impl StoreTokenCache {
    /// The row of this key; it is made when it is first needed.
    pub fn new(store: Arc<Store>, key: String) -> Self {
        Self { store, key }
    }

    fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store, &str) -> Result<T, StoreError> + Send + 'static,
    ) -> BoxFuture<'_, Result<T, TokenCacheError>> {
        let key = self.key.clone();
        let done = self.store.run(move |store| work(store, &key));
        Box::pin(async { done.await.map_err(|error| TokenCacheError(error.to_string())) })
    }
}

impl TokenCache for StoreTokenCache {
    fn load(&self) -> BoxFuture<'_, Result<Cached, TokenCacheError>> {
        self.run(|store, key| store.read("load_tokens", |tx| token_cache::load(tx, key)).map(cached))
    }

    fn lease(&self, lasting: Duration) -> BoxFuture<'_, Result<Option<(Lease, Cached)>, TokenCacheError>> {
        self.run(move |store, key| {
            let leased = store.transaction("lease_tokens", |tx| token_cache::lease(tx, key, delta(lasting)))?;
            Ok(leased.map(|(lease, tokens)| (Lease(lease), cached(tokens))))
        })
    }

    fn save(&self, lease: Lease, sealed: Vec<u8>) -> BoxFuture<'_, Result<(), TokenCacheError>> {
        self.run(move |store, key| {
            store.transaction("save_tokens", |tx| {
                token_cache::save(tx, key, lease.0, &sealed).map(drop)
            })
        })
    }

    fn release(&self, lease: Lease, wait: Duration) -> BoxFuture<'_, Result<(), TokenCacheError>> {
        self.run(move |store, key| {
            store.transaction("release_tokens", |tx| {
                token_cache::release(tx, key, lease.0, delta(wait)).map(drop)
            })
        })
    }
}

fn cached(tokens: CachedTokens) -> Cached {
    Cached {
        sealed: tokens.sealed,
        wait: tokens.wait.to_std().unwrap_or_default(),
    }
}

/// No wait and no lease is longer than a day.
fn delta(duration: Duration) -> TimeDelta {
    TimeDelta::from_std(duration).map_or(TimeDelta::days(1), |delta| delta.min(TimeDelta::days(1)))
}
