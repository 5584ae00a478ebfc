//! The data of the platform's events, by their type.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{
    decode::{DecodeError, parse_time},
    scalar::{Object, Scalar},
    schemas,
};
use crate::domain::{
    CourseKey, EventBody, LearnerId,
    event::{CourseDetails, LearnerDetails},
    limits::{self, InvalidText},
};

/// The types of events that concern us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventType {
    /// A learner is enrolled in a course.
    EnrollmentCreated,
    /// A learner is no longer enrolled in a course.
    EnrollmentDeactivated,
    /// A learner has a certificate; whether passed, its status tells.
    CertificateGenerated,
    /// A learner's certificate does not hold any more.
    CertificateRevoked,
    /// A course's details changed.
    CourseUpdated,
    /// A learner's details changed.
    LearnerUpdated,
    /// A learner leaves; nothing personal may be kept.
    LearnerRetired,
    /// A component asks for a badge.
    BadgeRequested,
}

impl EventType {
    /// Every type.
    pub const ALL: [Self; 8] = [
        Self::EnrollmentCreated,
        Self::EnrollmentDeactivated,
        Self::CertificateGenerated,
        Self::CertificateRevoked,
        Self::CourseUpdated,
        Self::LearnerUpdated,
        Self::LearnerRetired,
        Self::BadgeRequested,
    ];

    /// The CloudEvents `type`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EnrollmentCreated => "enrollment.created",
            Self::EnrollmentDeactivated => "enrollment.deactivated",
            Self::CertificateGenerated => "certificate.generated",
            Self::CertificateRevoked => "certificate.revoked",
            Self::CourseUpdated => "course.updated",
            Self::LearnerUpdated => "learner.updated",
            Self::LearnerRetired => "learner.retired",
            Self::BadgeRequested => "badge.requested",
        }
    }

    /// The type of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.as_str() == name)
    }
}

/// The members of every type's data; a type looks at its own only.
#[derive(Debug, Deserialize)]
pub(super) struct Data<'a> {
    #[serde(borrow, default)]
    user: Object<User<'a>>,
    #[serde(borrow, default)]
    course: Object<Course<'a>>,
    #[serde(borrow, default)]
    badge_class: Object<BadgeClassRef<'a>>,
    #[serde(borrow, default)]
    mode: Scalar<'a>,
    #[serde(borrow, default)]
    is_active: Scalar<'a>,
    #[serde(borrow, default)]
    status: Scalar<'a>,
    #[serde(borrow, default)]
    uuid: Scalar<'a>,
    #[serde(borrow, default)]
    url: Scalar<'a>,
    #[serde(borrow, default)]
    evidence_url: Scalar<'a>,
    #[serde(borrow, default)]
    idempotency_key: Scalar<'a>,
}

/// A learner. Without an address a badge waits until an event brings one.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = EventUser)]
pub(super) struct User<'a> {
    #[serde(borrow, default)]
    #[schema(value_type = schemas::UserId, required = true)]
    id: Scalar<'a>,
    #[serde(borrow, default)]
    #[schema(value_type = schemas::GivenUsername, required = true)]
    username: Scalar<'a>,
    #[serde(borrow, default)]
    #[schema(value_type = Option<schemas::Address>)]
    email: Scalar<'a>,
    #[serde(borrow, default)]
    #[schema(value_type = Option<schemas::FullName>)]
    name: Scalar<'a>,
}

/// A course. What an event does not tell of it stays as it is known.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = EventCourse)]
pub(super) struct Course<'a> {
    #[serde(borrow, default)]
    #[schema(value_type = schemas::CourseKey, required = true)]
    id: Scalar<'a>,
    #[serde(borrow, default)]
    #[schema(value_type = Option<schemas::CourseName>)]
    display_name: Scalar<'a>,
    /// The first day.
    #[serde(borrow, default)]
    #[schema(value_type = Option<schemas::GivenTime>)]
    start: Scalar<'a>,
    /// The last day.
    #[serde(borrow, default)]
    #[schema(value_type = Option<schemas::GivenEnd>)]
    end: Scalar<'a>,
    #[serde(borrow, default)]
    #[schema(ignore)]
    issue_badges: Scalar<'a>,
}

/// A badge class, by what it is known by.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = EventBadgeClass)]
pub(super) struct BadgeClassRef<'a> {
    #[serde(borrow, default)]
    #[schema(value_type = schemas::SlugOfAnyCase, required = true)]
    slug: Scalar<'a>,
    #[serde(borrow, default)]
    #[schema(value_type = Option<schemas::IssuingComponentOfAnyCase>)]
    issuing_component: Scalar<'a>,
    #[serde(borrow, default)]
    #[schema(value_type = Option<schemas::CourseKeyOrNone>)]
    course_id: Scalar<'a>,
}

