//! The events that are written, and the dead letters.

use serde_json::{Map, Value, json};

use super::{CONTENT_TYPE, camel, samples, topics::DEAD_LETTER};
use crate::wire::{
    badge_event::{BADGE_AWARDED, BADGE_REVOKED, BadgeEvent},
    record::OutgoingRecord,
    schemas,
};

/// The data of `badge.revoked`.
pub(super) fn revocation() -> Value {
    json!({
        "description": "The same as in `badge.awarded`, and why and since when it holds no more.",
        "allOf": [schemas::reference::<BadgeEvent<'_>>(), {"type": "object", "required": ["revocation"]}],
    })
}

pub(super) fn messages() -> Map<String, Value> {
    let awarded = message(
        BADGE_AWARDED,
        "A badge was awarded",
        schemas::reference::<BadgeEvent<'_>>(),
        &samples::awarded(),
    );
    let revoked = message(
        BADGE_REVOKED,
        "A badge was revoked",
        json!({"$ref": "#/components/schemas/BadgeRevocation"}),
        &samples::revoked(),
    );
    Map::from_iter([
        (camel(BADGE_AWARDED), awarded),
        (camel(BADGE_REVOKED), revoked),
        (DEAD_LETTER.to_owned(), dead_letter()),
    ])
}

fn message(event_type: &str, about: &str, payload: Value, example: &OutgoingRecord) -> Value {
    let text = |description: &str| json!({"type": "string", "description": description});
    json!({
        "name": event_type,
        "title": event_type,
        "summary": about,
        "description": "A CloudEvent in binary mode. No e-mail address is in it.",
        "contentType": CONTENT_TYPE,
        "headers": {
            "type": "object",
            "required": ["ce_specversion", "ce_id", "ce_source", "ce_type", "ce_time", "ce_subject", "ce_sequence",
                "content-type"],
            "properties": {
                "ce_specversion": {"type": "string", "const": "1.0"},
                "ce_id": {"type": "string", "format": "uuid",
                    "description": "The same however often the event is sent: know it again by this."},
                "ce_source": {"type": "string", "format": "uri-reference", "description": "The service: `PUBLIC_URL`."},
                "ce_type": {"type": "string", "const": event_type},
                "ce_time": {"type": "string", "format": "date-time", "description": "When it came about."},
                "ce_subject": text("The user id."),
                "ce_sequence": {"type": "string", "pattern": "^[0-9]+$",
                    "description": "Its number among the learner's events: it grows, not always by one."},
                "content-type": {"type": "string", "const": CONTENT_TYPE},
            },
        },
        "payload": payload,
        "bindings": {"kafka": {
            "key": {"type": "string", "pattern": "^-?[0-9]+$", "description": "The user id."},
            "bindingVersion": "0.5.0"}},
        "examples": [example_of(example)],
    })
}

fn dead_letter() -> Value {
    let number = |description: &str| json!({"type": "string", "pattern": "^[0-9]+$", "description": description});
    json!({
        "name": "dead-letter",
        "title": "dead letter",
        "summary": "A record that could not be processed",
        "description": "Key, value and headers as they came; the headers that say what is wrong come after them. Where \
                        a header comes twice, the last one counts.",
        "contentType": "application/octet-stream",
        "headers": {
            "type": "object",
            "required": ["__connect.errors.topic", "__connect.errors.partition", "__connect.errors.offset",
                "__connect.errors.exception.message", "accolade-reason"],
            "properties": {
                "__connect.errors.topic": {"type": "string", "description": "The topic that the record came from."},
                "__connect.errors.partition": number("Its partition."),
                "__connect.errors.offset": number("Its offset."),
                "__connect.errors.exception.message": {"type": "string",
                    "description": "What is wrong and where, never the content."},
                "accolade-reason": {"type": "string", "pattern": "^[a-z_]+$",
                    "description": "A short stable code, among others `not_json`, `schema`, `headers`, \
                                    `invalid_course_key`, `too_large`, `unknown_badge_class`."},
                "accolade-value-length": number("Bytes of the value, where the broker refused the whole record."),
                "accolade-value-sha256": {"type": "string", "pattern": "^[0-9a-f]{64}$",
                    "description": "SHA-256 of the value, where the broker refused the whole record."},
                "accolade-headers-omitted": number("How many headers were left out of such a record."),
            },
        },
        "payload": {"description": "The value as it came, whatever it is. Of a value that the broker refused for its \
                                    size, the first KiB."},
        "bindings": {"kafka": {
            "key": {"type": "string", "description": "The key as it came."}, "bindingVersion": "0.5.0"}},
        "examples": [example_of(&samples::dead_letter())],
    })
}

/// A record as an example; a value that is no JSON is shown as a text.
fn example_of(record: &OutgoingRecord) -> Value {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let headers = record.headers.iter().map(|header| {
        let value = header.value.as_deref().map(text);
        (header.name.clone(), Value::from(value))
    });
    let value = record.value.as_deref().unwrap_or_default();
    json!({
        "name": "record",
        "headers": headers.collect::<Map<_, _>>(),
        "payload": serde_json::from_slice(value).unwrap_or_else(|_| Value::from(text(value))),
    })
}
