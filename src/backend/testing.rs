//! What tests of backends ask for.

use crate::{
    backend::AwardRequest,
    domain::{
        LearnerId,
        award::{AwardId, Reason, RuleKind},
        badge_class::{BadgeClass, BadgeClassId, BadgeClassKey},
    },
};

/// A badge for Ada, who enrolled in three courses.
pub(super) fn award_request() -> AwardRequest {
    let key = BadgeClassKey {
        slug: "enrolled_three".to_owned(),
        issuing_component: "openedx__course".to_owned(),
        course_id: String::new(),
    };
    AwardRequest {
        others: Vec::new(),
        award: AwardId::of(LearnerId(42), &key, ""),
        learner: LearnerId(42),
        username: "ada".to_owned(),
        full_name: Some("Ada".to_owned()),
        recipient: "ada@example.com".to_owned(),
        badge_class: BadgeClass {
            id: BadgeClassId(7),
            key,
            mode: String::new(),
            display_name: "Enroll in Three Courses".to_owned(),
            description: "Enrolled in three courses".to_owned(),
            criteria: "A learner must enroll in three courses".to_owned(),
            backend: None,
            backend_id: Some("c1".to_owned()),
            backend_image_url: None,
            public_id: "0d9c7d6c-3f3c-4f0e-9c57-0b1f2f3a4b5c".to_owned(),
        },
        image: Some((*b"png").into()),
        evidence_url: None,
        reason: Reason {
            rule: RuleKind::CoursesEnrolled,
            by_backfill: false,
            threshold: Some(3),
            count: Some(3),
            configuration_id: Some(12),
            event_id: None,
            event_time: None,
        },
        now: "2026-11-01T12:00:00Z".parse().expect("a time"),
    }
}
