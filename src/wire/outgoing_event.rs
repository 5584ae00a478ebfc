//! Events that a person publishes: a line of JSON, and where it goes.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    cloud_event,
    decode::DecodeError,
    platform_event::EventType,
    record::{Header, OutgoingRecord},
    scalar::{Object, Scalar},
};

/// One event to be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutgoingEvent {
    /// Its CloudEvents `type`, by which its topic is chosen.
    pub event_type: String,
    /// Its record's key: the user id; the course key of an event about a course; none where it names neither.
    pub key: Option<String>,
    value: String,
}

/// Why a line cannot be published.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {error}")]
pub struct InvalidLine {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    #[source]
    pub error: DecodeError,
}

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow, default, rename = "type")]
    event_type: Scalar<'a>,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Subjects<'a> {
    #[serde(borrow, default)]
    user: Object<Subject<'a>>,
    #[serde(borrow, default)]
    course: Object<Subject<'a>>,
}

#[derive(Deserialize)]
struct Subject<'a> {
    #[serde(borrow, default)]
    id: Scalar<'a>,
}

impl OutgoingEvent {
    /// Reads the line of this number (from 1): a structured CloudEvent with `type` and `data`.
    ///
    /// It is looked at only as far as its way needs it; what else is wrong with it, its consumers will say.
    pub fn read(line: usize, text: &str) -> Result<Self, InvalidLine> {
        Self::parse(text).map_err(|error| InvalidLine { line, error })
    }

    /// The record that carries it to this topic.
    pub fn into_record(self, topic: &str) -> OutgoingRecord {
        OutgoingRecord {
            topic: topic.to_owned(),
            key: self.key.map(String::into_bytes),
            value: Some(self.value.into_bytes()),
            headers: vec![Header::text(
                "content-type",
                "application/cloudevents+json; charset=UTF-8",
            )],
        }
    }

    fn parse(text: &str) -> Result<Self, DecodeError> {
        let line = cloud_event::parse::<Line<'_>>(text.as_bytes())?.required("$")?;
        let event_type = line.event_type.text("type")?.filter(|name| !name.is_empty());
        let event_type = event_type.ok_or_else(|| DecodeError::schema("type", "missing; expected a text"))?;
        let data = line
            .data
            .ok_or_else(|| DecodeError::schema("data", "missing; expected an object"))?;
        let subjects = cloud_event::parse::<Subjects<'_>>(data.get().as_bytes())?.required("data")?;
        let key = match (EventType::parse(&event_type), subjects.user, subjects.course) {
            (Some(EventType::CourseUpdated), _, course) => course
                .required("data.course")?
                .id
                .text("data.course.id")?
                .map(String::from),
            (Some(_), user, _) | (None, user @ Object::Present(_), _) => {
                Some(user.required("data.user")?.id.integer("data.user.id")?.to_string())
            }
            (None, ..) => None,
        };
        Ok(Self {
            event_type: event_type.into_owned(),
            key,
            value: text.trim().to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> Result<(String, Option<String>), String> {
        OutgoingEvent::read(3, text)
            .map(|event| (event.event_type, event.key))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn an_event_goes_by_its_type_and_its_learner() {
        let of_learner = said(r#"{"type": "enrollment.created", "data": {"user": {"id": 42}}}"#);
        assert_eq!(of_learner, Ok(("enrollment.created".to_owned(), Some("42".to_owned()))));
        let of_course = said(r#"{"type": "course.updated", "data": {"course": {"id": "edX/A/1"}}}"#);
        assert_eq!(of_course, Ok(("course.updated".to_owned(), Some("edX/A/1".to_owned()))));
        let other = said(r#"{"type": "other", "data": {}}"#);
        assert_eq!(other, Ok(("other".to_owned(), None)));
    }

    #[test]
    fn an_error_names_the_line_and_the_place() {
        let error = |text: &str| said(text).expect_err("an error");
        assert_eq!(error("{"), "line 3: not JSON at line 1, column 1");
        assert_eq!(error("[]"), "line 3: $: expected an object");
        assert_eq!(error(r#"{"data": {}}"#), "line 3: type: missing; expected a text");
        let text_id = r#"{"type": "learner.updated", "data": {"user": {"id": "42"}}}"#;
        assert_eq!(error(text_id), "line 3: data.user.id: expected an integer");
    }
}
