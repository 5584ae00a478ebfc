//! Between rdkafka's messages and our own records.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use chrono::DateTime;
use rdkafka::message::{BorrowedMessage, Header as ClientHeader, Headers, Message, OwnedHeaders};

use crate::wire::record::{Header, OutgoingRecord, Record};

/// What stands for a header name that is not UTF-8.
const UNREADABLE_NAME: &str = "\u{FFFD}";

/// Topic names, each allocated once.
#[derive(Debug, Default)]
pub(super) struct TopicNames(HashMap<String, Arc<str>>);

impl TopicNames {
    /// The shared form of a name.
    pub(super) fn get(&mut self, name: &str) -> Arc<str> {
        match self.0.get(name) {
            Some(shared) => Arc::clone(shared),
            None => {
                let shared = Arc::<str>::from(name);
                self.0.insert(name.to_owned(), Arc::clone(&shared));
                shared
            }
        }
    }
}

/// Copies a message out of librdkafka's memory.
pub(super) fn to_record(message: &BorrowedMessage<'_>, names: &mut TopicNames) -> Record {
    Record {
        topic: names.get(message.topic()),
        partition: message.partition(),
        offset: message.offset(),
        timestamp: message
            .timestamp()
            .to_millis()
            .and_then(DateTime::from_timestamp_millis),
        key: message.key().map(<[u8]>::to_vec),
        value: message.payload().map(<[u8]>::to_vec),
        headers: message.headers().map_or_else(Vec::new, to_headers),
    }
}

/// Copies headers. rdkafka panics on a name that is not UTF-8 and has no other way to ask for it:
/// such a header keeps its place, under [`UNREADABLE_NAME`] and without its value.
fn to_headers(headers: &impl Headers) -> Vec<Header> {
    (0..headers.count())
        .filter_map(
            |index| match catch_unwind(AssertUnwindSafe(|| headers.try_get(index))) {
                Ok(header) => header.map(|header| Header {
                    name: header.key.to_owned(),
                    value: header.value.map(<[u8]>::to_vec),
                }),
                Err(_) => Some(Header {
                    name: UNREADABLE_NAME.to_owned(),
                    value: None,
                }),
            },
        )
        .collect()
}

/// The headers of a record on its way out; `None` when there are none.
pub(super) fn from_headers(record: &OutgoingRecord) -> Option<OwnedHeaders> {
    if record.headers.is_empty() {
        return None;
    }
    let headers = OwnedHeaders::new_with_capacity(record.headers.len());
    Some(record.headers.iter().fold(headers, |headers, header| {
        headers.insert(ClientHeader {
            key: &header.name,
            value: header.value.as_deref(),
        })
    }))
}
