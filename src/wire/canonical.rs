//! An id for an event that has none: a second sending of the same data is the same event.

use std::fmt::Write;

use serde_json::Value;
use sha2::{Digest, Sha256};

/// The SHA-256 of an event's type and of its data, whatever the order and the spacing of their members; hexadecimal.
///
/// Data that cannot be brought to one form (nested too deeply, or with halves of characters in members that nobody
/// reads) are hashed as they came.
pub(super) fn event_id(event_type: &str, data: &[u8]) -> String {
    let canonical = serde_json::from_slice::<Value>(data).map(|value| {
        let mut text = String::with_capacity(data.len());
        write_value(&value, &mut text);
        text.into_bytes()
    });
    let digest = Sha256::new()
        .chain_update(event_type.as_bytes())
        .chain_update(b"\n")
        .chain_update(canonical.as_deref().unwrap_or(data))
        .finalize();
    hex(&digest)
}

/// Bytes as hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        write!(text, "{byte:02x}").expect("a text takes every write");
    }
    text
}

fn write_value(value: &Value, text: &mut String) {
    match value {
        Value::Array(items) => {
            text.push('[');
            for item in items {
                write_value(item, text);
                text.push(',');
            }
            text.push(']');
        }
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_unstable_by_key(|(name, _)| *name);
            text.push('{');
            for (name, member) in members {
                write!(text, "{}:", Value::from(name.as_str())).expect("a text takes every write");
                write_value(member, text);
                text.push(',');
            }
            text.push('}');
        }
        scalar => write!(text, "{scalar}").expect("a text takes every write"),
    }
}
