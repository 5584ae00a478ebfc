//! A badge backend from outside the crate, by public names alone: what a programmer writes who adds one, driven by the
//! issue loop through everything that can go wrong.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use accolade::backend::{AwardRequest, BackendError, BadgingBackend, BoxFuture, Issued, MadeBadgeClass, RevokeRequest};
use accolade::clock::ManualClock;
use accolade::domain::LearnerId;
use accolade::domain::award::{AwardId, Decision, Reason, RuleKind};
use accolade::domain::badge_class::{BadgeClass, BadgeClassKey, NewBadgeClass};
use accolade::domain::event::{LearnerDetails, Stamp};
use accolade::issue::{Issuer, Settings};
use accolade::store::audit::{Actor, Via};
use accolade::store::learners::Learner;
use accolade::store::{self, Store, awards, badge_classes, learners, revocations};
use accolade::telemetry::Metrics;
use chrono::{DateTime, TimeDelta};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::harness::database::Database;
use crate::harness::images;
use crate::harness::world::{PATIENCE, eventually};

/// What happens to a learner's first request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum First {
    Works,
    NeverArrives,
    LosesItsAnswer,
    IsLost,
    IsRefused,
}

const LEARNERS: [(i64, First); 5] = [
    (1, First::Works),
    (2, First::NeverArrives),
    (3, First::LosesItsAnswer),
    (4, First::IsLost),
    (5, First::IsRefused),
];

#[derive(Default)]
struct Inner {
    made: Vec<String>,
    /// How often each learner's award was carried out.
    issued: BTreeMap<i64, u32>,
    badges: BTreeMap<AwardId, Issued>,
    asked: HashSet<AwardId>,
    revoked: Vec<(AwardId, String)>,
}

/// A generator that keeps its badges in memory, and gives a second badge to whoever asks twice.
#[derive(Default)]
struct Shelf(Mutex<Inner>);

impl Shelf {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().expect("nobody panicked with it")
    }

    fn issue(&self, request: &AwardRequest) -> Result<Issued, BackendError> {
        let mut inner = self.inner();
        let is_first = inner.asked.insert(request.award);
        let kind = LEARNERS
            .iter()
            .find(|(id, _)| *id == request.learner.0)
            .expect("a learner")
            .1;
        let detail = "planted".to_owned();
        match kind {
            First::NeverArrives if is_first => {
                return Err(BackendError::NotSent {
                    detail,
                    retry_after: None,
                });
            }
            First::IsLost if is_first => return Err(BackendError::Unknown { detail }),
            First::IsRefused => return Err(BackendError::Refused { detail }),
            _ => {}
        }
        let url = format!("https://shelf.example.com/{}", request.award.0);
        let issued = Issued {
            image_url: format!("{url}.png"),
            assertion_url: url,
            issuer: "https://shelf.example.com".to_owned(),
            backend_id: Some(format!("shelf-{}", request.learner.0)),
            public_id: None,
            recipient_hash: None,
            data: json!({"class": request.badge_class.backend_id}),
        };
        *inner.issued.entry(request.learner.0).or_default() += 1;
        inner.badges.insert(request.award, issued.clone());
        match kind {
            First::LosesItsAnswer if is_first => Err(BackendError::Unknown { detail }),
            _ => Ok(issued),
        }
    }
}

impl BadgingBackend for Shelf {
    fn name(&self) -> &'static str {
        "shelf"
    }

    fn is_local(&self) -> bool {
        false
    }

    fn timeout(&self) -> Duration {
        Duration::from_secs(10)
    }

    fn needs_image(&self) -> bool {
        true
    }

    fn settle_time(&self) -> Duration {
        Duration::from_secs(30)
    }

    fn make_badge_class<'a>(
        &'a self,
        badge_class: &'a BadgeClass,
        image: &'a [u8],
    ) -> BoxFuture<'a, Result<MadeBadgeClass, BackendError>> {
        assert_eq!(image, images::square(40, 1), "the image comes with it");
        let backend_id = format!("class-{}", badge_class.key.slug);
        self.inner().made.push(backend_id.clone());
        Box::pin(async {
            Ok(MadeBadgeClass {
                backend_id,
                image_url: None,
            })
        })
    }

    fn find_badge_class<'a>(
        &'a self,
        _badge_class: &'a BadgeClass,
    ) -> BoxFuture<'a, Result<Option<MadeBadgeClass>, BackendError>> {
        Box::pin(async { Ok(None) })
    }

    fn award<'a>(&'a self, request: &'a AwardRequest) -> BoxFuture<'a, Result<Issued, BackendError>> {
        assert!(request.image.is_some(), "as it needs images");
        Box::pin(async { self.issue(request) })
    }

    fn look_up<'a>(&'a self, request: &'a AwardRequest) -> BoxFuture<'a, Result<Option<Issued>, BackendError>> {
        Box::pin(async { Ok(self.inner().badges.get(&request.award).cloned()) })
    }

    fn revoke<'a>(&'a self, request: &'a RevokeRequest) -> BoxFuture<'a, Result<(), BackendError>> {
        let mut inner = self.inner();
        inner.revoked.push((request.award, request.reason.clone()));
        Box::pin(async { Ok(()) })
    }

    fn reach(&self) -> BoxFuture<'_, Result<String, BackendError>> {
        Box::pin(async { Ok("a shelf".to_owned()) })
    }
}

