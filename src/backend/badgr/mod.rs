//! Badgr, by its API version 2, as Open edX used it.

mod answers;
mod badge_classes;
mod client;
mod holdings;
pub(crate) mod renewal;
mod sealed;
mod texts;
mod token_cache;
mod tokens;

use std::{path::PathBuf, sync::Arc, time::Duration};

use reqwest::Method;
use serde_json::{Value, json};

pub use token_cache::{Cached, Lease, MemoryTokenCache, TokenCache, TokenCacheError};

use self::{answers::Subject, client::Client};
use super::{
    AwardRequest, BackendError, BadgingBackend, BoxFuture, Held, HeldPage, Issued, MadeBadgeClass, RevokeRequest,
    SetupError,
};
use crate::{clock::Clock, domain::badge_class::BadgeClass, secret::Secret, telemetry::Metrics};

/// Where the Badgr server is and how it is used.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `BADGR_BASE_URL`.
    pub base_url: String,
    /// `BADGR_USERNAME`.
    pub username: String,
    /// `BADGR_PASSWORD`.
    pub password: Secret,
    /// `BADGR_PASSWORD_FILE`: read again before each log-in, so that a new password needs no restart. While it cannot be
    /// read, or is empty, [`Settings::password`] is sent.
    pub password_file: Option<PathBuf>,
    /// `BADGR_ISSUER_SLUG`: the issuer's entity id.
    pub issuer_slug: String,
    /// `BADGR_TOKENS_CACHE_KEY`.
    pub tokens_cache_key: String,
    /// `BADGR_TIMEOUT`: for one request, in all.
    pub timeout: Duration,
    /// `BADGR_ENABLE_NOTIFICATIONS`.
    pub notify: bool,
    /// `CA_FILE`.
    pub ca_file: Option<PathBuf>,
    /// `SECRET_KEY`; without it, cached tokens are of no use to other processes.
    pub secret_key: Option<Secret>,
    /// `PUBLIC_URL`, without a trailing slash: where criteria that are texts have a page.
    pub public_url: String,
    /// `COURSE_ABOUT_URL_TEMPLATE`: where criteria of courses have a page.
    pub course_about_url_template: Option<String>,
    /// How long a request may go on at the server after nobody waits for it; see [`Settings::SETTLE_TIME`].
    pub settle_time: Duration,
}

impl Settings {
    /// The shipped server's own limit for a request.
    pub const SETTLE_TIME: Duration = Duration::from_secs(60);
}

/// A Badgr server.
pub struct Badgr {
    client: Client,
    settings: Settings,
}

impl Badgr {
    /// Connects to nothing yet. `cache` is where the tokens are shared.
    pub fn new(
        settings: Settings,
        cache: Arc<dyn TokenCache>,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
    ) -> Result<Self, SetupError> {
        Ok(Self {
            client: Client::new(&settings, cache, clock, metrics)?,
            settings,
        })
    }

    async fn make(&self, badge_class: &BadgeClass, image: &[u8]) -> Result<MadeBadgeClass, BackendError> {
        let body = badge_classes::body(badge_class, image, &self.settings);
        let path = ["v2", "issuers", &self.settings.issuer_slug, "badgeclasses"];
        let request = || self.client.request(Method::POST, &path).json(&body);
        let answer = self.client.call("make_badge_class", request).await?;
        let result = answers::result(&answer, Subject::Issuer, "")?;
        answers::made(result.first().unwrap_or(&Value::Null))
    }

    async fn find(&self, badge_class: &BadgeClass) -> Result<Option<MadeBadgeClass>, BackendError> {
        let texts = badge_classes::texts(badge_class, &self.settings);
        let path = ["v2", "issuers", &self.settings.issuer_slug, "badgeclasses"];
        let request = || self.client.request(Method::GET, &path);
        let all = self
            .client
            .list("find_badge_class", Subject::Issuer, "", request)
            .await?;
        // Of several, every replica finds the same.
        let same = all.iter().filter(|found| texts.are_those_of(found));
        same.min_by_key(|found| order(found)).map(answers::made).transpose()
    }

    async fn issue(&self, request: &AwardRequest) -> Result<Issued, BackendError> {
        let recipient = request.recipient.trim();
        let mut body = json!({
            "recipient": {"identity": recipient, "type": "email"},
            "notify": self.settings.notify,
            // Of what the learner holds under other keys Badgr would say that it is a duplicate.
            "allowDuplicateAwards": !request.others.is_empty(),
        });
        if let Some(url) = request.evidence_url.as_deref().filter(|url| !url.is_empty()) {
            match texts::url(url, texts::EVIDENCE_URL) {
                Some(url) => body["evidence"] = json!([{"url": url}]),
                None => tracing::warn!(
                    award.id = %request.award.0,
                    "award {} goes to Badgr without its evidence, whose URL Badgr does not take",
                    request.award.0
                ),
            }
        }
        let path = ["v2", "badgeclasses", badge_class_of(request)?, "assertions"];
        let request = || self.client.request(Method::POST, &path).json(&body);
        let answer = self.client.call("award", request).await?;
        let result = answers::result(&answer, Subject::BadgeClass, recipient)?;
        answers::issued(result.first().unwrap_or(&Value::Null), recipient)
    }

