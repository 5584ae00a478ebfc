//! What Badgr's answers mean.
//!
//! Measured at a real Badgr: the envelope, its error fields and the status codes. A 5xx may come after the assertion was
//! made (mail server down), so it is never "failed".

use serde_json::Value;

use crate::{
    backend::{
        BackendError, Held, Issued, MadeBadgeClass, Recipient,
        exchange::{Answer, bounded_seconds},
    },
    domain::limits::check_url,
    wire::redact,
};

/// What Badgr says of a second award to a recipient who holds the first.
const DUPLICATE: &str = "A previous award of this badge already exists";
/// What Badgr says of a second revocation.
const REVOKED: &str = "already revoked";
/// Characters of a refusal that are passed on.
const DETAIL: usize = 500;

/// What a 404 is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subject {
    Issuer,
    BadgeClass,
    Assertion,
}

/// The `result` of a success, or what the answer means instead. `recipient` is kept out of every text.
///
/// A 401 must have been dealt with: here it is [`BackendError::NotSent`].
pub(super) fn result(answer: &Answer, subject: Subject, recipient: &str) -> Result<Vec<Value>, BackendError> {
    let body: Option<Value> = answer
        .body
        .as_deref()
        .and_then(|body| serde_json::from_slice(body).ok());
    match answer.status {
        200..=299 => success(body, answer.status),
        401 => Err(BackendError::NotSent {
            detail: "Badgr does not take the token".to_owned(),
            retry_after: answer.retry_after,
        }),
        429 => Err(BackendError::NotSent {
            detail: "Badgr asks for fewer requests".to_owned(),
            retry_after: throttled_for(answer),
        }),
        300..=399 => Err(blocked(
            "misconfigured",
            format!(
                "Badgr answers {}{}: BADGR_BASE_URL is not the server's own",
                answer.status,
                redirected_to(answer)
            ),
        )),
        403 => Err(blocked("not_authorized", "Badgr answers 403".to_owned())),
        404 => Err(missing(subject)),
        // Nothing can be said of a request that the server did not read whole, or of one that it failed at.
        408 | 500.. => Err(BackendError::Unknown {
            detail: format!("Badgr answers {}", answer.status),
        }),
        status => Err(refusal(status, body, recipient)),
    }
}

/// Whether an answer is Badgr's own, and not the page of something before it that knows nothing.
pub(super) fn is_of_the_api(answer: &Answer) -> bool {
    let body: Option<Value> = answer
        .body
        .as_deref()
        .and_then(|body| serde_json::from_slice(body).ok());
    body.is_some_and(|body| body["status"]["success"].is_boolean())
}

/// How long a 429 asks to wait: `Retry-After`, else the JSON's `expires` (sent as `text/html`), whichever is longer.
pub(super) fn throttled_for(answer: &Answer) -> Option<std::time::Duration> {
    let body: Option<Value> = answer
        .body
        .as_deref()
        .and_then(|body| serde_json::from_slice(body).ok());
    let expires = body.and_then(|body| body["expires"].as_f64()).map(bounded_seconds);
    answer.retry_after.max(expires)
}

/// The assertion that an award made.
pub(super) fn issued(assertion: &Value, recipient: &str) -> Result<Issued, BackendError> {
    let text = |name: &str| assertion[name].as_str().filter(|text| !text.is_empty());
    let unreadable = |name: &str| BackendError::Unknown {
        detail: format!("Badgr's assertion has no {name} that can be used"),
    };
    // What is stored is shown as a link.
    let web = |name: &str| text(name).filter(|url| check_url(url).is_ok());
    let assertion_url = web("openBadgeId").ok_or_else(|| unreadable("openBadgeId"))?.to_owned();
    let backend_id = text("entityId").ok_or_else(|| unreadable("entityId"))?.to_owned();
    let image_url = web("image").map_or_else(|| format!("{assertion_url}/image"), str::to_owned);
    let issuer = text("issuerOpenBadgeId").or_else(|| text("issuer"));
    Ok(Issued {
        issuer: redact::text(issuer.unwrap_or_default(), recipient),
        assertion_url,
        image_url,
        backend_id: Some(backend_id),
        public_id: None,
        recipient_hash: None,
        data: redact::json(assertion.clone(), recipient),
    })
}

/// The badge class that a making made or a list holds.
pub(super) fn made(badge_class: &Value) -> Result<MadeBadgeClass, BackendError> {
    let backend_id = badge_class["entityId"].as_str().filter(|id| !id.is_empty());
    Ok(MadeBadgeClass {
        backend_id: backend_id.map(str::to_owned).ok_or_else(|| BackendError::Unknown {
            detail: "Badgr's badge class has no entityId".to_owned(),
        })?,
        image_url: badge_class["image"]
            .as_str()
            .filter(|url| check_url(url).is_ok())
            .map(str::to_owned),
    })
}

