//! What the bodies of writing requests are checked for.

use axum::http::header;
use base64::Engine;
use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use super::api::{Work, failure, field_errors, not_found, validation_error};
use super::ledger::{Assertion, BadgeClass, new_entity_id};
use super::limits::{self, Refusal};
use super::multipart;
use super::server::{Answer, Call, Shared};

fn json_body(call: &Call) -> Result<Value, Answer> {
    if !call
        .header(header::CONTENT_TYPE)
        .is_some_and(|value| value.starts_with("application/json"))
    {
        return Err(failure(
            415,
            "Unsupported media type in request.",
            &json!({}),
            &json!([]),
        ));
    }
    serde_json::from_slice(&call.body).map_err(|error| validation_error(&format!("JSON parse error - {error}")))
}

pub fn check_badge_class(shared: &Shared, call: &Call) -> Result<BadgeClass, Answer> {
    let content_type = call.header(header::CONTENT_TYPE).unwrap_or_default();
    let (fields, image) = if content_type.starts_with("multipart/form-data") {
        let mut parts =
            multipart::parse(content_type, &call.body).ok_or_else(|| validation_error("Multipart form parse error"))?;
        let image = parts.remove("image").map(Ok);
        let texts = parts
            .into_iter()
            .map(|(name, value)| (name, String::from_utf8_lossy(&value).into()));
        (texts.collect::<Map<String, Value>>(), image)
    } else {
        let body = json_body(call)?;
        let image = body["image"].as_str().map(decode_data_uri);
        (body.as_object().cloned().unwrap_or_default(), image)
    };
    let field = |name: &str| fields.get(name).and_then(Value::as_str);
    let mut errors = Map::new();
    let mut breaks = false;
    let mut refused = |name: &str, refusal| match refusal {
        Refusal::Invalid(messages) => {
            errors.insert(name.to_owned(), messages);
        }
        Refusal::Breaks => breaks = true,
    };
    let name = limits::text(field("name"), 1_024, 255).unwrap_or_else(|r| {
        refused("name", r);
        String::new()
    });
    let description = limits::text(field("description"), 16_384, usize::MAX).unwrap_or_else(|r| {
        refused("description", r);
        String::new()
    });
    let criteria_url = field("criteriaUrl").unwrap_or_default().to_owned();
    if !criteria_url.is_empty() {
        let checked =
            limits::url(&criteria_url, shared.check_url_hosts).and_then(|()| limits::fits(&criteria_url, 254));
        checked.unwrap_or_else(|r| refused("criteriaUrl", r));
    }
    let mut image_type = "";
    let bytes = match image {
        None => {
            refused(
                "image",
                Refusal::Invalid(json!("Valid image file or data URI required.")),
            );
            Vec::new()
        }
        Some(Err(())) => {
            let text = "The submitted data was not a file. Check the encoding type on the form.";
            refused("image", Refusal::Invalid(json!([text])));
            Vec::new()
        }
        Some(Ok(bytes)) => {
            image_type = limits::image_type(&bytes).unwrap_or_else(|r| {
                refused("image", r);
                ""
            });
            bytes
        }
    };
    if !errors.is_empty() {
        return Err(field_errors(errors));
    }
    if breaks {
        return Err(Answer::server_error());
    }
    Ok(BadgeClass {
        entity_id: new_entity_id(),
        name,
        description,
        criteria_url,
        image: base64::engine::general_purpose::STANDARD.encode(bytes),
        image_type: image_type.to_owned(),
        created: Utc::now(),
    })
}

fn decode_data_uri(uri: &str) -> Result<Vec<u8>, ()> {
    let (head, data) = uri.split_once(";base64,").ok_or(())?;
    if !head.starts_with("data:") {
        return Err(());
    }
    base64::engine::general_purpose::STANDARD.decode(data).map_err(|_| ())
}

