//! The data of the events to be read, as the description of the topics shows them: what [`super::platform_event`] reads,
//! type by type. Unknown members are ignored; null is the same as a member that is not there.

use utoipa::ToSchema;

use super::{
    EventType,
    platform_event::{BadgeClassRef, Course, User},
    schemas::{CertificateStatus, CertificateUuid, IdempotencyKey, Mode, UserId, WebUrl},
};

/// A learner is enrolled in a course, or no longer.
#[derive(ToSchema)]
#[schema(as = EnrollmentData)]
#[expect(dead_code, reason = "it is described only")]
pub(super) struct Enrollment {
    user: User<'static>,
    course: Course<'static>,
    mode: Option<Mode>,
    /// Whether the learner is enrolled from now on; without it, `enrollment.created` means yes and
    /// `enrollment.deactivated` no.
    #[schema(example = true)]
    is_active: Option<bool>,
}

/// A learner has a certificate of a course, or no longer.
#[derive(ToSchema)]
#[schema(as = CertificateData)]
#[expect(dead_code, reason = "it is described only")]
pub(super) struct Certificate {
    user: User<'static>,
    course: Course<'static>,
    mode: Option<Mode>,
    /// Open edX's status of the certificate: the learner has passed with `downloadable` (which counts without a status)
    /// and `generating`, and with no other.
    status: Option<CertificateStatus>,
    uuid: Option<CertificateUuid>,
    /// The certificate's page: the evidence of the course completion badge.
    url: Option<WebUrl>,
}

/// What changed of a course.
#[derive(ToSchema)]
#[schema(as = CourseData)]
#[expect(dead_code, reason = "it is described only")]
pub(super) struct CourseUpdate {
    course: UpdatedCourse,
}

/// A course, as far as it changed.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it is described only")]
pub(super) struct UpdatedCourse {
    #[serde(flatten)]
    course: Course<'static>,
    /// Whether certificates of this course bring course completion badges.
    issue_badges: Option<bool>,
}

/// What changed of a learner.
#[derive(ToSchema)]
#[schema(as = LearnerData)]
#[expect(dead_code, reason = "it is described only")]
pub(super) struct Learner {
    user: User<'static>,
}

/// A learner leaves: names and addresses are erased.
#[derive(ToSchema)]
#[schema(as = RetirementData)]
#[expect(dead_code, reason = "it is described only")]
pub(super) struct Retirement {
    user: RetiredUser,
}

/// A learner who leaves.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it is described only")]
pub(super) struct RetiredUser {
    id: UserId,
}

/// A component asks for a badge.
#[derive(ToSchema)]
#[schema(as = RequestData)]
#[expect(dead_code, reason = "it is described only")]
pub(super) struct Request {
    user: User<'static>,
    badge_class: BadgeClassRef<'static>,
    /// Evidence for the assertion.
    evidence_url: Option<WebUrl>,
    idempotency_key: Option<IdempotencyKey>,
}

/// What an event of this type is for, and the name of the schema of its data.
pub(super) fn described(event_type: EventType) -> (&'static str, &'static str) {
    match event_type {
        EventType::EnrollmentCreated => ("A learner is enrolled in a course", "EnrollmentData"),
        EventType::EnrollmentDeactivated => ("A learner is no longer enrolled in a course", "EnrollmentData"),
        EventType::CertificateGenerated => ("A learner has a certificate of a course", "CertificateData"),
        EventType::CertificateRevoked => ("A learner's certificate does not hold any more", "CertificateData"),
        EventType::CourseUpdated => ("A course changed", "CourseData"),
        EventType::LearnerUpdated => ("A learner's name or address changed", "LearnerData"),
        EventType::LearnerRetired => ("A learner leaves: names and addresses are erased", "RetirementData"),
        EventType::BadgeRequested => ("A component asks for a badge", "RequestData"),
    }
}
