//! Badge backends: who makes an assertion of a decision.
//!
//! A backend speaks to its server and says what came of it; it keeps nothing and retries nothing. The issue loop keeps
//! the state, and decides by [`BackendError`] alone what to do next.

pub mod badgr;
pub mod builtin;
mod exchange;
pub mod http;
#[cfg(test)]
mod testing;

use std::{future::Future, path::PathBuf, pin::Pin, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::domain::{
    LearnerId,
    award::{AwardId, Reason},
    badge_class::BadgeClass,
};

/// A boxed future, so that backends can be chosen at run time.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A badge generator.
pub trait BadgingBackend: Send + Sync + 'static {
    /// Its name in assertions, settings and metrics: `badgr`, `builtin`, `http`.
    fn name(&self) -> &'static str;

    /// Whether it answers at once, without a network: awards are then issued and stored in large batches.
    fn is_local(&self) -> bool;

    /// The longest that one call of [`BadgingBackend::award`] takes.
    fn timeout(&self) -> Duration;

    /// Whether [`AwardRequest::image`] must be filled.
    fn needs_image(&self) -> bool;

    /// How long after a request that may have been sent its effect can still appear. Until then "not found" is not
    /// believed.
    fn settle_time(&self) -> Duration;

    /// Makes the badge class; asked once for each. The answer is kept as [`BadgeClass::backend_id`].
    fn make_badge_class<'a>(
        &'a self,
        badge_class: &'a BadgeClass,
        image: &'a [u8],
    ) -> BoxFuture<'a, Result<MadeBadgeClass, BackendError>>;

    /// Looks for a badge class whose making may have succeeded unseen.
    fn find_badge_class<'a>(
        &'a self,
        badge_class: &'a BadgeClass,
    ) -> BoxFuture<'a, Result<Option<MadeBadgeClass>, BackendError>>;

    /// Issues one badge.
    fn award<'a>(&'a self, request: &'a AwardRequest) -> BoxFuture<'a, Result<Issued, BackendError>>;

    /// Looks for a live assertion of this request's recipient and badge class.
    ///
    /// With a backend that takes idempotency keys this may simply be the request again.
    fn look_up<'a>(&'a self, request: &'a AwardRequest) -> BoxFuture<'a, Result<Option<Issued>, BackendError>>;

    /// Revokes an assertion. One that is revoked already is no error.
    fn revoke<'a>(&'a self, request: &'a RevokeRequest) -> BoxFuture<'a, Result<(), BackendError>>;

    /// Reaches the server and its credentials, for `check`: says in a line what was reached.
    fn reach(&self) -> BoxFuture<'_, Result<String, BackendError>>;
}

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
    /// The badge class's PNG, where [`BadgingBackend::needs_image`].
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

/// What came of a request that did not succeed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BackendError {
    /// Surely not carried out (refused connection, DNS, TLS, 401, 429, 503 where the protocol says so): later.
    #[error("not sent: {detail}")]
    NotSent {
        /// What happened.
        detail: String,
        /// Not before this long.
        retry_after: Option<Duration>,
    },
    /// Perhaps carried out (time-out, reset, 5xx, an answer that cannot be read): look it up.
    #[error("unknown outcome: {detail}")]
    Unknown {
        /// What happened.
        detail: String,
    },
    /// The backend says that the recipient has this badge already: look it up.
    #[error("the backend already holds this award: {detail}")]
    AlreadyAwarded {
        /// What it said.
        detail: String,
    },
    /// Refused until something outside changes: a badge class or issuer that is gone, missing rights.
    #[error("blocked: {detail}")]
    Blocked {
        /// A stable code: `badge_class_missing`, `issuer_missing`, `not_authorized`, `misconfigured`.
        reason: &'static str,
        /// What happened.
        detail: String,
    },
    /// Refused for what it is; sent again it is refused again.
    #[error("refused: {detail}")]
    Refused {
        /// What the backend said, without e-mail addresses.
        detail: String,
    },
}

impl BackendError {
    /// A stable name, for logs and labels.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotSent { .. } => "not_sent",
            Self::Unknown { .. } => "unknown",
            Self::AlreadyAwarded { .. } => "already_awarded",
            Self::Blocked { .. } => "blocked",
            Self::Refused { .. } => "refused",
        }
    }
}

/// Why a backend cannot be built from its settings.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// A setting that must be a URL is none.
    #[error("{setting}: not a URL that requests can be sent to")]
    Url {
        /// The setting's name.
        setting: &'static str,
    },
    /// `CA_FILE` cannot be read, or holds no PEM certificate.
    #[error("CA_FILE: {}: {message}", path.display())]
    CaFile {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// The HTTP client cannot be made.
    #[error("the HTTP client cannot be made: {message}")]
    Client {
        /// What it said.
        message: String,
    },
}
