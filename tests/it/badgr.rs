//! The Badgr backend against a Badgr over real HTTP, with its faults.

mod tokens;

use std::{sync::Arc, time::Duration};

use accolade::{
    backend::{
        AwardRequest, BackendError, BadgingBackend, RevokeRequest,
        badgr::{Badgr, MemoryTokenCache, Settings, TokenCache},
    },
    clock::{Clock, ManualClock},
    domain::{
        LearnerId,
        award::{AwardId, Reason, RuleKind},
        badge_class::{BadgeClass, BadgeClassId, BadgeClassKey},
    },
    secret::Secret,
    telemetry::Metrics,
};

use crate::harness::{
    fake_badgr::{ACCOUNT, FakeBadgr, Fault, ISSUER_SLUG, Operation, PASSWORD, USERNAME},
    images,
};

const EMAIL: &str = "ada@example.com";

struct World {
    server: FakeBadgr,
    badgr: Arc<Badgr>,
    clock: Arc<ManualClock>,
    metrics: Arc<Metrics>,
}

impl World {
    async fn new() -> Self {
        let clock = Arc::new(ManualClock::default());
        let cache = Arc::new(MemoryTokenCache::new(clock.clone()));
        Self::with(FakeBadgr::start().await, cache, clock, Duration::from_secs(5))
    }

    /// One whose requests end soon.
    async fn hasty() -> Self {
        let clock = Arc::new(ManualClock::default());
        let cache = Arc::new(MemoryTokenCache::new(clock.clone()));
        Self::with(FakeBadgr::start().await, cache, clock, Duration::from_millis(400))
    }

    fn with(server: FakeBadgr, cache: Arc<dyn TokenCache>, clock: Arc<ManualClock>, timeout: Duration) -> Self {
        let metrics = Arc::new(Metrics::new());
        let badgr = replica(settings(&server.url(), timeout), cache, clock.clone(), metrics.clone());
        Self {
            server,
            badgr,
            clock,
            metrics,
        }
    }

    async fn request(&self) -> AwardRequest {
        let mut badge_class = badge_class();
        let image = images::square(40, 1);
        let made = self.badgr.make_badge_class(&badge_class, &image).await.expect("made");
        badge_class.backend_id = Some(made.backend_id);
        award_of(badge_class)
    }

    fn live(&self) -> usize {
        self.server.live_assertions_of(EMAIL).len()
    }
}

fn settings(url: &str, timeout: Duration) -> Settings {
    Settings {
        base_url: url.to_owned(),
        username: USERNAME.to_owned(),
        password: Secret::new(PASSWORD),
        password_file: None,
        issuer_slug: ISSUER_SLUG.to_owned(),
        tokens_cache_key: "badgr-tokens".to_owned(),
        timeout,
        notify: false,
        ca_file: None,
        secret_key: Some(Secret::new("key")),
        public_url: "https://badges.example.com".to_owned(),
        course_about_url_template: None,
        settle_time: Settings::SETTLE_TIME,
    }
}

fn replica(settings: Settings, cache: Arc<dyn TokenCache>, clock: Arc<dyn Clock>, metrics: Arc<Metrics>) -> Arc<Badgr> {
    Arc::new(Badgr::new(settings, cache, clock, metrics).expect("good settings"))
}

fn badge_class() -> BadgeClass {
    BadgeClass {
        id: BadgeClassId(7),
        key: BadgeClassKey {
            slug: "enrolled_three".to_owned(),
            issuing_component: "openedx__course".to_owned(),
            course_id: String::new(),
        },
        mode: String::new(),
        display_name: format!("Three <b>courses</b> 🎉 {}", "x".repeat(300)),
        description: "Enrolled in three courses 🎉".to_owned(),
        criteria: "A learner must ![enroll] in three courses".to_owned(),
        backend: None,
        backend_id: None,
        backend_image_url: None,
        public_id: "0d9c7d6c-3f3c-4f0e-9c57-0b1f2f3a4b5c".to_owned(),
    }
}

fn award_of(badge_class: BadgeClass) -> AwardRequest {
    AwardRequest {
        others: Vec::new(),
        award: AwardId::of(LearnerId(42), &badge_class.key, ""),
        learner: LearnerId(42),
        username: "ada".to_owned(),
        full_name: None,
        recipient: EMAIL.to_owned(),
        badge_class,
        image: None,
        evidence_url: None,
        reason: Reason {
            rule: RuleKind::CoursesEnrolled,
            by_backfill: false,
            threshold: Some(3),
            count: Some(3),
            configuration_id: None,
            event_id: None,
            event_time: None,
        },
        now: chrono::Utc::now(),
    }
}

