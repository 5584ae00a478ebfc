//! What a backend is asked for, and what it makes of that.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::domain::{
    LearnerId,
    award::{AwardId, Reason},
    badge_class::BadgeClass,
};

/// A badge class as the backend made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MadeBadgeClass {
    /// Its id there.
    pub backend_id: String,
    /// Where its image is shown.
    pub image_url: Option<String>,
}

/// All that an assertion needs.
#[derive(Clone)]
pub struct AwardRequest {
    /// The award; also the idempotency key.
    pub award: AwardId,
    /// Whom it is for.
    pub learner: LearnerId,
    /// Their user name.
    pub username: String,
    /// Their full name, where known.
    pub full_name: Option<String>,
    /// The e-mail address that the first attempt used; every later attempt and look-up uses it too.
    pub recipient: String,
    /// What is awarded, with its id at this backend where it has badge classes of its own.
    pub badge_class: BadgeClass,
    /// The badge class's PNG, where [`BadgingBackend::needs_image`](super::BadgingBackend::needs_image).
    pub image: Option<Arc<[u8]>>,
    /// [`Issued::backend_id`] of what this learner was issued of this badge class under other keys: a look-up passes
    /// over these.
    pub others: Vec<String>,
    /// Evidence.
    pub evidence_url: Option<String>,
    /// Why.
    pub reason: Reason,
    /// The time now.
    pub now: DateTime<Utc>,
}

impl std::fmt::Debug for AwardRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AwardRequest")
            .field("award", &self.award.0)
            .finish_non_exhaustive()
    }
}

/// What is to be revoked, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevokeRequest {
    /// The award it was issued for.
    pub award: AwardId,
    /// [`Issued::backend_id`], as it was kept.
    pub backend_id: Option<String>,
    /// [`Issued::assertion_url`], as it was kept.
    pub assertion_url: String,
    /// Why, as a person wrote it.
    pub reason: String,
}

/// An assertion as the backend made it.
#[derive(Debug, Clone, PartialEq)]
pub struct Issued {
    /// Its public URL.
    pub assertion_url: String,
    /// Its image.
    pub image_url: String,
    /// The issuer, as the backend names it: a URL or an id.
    pub issuer: String,
    /// Its id at the backend, for revoking; `None` where there is none.
    pub backend_id: Option<String>,
    /// Unguessable id of our own public page and, for `builtin`, of the assertion; `None` lets the store draw one.
    pub public_id: Option<String>,
    /// Salt and `sha256$…` of the recipient, for `builtin`.
    pub recipient_hash: Option<(String, String)>,
    /// What the backend said of it, without any e-mail address: it leaves the service in `badge.awarded`.
    pub data: Value,
}
