//! What a record says: bytes to an event.

use std::{borrow::Cow, collections::HashMap};

use chrono::{DateTime, Datelike, TimeDelta, Utc};

use super::{
    canonical,
    cloud_event::{Message, parse},
    platform_event::{Data, EventType},
    record::Record,
};
use crate::domain::{Event, event::Stamp, limits};

/// A larger value is not decoded.
pub const MAX_VALUE: usize = 1 << 20;

/// What an event is that does not say its type: by the topic's name, as on the broker.
#[derive(Debug, Clone, Default)]
pub struct TopicTypes(HashMap<String, EventType>);

/// What a record was understood to be.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly every record is an event, and none is kept"
)]
pub enum Decoded {
    /// An event that concerns us.
    Event(Event),
    /// A record that is counted and nothing else.
    Ignored(IgnoreReason),
}

/// Why a record does not concern us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IgnoreReason {
    /// An event of a type that we do not know.
    UnknownType,
    /// A record without a value.
    Tombstone,
}

/// Why a record cannot be understood. Says what and where, never the content.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The value is larger than [`MAX_VALUE`].
    #[error("the value has {bytes} bytes, more than {MAX_VALUE}")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// A CloudEvents header cannot be used.
    #[error("header {name}: {problem}")]
    Header {
        /// The header's name.
        name: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The value is not JSON.
    #[error("not JSON at line {}, column {}", place.0, place.1)]
    NotJson {
        /// Line and column, from 1.
        place: (usize, usize),
    },
    /// A member that matters comes twice in its object.
    #[error("a member comes twice at line {}, column {}", place.0, place.1)]
    Duplicate {
        /// Line and column, from 1.
        place: (usize, usize),
    },
    /// The JSON does not say what it must.
    #[error("{path}: {problem}")]
    Schema {
        /// Where: the names of the members, joined by dots.
        path: &'static str,
        /// What is wrong there.
        problem: Cow<'static, str>,
    },
    /// A course key is none.
    #[error("{path}: {}", crate::domain::course_key::InvalidCourseKey)]
    InvalidCourseKey {
        /// Where, as above.
        path: &'static str,
    },
}

impl DecodeError {
    /// A stable short code: the metric's label `reason` and the header `accolade-reason`.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "too_large",
            Self::Header { .. } => "headers",
            Self::NotJson { .. } => "not_json",
            Self::Duplicate { .. } | Self::Schema { .. } => "schema",
            Self::InvalidCourseKey { .. } => "invalid_course_key",
        }
    }

    pub(super) fn schema(path: &'static str, problem: impl ToString) -> Self {
        Self::Schema {
            path,
            problem: Cow::Owned(problem.to_string()),
        }
    }
}

impl TopicTypes {
    /// Topics of enrolments and topics of certificates, by their names on the broker. On any other topic an event
    /// needs a type of its own.
    pub fn new<T: Into<String>>(
        enrollment: impl IntoIterator<Item = T>,
        certificate: impl IntoIterator<Item = T>,
    ) -> Self {
        let enrollment = enrollment
            .into_iter()
            .map(|topic| (topic.into(), EventType::EnrollmentCreated));
        let certificate = certificate
            .into_iter()
            .map(|topic| (topic.into(), EventType::CertificateGenerated));
        Self(enrollment.chain(certificate).collect())
    }
}

/// Reads a record, in any of the three shapes. Never panics, whatever the bytes.
///
/// The same record always gives the same event: its time is cut to microseconds and to at most five minutes past the
/// record's timestamp, and without an id of its own it has one made from its type and data. Without any time it is as
/// old as can be, 1970.
pub fn decode(record: &Record, topic_types: &TopicTypes) -> Result<Decoded, DecodeError> {
    let Some(value) = record.value.as_deref() else {
        return Ok(Decoded::Ignored(IgnoreReason::Tombstone));
    };
    if value.len() > MAX_VALUE {
        return Err(DecodeError::TooLarge { bytes: value.len() });
    }
    let message = Message::read(record, value)?;
    let event_type = match &message.event_type {
        Some(name) => match EventType::parse(name) {
            Some(known) => known,
            None => return Ok(Decoded::Ignored(IgnoreReason::UnknownType)),
        },
        None => *topic_types
            .0
            .get(&*record.topic)
            .ok_or_else(|| DecodeError::schema("type", "missing, and this topic has none of its own"))?,
    };
    let bytes = message
        .data
        .ok_or_else(|| DecodeError::schema("data", "missing; expected an object"))?;
    let data = parse::<Data<'_>>(bytes)?.required("data")?;
    let body = data.into_body(event_type)?;
    let event_id = match message.id {
        Some(id) => {
            limits::check_text(&id).map_err(|error| DecodeError::schema("id", error))?;
            id.into_owned()
        }
        None => canonical::event_id(event_type.as_str(), bytes),
    };
    let stamp = Stamp {
        time: event_time(message.time.as_deref(), record.timestamp)?,
        event_id,
    };
    Ok(Decoded::Event(Event { stamp, body }))
}

fn event_time(said: Option<&str>, record_time: Option<DateTime<Utc>>) -> Result<DateTime<Utc>, DecodeError> {
    let Some(text) = said else {
        return Ok(micros(record_time.unwrap_or(DateTime::UNIX_EPOCH)));
    };
    let time = parse_time(text, "time")?;
    let latest = record_time.and_then(|sent| sent.checked_add_signed(TimeDelta::minutes(5)));
    Ok(micros(latest.map_or(time, |latest| time.min(latest))))
}

/// A time as RFC 3339 has it, cut to microseconds; its year has four digits in UTC too.
pub(super) fn parse_time(text: &str, path: &'static str) -> Result<DateTime<Utc>, DecodeError> {
    DateTime::parse_from_rfc3339(text)
        .ok()
        .map(|time| micros(time.to_utc()))
        .filter(|time| (1..=9999).contains(&time.year()))
        .ok_or_else(|| DecodeError::schema(path, "expected a time as RFC 3339 has it, such as 2026-11-01T12:00:00Z"))
}

fn micros(time: DateTime<Utc>) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(time.timestamp_micros()).unwrap_or(time)
}
