//! A record's content as people and programs read it: text where it is UTF-8, else base64 (RFC 4648, with padding).

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::Serialize;
use utoipa::ToSchema;

use super::record::Record;

/// Key, value and headers of a record. What is no text is in the member with `_base64` at the end of its name instead,
/// as in the JSON format of CloudEvents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ReadableRecord {
    /// The key; none, or no text: null.
    #[schema(required = true, example = "42")]
    pub key: Option<String>,
    /// The key, where it is no text.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(content_encoding = "base64")]
    pub key_base64: Option<String>,
    /// The value; none, or no text: null.
    #[schema(required = true, example = "{\"user\": {\"id\": 42}}")]
    pub value: Option<String>,
    /// The value, where it is no text.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(content_encoding = "base64")]
    pub value_base64: Option<String>,
    /// All headers, in their order.
    pub headers: Vec<ReadableHeader>,
}

/// A header of a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ReadableHeader {
    /// Its name.
    #[schema(example = "ce_type")]
    pub name: String,
    /// Its value; none, or no text: null.
    #[schema(required = true, example = "enrollment.created")]
    pub value: Option<String>,
    /// Its value, where it is no text.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(content_encoding = "base64")]
    pub value_base64: Option<String>,
}

impl From<Record> for ReadableRecord {
    fn from(record: Record) -> Self {
        let (key, key_base64) = readable(record.key);
        let (value, value_base64) = readable(record.value);
        let headers = record.headers.into_iter().map(|header| {
            let (value, value_base64) = readable(header.value);
            ReadableHeader {
                name: header.name,
                value,
                value_base64,
            }
        });
        Self {
            key,
            key_base64,
            value,
            value_base64,
            headers: headers.collect(),
        }
    }
}

/// As text, or else as base64.
fn readable(bytes: Option<Vec<u8>>) -> (Option<String>, Option<String>) {
    match bytes.map(String::from_utf8) {
        None => (None, None),
        Some(Ok(text)) => (Some(text), None),
        Some(Err(error)) => (None, Some(BASE64_STANDARD.encode(error.as_bytes()))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::wire::record::Header;

    #[test]
    fn texts_are_texts_and_other_bytes_are_base64() {
        let record = Record {
            topic: "t".into(),
            partition: 0,
            offset: 0,
            timestamp: None,
            key: Some(vec![0xff, 0]),
            value: Some("{\"name\": \"Zoé\"}".as_bytes().to_vec()),
            headers: vec![
                Header::text("text", "é"),
                Header {
                    name: "bytes".to_owned(),
                    value: Some(vec![0xfe]),
                },
                Header {
                    name: "none".to_owned(),
                    value: None,
                },
            ],
        };
        let expected = json!({
            "key": null, "key_base64": "/wA=", "value": "{\"name\": \"Zoé\"}",
            "headers": [{"name": "text", "value": "é"}, {"name": "bytes", "value": null, "value_base64": "/g=="},
                {"name": "none", "value": null}]});
        let document = serde_json::to_value(ReadableRecord::from(record)).expect("JSON");
        assert_eq!(document, expected);
    }
}