pub fn check_award(shared: &Shared, call: &Call, badge_class: String) -> Result<Assertion, Answer> {
    let body = json_body(call)?;
    let mut errors = Map::new();
    let mut breaks = false;
    let recipient = &body["recipient"];
    let email = recipient["identity"].as_str().unwrap_or_default().trim().to_lowercase();
    let kind = recipient["type"].as_str().unwrap_or("email");
    if !recipient.is_object() {
        errors.insert("recipient".to_owned(), json!(["This field is required"]));
    } else if recipient["identity"].is_null() {
        errors.insert("recipient".to_owned(), json!({"identity": ["This field is required."]}));
    } else if kind != "email" {
        let text = format!("\"{kind}\" is not a valid choice.");
        errors.insert("recipient".to_owned(), json!({"type": [text]}));
    } else if !limits::is_email(&email) {
        errors.insert(
            "recipient".to_owned(),
            json!({"non_field_errors": ["Enter a valid email address."]}),
        );
    }
    let evidence = body["evidence"].as_array().cloned().unwrap_or_default();
    for item in &evidence {
        let Some(url) = item.get("url") else { continue };
        let messages = match url.as_str().map(|url| limits::url(url, shared.check_url_hosts)) {
            None => json!(["This field may not be null."]),
            Some(Err(Refusal::Invalid(messages))) => json!([{"url": messages}]),
            Some(_) => continue,
        };
        errors.insert("evidence".to_owned(), messages);
    }
    let narrative = body["narrative"].as_str().map(limits::clean);
    if let Some(narrative) = &narrative {
        if narrative.contains("![") {
            errors.insert("narrative".to_owned(), json!(["Markdown images are not allowed."]));
        }
        breaks |= limits::fits(narrative, usize::MAX).is_err();
    }
    let time = |name: &str| body[name].as_str().map(DateTime::parse_from_rfc3339);
    for name in ["issuedOn", "expires"] {
        if let Some(Err(_)) = time(name) {
            errors.insert(name.to_owned(), json!(["Datetime has wrong format."]));
        }
    }
    let issued_on = time("issuedOn")
        .and_then(Result::ok)
        .map_or_else(Utc::now, |at| at.to_utc());
    if issued_on > Utc::now() {
        errors.insert(
            "issuedOn".to_owned(),
            json!(["Only issuedOn dates in the past are acceptable."]),
        );
    }
    if !errors.is_empty() {
        return Err(field_errors(errors));
    }
    let remote_contexts = body["extensions"]
        .as_object()
        .is_some_and(|extensions| !extensions.is_empty());
    if breaks || remote_contexts {
        return Err(Answer::server_error());
    }
    let held =
        |a: &Assertion| a.badge_class == badge_class && a.email == email && a.revoked.is_none() && !is_expired(a);
    if body["allowDuplicateAwards"] == json!(false) && !shared.ledger.assertions_where(held).is_empty() {
        return Err(validation_error(
            "A previous award of this badge already exists for this recipient.",
        ));
    }
    Ok(Assertion {
        entity_id: new_entity_id(),
        badge_class,
        email,
        salt: new_entity_id(),
        evidence_url: evidence.iter().find_map(|item| item["url"].as_str()).map(str::to_owned),
        narrative,
        notify: body["notify"].as_bool().unwrap_or(false),
        issued_on,
        expires: time("expires").and_then(Result::ok).map(|at| at.to_utc()),
        revoked: None,
        created_by: super::ACCOUNT.to_owned(),
    })
}

pub fn is_expired(assertion: &Assertion) -> bool {
    assertion.expires.is_some_and(|at| at <= Utc::now())
}

pub fn check_revocation(shared: &Shared, call: &Call, id: String) -> Result<Work, Answer> {
    let assertion = shared.ledger.assertion(&id).ok_or_else(not_found)?;
    if assertion.revoked.is_some() {
        return Err(validation_error("Assertion is already revoked"));
    }
    let body = json_body(call)?;
    let reason = limits::text(body["revocation_reason"].as_str(), usize::MAX, 255);
    match reason {
        Ok(reason) => Ok(Work::Revoke { id, reason }),
        Err(Refusal::Breaks) => Err(Answer::server_error()),
        Err(Refusal::Invalid(messages)) => Err(field_errors(Map::from_iter([(
            "revocation_reason".to_owned(),
            messages,
        )]))),
    }
}
