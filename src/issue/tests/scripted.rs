//! A backend that keeps what it issued, and fails where a test tells it to.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use serde_json::json;
use tokio::sync::Semaphore;

use crate::{
    backend::{AwardRequest, BackendError, BadgingBackend, BoxFuture, Issued, MadeBadgeClass, RevokeRequest},
    domain::badge_class::BadgeClass,
};

/// What goes wrong with a call.
#[derive(Debug, Clone)]
pub(super) enum Fault {
    /// Nothing.
    None,
    /// It does not happen, and that is known.
    NotSent,
    /// It happens, and the answer is lost.
    Unseen,
    /// It does not happen, and nobody knows.
    Lost,
    /// It is refused until something changes.
    Blocked,
    /// It is refused for ever.
    Refused,
    /// It happens, and the answer never comes.
    Hangs,
    /// It waits to be let through.
    Waits,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Call {
    Make,
    Find,
    Award,
    LookUp,
    Revoke,
}

#[derive(Default)]
struct Inner {
    faults: HashMap<&'static str, VecDeque<Fault>>,
    always: HashMap<&'static str, Fault>,
    calls: Vec<Call>,
    awards: HashMap<(String, String, i64), u32>,
    badge_classes: HashMap<String, u32>,
}

pub(super) struct Scripted {
    inner: Mutex<Inner>,
    /// Calls that wait go on as far as this has permits.
    pub(super) gate: Semaphore,
    local: bool,
}

impl Scripted {
    pub(super) fn remote() -> std::sync::Arc<Self> {
        Self::new(false)
    }

    pub(super) fn local() -> std::sync::Arc<Self> {
        Self::new(true)
    }

    fn new(local: bool) -> std::sync::Arc<Self> {
        std::sync::Arc::new(Self {
            inner: Mutex::default(),
            gate: Semaphore::new(0),
            local,
        })
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no test panicked with it")
    }

    /// The next calls of this kind end like that.
    pub(super) fn script(&self, call: Call, faults: impl IntoIterator<Item = Fault>) {
        self.inner().faults.entry(name(call)).or_default().extend(faults);
    }

    /// All calls of this kind end like that from now on.
    pub(super) fn always(&self, call: Call, fault: Fault) {
        self.inner().always.insert(name(call), fault);
    }

    /// Somebody else issued this badge to the learner.
    pub(super) fn holds(&self, badge_class: &BadgeClass, learner: i64) {
        let key = ("a@example.com".to_owned(), badge_class.key.slug.clone(), learner);
        self.inner().awards.insert(key, 1);
    }

    /// The calls so far, but for those about badge classes.
    pub(super) fn calls(&self) -> Vec<Call> {
        let calls = self.inner().calls.clone();
        calls
            .into_iter()
            .filter(|call| matches!(call, Call::Award | Call::LookUp))
            .collect()
    }

    /// How many calls of this kind there were.
    pub(super) fn count(&self, call: Call) -> usize {
        self.inner().calls.iter().filter(|other| **other == call).count()
    }

    /// How often each award was issued.
    pub(super) fn issued(&self) -> Vec<u32> {
        self.inner().awards.values().copied().collect()
    }

    /// How often each badge class was made.
    pub(super) fn made(&self) -> Vec<u32> {
        self.inner().badge_classes.values().copied().collect()
    }

    async fn run<T>(&self, call: Call, act: impl Fn(&mut Inner) -> Result<T, BackendError>) -> Result<T, BackendError> {
        let fault = {
            let mut inner = self.inner();
            inner.calls.push(call);
            let next = inner.faults.get_mut(name(call)).and_then(VecDeque::pop_front);
            let always = || inner.always.get(name(call)).cloned().unwrap_or(Fault::None);
            next.unwrap_or_else(always)
        };
        let detail = "planted".to_owned();
        match fault {
            Fault::None => act(&mut self.inner()),
            Fault::NotSent => Err(BackendError::NotSent {
                detail,
                retry_after: None,
            }),
            Fault::Unseen => {
                drop(act(&mut self.inner()));
                Err(BackendError::Unknown { detail })
            }
            Fault::Lost => Err(BackendError::Unknown { detail }),
            Fault::Blocked => Err(BackendError::Blocked {
                reason: "not_authorized",
                detail,
            }),
            Fault::Refused => Err(BackendError::Refused { detail }),
            Fault::Hangs => {
                drop(act(&mut self.inner()));
                std::future::pending().await
            }
            Fault::Waits => {
                self.gate.acquire().await.expect("never closed").forget();
                act(&mut self.inner())
            }
        }
    }
}

fn name(call: Call) -> &'static str {
    match call {
        Call::Make => "make",
        Call::Find => "find",
        Call::Award => "award",
        Call::LookUp => "look_up",
        Call::Revoke => "revoke",
    }
}

