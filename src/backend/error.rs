//! What came of a request to a backend, where it is no success.

use std::time::Duration;

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
