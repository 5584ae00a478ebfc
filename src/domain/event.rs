//! Events: what the platform says of learners and courses.

use chrono::{DateTime, Utc};

use super::CourseKey;

/// The platform's user id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
#[serde(transparent)]
pub struct LearnerId(pub i64);

/// When something was said, and by which event: what orders facts.
///
/// The later time is newer; equal times are decided by the event ids, compared as bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stamp {
    /// The event's time, cut to microseconds and to at most five minutes past its record's timestamp.
    pub time: DateTime<Utc>,
    /// The event's id, or a hash of its data where it has none.
    pub event_id: String,
}

/// One event, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// What orders it.
    pub stamp: Stamp,
    /// What it says.
    pub body: EventBody,
}

/// What an event says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventBody {
    /// `enrollment.created`, `enrollment.deactivated`.
    Enrollment {
        /// Who.
        learner: LearnerDetails,
        /// Where.
        course: CourseDetails,
        /// Course mode, `""` where unknown.
        mode: String,
        /// Whether the learner is enrolled from now on.
        is_active: bool,
    },
    /// `certificate.generated`, `certificate.revoked`.
    Certificate {
        /// Who.
        learner: LearnerDetails,
        /// Where.
        course: CourseDetails,
        /// Course mode, `""` where unknown.
        mode: String,
        /// Whether the status is one of Open edX's passed statuses (`downloadable`, `generating`).
        passed: bool,
        /// The certificate's uuid.
        uuid: Option<String>,
        /// The certificate's page.
        url: Option<String>,
    },
    /// `course.updated`.
    CourseUpdated {
        /// The course and what changed.
        course: CourseDetails,
        /// The course's switch for completion badges, where the event tells it.
        issue_badges: Option<bool>,
    },
    /// `learner.updated`.
    LearnerUpdated(LearnerDetails),
    /// `learner.retired`.
    LearnerRetired(LearnerId),
    /// `badge.requested`.
    BadgeRequested {
        /// For whom.
        learner: LearnerDetails,
        /// Slug of the badge class.
        slug: String,
        /// Issuing component of the badge class, `""` for none.
        issuing_component: String,
        /// Course of the badge class.
        course: Option<CourseKey>,
        /// Evidence for the assertion.
        evidence_url: Option<String>,
        /// Distinguishes several awards of one badge class; `""` for the only one.
        idempotency_key: String,
    },
}

impl EventBody {
    /// The learner whom this event is about, with what it tells of them.
    pub fn learner(&self) -> Option<&LearnerDetails> {
        match self {
            Self::Enrollment { learner, .. }
            | Self::Certificate { learner, .. }
            | Self::BadgeRequested { learner, .. }
            | Self::LearnerUpdated(learner) => Some(learner),
            Self::CourseUpdated { .. } | Self::LearnerRetired(_) => None,
        }
    }

    /// The course that this event describes.
    pub fn course(&self) -> Option<&CourseDetails> {
        match self {
            Self::Enrollment { course, .. } | Self::Certificate { course, .. } | Self::CourseUpdated { course, .. } => {
                Some(course)
            }
            Self::BadgeRequested { .. } | Self::LearnerUpdated(_) | Self::LearnerRetired(_) => None,
        }
    }
}

/// What an event tells of a learner. `None` is "does not say", and erases nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct LearnerDetails {
    /// The platform's user id.
    pub id: LearnerId,
    /// Public user name.
    pub username: String,
    /// E-mail address. Personal: never in logs.
    pub email: Option<String>,
    /// Full name. Personal: never in logs.
    pub name: Option<String>,
}

impl std::fmt::Debug for LearnerDetails {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LearnerDetails")
            .field("id", &self.id.0)
            .finish_non_exhaustive()
    }
}

/// What an event tells of a course. `None` is "does not say", and erases nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CourseDetails {
    /// The course.
    pub key: CourseKey,
    /// Its name; an empty text counts as "does not say".
    pub display_name: Option<String>,
    /// Its first day.
    pub start: Option<DateTime<Utc>>,
    /// Its last day.
    pub end: Option<DateTime<Utc>>,
}

impl CourseDetails {
    /// Whether nothing is told but which course it is.
    pub fn is_silent(&self) -> bool {
        let is_named = self.display_name.as_ref().is_some_and(|name| !name.is_empty());
        !is_named && self.start.is_none() && self.end.is_none()
    }
}