    async fn find_award(&self, request: &AwardRequest) -> Result<Option<Issued>, BackendError> {
        let recipient = request.recipient.trim();
        let badge_class = badge_class_of(request)?;
        let path = ["v2", "badgeclasses", badge_class, "assertions"];
        let query = [
            ("recipient", recipient),
            ("include_revoked", "1"),
            ("include_expired", "1"),
        ];
        let get = || self.client.request(Method::GET, &path).query(&query);
        let all = self.client.list("look_up", Subject::BadgeClass, recipient, get).await?;
        let live = all
            .iter()
            .filter(|found| answers::is_live_award(found, badge_class, recipient))
            .filter(|found| !request.others.iter().any(|other| found["entityId"] == other.as_str()));
        let oldest = live.min_by_key(|found| order(found));
        oldest.map(|found| answers::issued(found, recipient)).transpose()
    }

    async fn take_back(&self, request: &RevokeRequest) -> Result<(), BackendError> {
        let Some(id) = request.backend_id.as_deref() else {
            return Err(BackendError::Refused {
                detail: "the assertion has no id at Badgr".to_owned(),
            });
        };
        let reason = texts::first_fit([request.reason.as_str(), "Revoked"], texts::REASON);
        let body = json!({"revocation_reason": reason});
        let revoke = || {
            self.client
                .request(Method::DELETE, &["v2", "assertions", id])
                .json(&body)
        };
        let answer = self.client.call("revoke", revoke).await?;
        match answers::result(&answer, Subject::Assertion, "") {
            Err(error) if !answers::was_revoked(&error) => Err(error),
            _ => Ok(()),
        }
    }

    async fn reach_issuer(&self) -> Result<String, BackendError> {
        let path = ["v2", "issuers", &self.settings.issuer_slug];
        let answer = self
            .client
            .call("reach", || self.client.request(Method::GET, &path))
            .await?;
        let result = answers::result(&answer, Subject::Issuer, "")?;
        let name = result
            .first()
            .and_then(|issuer| issuer["name"].as_str())
            .unwrap_or_default();
        Ok(format!(
            "Badgr at {}, issuer {} ({name})",
            self.settings.base_url, self.settings.issuer_slug
        ))
    }
}

impl BadgingBackend for Badgr {
    fn name(&self) -> &'static str {
        "badgr"
    }

    fn is_local(&self) -> bool {
        false
    }

    fn timeout(&self) -> Duration {
        self.client.longest_call()
    }

    fn needs_image(&self) -> bool {
        false
    }

    fn settle_time(&self) -> Duration {
        self.settings.settle_time
    }

    fn make_badge_class<'a>(
        &'a self,
        badge_class: &'a BadgeClass,
        image: &'a [u8],
    ) -> BoxFuture<'a, Result<MadeBadgeClass, BackendError>> {
        Box::pin(self.make(badge_class, image))
    }

    fn find_badge_class<'a>(
        &'a self,
        badge_class: &'a BadgeClass,
    ) -> BoxFuture<'a, Result<Option<MadeBadgeClass>, BackendError>> {
        Box::pin(self.find(badge_class))
    }

    fn award<'a>(&'a self, request: &'a AwardRequest) -> BoxFuture<'a, Result<Issued, BackendError>> {
        Box::pin(self.issue(request))
    }

    fn look_up<'a>(&'a self, request: &'a AwardRequest) -> BoxFuture<'a, Result<Option<Issued>, BackendError>> {
        Box::pin(self.find_award(request))
    }

    fn revoke<'a>(&'a self, request: &'a RevokeRequest) -> BoxFuture<'a, Result<(), BackendError>> {
        Box::pin(self.take_back(request))
    }

    fn can_be_compared(&self) -> bool {
        true
    }

    fn held_of_class<'a>(
        &'a self,
        badge_class: &'a str,
        page: Option<&'a str>,
    ) -> BoxFuture<'a, Result<HeldPage, BackendError>> {
        Box::pin(self.page_of_class(badge_class, page))
    }

    fn held<'a>(&'a self, backend_id: &'a str) -> BoxFuture<'a, Result<Option<Held>, BackendError>> {
        Box::pin(self.one(backend_id))
    }

    fn class_in<'a>(&self, data: &'a Value) -> Option<&'a str> {
        data["badgeclass"].as_str()
    }

    fn reach(&self) -> BoxFuture<'_, Result<String, BackendError>> {
        Box::pin(self.reach_issuer())
    }
}

/// The badge class's id at Badgr: without one there is nothing to send.
fn badge_class_of(request: &AwardRequest) -> Result<&str, BackendError> {
    request
        .badge_class
        .backend_id
        .as_deref()
        .ok_or_else(|| BackendError::NotSent {
            detail: "the badge class is not yet made at Badgr".to_owned(),
            retry_after: None,
        })
}

/// Oldest first, by the server's own time of making.
fn order(item: &Value) -> (String, String) {
    let text = |name: &str| item[name].as_str().unwrap_or_default().to_owned();
    (text("createdAt"), text("entityId"))
}
