//! `badge.awarded` and `badge.revoked`: what the service says of a badge. No e-mail address is in it.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    mentions::Person,
    record::{Header, OutgoingRecord},
    schemas,
};
use crate::domain::{
    LearnerId,
    award::{Reason, RuleKind},
    badge_class::BadgeClass,
};

/// The type of the event that tells of an award.
pub const BADGE_AWARDED: &str = "badge.awarded";
/// The type of the event that tells of a revocation.
pub const BADGE_REVOKED: &str = "badge.revoked";

/// The data of both events.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct BadgeEvent<'a> {
    /// The badge as issued.
    pub assertion: AssertionPart<'a>,
    /// What was awarded.
    pub badge_class: BadgeClassPart<'a>,
    /// To whom.
    pub user: UserPart<'a>,
    /// Why.
    pub reason: ReasonPart,
    /// Since when it holds no more, and why; in `badge.revoked` only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub revocation: Option<RevocationPart<'a>>,
}

/// The assertion, as far as the world is told.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = EventAssertion)]
pub struct AssertionPart<'a> {
    /// Its public id.
    #[schema(value_type = String, format = "uuid", example = "0d9c4f1e-6f1b-4f0e-9d52-5b0f6d5f0c11")]
    pub id: &'a str,
    /// When it was issued.
    #[schema(value_type = schemas::Time)]
    pub created: DateTime<Utc>,
    /// By which backend.
    #[schema(value_type = String, example = "builtin")]
    pub backend: &'a str,
    /// Its image.
    #[schema(value_type = schemas::ImageUrl)]
    pub image_url: &'a str,
    /// Its public URL.
    #[schema(value_type = schemas::Url)]
    pub assertion_url: &'a str,
    /// Evidence.
    #[schema(value_type = Option<schemas::WebUrl>, required = true)]
    pub evidence_url: Option<&'a str>,
    /// The issuer, as the backend names it.
    #[schema(value_type = String, example = "https://badges.example.com/ob2/issuer")]
    pub issuer: &'a str,
    /// What the backend said of it, without e-mail addresses.
    #[schema(value_type = schemas::BackendData)]
    pub data: &'a Value,
}

/// The badge class.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = EventAwardedClass)]
pub struct BadgeClassPart<'a> {
    /// Its id in the API.
    #[schema(example = 7)]
    id: i32,
    #[schema(value_type = schemas::Slug)]
    slug: &'a str,
    #[schema(value_type = schemas::IssuingComponent)]
    issuing_component: &'a str,
    #[schema(value_type = schemas::DisplayName)]
    display_name: &'a str,
    #[schema(value_type = Option<schemas::CourseKey>, required = true)]
    course_id: Option<&'a str>,
    #[schema(value_type = schemas::Mode)]
    mode: &'a str,
    #[schema(value_type = schemas::Text)]
    description: &'a str,
    #[schema(value_type = schemas::Criteria)]
    criteria: &'a str,
    #[schema(value_type = schemas::ImageUrl)]
    image_url: &'a str,
    /// Its id at the badge backend.
    #[schema(required = true, example = "kx1EmsvQQKSBU9sVzhTAcA")]
    backend_id: Option<&'a str>,
}

/// The learner.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = EventLearner)]
pub struct UserPart<'a> {
    /// The platform's user id.
    #[schema(value_type = schemas::UserId)]
    pub id: LearnerId,
    /// Public user name, as the platform has it: also where its user names are e-mail addresses.
    #[schema(value_type = schemas::Username)]
    pub username: &'a str,
}

/// The reason of an award: `kind` is the rule's, or `backfill` with the rule's beside it.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = EventReason)]
pub struct ReasonPart {
    #[schema(value_type = schemas::ReasonKind)]
    kind: &'static str,
    /// The rule that a backfill stands for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = json!(null))]
    rule: Option<RuleKind>,
    /// How many courses the rule asks for.
    #[schema(required = true, example = 3)]
    threshold: Option<i32>,
    /// How many the learner had when it was decided.
    #[schema(required = true, example = 3)]
    count: Option<i32>,
    /// The configuration that the rule stands in.
    #[schema(required = true, example = 12)]
    configuration_id: Option<i32>,
}

/// A revocation.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = EventRevocation)]
pub struct RevocationPart<'a> {
    /// When.
    #[schema(value_type = schemas::Time)]
    pub time: DateTime<Utc>,
    /// Why.
    #[schema(value_type = schemas::Text)]
    pub reason: &'a str,
}

