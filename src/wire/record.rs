//! A Kafka record as the rest of the house sees it: owned bytes and coordinates, no client types.

use std::sync::Arc;

use chrono::{DateTime, Utc};

/// One record as it came from the broker, whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Topic name, as on the broker (with the prefix).
    pub topic: Arc<str>,
    /// Partition of the topic.
    pub partition: i32,
    /// Offset in the partition.
    pub offset: i64,
    /// The record's own timestamp, where the broker gave one.
    pub timestamp: Option<DateTime<Utc>>,
    /// Key bytes.
    pub key: Option<Vec<u8>>,
    /// Value bytes; `None` is a tombstone.
    pub value: Option<Vec<u8>>,
    /// Headers in their order, names as UTF-8 with replacement characters.
    pub headers: Vec<Header>,
}

/// One record header.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Header {
    /// Header name.
    pub name: String,
    /// Header value; `None` where the header has no value.
    pub value: Option<Vec<u8>>,
}

/// A record on its way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutgoingRecord {
    /// Topic name, with the prefix.
    pub topic: String,
    /// Key bytes.
    pub key: Option<Vec<u8>>,
    /// Value bytes.
    pub value: Option<Vec<u8>>,
    /// Headers in their order.
    pub headers: Vec<Header>,
}

impl Record {
    /// The bytes of the first header of this name that has a value.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers
            .iter()
            .find(|header| header.name == name)
            .and_then(|header| header.value.as_deref())
    }

    /// How many bytes key, value and headers hold together.
    pub fn size(&self) -> usize {
        let part = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len);
        part(&self.key)
            + part(&self.value)
            + self
                .headers
                .iter()
                .map(|header| header.name.len() + part(&header.value))
                .sum::<usize>()
    }
}

impl Header {
    /// A header with a text value.
    pub fn text(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            value: Some(value.into().into_bytes()),
        }
    }
}
