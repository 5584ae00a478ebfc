//! The record of a dead letter, as its row holds it.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use chrono::NaiveDateTime;
use diesel::{
    QueryableByName,
    sql_types::{BigInt, Binary, Integer, Nullable, Text, Timestamp},
};
use serde::{Deserialize, Serialize};

use crate::{
    store::StoreError,
    wire::record::{Header, Record},
};

/// The columns of [`RecordRow`].
pub(in crate::store) const RECORD_COLUMNS: &str =
    "topic, record_partition, record_offset, record_time, record_key, record_value, headers";

/// A record in its columns.
#[derive(QueryableByName)]
pub(in crate::store) struct RecordRow {
    #[diesel(sql_type = Text)]
    topic: String,
    #[diesel(sql_type = Integer)]
    record_partition: i32,
    #[diesel(sql_type = BigInt)]
    record_offset: i64,
    #[diesel(sql_type = Nullable<Timestamp>)]
    record_time: Option<NaiveDateTime>,
    #[diesel(sql_type = Nullable<Binary>)]
    record_key: Option<Vec<u8>>,
    #[diesel(sql_type = Nullable<Binary>)]
    record_value: Option<Vec<u8>>,
    #[diesel(sql_type = Text)]
    headers: String,
}

#[derive(Serialize, Deserialize)]
struct StoredHeader {
    name: String,
    /// Base64 (RFC 4648, with padding).
    value: Option<String>,
}

impl RecordRow {
    /// The record as it came, of the dead letter of this id.
    pub(in crate::store) fn record(self, id: i64) -> Result<Record, StoreError> {
        let headers = headers_of_json(&self.headers);
        Ok(Record {
            headers: headers.ok_or_else(|| StoreError::Corrupt(format!("headers of dead letter {id}")))?,
            topic: self.topic.into(),
            partition: self.record_partition,
            offset: self.record_offset,
            timestamp: self.record_time.map(|time| time.and_utc()),
            key: self.record_key,
            value: self.record_value,
        })
    }
}

/// The headers as they are stored: a JSON array of `{"name": …, "value": base64 or null}`.
pub(super) fn headers_to_json(headers: &[Header]) -> String {
    let stored: Vec<StoredHeader> = headers
        .iter()
        .map(|header| StoredHeader {
            name: header.name.clone(),
            value: header.value.as_ref().map(|bytes| BASE64_STANDARD.encode(bytes)),
        })
        .collect();
    serde_json::to_string(&stored).expect("texts are JSON")
}

fn headers_of_json(text: &str) -> Option<Vec<Header>> {
    let stored: Vec<StoredHeader> = serde_json::from_str(text).ok()?;
    let header = |stored: StoredHeader| {
        Some(Header {
            name: stored.name,
            value: match stored.value {
                Some(text) => Some(BASE64_STANDARD.decode(text).ok()?),
                None => None,
            },
        })
    };
    stored.into_iter().map(header).collect()
}