fn key(request: &AwardRequest) -> (String, String, i64) {
    let slug = request.badge_class.key.slug.clone();
    (request.recipient.clone(), slug, request.learner.0)
}

fn issued(request: &AwardRequest) -> Issued {
    Issued {
        assertion_url: format!("https://backend.example/{}", request.award.0),
        image_url: "https://backend.example/image".to_owned(),
        issuer: "https://backend.example/issuer".to_owned(),
        backend_id: Some(request.award.0.to_string()),
        public_id: None,
        recipient_hash: None,
        data: json!({"entityId": request.award.0}),
    }
}

fn made(badge_class: &BadgeClass) -> MadeBadgeClass {
    MadeBadgeClass {
        backend_id: format!("backend-{}", badge_class.key.slug),
        image_url: None,
    }
}

impl BadgingBackend for Scripted {
    fn name(&self) -> &'static str {
        "scripted"
    }

    fn is_local(&self) -> bool {
        self.local
    }

    fn timeout(&self) -> Duration {
        Duration::from_secs(20)
    }

    fn needs_image(&self) -> bool {
        false
    }

    fn settle_time(&self) -> Duration {
        Duration::from_secs(30)
    }

    fn make_badge_class<'a>(
        &'a self,
        badge_class: &'a BadgeClass,
        image: &'a [u8],
    ) -> BoxFuture<'a, Result<MadeBadgeClass, BackendError>> {
        assert!(!image.is_empty());
        Box::pin(self.run(Call::Make, |inner| {
            *inner.badge_classes.entry(badge_class.key.slug.clone()).or_default() += 1;
            Ok(made(badge_class))
        }))
    }

    fn find_badge_class<'a>(
        &'a self,
        badge_class: &'a BadgeClass,
    ) -> BoxFuture<'a, Result<Option<MadeBadgeClass>, BackendError>> {
        Box::pin(self.run(Call::Find, |inner| {
            let there = inner.badge_classes.contains_key(&badge_class.key.slug);
            Ok(there.then(|| made(badge_class)))
        }))
    }

    fn award<'a>(&'a self, request: &'a AwardRequest) -> BoxFuture<'a, Result<Issued, BackendError>> {
        assert!(request.badge_class.backend_id.is_some(), "made first");
        Box::pin(self.run(Call::Award, |inner| {
            if inner.awards.contains_key(&key(request)) {
                return Err(BackendError::AlreadyAwarded {
                    detail: "a previous award exists".to_owned(),
                });
            }
            *inner.awards.entry(key(request)).or_default() += 1;
            Ok(issued(request))
        }))
    }

    fn look_up<'a>(&'a self, request: &'a AwardRequest) -> BoxFuture<'a, Result<Option<Issued>, BackendError>> {
        Box::pin(self.run(Call::LookUp, |inner| {
            Ok(inner.awards.contains_key(&key(request)).then(|| issued(request)))
        }))
    }

    fn revoke<'a>(&'a self, _request: &'a RevokeRequest) -> BoxFuture<'a, Result<(), BackendError>> {
        Box::pin(self.run(Call::Revoke, |_| Ok(())))
    }

    fn can_be_compared(&self) -> bool {
        !self.local
    }

    fn reach(&self) -> BoxFuture<'_, Result<String, BackendError>> {
        Box::pin(async { Ok("scripted".to_owned()) })
    }
}
