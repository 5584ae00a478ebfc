//! What is stored of an award that was issued, and what is told of it.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{
    backend::{AwardRequest, BadgingBackend, Issued, builtin::documents::Urls},
    clock::Clock,
    domain::badge_class::BadgeClass,
    store::{
        assertions::NewAssertion,
        awards::{AtOnce, ClaimedAward, Completed},
    },
    wire::{
        badge_event::{AssertionPart, BADGE_AWARDED, BadgeClassPart, BadgeEvent, ReasonPart, UserPart},
        redact,
    },
};

/// Composes what is stored and announced.
pub(super) struct Composer {
    urls: Urls,
    /// [`BadgingBackend::name`]
    backend: &'static str,
}

/// How awards are issued in the transaction that decides them: with a local backend that can, and only once it has the
/// badge class. All others wait for the issue loop.
pub fn at_once(backend: Arc<dyn BadgingBackend>, public_url: &str, clock: Arc<dyn Clock>) -> Option<Arc<AtOnce>> {
    if !backend.is_local() || backend.needs_image() {
        return None;
    }
    let composer = Composer::new(backend.name(), public_url);
    Some(Arc::new(move |award: &ClaimedAward| {
        if !award.badge_class.is_made_at(composer.backend) {
            return None;
        }
        let now = clock.now();
        let issued = backend.award_at_once(&request(award, award.badge_class.clone(), now))?;
        Some(composer.completed(award, &award.badge_class, issued, now))
    }))
}

/// What the backend is asked, but for what is read for it only: the image, and other assertions of the learner.
pub(super) fn request(award: &ClaimedAward, badge_class: BadgeClass, now: DateTime<Utc>) -> AwardRequest {
    AwardRequest {
        award: award.award,
        learner: award.learner,
        username: award.username.clone(),
        full_name: award.full_name.clone(),
        recipient: award.recipient.clone(),
        badge_class,
        image: None,
        others: Vec::new(),
        evidence_url: award.evidence_url.clone(),
        reason: award.reason.clone(),
        now,
    }
}

impl Composer {
    pub(super) fn new(backend: &'static str, public_url: &str) -> Self {
        Self {
            urls: Urls::new(public_url),
            backend,
        }
    }

    /// What follows from this answer of the backend.
    pub(super) fn completed(
        &self,
        award: &ClaimedAward,
        badge_class: &BadgeClass,
        issued: Issued,
        created: DateTime<Utc>,
    ) -> Completed {
        let id = issued.public_id.unwrap_or_else(|| Uuid::new_v4().to_string());
        let our_image = self.urls.badge_class_image(&badge_class.public_id);
        let evidence_url = award.evidence_url.as_deref();
        let told_evidence = evidence_url.and_then(|url| redact::url(url, &award.recipient));
        let told = |text: &str| redact::text(text, &award.recipient);
        let event = BadgeEvent {
            assertion: AssertionPart {
                id: &id,
                created,
                backend: self.backend,
                image_url: &told(&issued.image_url),
                assertion_url: &told(&issued.assertion_url),
                evidence_url: told_evidence.as_deref(),
                issuer: &told(&issued.issuer),
                data: &issued.data,
            },
            badge_class: BadgeClassPart::new(
                badge_class,
                badge_class.backend_image_url.as_deref().unwrap_or(&our_image),
            ),
            user: UserPart {
                id: award.learner,
                username: &award.username,
            },
            reason: ReasonPart::from(&award.reason),
            revocation: None,
        };
        Completed {
            lease_token: award.lease_token,
            event_id: award.award.event_id(BADGE_AWARDED).to_string(),
            event_type: BADGE_AWARDED.to_owned(),
            payload: event.to_json(),
            event_time: award.reason.event_time,
            assertion: NewAssertion {
                learner: award.learner,
                award: award.award,
                id,
                badge_class: badge_class.id,
                backend: self.backend.into(),
                backend_id: issued.backend_id,
                image_url: issued.image_url,
                assertion_url: issued.assertion_url,
                evidence_url: award.evidence_url.clone(),
                issuer: issued.issuer,
                recipient_hash: issued.recipient_hash,
                data: issued.data,
                created,
            },
        }
    }
}
