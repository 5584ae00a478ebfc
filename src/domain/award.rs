//! Awards: a decision on its way to an assertion, and the state machine of that way.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{
    badge_class::{BadgeClassId, BadgeClassKey},
    event::LearnerId,
};

/// Names awards and outgoing events, so that the same decision has the same ids wherever it is taken again.
const NAMESPACE: Uuid = Uuid::from_u128(0x3d1f_6f0c_54a0_4c57_9a44_f7b9_6e0d_2c11);

/// An award's id: the same learner, badge class and idempotency key always give the same one, even after the database
/// was restored from an older copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
#[serde(transparent)]
pub struct AwardId(pub Uuid);

impl AwardId {
    /// The id of this award.
    pub fn of(learner: LearnerId, badge_class: &BadgeClassKey, idempotency_key: &str) -> Self {
        let BadgeClassKey {
            slug,
            issuing_component,
            course_id,
        } = badge_class;
        let name = format!(
            "{}\n{slug}\n{issuing_component}\n{course_id}\n{idempotency_key}",
            learner.0
        );
        Self(Uuid::new_v5(&NAMESPACE, name.as_bytes()))
    }

    /// The id of the event that tells of this award: `badge.awarded` or `badge.revoked`.
    pub fn event_id(self, event_type: &str) -> Uuid {
        Uuid::new_v5(&self.0, event_type.as_bytes())
    }
}

/// Where an award stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AwardState {
    /// Decided; nothing was sent yet, or surely nothing arrived.
    Pending,
    /// A worker holds the lease and may have sent the request.
    Issuing,
    /// The request may or may not have been carried out: look it up before sending again.
    Uncertain,
    /// The backend has it, the assertion is stored, the event is in the outbox.
    Issued,
    /// The event was acknowledged by Kafka.
    Published,
    /// Something outside must change first (`reason` says what).
    Blocked,
    /// The backend refused it; a person may retry.
    Failed,
    /// Too old or tried too often; a person may retry.
    Dead,
    /// Will not be issued: withdrawn by a person or a retirement; or by a loss, until the learner qualifies again.
    Cancelled,
}

impl AwardState {
    /// Every state, in the order of an award's life.
    pub const ALL: [Self; 9] = [
        Self::Pending,
        Self::Issuing,
        Self::Uncertain,
        Self::Issued,
        Self::Published,
        Self::Blocked,
        Self::Failed,
        Self::Dead,
        Self::Cancelled,
    ];

    /// The state's name, as stored, in the API and in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Issuing => "issuing",
            Self::Uncertain => "uncertain",
            Self::Issued => "issued",
            Self::Published => "published",
            Self::Blocked => "blocked",
            Self::Failed => "failed",
            Self::Dead => "dead",
            Self::Cancelled => "cancelled",
        }
    }

    /// The state of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }
}

/// The rule that an award stands for: `reason.kind` of the outgoing event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RuleKind {
    /// At least N active enrolments.
    CoursesEnrolled,
    /// At least N passed courses.
    CoursesCompleted,
    /// Every course of a group passed.
    CourseGroup,
    /// A course passed.
    CourseCompletion,
    /// Some component asked for it.
    Requested,
}

impl RuleKind {
    /// Every kind.
    pub const ALL: [Self; 5] = [
        Self::CoursesEnrolled,
        Self::CoursesCompleted,
        Self::CourseGroup,
        Self::CourseCompletion,
        Self::Requested,
    ];

    /// The kind's name, as stored and published.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CoursesEnrolled => "courses_enrolled",
            Self::CoursesCompleted => "courses_completed",
            Self::CourseGroup => "course_group",
            Self::CourseCompletion => "course_completion",
            Self::Requested => "requested",
        }
    }

    /// The kind of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

/// Why an award was decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// The rule.
    pub rule: RuleKind,
    /// Found by a backfill, not by an event.
    pub by_backfill: bool,
    /// The rule's N; the number of courses of a group.
    pub threshold: Option<i32>,
    /// The learner's count at the decision.
    pub count: Option<i32>,
    /// The configuration that held the rule.
    pub configuration_id: Option<i32>,
    /// The event that brought it about.
    pub event_id: Option<String>,
    /// That event's time: where the latency of an award is measured from.
    pub event_time: Option<DateTime<Utc>>,
}

impl Reason {
    /// Somebody asked for it: with this event, or by the API (`None`); at this time.
    pub fn requested(event_id: Option<String>, time: DateTime<Utc>) -> Self {
        Self {
            rule: RuleKind::Requested,
            by_backfill: false,
            threshold: None,
            count: None,
            configuration_id: None,
            event_id,
            event_time: Some(time),
        }
    }
}

/// A decision: this learner gets this badge, for this reason. Not yet stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Who.
    pub learner: LearnerId,
    /// Which badge.
    pub badge_class: BadgeClassId,
    /// That badge's identity, for the award's id.
    pub badge_class_key: BadgeClassKey,
    /// `""`, but for requested badges with a key.
    pub idempotency_key: String,
    /// Why.
    pub reason: Reason,
    /// Evidence for the assertion.
    pub evidence_url: Option<String>,
}