/// Whether this is an assertion of this recipient in this badge class that holds: neither revoked nor someone else's.
///
/// A server that ignores the filter must not make us adopt what it answers.
pub(super) fn is_live_award(assertion: &Value, badge_class: &str, recipient: &str) -> bool {
    let in_class = assertion["badgeclass"].as_str().is_none_or(|id| id == badge_class);
    in_class && assertion["revoked"].as_bool() != Some(true) && is_recipient(&assertion["recipient"], recipient)
}

fn is_recipient(said: &Value, recipient: &str) -> bool {
    recipient_of(said).is(recipient)
}

fn recipient_of(said: &Value) -> Recipient {
    let text = |name: &str| said[name].as_str();
    match text("plaintextIdentity") {
        Some(plain) => Recipient::parse(plain, ""),
        None => Recipient::parse(text("identity").unwrap_or_default(), text("salt").unwrap_or_default()),
    }
}

/// An assertion as a list shows it. Without an id nothing can be said of it.
pub(super) fn held(assertion: &Value) -> Option<Held> {
    let text = |name: &str| {
        assertion[name]
            .as_str()
            .filter(|text| !text.is_empty())
            .map(str::to_owned)
    };
    let is_revoked = assertion["revoked"].as_bool() == Some(true);
    Some(Held {
        backend_id: text("entityId")?,
        assertion_url: text("openBadgeId").unwrap_or_default(),
        recipient: recipient_of(&assertion["recipient"]),
        made_by: text("createdBy"),
        made_at: text("createdAt").and_then(|time| time.parse().ok()),
        revoked: is_revoked.then(|| redact::text(&text("revocationReason").unwrap_or_default(), "")),
    })
}

/// Whether a refusal to revoke says that it was done before.
pub(super) fn was_revoked(error: &BackendError) -> bool {
    matches!(error, BackendError::Refused { detail } if detail.contains(REVOKED))
}

fn success(body: Option<Value>, status: u16) -> Result<Vec<Value>, BackendError> {
    let unreadable = || BackendError::Unknown {
        detail: format!("Badgr answers {status} with a body that cannot be read"),
    };
    let mut body = body.ok_or_else(unreadable)?;
    if body["status"]["success"].as_bool() == Some(false) {
        return Err(unreadable());
    }
    match body.get_mut("result").map(Value::take) {
        Some(Value::Array(result)) => Ok(result),
        _ => Err(unreadable()),
    }
}

fn blocked(reason: &'static str, detail: String) -> BackendError {
    BackendError::Blocked { reason, detail }
}

fn missing(subject: Subject) -> BackendError {
    match subject {
        Subject::Issuer => blocked(
            "issuer_missing",
            "Badgr knows no such issuer, or the user has no rights on it: see BADGR_ISSUER_SLUG".to_owned(),
        ),
        Subject::BadgeClass => blocked(
            "badge_class_missing",
            "Badgr no longer has the badge class, or the user has no rights on it".to_owned(),
        ),
        Subject::Assertion => BackendError::Refused {
            detail: "Badgr knows no such assertion, or the user has no rights on it".to_owned(),
        },
    }
}

fn redirected_to(answer: &Answer) -> String {
    let target = answer
        .location
        .as_deref()
        .and_then(|location| url::Url::parse(location).ok());
    let origin = target.map(|target| target.origin().ascii_serialization());
    origin.map_or_else(String::new, |origin| format!(" (to {origin})"))
}

/// A 4xx without a meaning of its own. Without a readable reason a 400 may be a duplicate: it is looked up.
fn refusal(status: u16, body: Option<Value>, recipient: &str) -> BackendError {
    let Some(body) = body else {
        return if status == 400 {
            BackendError::Unknown {
                detail: "Badgr answers 400 with a body that cannot be read".to_owned(),
            }
        } else {
            BackendError::Refused {
                detail: format!("Badgr answers {status}"),
            }
        };
    };
    let mut said = Vec::new();
    flatten("", &body["validationErrors"], &mut said);
    flatten("", &body["fieldErrors"], &mut said);
    if said.is_empty() {
        flatten("", &body["status"]["description"], &mut said);
    }
    let detail = redact::text(&said.join("; "), recipient);
    let detail: String = format!("Badgr answers {status}: {detail}")
        .chars()
        .take(DETAIL)
        .collect();
    if status == 400 && said.iter().any(|text| text.contains(DUPLICATE)) {
        BackendError::AlreadyAwarded { detail }
    } else {
        BackendError::Refused { detail }
    }
}

/// Field errors are lists, bare texts or nested objects: each text, after the field's path.
fn flatten(path: &str, errors: &Value, said: &mut Vec<String>) {
    match errors {
        Value::String(text) if path.is_empty() => said.push(text.clone()),
        Value::String(text) => said.push(format!("{path}: {text}")),
        Value::Array(items) => items.iter().for_each(|item| flatten(path, item, said)),
        Value::Object(fields) => {
            for (name, inner) in fields {
                let inner_path = if path.is_empty() {
                    name.clone()
                } else {
                    format!("{path}.{name}")
                };
                flatten(&inner_path, inner, said);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests;
