//! The events to be read: a message for each type as one JSON document, and one for its data with headers.

use serde_json::{Map, Value, json};

use super::{CONTENT_TYPE, CONTENT_TYPE_STRUCTURED, camel};
use crate::{
    domain::limits::MAX_TEXT,
    wire::{EventType, event_data::described, schemas},
};

const TIME: &str = "2026-11-20T09:30:00Z";
const SOURCE: &str = "/openedx/lms";

/// The name of the schema of an event of this type as one document.
pub(super) fn event_name(event_type: EventType) -> String {
    format!("{}Event", camel(event_type.as_str()))
}

/// The names of the messages of this type: as one document, and as data with headers.
pub(super) fn message_names(event_type: EventType) -> [String; 2] {
    let name = camel(event_type.as_str());
    let data = format!("{name}Data");
    [name, data]
}

/// An event of this type as one document (CloudEvents, structured mode).
pub(super) fn event(event_type: EventType) -> Value {
    let (about, data) = described(event_type);
    json!({
        "type": "object",
        "description": format!("{about}: a CloudEvent in structured mode."),
        "required": ["specversion", "type", "data"],
        "properties": {
            "specversion": {"type": "string", "const": "1.0"},
            "id": id(),
            "source": {"type": "string", "description": "Who says it.", "examples": [SOURCE]},
            "type": {"type": "string", "const": event_type.as_str()},
            "time": time(),
            "data": {"$ref": format!("#/components/schemas/{data}")},
        },
    })
}

pub(super) fn messages(schemas: &Map<String, Value>) -> Map<String, Value> {
    let both = EventType::ALL.into_iter().flat_map(|event_type| {
        let [whole, data] = message_names(event_type);
        [
            (whole, structured(event_type, schemas)),
            (data, binary(event_type, schemas)),
        ]
    });
    both.collect()
}

fn structured(event_type: EventType, schemas: &Map<String, Value>) -> Value {
    let (about, _) = described(event_type);
    let payload = json!({"$ref": format!("#/components/schemas/{}", event_name(event_type))});
    json!({
        "name": event_type.as_str(),
        "title": event_type.as_str(),
        "summary": about,
        "description": "As one document: a CloudEvent in structured mode.",
        "contentType": CONTENT_TYPE_STRUCTURED,
        "headers": {
            "type": "object",
            "properties": {"content-type": {
                "type": "string",
                "description": "May be left out: a value with `specversion` and `data` is a structured event.",
                "pattern": "^[Aa][Pp][Pp][Ll][Ii][Cc][Aa][Tt][Ii][Oo][Nn]/[Cc][Ll][Oo][Uu][Dd][Ee][Vv][Ee][Nn][Tt][Ss]",
            }},
        },
        "payload": payload,
        "bindings": bindings(event_type),
        "examples": [{
            "name": "event",
            "headers": {"content-type": format!("{CONTENT_TYPE_STRUCTURED}; charset=UTF-8")},
            "payload": schemas::example(&payload, schemas),
        }],
    })
}

fn binary(event_type: EventType, schemas: &Map<String, Value>) -> Value {
    let (about, data) = described(event_type);
    let payload = json!({"$ref": format!("#/components/schemas/{data}")});
    json!({
        "name": format!("{}.data", event_type.as_str()),
        "title": format!("{} (data with headers)", event_type.as_str()),
        "summary": about,
        "description": "The data alone: a CloudEvent in binary mode, whose attributes are headers. Without headers it \
                        is the event that the topic stands for, at the time of the record.",
        "contentType": CONTENT_TYPE,
        "headers": {
            "type": "object",
            "properties": {
                "ce_specversion": {"type": "string", "const": "1.0"},
                "ce_id": id(),
                "ce_source": {"type": "string", "description": "Who says it."},
                "ce_type": {"type": "string", "const": event_type.as_str()},
                "ce_time": time(),
                "content-type": {"type": "string", "examples": [CONTENT_TYPE]},
            },
        },
        "payload": payload,
        "bindings": bindings(event_type),
        "examples": [{
            "name": "data",
            "headers": {
                "ce_specversion": "1.0", "ce_id": "0d9c4f1e-6f1b-4f0e-9d52-5b0f6d5f0c11", "ce_source": SOURCE,
                "ce_type": event_type.as_str(), "ce_time": TIME, "content-type": CONTENT_TYPE,
            },
            "payload": schemas::example(&payload, schemas),
        }],
    })
}

fn id() -> Value {
    json!({
        "type": "string",
        "maxLength": MAX_TEXT,
        "description": "Tells events apart; of equal times the greater id, compared as bytes, is the newer event. \
                        Without one, a hash of the data takes its place.",
        "examples": ["0d9c4f1e-6f1b-4f0e-9d52-5b0f6d5f0c11"],
    })
}

fn time() -> Value {
    json!({
        "type": "string",
        "format": "date-time",
        "description": "When it came about; the newest counts. More than five minutes after the record's own timestamp \
                        counts as that timestamp and five minutes; without a time the record's timestamp counts.",
        "examples": [TIME],
    })
}

fn bindings(event_type: EventType) -> Value {
    let key = match event_type {
        EventType::CourseUpdated => "Any; `accolade publish` takes the course key.",
        _ => "Any; `accolade publish` takes the user id, Open edX the course key.",
    };
    json!({"kafka": {"key": {"type": "string", "description": key}, "bindingVersion": "0.5.0"}})
}