impl<'a> BadgeClassPart<'a> {
    /// This badge class, whose image is at this URL.
    pub fn new(badge_class: &'a BadgeClass, image_url: &'a str) -> Self {
        Self {
            id: badge_class.id.0,
            slug: &badge_class.key.slug,
            issuing_component: &badge_class.key.issuing_component,
            display_name: &badge_class.display_name,
            course_id: Some(badge_class.key.course_id.as_str()).filter(|id| !id.is_empty()),
            mode: &badge_class.mode,
            description: &badge_class.description,
            criteria: &badge_class.criteria,
            image_url,
            backend_id: badge_class.backend_id.as_deref(),
        }
    }
}

impl From<&Reason> for ReasonPart {
    fn from(reason: &Reason) -> Self {
        Self {
            kind: if reason.by_backfill {
                "backfill"
            } else {
                reason.rule.as_str()
            },
            rule: reason.by_backfill.then_some(reason.rule),
            threshold: reason.threshold,
            count: reason.count,
            configuration_id: reason.configuration_id,
        }
    }
}

impl BadgeEvent<'_> {
    /// The event's data as JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("texts, numbers and JSON are JSON")
    }
}

/// The user name in the data of an event.
pub fn username_in(payload: &str) -> Option<String> {
    let event: Value = serde_json::from_str(payload).ok()?;
    Some(event.pointer("/user/username")?.as_str()?.to_owned())
}

/// The data of an event without what is personal: an empty user name, nothing of what the backend said, no evidence, and
/// no name of this learner in links and reasons. What is no JSON becomes an empty object.
pub fn without_person(payload: &str, learner: &Person) -> String {
    let Ok(mut event) = serde_json::from_str::<Value>(payload) else {
        return "{}".to_owned();
    };
    for (place, nothing) in [
        ("/user/username", json!("")),
        ("/assertion/data", json!({})),
        ("/assertion/evidence_url", Value::Null),
    ] {
        if let Some(value) = event.pointer_mut(place) {
            *value = nothing;
        }
    }
    for place in ["/assertion/image_url", "/assertion/assertion_url", "/revocation/reason"] {
        if let Some(Value::String(text)) = event.pointer_mut(place)
            && let Some(erased) = learner.erased_from(text)
        {
            *text = erased;
        }
    }
    event.to_string()
}

/// An event about a badge and what a record needs to carry it.
#[derive(Debug, Clone, Copy)]
pub struct OutgoingBadgeEvent<'a> {
    /// The event's id: the same however often it is sent.
    pub event_id: Uuid,
    /// [`BADGE_AWARDED`] or [`BADGE_REVOKED`].
    pub event_type: &'a str,
    /// The CloudEvents source: who says it.
    pub source: &'a str,
    /// When it came about.
    pub time: DateTime<Utc>,
    /// Whom it is about.
    pub learner: LearnerId,
    /// Its number among the learner's events.
    pub seq: i64,
    /// [`BadgeEvent::to_json`].
    pub payload: &'a str,
}