#[tokio::test]
async fn a_badge_is_issued_found_and_revoked() {
    let world = World::new().await;
    let mut request = world.request().await;
    request.evidence_url = Some("https://lms.example.com/certificates/1".to_owned());
    assert_eq!(world.badgr.look_up(&request).await.expect("answers"), None);
    let issued = world.badgr.award(&request).await.expect("issued");
    assert!(!issued.data.to_string().contains('@'), "{}", issued.data);
    let stored = world.server.assertions().remove(0);
    assert_eq!(
        stored.evidence_url.as_deref(),
        Some("https://lms.example.com/certificates/1")
    );
    assert_eq!(issued.backend_id.as_deref(), Some(stored.entity_id.as_str()));
    assert!(
        issued
            .assertion_url
            .ends_with(&format!("/public/assertions/{}", stored.entity_id))
    );

    request.recipient = "ADA@example.com".to_owned();
    assert_eq!(
        world.badgr.look_up(&request).await.expect("answers"),
        Some(issued.clone())
    );
    let again = world.badgr.award(&request).await.expect_err("once");
    assert_eq!(again.code(), "already_awarded", "{again}");

    let revoke = RevokeRequest {
        award: request.award,
        backend_id: issued.backend_id,
        assertion_url: issued.assertion_url,
        reason: format!("🎉{}", "x".repeat(300)),
    };
    world.badgr.revoke(&revoke).await.expect("revoked");
    world.badgr.revoke(&revoke).await.expect("again is no error");
    assert_eq!(world.live(), 0);
    assert_eq!(world.badgr.look_up(&request).await.expect("answers"), None);
    assert_eq!(world.server.token_requests().len(), 1);
    let metrics = world.metrics.render();
    for line in [
        "backend_requests_total{backend=\"badgr\",code=\"201\",operation=\"award\"} 1",
        "backend_requests_total{backend=\"badgr\",code=\"400\",operation=\"award\"} 1",
        "backend_requests_total{backend=\"badgr\",code=\"200\",operation=\"look_up\"} 3",
        "backend_requests_total{backend=\"badgr\",code=\"200\",operation=\"token\"} 1",
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
}

#[tokio::test]
async fn what_a_badge_class_holds_is_read_page_by_page_and_one_by_one() {
    let world = World::new().await;
    let request = world.request().await;
    let first = world.badgr.award(&request).await.expect("issued").backend_id;
    let first = first.expect("an id");
    for _ in 0..120 {
        world.server.made_again(&first, "staff");
    }
    world.server.revoked_by_hand(&first, "as ada@example.com asked");
    let class = request.badge_class.backend_id.expect("made");
    let page = world.badgr.held_of_class(&class, None).await.expect("answers");
    assert_eq!(page.assertions.len(), 100);
    let rest = world.badgr.held_of_class(&class, page.next.as_deref()).await;
    let rest = rest.expect("answers");
    assert_eq!((rest.assertions.len(), &rest.next), (21, &None));
    let held = rest.assertions.last().expect("the oldest");
    assert_eq!((&held.backend_id, held.made_by.as_deref()), (&first, Some(ACCOUNT)));
    assert_eq!(held.revoked.as_deref(), Some("as [e-mail] asked"));
    assert!(held.recipient.is(" ADA@example.com") && held.made_at.is_some());
    assert!(page.assertions.iter().all(|held| held.revoked.is_none()));

    assert_eq!(world.badgr.held(&first).await, Ok(Some(held.clone())));
    world.server.loses(&first);
    assert_eq!(world.badgr.held(&first).await, Ok(None));
    let page = || "<html>not found</html>".to_owned();
    world.server.order(Operation::LookUp, Fault::Status(404, page()));
    let error = world.badgr.held(&first).await.expect_err("not Badgr's answer");
    assert_eq!(error.code(), "refused", "{error}");
    let error = world.badgr.held_of_class("none", None).await.expect_err("not there");
    assert_eq!(error.code(), "blocked", "{error}");
    let elsewhere = Some("https://elsewhere.example/v2/badgeclasses/1/assertions");
    let error = world.badgr.held_of_class(&class, elsewhere).await;
    assert_eq!(error.expect_err("the token goes to no other server").code(), "unknown");
}

#[tokio::test]
async fn evidence_that_badgr_would_refuse_is_left_out() {
    let world = World::new().await;
    let mut request = world.request().await;
    request.evidence_url = Some("http://lms:8000/certificates/1".to_owned());
    world.badgr.award(&request).await.expect("issued");
    assert_eq!(world.server.assertions()[0].evidence_url, None);
}

#[tokio::test]
async fn a_badge_class_whose_making_was_not_seen_is_found() {
    let world = World::new().await;
    let image = images::square(40, 1);
    world.server.order(Operation::MakeBadgeClass, Fault::ResetAfter);
    assert_eq!(
        world.badgr.find_badge_class(&badge_class()).await.expect("answers"),
        None
    );
    let lost = world
        .badgr
        .make_badge_class(&badge_class(), &image)
        .await
        .expect_err("no answer");
    assert_eq!(lost.code(), "unknown");
    let found = world
        .badgr
        .find_badge_class(&badge_class())
        .await
        .expect("answers")
        .expect("found");
    assert_eq!(found.backend_id, world.server.badge_classes()[0].entity_id);
    let mut other = badge_class();
    other.public_id = "1d9c7d6c-3f3c-4f0e-9c57-0b1f2f3a4b5c".to_owned();
    assert_eq!(world.badgr.find_badge_class(&other).await.expect("answers"), None);
}

#[tokio::test]
async fn each_fault_has_its_meaning() {
    let world = World::new().await;
    let request = world.request().await;
    let page = || "<html>ada@example.com</html>".to_owned();
    let bad = r#"{"fieldErrors": {"recipient": ["ada@example.com is odd"]}, "validationErrors": []}"#;
    let cases = [
        (Fault::ErrorBefore, "unknown"),
        (Fault::ResetBefore, "unknown"),
        (Fault::Status(502, page()), "unknown"),
        (Fault::Status(504, page()), "unknown"),
        (Fault::Status(302, page()), "blocked"),
        (Fault::NotFound, "blocked"),
        (Fault::Status(413, page()), "refused"),
        (Fault::BadRequest(bad.to_owned()), "refused"),
        (Fault::RetryAfter(7), "not_sent"),
        (Fault::Throttled(7), "not_sent"),
    ];
    for (fault, code) in cases {
        world.server.order(Operation::Award, fault.clone());
        let error = world.badgr.award(&request).await.expect_err("a fault");
        assert_eq!(error.code(), code, "{fault:?}: {error}");
        assert!(!error.to_string().contains('@'), "{error}");
        if code == "not_sent" {
            let retry_after = Some(Duration::from_secs(7));
            assert!(matches!(error, BackendError::NotSent { retry_after: r, .. } if r == retry_after));
        }
    }
    assert_eq!(world.server.faults_left(), 0);
    assert_eq!(world.live(), 0);
    world.server.order(Operation::Award, Fault::Truncated);
    assert_eq!(
        world.badgr.award(&request).await.expect_err("half an answer").code(),
        "unknown"
    );
    assert_eq!(world.live(), 1);
    assert!(world.badgr.look_up(&request).await.expect("answers").is_some());
}

#[tokio::test]
async fn no_answer_in_time_is_not_knowing() {
    let world = World::hasty().await;
    let request = world.request().await;
    world.server.order(Operation::Award, Fault::HangAfter);
    assert_eq!(
        world.badgr.award(&request).await.expect_err("no answer").code(),
        "unknown"
    );
    assert_eq!(world.live(), 1);
    world.server.order(Operation::LookUp, Fault::HangBefore);
    let error = world.badgr.look_up(&request).await.expect_err("no answer");
    assert!(!error.to_string().contains("example.com"), "{error}");
}

#[tokio::test]
async fn a_server_that_is_not_there_was_not_sent_to() {
    let clock = Arc::new(ManualClock::default());
    let cache = Arc::new(MemoryTokenCache::new(clock.clone()));
    let timeout = Duration::from_secs(5);
    let world = World::with(FakeBadgr::start().await, cache.clone(), clock.clone(), timeout);
    let request = world.request().await;
    let url = world.server.url();
    drop(world.server);
    // A replica with the shared token and no connection yet: what fails is the award.
    let badgr = replica(settings(&url, timeout), cache, clock, world.metrics.clone());
    let error = badgr.award(&request).await.expect_err("nobody there");
    assert_eq!(error.code(), "not_sent", "{error}");
    assert!(error.to_string().contains("award: "), "{error}");
    let line = "backend_requests_total{backend=\"badgr\",code=\"connect\",operation=\"award\"} 1";
    assert!(world.metrics.render().contains(line));
}

#[tokio::test]
async fn an_issuer_that_is_not_there_is_named() {
    let server = FakeBadgr::start().await;
    let mut settings = settings(&server.url(), Duration::from_secs(5));
    settings.issuer_slug = "nobody".to_owned();
    let clock = Arc::new(ManualClock::default());
    let cache = Arc::new(MemoryTokenCache::new(clock.clone()));
    let badgr = replica(settings, cache, clock, Arc::new(Metrics::new()));
    let error = badgr.reach().await.expect_err("no issuer");
    assert!(
        matches!(
            error,
            BackendError::Blocked {
                reason: "issuer_missing",
                ..
            }
        ),
        "{error}"
    );
}
