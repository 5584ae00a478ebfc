//! Any other badge generator, by the protocol that CONTRACT.md gives for it: one POST an award, with an idempotency key.

use std::{path::PathBuf, sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use reqwest::{Method, RequestBuilder};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;
use url::Url;

use super::{
    AwardRequest, BackendError, BadgingBackend, BoxFuture, Issued, MadeBadgeClass, RevokeRequest, SetupError,
    exchange::{self, Answer, Exchange},
};
use crate::{
    clock::Clock,
    domain::{badge_class::BadgeClass, limits::check_url},
    secret::Secret,
    telemetry::Metrics,
    wire::redact,
};

/// The longest that one request takes.
const TIMEOUT: Duration = Duration::from_secs(20);
/// Characters of a refusal that are passed on.
const DETAIL: usize = 500;

/// Where the generator is.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `BACKEND_URL`.
    pub url: String,
    /// `BACKEND_TOKEN`.
    pub token: Option<Secret>,
    /// `CA_FILE`.
    pub ca_file: Option<PathBuf>,
}

/// A badge generator behind HTTP. It knows no badge classes of its own: each award says what it is of.
pub struct Http {
    exchange: Exchange,
    base: Url,
    token: Option<Secret>,
}

/// A 200, 201 or 409.
#[derive(Deserialize)]
struct Body {
    assertion_url: String,
    image_url: Option<String>,
    #[serde(default)]
    data: Value,
}

impl Http {
    /// Connects to nothing yet.
    pub fn new(settings: Settings, clock: Arc<dyn Clock>, metrics: Arc<Metrics>) -> Result<Self, SetupError> {
        let base = Url::parse(&settings.url)
            .ok()
            .filter(|url| url.has_host() && !url.cannot_be_a_base());
        Ok(Self {
            exchange: Exchange::new("http", TIMEOUT, settings.ca_file.as_deref(), clock, metrics)?,
            base: base.ok_or(SetupError::Url { setting: "BACKEND_URL" })?,
            token: settings.token,
        })
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let mut url = self.base.clone();
        url.path_segments_mut()
            .expect("the base was checked to be one")
            .pop_if_empty()
            .extend((!path.is_empty()).then_some(path));
        let request = self.exchange.client().request(method, url);
        match &self.token {
            Some(token) => request.bearer_auth(token.expose()),
            None => request,
        }
    }

    async fn send(&self, operation: &'static str, request: RequestBuilder) -> Result<Answer, BackendError> {
        self.exchange
            .send(operation, request, Instant::now() + TIMEOUT, exchange::ONE)
            .await
    }

    async fn issue(&self, operation: &'static str, request: &AwardRequest) -> Result<Issued, BackendError> {
        let body = award_body(request);
        let key = request.award.0.to_string();
        let sent = self
            .request(Method::POST, "award")
            .header("Idempotency-Key", key)
            .json(&body);
        let answer = self.send(operation, sent).await?;
        issued(&answer, &self.base, &request.recipient)
    }

    async fn take_back(&self, request: &RevokeRequest) -> Result<(), BackendError> {
        let body = json!({
            "award_id": request.award, "assertion_url": request.assertion_url, "reason": request.reason,
        });
        let answer = self
            .send("revoke", self.request(Method::POST, "revoke").json(&body))
            .await?;
        match answer.status {
            200 | 204 => Ok(()),
            _ => Err(refusal(&answer, "")),
        }
    }

    /// The protocol has no harmless request: any answer shows that somebody is there.
    async fn reach_server(&self) -> Result<String, BackendError> {
        let answer = self.send("reach", self.request(Method::GET, "")).await?;
        match answer.status {
            401 | 403 | 500.. => Err(refusal(&answer, "")),
            _ => Ok(format!("badge generator at {}", self.base)),
        }
    }
}

