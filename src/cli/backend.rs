//! Reaching the badge backend of the settings.

use std::sync::Arc;

use super::CliError;
use crate::{
    backend::{
        BackendError, BadgingBackend,
        badgr::{self, Badgr, MemoryTokenCache},
        http::{self, Http},
    },
    clock::SystemClock,
    config::{Backend, Settings},
    telemetry::Metrics,
};

/// The badge backend of the settings, for a command; `None` for the built-in issuer, which is nowhere else.
///
/// The tokens that the service's processes share are neither used nor changed.
///
/// # Errors
/// When the settings do not make a backend.
pub(super) fn remote(settings: &Settings) -> Result<Option<Arc<dyn BadgingBackend>>, CliError> {
    let metrics = Arc::new(Metrics::new());
    let clock = Arc::new(SystemClock);
    Ok(match &settings.backend {
        Backend::Builtin => None,
        Backend::Badgr(badgr) => {
            let badgr = badgr::Settings {
                base_url: badgr.base_url.clone(),
                username: badgr.username.clone(),
                password: badgr.password.clone(),
                password_file: badgr.password_file.clone(),
                issuer_slug: badgr.issuer_slug.clone(),
                tokens_cache_key: badgr.tokens_cache_key.clone(),
                timeout: badgr.timeout,
                notify: badgr.notify,
                ca_file: settings.ca_file.clone(),
                secret_key: settings.secret_key.clone(),
                public_url: settings.public_url.clone().unwrap_or_default(),
                course_about_url_template: settings.course_about_url_template.clone(),
                settle_time: badgr::Settings::SETTLE_TIME,
            };
            let tokens = Arc::new(MemoryTokenCache::new(clock.clone()));
            Some(Arc::new(Badgr::new(badgr, tokens, clock, metrics)?))
        }
        Backend::Http { url, token } => {
            let http = http::Settings {
                url: url.clone(),
                token: token.clone(),
                ca_file: settings.ca_file.clone(),
            };
            Some(Arc::new(Http::new(http, clock, metrics)?))
        }
    })
}

/// Reaches the badge backend with its credentials and says what was reached.
///
/// # Errors
/// The outer one when the settings do not make a backend, the inner one when it is not reached.
pub(super) async fn reach(settings: &Settings) -> Result<Result<String, BackendError>, CliError> {
    Ok(match remote(settings)? {
        None => Ok(format!("built-in issuer {}", settings.issuer.name)),
        Some(backend) => backend.reach().await,
    })
}

/// What went wrong with the badge backend and what to do about it.
pub(super) fn advice(error: &BackendError) -> String {
    let advice = match error {
        BackendError::NotSent { .. } | BackendError::Unknown { .. } => {
            "does it run, and is BADGR_BASE_URL (or BACKEND_URL) right?"
        }
        BackendError::Blocked { .. } => "are the account and the issuer in BADGR_… (or BACKEND_TOKEN) right?",
        BackendError::AlreadyAwarded { .. } | BackendError::Refused { .. } => "see the log of the badge backend",
    };
    format!("{error}; {advice}")
}