/// Every learner gets the same badge; nothing is issued yet.
fn decided(store: &Store) -> BadgeClass {
    let key = BadgeClassKey {
        slug: "three".to_owned(),
        issuing_component: "openedx__course".to_owned(),
        course_id: String::new(),
    };
    let new = NewBadgeClass {
        key: key.clone(),
        mode: String::new(),
        display_name: "Three".to_owned(),
        description: "Enrolled in three".to_owned(),
        criteria: "Enroll".to_owned(),
        image: images::square(40, 1),
    };
    let stamp = Stamp {
        time: DateTime::UNIX_EPOCH,
        event_id: "e".to_owned(),
    };
    let decided = store.transaction("decide", |tx| {
        let (class, _) = badge_classes::get_or_create(tx, &new)?;
        let mut all = LEARNERS.map(|(id, _)| Learner::unknown(LearnerId(id)));
        for learner in &mut all {
            let details = LearnerDetails {
                id: learner.id,
                username: format!("learner{}", learner.id.0),
                email: Some(format!("learner{}@example.com", learner.id.0)),
                name: None,
            };
            learner.learn(&details, &stamp);
        }
        learners::insert(tx, &all.iter().collect::<Vec<_>>())?;
        let decisions = LEARNERS.map(|(id, _)| Decision {
            learner: LearnerId(id),
            badge_class: class.id,
            badge_class_key: key.clone(),
            idempotency_key: String::new(),
            reason: Reason {
                rule: RuleKind::CoursesEnrolled,
                by_backfill: false,
                threshold: Some(3),
                count: Some(3),
                configuration_id: None,
                event_id: None,
                event_time: None,
            },
            evidence_url: None,
        });
        awards::insert_decisions(tx, &decisions)?;
        Ok(class)
    });
    decided.expect("stored")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_of_ones_own_is_driven_through_all_that_goes_wrong() {
    let database = Database::of_environment();
    let clock = Arc::new(ManualClock::default());
    let metrics = Arc::new(Metrics::new());
    let settings = store::Settings {
        url: database.url().parse().expect("a URL"),
        pool_size: 4,
    };
    let store = Arc::new(Store::open(&settings, clock.clone(), Arc::clone(&metrics)));
    store.migrate().expect("migrated");
    let class = decided(&store);

    let shelf = Arc::new(Shelf::default());
    let settings = Settings {
        concurrency: 4,
        poll: Duration::from_millis(20),
        adopt_existing: true,
        public_url: "https://badges.example.com".to_owned(),
    };
    let (wake, published) = (Arc::default(), Arc::default());
    let issuer = Issuer::new(Arc::clone(&store), shelf.clone(), settings, metrics, wake, published);
    let stop = CancellationToken::new();
    let running = tokio::spawn(issuer.run(stop.clone()));

    eventually("four are issued and one is refused", PATIENCE, async || {
        clock.advance(TimeDelta::seconds(1));
        database.count("award", "state = 'issued'") == 4 && database.count("award", "state = 'failed'") == 1
    })
    .await;
    assert_eq!(shelf.inner().made, ["class-three"], "one badge class, made once");
    let once: BTreeMap<i64, u32> = (1..=4).map(|id| (id, 1)).collect();
    assert_eq!(
        shelf.inner().issued,
        once,
        "each badge once, whatever became of the answers"
    );
    assert_eq!(database.count("outbox", "event_type = 'badge.awarded'"), 4);
    let kept = "backend = 'shelf' AND assertion_url LIKE 'https://shelf.example.com/%'";
    assert_eq!(database.count("assertion", kept), 4);

    let id = database
        .lines("SELECT id AS line FROM assertion WHERE learner_id = 1")
        .remove(0);
    let actor = Actor {
        name: "staff".to_owned(),
        via: Via::CommandLine,
    };
    let asked = store.transaction("revoke", |tx| revocations::request(tx, &id, "by mistake", &actor));
    asked.expect("asked for").expect("there is one");
    eventually("it is revoked", PATIENCE, async || {
        database.count("assertion", "revoked_at IS NOT NULL") == 1
    })
    .await;
    let revoked = AwardId::of(LearnerId(1), &class.key, "");
    assert_eq!(shelf.inner().revoked, [(revoked, "by mistake".to_owned())]);
    stop.cancel();
    running.await.expect("no panic").expect("no error");
}