/// The record of a badge's event: CloudEvents binary mode, keyed by the user id.
pub fn badge_record(topic: &str, event: &OutgoingBadgeEvent<'_>) -> OutgoingRecord {
    let learner = event.learner.0.to_string();
    OutgoingRecord {
        topic: topic.to_owned(),
        key: Some(learner.clone().into_bytes()),
        value: Some(event.payload.as_bytes().to_vec()),
        headers: vec![
            Header::text("ce_specversion", "1.0"),
            Header::text("ce_id", event.event_id.to_string()),
            Header::text("ce_source", event.source),
            Header::text("ce_type", event.event_type),
            Header::text("ce_time", event.time.to_rfc3339_opts(SecondsFormat::AutoSi, true)),
            Header::text("ce_subject", learner),
            Header::text("ce_sequence", event.seq.to_string()),
            Header::text("content-type", "application/json"),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::badge_class::{BadgeClassId, BadgeClassKey};

    fn reason(by_backfill: bool) -> Reason {
        Reason {
            rule: RuleKind::CoursesEnrolled,
            by_backfill,
            threshold: Some(3),
            count: Some(4),
            configuration_id: Some(12),
            event_id: None,
            event_time: None,
        }
    }

    #[test]
    fn the_payload_is_the_one_that_was_promised() {
        let badge_class = BadgeClass {
            id: BadgeClassId(7),
            key: BadgeClassKey {
                slug: "enrolled_three".to_owned(),
                issuing_component: "openedx__course".to_owned(),
                course_id: String::new(),
            },
            mode: String::new(),
            display_name: "Three".to_owned(),
            description: "D".to_owned(),
            criteria: "C".to_owned(),
            backend: None,
            backend_id: Some("b".to_owned()),
            backend_image_url: None,
            public_id: "p".to_owned(),
        };
        let data = json!({});
        let event = BadgeEvent {
            assertion: AssertionPart {
                id: "a",
                created: DateTime::UNIX_EPOCH,
                backend: "badgr",
                image_url: "https://i",
                assertion_url: "https://a",
                evidence_url: None,
                issuer: "https://issuer",
                data: &data,
            },
            badge_class: BadgeClassPart::new(&badge_class, "https://ci"),
            user: UserPart {
                id: LearnerId(42),
                username: "ada",
            },
            reason: ReasonPart::from(&reason(false)),
            revocation: None,
        };
        let expected = json!({
            "assertion": {"id": "a", "created": "1970-01-01T00:00:00Z", "backend": "badgr", "image_url": "https://i",
                "assertion_url": "https://a", "evidence_url": null, "issuer": "https://issuer", "data": {}},
            "badge_class": {"id": 7, "slug": "enrolled_three", "issuing_component": "openedx__course",
                "display_name": "Three", "course_id": null, "mode": "", "description": "D", "criteria": "C",
                "image_url": "https://ci", "backend_id": "b"},
            "user": {"id": 42, "username": "ada"},
            "reason": {"kind": "courses_enrolled", "threshold": 3, "count": 4, "configuration_id": 12},
        });
        let payload: Value = serde_json::from_str(&event.to_json()).expect("JSON");
        assert_eq!(payload, expected);
    }

    #[test]
    fn a_backfill_names_the_rule_that_it_stands_for() {
        let part = serde_json::to_value(ReasonPart::from(&reason(true))).expect("JSON");
        let expected =
            json!({"kind": "backfill", "rule": "courses_enrolled", "threshold": 3, "count": 4, "configuration_id": 12});
        assert_eq!(part, expected);
    }

    #[test]
    fn a_retired_learner_is_in_no_event() {
        let said = json!({
            "assertion": {"id": "a", "assertion_url": "https://b/ada/1", "evidence_url": "https://e/ada", "data": {"x": "ada"}},
            "badge_class": {"slug": "ada"}, "user": {"id": 42, "username": "ada"}, "revocation": {"reason": "ada, again"},
        });
        let said = said.to_string();
        let mut ada = Person::new(LearnerId(42));
        ada.add_user_name(username_in(&said).as_deref());
        let left = json!({
            "assertion": {"id": "a", "assertion_url": "https://b/[erased]/1", "evidence_url": null, "data": {}},
            "badge_class": {"slug": "ada"}, "user": {"id": 42, "username": ""}, "revocation": {"reason": "[erased], again"},
        });
        assert_eq!(without_person(&said, &ada), left.to_string());
        assert_eq!(without_person("{}", &ada), "{}");
        assert_eq!(without_person("ada", &ada), "{}");
    }

    #[test]
    fn a_record_is_a_binary_cloud_event_keyed_by_the_learner() {
        let record = badge_record(
            "badge.awarded",
            &OutgoingBadgeEvent {
                event_id: Uuid::nil(),
                event_type: BADGE_AWARDED,
                source: "https://badges.example.com",
                time: DateTime::UNIX_EPOCH,
                learner: LearnerId(42),
                seq: 7,
                payload: "{}",
            },
        );
        assert_eq!(record.key.as_deref(), Some(&b"42"[..]));
        let headers: Vec<(&str, &str)> = record
            .headers
            .iter()
            .map(|header| {
                (
                    header.name.as_str(),
                    std::str::from_utf8(header.value.as_deref().expect("a value")).expect("text"),
                )
            })
            .collect();
        assert_eq!(
            headers,
            [
                ("ce_specversion", "1.0"),
                ("ce_id", "00000000-0000-0000-0000-000000000000"),
                ("ce_source", "https://badges.example.com"),
                ("ce_type", "badge.awarded"),
                ("ce_time", "1970-01-01T00:00:00Z"),
                ("ce_subject", "42"),
                ("ce_sequence", "7"),
                ("content-type", "application/json"),
            ]
        );
    }
}
