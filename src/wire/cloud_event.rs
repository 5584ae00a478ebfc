//! The CloudEvents shapes of a record: structured, binary, or no CloudEvent at all.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    decode::DecodeError,
    platform_event::EventType,
    record::Record,
    scalar::{Object, Scalar},
};

/// A record taken apart: what its attributes say, and where its data are.
#[derive(Debug)]
pub(super) struct Message<'a> {
    pub(super) id: Option<Cow<'a, str>>,
    pub(super) event_type: Option<Cow<'a, str>>,
    pub(super) time: Option<Cow<'a, str>>,
    pub(super) data: Option<&'a [u8]>,
}

/// The CloudEvents headers of a record.
#[derive(Debug, Default)]
struct Headers<'a> {
    content_type: Option<&'a [u8]>,
    specversion: Option<&'a [u8]>,
    id: Option<&'a [u8]>,
    event_type: Option<&'a [u8]>,
    time: Option<&'a [u8]>,
}

/// The attributes of a structured event, as far as they matter.
#[derive(Debug, Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, default)]
    specversion: Scalar<'a>,
    #[serde(borrow, default)]
    id: Scalar<'a>,
    #[serde(borrow, default, rename = "type")]
    event_type: Scalar<'a>,
    #[serde(borrow, default)]
    time: Scalar<'a>,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
}

impl<'a> Message<'a> {
    /// Takes a record apart. The data of a binary event are not looked at.
    ///
    /// The content type decides; without it the `ce_` headers; without these a value that looks like a structured
    /// event is one.
    pub(super) fn read(record: &'a Record, value: &'a [u8]) -> Result<Self, DecodeError> {
        let headers = Headers::read(record)?;
        let said_to_be_structured = headers.content_type.is_some_and(|text| {
            text.get(..STRUCTURED.len())
                .is_some_and(|head| head.eq_ignore_ascii_case(STRUCTURED))
        });
        if said_to_be_structured {
            let envelope = parse::<Envelope<'_>>(value)?.required("$")?;
            return Self::structured(envelope);
        }
        if headers.event_type.is_none()
            && let Object::Present(envelope) = parse::<Envelope<'_>>(value)?
            && envelope.specversion != Scalar::Absent
            && (envelope.data.is_some() || envelope.event_type != Scalar::Absent)
        {
            return Self::structured(envelope);
        }
        let event_type = text(headers.event_type, "ce_type")?;
        if is_unknown(event_type.as_deref()) {
            return Ok(Self::unknown(event_type));
        }
        Ok(Self {
            id: text(headers.id, "ce_id")?,
            event_type,
            time: text(headers.time, "ce_time")?,
            data: Some(value),
        })
    }

    /// An event of somebody else's, of which only the type is of interest.
    fn unknown(event_type: Option<Cow<'a, str>>) -> Self {
        Self {
            id: None,
            event_type,
            time: None,
            data: None,
        }
    }

    fn structured(envelope: Envelope<'a>) -> Result<Self, DecodeError> {
        let event_type = envelope.event_type.text("type")?.filter(|text| !text.is_empty());
        if is_unknown(event_type.as_deref()) {
            return Ok(Self::unknown(event_type));
        }
        Ok(Self {
            id: envelope.id.text("id")?.filter(|text| !text.is_empty()),
            event_type,
            time: envelope.time.text("time")?,
            data: envelope.data.map(|data| data.get().as_bytes()),
        })
    }
}

/// Whether this is a type of others, whose events are theirs to check.
fn is_unknown(event_type: Option<&str>) -> bool {
    event_type.is_some_and(|name| EventType::parse(name).is_none())
}

const STRUCTURED: &[u8] = b"application/cloudevents";

impl<'a> Headers<'a> {
    fn read(record: &'a Record) -> Result<Self, DecodeError> {
        let mut headers = Self::default();
        for header in &record.headers {
            let (slot, name) = match header.name.as_str() {
                "ce_specversion" => (&mut headers.specversion, "ce_specversion"),
                "ce_id" => (&mut headers.id, "ce_id"),
                "ce_type" => (&mut headers.event_type, "ce_type"),
                "ce_time" => (&mut headers.time, "ce_time"),
                other => {
                    if headers.content_type.is_none() && other.eq_ignore_ascii_case("content-type") {
                        headers.content_type = header.value.as_deref();
                    }
                    continue;
                }
            };
            let Some(value) = header.value.as_deref().filter(|value| !value.is_empty()) else {
                continue;
            };
            match slot {
                Some(known) if *known != value => {
                    return Err(DecodeError::Header {
                        name,
                        problem: "there are two with different values",
                    });
                }
                _ => *slot = Some(value),
            }
        }
        Ok(headers)
    }
}

fn text<'a>(value: Option<&'a [u8]>, name: &'static str) -> Result<Option<Cow<'a, str>>, DecodeError> {
    value
        .map(|bytes| {
            std::str::from_utf8(bytes)
                .map(Cow::Borrowed)
                .map_err(|_| DecodeError::Header {
                    name,
                    problem: "expected UTF-8",
                })
        })
        .transpose()
}

/// Parses JSON that should be an object.
pub(super) fn parse<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<Object<T>, DecodeError> {
    serde_json::from_slice(json).map_err(|error| {
        let place = (error.line(), error.column());
        match error.classify() {
            // Every member takes any value: what is left for the types to refuse is a member that comes twice.
            serde_json::error::Category::Data => DecodeError::Duplicate { place },
            _ => DecodeError::NotJson { place },
        }
    })
}
