//! Records as the service writes them, for the examples.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use uuid::Uuid;

use super::topics;
use crate::{
    domain::{
        LearnerId,
        award::{Reason, RuleKind},
        badge_class::{BadgeClass, BadgeClassId, BadgeClassKey},
    },
    wire::{
        badge_event::{
            AssertionPart, BADGE_AWARDED, BADGE_REVOKED, BadgeClassPart, BadgeEvent, OutgoingBadgeEvent,
            RevocationPart, UserPart, badge_record,
        },
        dead_letter::dead_letter_record,
        record::{Header, OutgoingRecord, Record},
    },
};

const LEARNER: LearnerId = LearnerId(42);
const SITE: &str = "https://badges.example.com";

pub(super) fn awarded() -> OutgoingRecord {
    badge(topics::AWARDED, BADGE_AWARDED, None)
}

pub(super) fn revoked() -> OutgoingRecord {
    badge(topics::REVOKED, BADGE_REVOKED, Some("Issued in error"))
}

/// 2026-11-20T09:30:00Z.
fn time() -> DateTime<Utc> {
    DateTime::from_timestamp(1_795_167_000, 0).expect("a time")
}

fn badge(topic: &str, event_type: &str, revoked: Option<&str>) -> OutgoingRecord {
    let class = BadgeClass {
        id: BadgeClassId(7),
        key: BadgeClassKey {
            slug: "enrolled_three".to_owned(),
            issuing_component: "openedx__course".to_owned(),
            course_id: String::new(),
        },
        mode: String::new(),
        display_name: "Enroll in Three Courses".to_owned(),
        description: "Enrolled in three courses".to_owned(),
        criteria: "A learner must enroll in three courses to receive this badge".to_owned(),
        backend: Some("builtin".to_owned()),
        backend_id: Some("5f0c9a52-7c1e-4b8a-9a55-0c7b6a1d2e3f".to_owned()),
        backend_image_url: None,
        public_id: "5f0c9a52-7c1e-4b8a-9a55-0c7b6a1d2e3f".to_owned(),
    };
    let reason = Reason {
        rule: RuleKind::CoursesEnrolled,
        by_backfill: false,
        threshold: Some(3),
        count: Some(3),
        configuration_id: Some(12),
        event_id: None,
        event_time: None,
    };
    let id = "0d9c4f1e-6f1b-4f0e-9d52-5b0f6d5f0c11";
    let url = format!("{SITE}/ob2/assertions/{id}");
    let (image, class_image) = (
        format!("{url}/image.png"),
        format!("{SITE}/ob2/badges/{}/image.png", class.public_id),
    );
    let (issuer, data) = (format!("{SITE}/ob2/issuer"), json!({}));
    let happened = match revoked {
        None => time(),
        Some(_) => time() + TimeDelta::days(2),
    };
    let event = BadgeEvent {
        assertion: AssertionPart {
            id,
            created: time(),
            backend: "builtin",
            image_url: &image,
            assertion_url: &url,
            evidence_url: None,
            issuer: &issuer,
            data: &data,
        },
        badge_class: BadgeClassPart::new(&class, &class_image),
        user: UserPart {
            id: LEARNER,
            username: "ada",
        },
        reason: (&reason).into(),
        revocation: revoked.map(|reason| RevocationPart { time: happened, reason }),
    };
    badge_record(
        topic,
        &OutgoingBadgeEvent {
            event_id: Uuid::new_v5(&Uuid::NAMESPACE_URL, format!("{url}#{event_type}").as_bytes()),
            event_type,
            source: SITE,
            time: happened,
            learner: LEARNER,
            seq: if revoked.is_some() { 2 } else { 1 },
            payload: &event.to_json(),
        },
    )
}

pub(super) fn dead_letter() -> OutgoingRecord {
    let original = Record {
        topic: topics::ENROLLMENT.into(),
        partition: 3,
        offset: 17,
        timestamp: None,
        key: Some(b"42".to_vec()),
        value: Some(br#"{"user": {"id": "42", "username": "ada"}, "course": {"id": "edX/DemoX/2026"}}"#.to_vec()),
        headers: vec![Header::text("ce_type", "enrollment.created")],
    };
    let message = "data.user.id: expected an integer";
    dead_letter_record(topics::DEAD_LETTERS, &original, "schema", message)
}