impl BadgingBackend for Http {
    fn name(&self) -> &'static str {
        "http"
    }

    fn is_local(&self) -> bool {
        false
    }

    fn timeout(&self) -> Duration {
        TIMEOUT
    }

    fn needs_image(&self) -> bool {
        true
    }

    /// The same key may be sent again at any time.
    fn settle_time(&self) -> Duration {
        Duration::ZERO
    }

    fn make_badge_class<'a>(
        &'a self,
        badge_class: &'a BadgeClass,
        _image: &'a [u8],
    ) -> BoxFuture<'a, Result<MadeBadgeClass, BackendError>> {
        Box::pin(async { Ok(made(badge_class)) })
    }

    fn find_badge_class<'a>(
        &'a self,
        badge_class: &'a BadgeClass,
    ) -> BoxFuture<'a, Result<Option<MadeBadgeClass>, BackendError>> {
        Box::pin(async { Ok(Some(made(badge_class))) })
    }

    fn award<'a>(&'a self, request: &'a AwardRequest) -> BoxFuture<'a, Result<Issued, BackendError>> {
        Box::pin(self.issue("award", request))
    }

    /// The request again, with its key.
    fn look_up<'a>(&'a self, request: &'a AwardRequest) -> BoxFuture<'a, Result<Option<Issued>, BackendError>> {
        Box::pin(async { self.issue("look_up", request).await.map(Some) })
    }

    fn revoke<'a>(&'a self, request: &'a RevokeRequest) -> BoxFuture<'a, Result<(), BackendError>> {
        Box::pin(self.take_back(request))
    }

    fn reach(&self) -> BoxFuture<'_, Result<String, BackendError>> {
        Box::pin(self.reach_server())
    }
}

fn made(badge_class: &BadgeClass) -> MadeBadgeClass {
    MadeBadgeClass {
        backend_id: badge_class.public_id.clone(),
        image_url: None,
    }
}

fn award_body(request: &AwardRequest) -> Value {
    let class = &request.badge_class;
    let image = request.image.as_deref();
    let image = image.map(|image| format!("data:image/png;base64,{}", STANDARD.encode(image)));
    let reason = &request.reason;
    let mut why = json!({
        "kind": reason.rule, "threshold": reason.threshold, "count": reason.count,
        "configuration_id": reason.configuration_id,
    });
    if reason.by_backfill {
        why["kind"] = json!("backfill");
        why["rule"] = json!(reason.rule);
    }
    let course_id = Some(&class.key.course_id).filter(|id| !id.is_empty());
    json!({
        "award_id": request.award,
        "badge_class": {
            "slug": class.key.slug, "issuing_component": class.key.issuing_component, "course_id": course_id,
            "mode": class.mode, "display_name": class.display_name, "description": class.description,
            "criteria": class.criteria, "image": image,
        },
        "recipient": {
            "id": request.learner.0, "username": request.username, "email": request.recipient,
            "name": request.full_name,
        },
        "evidence_url": request.evidence_url,
        "reason": why,
    })
}

fn issued(answer: &Answer, base: &Url, recipient: &str) -> Result<Issued, BackendError> {
    if !matches!(answer.status, 200 | 201 | 409) {
        return Err(refusal(answer, recipient));
    }
    let body: Option<Body> = answer
        .body
        .as_deref()
        .and_then(|body| serde_json::from_slice(body).ok());
    let unusable = |what: &str| BackendError::Unknown {
        detail: format!("the backend answers {} with {what}", answer.status),
    };
    let body = body.ok_or_else(|| unusable("a body that cannot be read"))?;
    // What is stored is shown as a link.
    check_url(&body.assertion_url).map_err(|wrong| unusable(&format!("an assertion_url that is wrong: {wrong}")))?;
    let image_url = body.image_url.filter(|url| check_url(url).is_ok());
    let data = redact::json(body.data, recipient);
    let issuer = data["issuer"].as_str().map_or_else(|| base.to_string(), str::to_owned);
    Ok(Issued {
        image_url: image_url.unwrap_or_default(),
        assertion_url: body.assertion_url,
        issuer,
        backend_id: None,
        public_id: None,
        recipient_hash: None,
        data,
    })
}

/// What any answer but a success means.
fn refusal(answer: &Answer, recipient: &str) -> BackendError {
    let said: Option<Value> = answer
        .body
        .as_deref()
        .and_then(|body| serde_json::from_slice(body).ok());
    let said = said
        .and_then(|body| body["detail"].as_str().map(str::to_owned))
        .unwrap_or_default();
    let said = match answer.status {
        // Whoever follows one takes the token along.
        300..400 if answer.location.is_some() => "a redirect, and none is followed; correct BACKEND_URL".to_owned(),
        _ => redact::text(&said, recipient),
    };
    let detail = format!("the backend answers {}: {said}", answer.status);
    let detail: String = detail.trim_end_matches(": ").chars().take(DETAIL).collect();
    match answer.status {
        400 | 404 | 422 => BackendError::Refused { detail },
        401 | 403 => BackendError::Blocked {
            reason: "not_authorized",
            detail,
        },
        429 | 503 => BackendError::NotSent {
            detail,
            retry_after: answer.retry_after,
        },
        _ => BackendError::Unknown { detail },
    }
}

#[cfg(test)]
mod tests;
