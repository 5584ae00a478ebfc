//! One line of `accolade publish`: an event on its way to its topic.

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::{
    clock::{Clock, SystemClock},
    config::Topics,
    wire::{
        decode::{TopicTypes, decode},
        record::{Header, OutgoingRecord, Record},
    },
};

/// The record for this line, or what is wrong with it; `None` for a blank one.
pub(super) fn event(line: &[u8], topics: &Topics) -> Result<Option<OutgoingRecord>, String> {
    let line = line.trim_ascii();
    if line.is_empty() {
        return Ok(None);
    }
    outgoing(line, topics, SystemClock.now()).map(Some)
}

/// The record for this line, or what is wrong with the line.
///
/// It must be a structured CloudEvent with a type, and what the service itself takes. Its topic follows from its type,
/// its key is the learner's id, and for events about a course the course's.
fn outgoing(line: &[u8], topics: &Topics, now: DateTime<Utc>) -> Result<OutgoingRecord, String> {
    let event: Value = serde_json::from_slice(line).map_err(|error| format!("not JSON at column {}", error.column()))?;
    if event["specversion"] != "1.0" {
        return Err("specversion: expected \"1.0\"; each line is one CloudEvent".to_owned());
    }
    let kind = event["type"].as_str().filter(|kind| !kind.is_empty());
    let kind = kind.ok_or("type: expected a text such as enrollment.created")?;
    if !event["data"].is_object() {
        return Err("data: expected an object".to_owned());
    }
    let lists = match kind.starts_with("certificate.") {
        true => [&topics.certificate, &topics.enrollment],
        false => [&topics.enrollment, &topics.certificate],
    };
    let topic = lists.into_iter().chain([&topics.extra]).flatten().next();
    let topic = topic.ok_or("no topic is set; set TOPICS_ENROLLMENT and TOPICS_CERTIFICATE")?;
    let record = Record {
        topic: topic.as_str().into(),
        partition: 0,
        offset: 0,
        timestamp: Some(now),
        key: key(&event["data"]),
        value: Some(line.to_vec()),
        headers: vec![Header::text("content-type", "application/cloudevents+json")],
    };
    decode(&record, &TopicTypes::default()).map_err(|error| error.to_string())?;
    Ok(OutgoingRecord {
        topic: topic.clone(),
        key: record.key,
        value: record.value,
        headers: record.headers,
    })
}

/// What keeps events in order.
fn key(data: &Value) -> Option<Vec<u8>> {
    let learner = match &data["user"]["id"] {
        Value::Number(id) => Some(id.to_string()),
        id => id.as_str().map(str::to_owned),
    };
    let course = || data["course"]["id"].as_str().map(str::to_owned);
    learner.or_else(course).map(String::into_bytes)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn topics() -> Topics {
        let list = |name: &str| vec![format!("lms-{name}"), format!("lms-{name}.old")];
        Topics {
            enrollment: list("enrollment.created"),
            certificate: list("certificate.generated"),
            extra: Vec::new(),
            badge_awarded: "lms-badge.awarded".to_owned(),
            badge_revoked: "lms-badge.revoked".to_owned(),
            dead_letters: "lms-badges.dead-letters".to_owned(),
            create: true,
            partitions: 1,
        }
    }

    fn event(kind: &str) -> Value {
        json!({"specversion": "1.0", "id": "1", "source": "/lms", "type": kind, "time": "2026-11-01T12:00:00Z",
            "data": {"user": {"id": 42, "username": "ada"}, "course": {"id": "course-v1:edX+DemoX+2026"}}})
    }

    fn check(event: &Value) -> Result<OutgoingRecord, String> {
        outgoing(event.to_string().as_bytes(), &topics(), DateTime::UNIX_EPOCH)
    }

    #[test]
    fn an_event_goes_to_the_first_topic_of_its_type_under_its_learners_id() {
        for (kind, topic) in [
            ("enrollment.deactivated", "lms-enrollment.created"),
            ("certificate.revoked", "lms-certificate.generated"),
            ("learner.updated", "lms-enrollment.created"),
            ("some.other", "lms-enrollment.created"),
        ] {
            let record = check(&event(kind)).expect(kind);
            assert_eq!(record.topic, topic, "{kind}");
            assert_eq!(record.key.as_deref(), Some("42".as_bytes()), "{kind}");
            assert_eq!(record.value, Some(event(kind).to_string().into_bytes()));
        }
    }

    #[test]
    fn an_event_about_a_course_is_keyed_by_the_course() {
        let mut event = event("course.updated");
        event["data"]["user"] = Value::Null;
        let record = check(&event).expect("an event");
        assert_eq!(record.key.as_deref(), Some("course-v1:edX+DemoX+2026".as_bytes()));
    }

    #[test]
    fn what_the_service_would_not_take_is_refused_with_the_place() {
        for (pointer, place) in [
            ("/specversion", "specversion"),
            ("/type", "type"),
            ("/data", "data"),
            ("/data/user/id", "user.id"),
            ("/data/user/username", "user.username"),
            ("/data/course/id", "course.id"),
        ] {
            let mut event = event("enrollment.created");
            *event.pointer_mut(pointer).expect("a field") = Value::Null;
            let problem = check(&event).expect_err(pointer);
            assert!(problem.contains(place), "{pointer}: {problem}");
        }
        assert!(outgoing(b"{", &topics(), DateTime::UNIX_EPOCH).is_err());
    }
}
