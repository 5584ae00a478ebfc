//! What a record says: bytes to an event.

use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::record::Record;
use crate::domain::{
    CourseKey, Event, EventBody, LearnerId,
    event::{CourseDetails, LearnerDetails, Stamp},
};

/// A larger value is not decoded.
const MAX_VALUE: usize = 1 << 20;

/// Which topics hold which events when an event does not say its type.
#[derive(Debug, Clone, Default)]
pub struct TopicTypes {
    /// Topics of enrolments.
    pub enrollment: Vec<String>,
    /// Topics of certificates.
    pub certificate: Vec<String>,
}

/// What a record was understood to be.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly every record is an event, and none is kept"
)]
pub enum Decoded {
    /// An event that concerns us.
    Event(Event),
    /// A tombstone, or an event of a type that does not concern us.
    Ignored,
}

/// Why a record cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct DecodeError {
    /// A stable short code.
    pub reason: &'static str,
    /// What is wrong and where, never the content.
    pub message: String,
}

fn invalid(message: impl Into<String>) -> DecodeError {
    DecodeError {
        reason: "invalid",
        message: message.into(),
    }
}

/// Reads a record.
pub fn decode(record: &Record, topics: &TopicTypes) -> Result<Decoded, DecodeError> {
    let Some(value) = record.value.as_deref() else {
        return Ok(Decoded::Ignored);
    };
    if value.len() > MAX_VALUE {
        return Err(DecodeError {
            reason: "too_large",
            message: format!("the value has {} bytes, more than {MAX_VALUE}", value.len()),
        });
    }
    let json: Value = serde_json::from_slice(value).map_err(|error| DecodeError {
        reason: "json",
        message: format!("not JSON at line {} column {}", error.line(), error.column()),
    })?;
    let header = |name: &str| record.header(name).and_then(|bytes| std::str::from_utf8(bytes).ok());
    let structured = json.get("specversion").is_some() && json.get("data").is_some();
    let attribute = |name: &str| match structured {
        true => json.get(name).and_then(Value::as_str),
        false => header(&format!("ce_{name}")),
    };
    let data = if structured { &json["data"] } else { &json };
    let is_in = |names: &[String]| names.iter().any(|name| **name == *record.topic);
    let kind = match attribute("type") {
        Some(kind) => kind,
        None if is_in(&topics.enrollment) => "enrollment.created",
        None if is_in(&topics.certificate) => "certificate.generated",
        None => return Err(invalid("type: missing, and the topic does not tell it")),
    };
    let Some(body) = body(kind, data)? else {
        return Ok(Decoded::Ignored);
    };
    let told = match attribute("time") {
        Some(text) => Some(time(text).ok_or_else(|| invalid("time: not an RFC 3339 time"))?),
        None => record.timestamp,
    };
    let time = told.ok_or_else(|| invalid("time: missing"))?;
    let time = record
        .timestamp
        .map_or(time, |sent| time.min(sent + TimeDelta::minutes(5)));
    let event_id = attribute("id").map_or_else(
        || {
            Sha256::digest(data.to_string().as_bytes())
                .iter()
                .take(16)
                .map(|b| format!("{b:02x}"))
                .collect()
        },
        str::to_owned,
    );
    let stamp = Stamp {
        time: time.duration_trunc(TimeDelta::microseconds(1)).unwrap_or(time),
        event_id,
    };
    Ok(Decoded::Event(Event { stamp, body }))
}

fn body(kind: &str, data: &Value) -> Result<Option<EventBody>, DecodeError> {
    let mode = || text(data, "mode").unwrap_or_default();
    let certificate = |revoked: bool| -> Result<EventBody, DecodeError> {
        let status = text(data, "status").unwrap_or_else(|| "downloadable".to_owned());
        Ok(EventBody::Certificate {
            learner: learner(data)?,
            course: course(data)?,
            mode: mode(),
            passed: !revoked && matches!(status.as_str(), "downloadable" | "generating"),
            uuid: text(data, "uuid"),
            url: text(data, "url"),
        })
    };
    Ok(Some(match kind {
        "enrollment.created" | "enrollment.deactivated" => EventBody::Enrollment {
            learner: learner(data)?,
            course: course(data)?,
            mode: mode(),
            is_active: kind == "enrollment.created" && data["is_active"].as_bool().unwrap_or(true),
        },
        "certificate.generated" => certificate(false)?,
        "certificate.revoked" => certificate(true)?,
        "course.updated" => EventBody::CourseUpdated {
            course: course(data)?,
            issue_badges: data["course"]["issue_badges"].as_bool(),
        },
        "learner.updated" => EventBody::LearnerUpdated(learner(data)?),
        "learner.retired" => EventBody::LearnerRetired(learner_id(data)?),
        "badge.requested" => EventBody::BadgeRequested {
            learner: learner(data)?,
            slug: text(&data["badge_class"], "slug").ok_or_else(|| invalid("badge_class.slug: missing"))?,
            issuing_component: text(&data["badge_class"], "issuing_component").unwrap_or_default(),
            course: match text(&data["badge_class"], "course_id").filter(|key| !key.is_empty()) {
                None => None,
                Some(key) => Some(course_key(&key, "badge_class.course_id")?),
            },
            evidence_url: text(data, "evidence_url"),
            idempotency_key: text(data, "idempotency_key").unwrap_or_default(),
        },
        _ => return Ok(None),
    }))
}

fn learner_id(data: &Value) -> Result<LearnerId, DecodeError> {
    let id = data["user"]["id"].as_i64();
    id.map(LearnerId).ok_or_else(|| invalid("user.id: not an integer"))
}

fn learner(data: &Value) -> Result<LearnerDetails, DecodeError> {
    let user = &data["user"];
    Ok(LearnerDetails {
        id: learner_id(data)?,
        username: text(user, "username").ok_or_else(|| invalid("user.username: missing"))?,
        email: text(user, "email").filter(|email| !email.is_empty()),
        name: text(user, "name").filter(|name| !name.is_empty()),
    })
}

fn course(data: &Value) -> Result<CourseDetails, DecodeError> {
    let course = &data["course"];
    let key = text(course, "id").ok_or_else(|| invalid("course.id: missing"))?;
    let date = |name: &str| text(course, name).as_deref().and_then(time);
    Ok(CourseDetails {
        key: course_key(&key, "course.id")?,
        display_name: text(course, "display_name").filter(|name| !name.is_empty()),
        start: date("start"),
        end: date("end"),
    })
}

fn course_key(text: &str, at: &str) -> Result<CourseKey, DecodeError> {
    text.parse().map_err(|error| invalid(format!("{at}: {error}")))
}

fn text(object: &Value, name: &str) -> Option<String> {
    object[name].as_str().map(str::to_owned)
}

fn time(text: &str) -> Option<DateTime<Utc>> {
    let time = DateTime::parse_from_rfc3339(text).ok()?;
    Some(time.to_utc())
}
