//! Tokens of Badgr: replaced, throttled, shared by replicas.

use std::{sync::Arc, time::Duration};

use accolade::{
    app::token_cache::StoreTokenCache,
    backend::{BackendError, BadgingBackend},
    clock::ManualClock,
    store::{self, Store},
    telemetry::Metrics,
};
use chrono::TimeDelta;

use super::{World, replica, settings};
use crate::harness::{
    fake_badgr::{FakeBadgr, Fault, Operation},
    postgres::Postgres,
};

#[tokio::test]
async fn an_expired_token_is_replaced_and_the_request_sent_again() {
    let world = World::new().await;
    let request = world.request().await;
    world.server.expire_tokens();
    world.badgr.award(&request).await.expect("issued with a new token");
    assert_eq!(world.server.token_requests().len(), 2);
    assert_eq!(world.live(), 1);
}

#[tokio::test]
async fn a_token_that_is_never_taken_is_not_asked_for_over_and_over() {
    let world = World::new().await;
    let request = world.request().await;
    world.server.always(Operation::Award, Fault::Unauthorized);
    for _ in 0..3 {
        assert_eq!(world.badgr.award(&request).await.expect_err("401").code(), "not_sent");
    }
    assert_eq!(world.server.token_requests().len(), 2);
    world.server.clear_faults();
    world.clock.advance(TimeDelta::seconds(31));
    world.badgr.award(&request).await.expect("issued");
}

#[tokio::test]
async fn a_throttled_login_is_obeyed() {
    let world = World::new().await;
    world.server.order(Operation::Token, Fault::Throttled(8));
    for _ in 0..3 {
        let error = world.badgr.reach().await.expect_err("throttled");
        assert!(
            matches!(
                error,
                BackendError::NotSent {
                    retry_after: Some(_),
                    ..
                }
            ),
            "{error}"
        );
    }
    assert_eq!(world.server.token_requests().len(), 1);
    world.clock.advance(TimeDelta::seconds(9));
    assert!(world.badgr.reach().await.expect("reached").contains("Example Academy"));
}

#[tokio::test]
async fn replicas_share_their_tokens_in_sqlite() {
    let directory = tempfile::tempdir().expect("a directory");
    share_tokens(&format!("sqlite://{}", directory.path().join("test.db").display())).await;
}

#[tokio::test]
async fn replicas_share_their_tokens_in_postgresql() {
    let url = tokio::task::spawn_blocking(|| Postgres::shared().database());
    share_tokens(&url.await.expect("a database")).await;
}

async fn share_tokens(url: &str) {
    let database = store::Settings {
        url: url.parse().expect("a URL"),
        pool_size: 4,
    };
    let clock = Arc::new(ManualClock::default());
    let open = || Arc::new(Store::open(&database, clock.clone(), Arc::new(Metrics::new())));
    open().migrate().expect("migrated");
    let server = FakeBadgr::start().await;
    let replicas: Vec<_> = (0..2)
        .map(|_| {
            let cache = Arc::new(StoreTokenCache::new(open(), "badgr-tokens".to_owned()));
            let settings = settings(&server.url(), Duration::from_secs(5));
            replica(settings, cache, clock.clone(), Arc::new(Metrics::new()))
        })
        .collect();
    let reach_all = || async {
        let calls: Vec<_> = (0..20)
            .map(|n| {
                let badgr = Arc::clone(&replicas[n % 2]);
                tokio::spawn(async move { badgr.reach().await })
            })
            .collect();
        for call in calls {
            call.await.expect("joined").expect("reached");
        }
    };
    reach_all().await;
    assert_eq!(server.token_requests().len(), 1);
    clock.advance(TimeDelta::hours(20));
    reach_all().await;
    let granted: Vec<_> = server.token_requests().into_iter().map(|request| request.did).collect();
    assert_eq!(granted, ["granted password", "granted refresh"]);
}
