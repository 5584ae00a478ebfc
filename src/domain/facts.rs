//! Facts: what is known of a learner in a course, and how an event changes it.

use super::event::Stamp;

/// Both facts of a (learner, course) pair.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CourseFacts {
    /// Whether the learner is enrolled.
    pub enrollment: Option<EnrollmentFact>,
    /// Whether the learner has passed.
    pub certificate: Option<CertificateFact>,
}

/// The enrolment of a learner in a course.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnrollmentFact {
    /// Enrolled now.
    pub active: bool,
    /// Course mode.
    pub mode: String,
    /// The event that said so.
    pub stamp: Stamp,
}

/// The certificate of a learner in a course.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFact {
    /// Passed now.
    pub passed: bool,
    /// Course mode.
    pub mode: String,
    /// The certificate's page.
    pub evidence_url: Option<String>,
    /// The event that said so.
    pub stamp: Stamp,
}

impl CourseFacts {
    /// Takes an enrolment in, unless a newer one (or this very one) is known. Returns whether it was taken.
    pub fn merge_enrollment(&mut self, fact: EnrollmentFact) -> bool {
        let newer = self.enrollment.as_ref().is_none_or(|known| fact.stamp > known.stamp);
        if newer {
            self.enrollment = Some(fact);
        }
        newer
    }

    /// Takes a certificate in, unless a newer one (or this very one) is known. Returns whether it was taken.
    pub fn merge_certificate(&mut self, fact: CertificateFact) -> bool {
        let newer = self.certificate.as_ref().is_none_or(|known| fact.stamp > known.stamp);
        if newer {
            self.certificate = Some(fact);
        }
        newer
    }

    /// Enrolled now.
    pub fn is_enrolled(&self) -> bool {
        self.enrollment.as_ref().is_some_and(|fact| fact.active)
    }

    /// Passed now.
    pub fn is_passed(&self) -> bool {
        self.certificate.as_ref().is_some_and(|fact| fact.passed)
    }
}