impl Data<'_> {
    /// Reads what an event of this type says.
    pub(super) fn into_body(self, event_type: EventType) -> Result<EventBody, DecodeError> {
        match event_type {
            EventType::EnrollmentCreated => self.enrollment(true),
            EventType::EnrollmentDeactivated => self.enrollment(false),
            EventType::CertificateGenerated => self.certificate(false),
            EventType::CertificateRevoked => self.certificate(true),
            EventType::CourseUpdated => {
                let mut course = self.course.required("data.course")?;
                let issue_badges = std::mem::take(&mut course.issue_badges).boolean("data.course.issue_badges")?;
                Ok(EventBody::CourseUpdated {
                    course: course.details()?,
                    issue_badges,
                })
            }
            EventType::LearnerUpdated => Ok(EventBody::LearnerUpdated(self.user.required("data.user")?.details()?)),
            EventType::LearnerRetired => {
                let user = self.user.required("data.user")?;
                Ok(EventBody::LearnerRetired(LearnerId(user.id.integer("data.user.id")?)))
            }
            EventType::BadgeRequested => self.request(),
        }
    }

    fn enrollment(self, active_by_default: bool) -> Result<EventBody, DecodeError> {
        Ok(EventBody::Enrollment {
            learner: self.user.required("data.user")?.details()?,
            course: self.course.required("data.course")?.details()?,
            mode: mode(self.mode)?,
            is_active: self.is_active.boolean("data.is_active")?.unwrap_or(active_by_default),
        })
    }

    fn certificate(self, revoked: bool) -> Result<EventBody, DecodeError> {
        let status = self.status.text("data.status")?;
        let passed = matches!(status.as_deref(), None | Some("downloadable" | "generating"));
        Ok(EventBody::Certificate {
            learner: self.user.required("data.user")?.details()?,
            course: self.course.required("data.course")?.details()?,
            mode: mode(self.mode)?,
            passed: passed && !revoked,
            uuid: self.uuid.saying("data.uuid")?,
            url: self.url.url("data.url")?,
        })
    }

    fn request(self) -> Result<EventBody, DecodeError> {
        let badge_class = self.badge_class.required("data.badge_class")?;
        let lower = |text: Option<String>| text.map(|text| text.to_lowercase());
        let slug = lower(
            badge_class
                .slug
                .checked("data.badge_class.slug", check_case_blind_slug)?,
        );
        let component = badge_class
            .issuing_component
            .checked("data.badge_class.issuing_component", |text| {
                limits::check_component(&text.to_lowercase())
            })?;
        let course = match badge_class.course_id.text("data.badge_class.course_id")? {
            Some(key) if !key.is_empty() => Some(course_key(&key, "data.badge_class.course_id")?),
            _ => None,
        };
        Ok(EventBody::BadgeRequested {
            learner: self.user.required("data.user")?.details()?,
            slug: slug.ok_or_else(|| DecodeError::schema("data.badge_class.slug", "missing; expected a text"))?,
            issuing_component: lower(component).unwrap_or_default(),
            course,
            evidence_url: self.evidence_url.url("data.evidence_url")?,
            idempotency_key: self
                .idempotency_key
                .checked("data.idempotency_key", limits::check_name)?
                .unwrap_or_default(),
        })
    }
}

impl User<'_> {
    fn details(self) -> Result<LearnerDetails, DecodeError> {
        let username = self.username.checked("data.user.username", |text| match text {
            "" => Err(InvalidText::Empty),
            text => limits::check_name(text),
        })?;
        Ok(LearnerDetails {
            id: LearnerId(self.id.integer("data.user.id")?),
            username: username.ok_or_else(|| DecodeError::schema("data.user.username", "missing; expected a text"))?,
            email: self.email.saying("data.user.email")?,
            name: self.name.saying("data.user.name")?,
        })
    }
}

impl Course<'_> {
    fn details(self) -> Result<CourseDetails, DecodeError> {
        let id = self.id.text("data.course.id")?;
        let id = id.ok_or_else(|| DecodeError::schema("data.course.id", "missing; expected a text"))?;
        Ok(CourseDetails {
            key: course_key(&id, "data.course.id")?,
            display_name: self.display_name.saying("data.course.display_name")?,
            start: day(self.start, "data.course.start")?,
            end: day(self.end, "data.course.end")?,
        })
    }
}

fn mode(mode: Scalar<'_>) -> Result<String, DecodeError> {
    Ok(mode.checked("data.mode", limits::check_text)?.unwrap_or_default())
}

fn check_case_blind_slug(text: &str) -> Result<(), InvalidText> {
    limits::check_slug(&text.to_lowercase())
}

fn course_key(text: &str, path: &'static str) -> Result<CourseKey, DecodeError> {
    text.parse().map_err(|_| DecodeError::InvalidCourseKey { path })
}

fn day(time: Scalar<'_>, path: &'static str) -> Result<Option<DateTime<Utc>>, DecodeError> {
    match time.text(path)? {
        Some(text) if !text.is_empty() => parse_time(&text, path).map(Some),
        _ => Ok(None),
    }
}
