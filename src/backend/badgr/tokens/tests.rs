use std::{
    collections::VecDeque,
    sync::atomic::{AtomicUsize, Ordering},
};

use chrono::TimeDelta;

use super::*;
use crate::{
    backend::badgr::token_cache::MemoryTokenCache,
    clock::{ManualClock, WrongClock},
};

/// A token endpoint that gives out numbered pairs, or what was ordered.
struct Endpoint {
    orders: StdMutex<VecDeque<Granted>>,
    asked: StdMutex<Vec<String>>,
    in_flight: AtomicUsize,
    most_in_flight: AtomicUsize,
}

struct World {
    endpoint: Arc<Endpoint>,
    clock: Arc<ManualClock>,
    cache: Arc<MemoryTokenCache>,
}

impl World {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::default());
        Self {
            endpoint: Arc::new(Endpoint {
                orders: StdMutex::default(),
                asked: StdMutex::default(),
                in_flight: AtomicUsize::new(0),
                most_in_flight: AtomicUsize::new(0),
            }),
            cache: Arc::new(MemoryTokenCache::new(clock.clone())),
            clock,
        }
    }

    /// A replica, sharing the cache; its key is the same unless another is named.
    fn replica(&self, key: &str) -> Tokens {
        self.with_cache(key, self.cache.clone())
    }

    fn with_cache(&self, key: &str, cache: Arc<dyn TokenCache>) -> Tokens {
        self.by_clock(key, cache, self.clock.clone())
    }

    fn by_clock(&self, key: &str, cache: Arc<dyn TokenCache>, clock: Arc<dyn Clock>) -> Tokens {
        let endpoint = self.endpoint.clone();
        let ask: Ask = Box::new(move |grant| {
            let endpoint = endpoint.clone();
            Box::pin(async move { endpoint.answer(grant).await })
        });
        let seal = Seal::new(Some(&Secret::new(key)), "badgr-tokens");
        Tokens::new(ask, cache, seal, clock, Duration::from_secs(25))
    }

    fn order(&self, granted: Granted) {
        self.endpoint.orders.lock().expect("orders").push_back(granted);
    }

    fn asked(&self) -> Vec<String> {
        self.endpoint.asked.lock().expect("asked").clone()
    }

    fn pass(&self, seconds: i64) {
        self.clock.advance(TimeDelta::seconds(seconds));
    }
}

impl Endpoint {
    async fn answer(&self, grant: Grant) -> Granted {
        let now = self.in_flight.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_in_flight.fetch_max(now, Ordering::SeqCst);
        tokio::task::yield_now().await;
        let number = {
            let mut asked = self.asked.lock().expect("asked");
            asked.push(match grant {
                Grant::Password => "password".to_owned(),
                Grant::Refresh(token) => format!("refresh {}", token.expose()),
            });
            asked.len()
        };
        let ordered = self.orders.lock().expect("orders").pop_front();
        self.in_flight.fetch_sub(1, Ordering::SeqCst);
        ordered.unwrap_or(Granted::Tokens {
            access: Secret::new(format!("a{number}")),
            refresh: Some(Secret::new(format!("r{number}"))),
            expires_in: Duration::from_secs(86_400),
        })
    }
}

/// A cache that counts how often it is read.
struct Counted {
    cache: MemoryTokenCache,
    loads: AtomicUsize,
}

impl TokenCache for Counted {
    fn load(&self) -> BoxFuture<'_, Result<Cached, TokenCacheError>> {
        self.loads.fetch_add(1, Ordering::SeqCst);
        self.cache.load()
    }

    fn lease(&self, lasting: Duration) -> BoxFuture<'_, Result<Option<(Lease, Cached)>, TokenCacheError>> {
        self.cache.lease(lasting)
    }

    fn save(&self, lease: Lease, sealed: Vec<u8>) -> BoxFuture<'_, Result<(), TokenCacheError>> {
        self.cache.save(lease, sealed)
    }

    fn release(&self, lease: Lease, wait: Duration) -> BoxFuture<'_, Result<(), TokenCacheError>> {
        self.cache.release(lease, wait)
    }
}

async fn access(tokens: &Tokens) -> String {
    tokens.get().await.expect("a token").expose().to_owned()
}

async fn wait(tokens: &Tokens) -> Duration {
    match tokens.get().await.expect_err("no token") {
        BackendError::NotSent { retry_after, .. } => retry_after.expect("a time"),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn replicas_whose_clocks_are_two_hours_apart_share_a_pair() {
    for (first, second) in [(-1, 1), (1, -1)] {
        let world = World::new();
        let replica = |hours| {
            let clock = WrongClock(TimeDelta::hours(hours));
            world.by_clock("k", world.cache.clone(), Arc::new(clock))
        };
        assert_eq!(access(&replica(first)).await, "a1");
        assert_eq!(access(&replica(second)).await, "a1");
        assert_eq!(world.asked(), ["password"]);
    }
}

#[tokio::test]
async fn twenty_calls_ask_once() {
    let world = World::new();
    let counted = Arc::new(Counted {
        cache: MemoryTokenCache::new(world.clock.clone()),
        loads: AtomicUsize::new(0),
    });
    let tokens = Arc::new(world.with_cache("k", counted.clone()));
    let calls: Vec<_> = (0..20)
        .map(|_| {
            let tokens = tokens.clone();
            tokio::spawn(async move { access(&tokens).await })
        })
        .collect();
    for call in calls {
        assert_eq!(call.await.expect("joined"), "a1");
    }
    assert_eq!(world.asked(), ["password"]);
    assert_eq!(
        counted.loads.load(Ordering::SeqCst),
        1,
        "the others wait in the process, not at the cache"
    );
}

#[tokio::test]
async fn a_token_is_refreshed_at_four_fifths_of_its_life() {
    let world = World::new();
    let tokens = world.replica("k");
    assert_eq!(access(&tokens).await, "a1");
    world.pass(86_400 * 4 / 5 - 60);
    assert_eq!(access(&tokens).await, "a1");
    world.pass(120);
    assert_eq!(access(&tokens).await, "a2");
    assert_eq!(world.asked(), ["password", "refresh r1"]);
}

#[tokio::test]
async fn replicas_share_one_pair_and_refresh_it_once() {
    let world = World::new();
    let (one, two) = (Arc::new(world.replica("k")), Arc::new(world.replica("k")));
    assert_eq!(access(&one).await, "a1");
    assert_eq!(access(&two).await, "a1");
    world.pass(86_400 * 9 / 10);
    let calls: Vec<_> = [&one, &two, &one, &two]
        .into_iter()
        .map(|tokens| {
            let tokens = Arc::clone(tokens);
            tokio::spawn(async move { access(&tokens).await })
        })
        .collect();
    for call in calls {
        assert_eq!(call.await.expect("joined"), "a2");
    }
    assert_eq!(world.asked(), ["password", "refresh r1"]);
    assert_eq!(world.endpoint.most_in_flight.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn what_another_key_sealed_is_not_used() {
    let world = World::new();
    assert_eq!(access(&world.replica("k")).await, "a1");
    assert_eq!(access(&world.replica("other")).await, "a2");
}

#[tokio::test]
async fn a_refused_token_is_replaced_once_in_half_a_minute() {
    let world = World::new();
    let tokens = world.replica("k");
    let first = tokens.get().await.expect("a token");
    tokens.reject(&first);
    let second = tokens.get().await.expect("another");
    assert_eq!(second.expose(), "a2");
    tokens.reject(&first);
    assert_eq!(
        access(&tokens).await,
        "a2",
        "a late word of an old token changes nothing"
    );
    tokens.reject(&second);
    tokens.reject(&first);
    assert!(wait(&tokens).await <= Duration::from_secs(30));
    world.pass(31);
    assert_eq!(access(&tokens).await, "a3");
    assert_eq!(world.asked(), ["password"; 3]);
}

#[tokio::test]
async fn a_token_that_another_replica_replaced_is_taken_over_without_asking() {
    let world = World::new();
    let (one, two) = (world.replica("k"), world.replica("k"));
    let old = one.get().await.expect("a token");
    assert_eq!(access(&two).await, "a1");
    one.reject(&old);
    assert_eq!(access(&one).await, "a2");
    two.reject(&old);
    assert_eq!(access(&two).await, "a2");
    assert_eq!(world.asked().len(), 2);
}

#[tokio::test]
async fn a_throttled_login_is_obeyed_by_every_replica() {
    let world = World::new();
    let (one, two) = (world.replica("k"), world.replica("k"));
    world.order(Granted::Throttled {
        wait: Duration::from_secs(8),
    });
    assert_eq!(wait(&one).await, Duration::from_secs(8));
    assert!(wait(&one).await > Duration::from_secs(5));
    assert!(wait(&two).await > Duration::from_secs(5));
    assert_eq!(world.asked().len(), 1);
    world.pass(9);
    assert_eq!(access(&two).await, "a2");
    assert_eq!(access(&one).await, "a2");
}

#[tokio::test]
async fn a_wrong_password_is_not_tried_again_at_once() {
    let world = World::new();
    let tokens = world.replica("k");
    let refused = || Granted::Refused {
        detail: "Invalid credentials given.".to_owned(),
    };
    world.order(refused());
    world.order(refused());
    let first = wait(&tokens).await;
    assert!(
        first >= Duration::from_secs(2) && first <= Duration::from_secs(4),
        "{first:?}"
    );
    wait(&tokens).await;
    assert_eq!(world.asked().len(), 1);
    world.pass(5);
    let second = wait(&tokens).await;
    assert!(
        second >= Duration::from_secs(4) && second <= Duration::from_secs(8),
        "{second:?}"
    );
    assert_eq!(world.asked().len(), 2);
    world.pass(9);
    assert_eq!(access(&tokens).await, "a3");
}

#[tokio::test]
async fn the_old_token_serves_while_refreshing_fails() {
    let world = World::new();
    let tokens = world.replica("k");
    assert_eq!(access(&tokens).await, "a1");
    world.pass(86_400 * 9 / 10);
    world.order(Granted::Throttled {
        wait: Duration::from_secs(60),
    });
    for _ in 0..3 {
        assert_eq!(access(&tokens).await, "a1");
    }
    world.pass(61);
    assert_eq!(access(&tokens).await, "a3");
    assert_eq!(
        world.asked(),
        ["password", "refresh r1", "password"],
        "a throttled refresh does not stop the password"
    );
}

#[tokio::test]
async fn a_used_up_refresh_token_is_followed_by_the_password() {
    let world = World::new();
    let tokens = world.replica("k");
    assert_eq!(access(&tokens).await, "a1");
    world.pass(86_400 * 9 / 10);
    world.order(Granted::Refused {
        detail: "invalid_grant".to_owned(),
    });
    assert_eq!(access(&tokens).await, "a3");
    assert_eq!(world.asked(), ["password", "refresh r1", "password"]);
}

#[tokio::test]
async fn a_replica_that_died_with_the_lease_holds_nobody_up_for_long() {
    let world = World::new();
    world
        .cache
        .lease(Duration::from_secs(25))
        .await
        .expect("answers")
        .expect("free");
    world.pass(26);
    assert_eq!(access(&world.replica("k")).await, "a1");
}
