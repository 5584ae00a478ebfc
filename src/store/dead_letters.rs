//! Records that could not be processed, whole, with the reason.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use diesel::{
    RunQueryDsl, sql_query,
    sql_types::{BigInt, Binary, Integer, Nullable, Text, Timestamp},
};
use serde::Serialize;

use super::{StoreError, Tx, retirement};
use crate::wire::record::{Header, Record};

/// A record on its way to the dead letters.
#[derive(Debug, Clone)]
pub struct NewDeadLetter<'a> {
    /// The record, as it came.
    pub record: &'a Record,
    /// A stable short code: a metric's label.
    pub reason: &'a str,
    /// What is wrong and where, never the content.
    pub message: &'a str,
}

#[derive(Serialize)]
struct StoredHeader<'a> {
    name: &'a str,
    /// Base64 (RFC 4648, with padding).
    value: Option<String>,
}

/// The headers as they are stored: a JSON array of `{"name": …, "value": base64 or null}`.
pub fn headers_to_json(headers: &[Header]) -> String {
    let stored: Vec<StoredHeader<'_>> = headers
        .iter()
        .map(|header| StoredHeader {
            name: &header.name,
            value: header.value.as_ref().map(|bytes| BASE64_STANDARD.encode(bytes)),
        })
        .collect();
    serde_json::to_string(&stored).expect("texts are JSON")
}

/// Keeps these records. The same record that comes again is kept again: only a replay brings it. Of one that speaks of a
/// learner who has retired nothing is kept but where it was and what is wrong with it.
pub fn insert(tx: &mut Tx<'_>, letters: &[NewDeadLetter<'_>]) -> Result<(), StoreError> {
    if letters.is_empty() {
        return Ok(());
    }
    let records: Vec<&Record> = letters.iter().map(|letter| letter.record).collect();
    let erased = retirement::erased_on_arrival(tx, &records)?;
    for (letter, erased) in letters.iter().zip(erased) {
        let NewDeadLetter {
            record,
            reason,
            message,
        } = letter;
        let now = tx.now()?;
        let erased_at = erased.then_some(now);
        let kept = |bytes: &'_ Option<Vec<u8>>| if erased { None } else { bytes.clone() };
        sql_query(
            "/* dead_letters::insert */ INSERT INTO dead_letter \
             (topic, record_partition, record_offset, record_time, record_key, record_value, headers, reason, message, \
              created_at, published_at, erased_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $11)",
        )
        .bind::<Text, _>(&*record.topic)
        .bind::<Integer, _>(record.partition)
        .bind::<BigInt, _>(record.offset)
        .bind::<Nullable<Timestamp>, _>(record.timestamp.map(|time| time.naive_utc()))
        .bind::<Nullable<Binary>, _>(kept(&record.key))
        .bind::<Nullable<Binary>, _>(kept(&record.value))
        .bind::<Text, _>(headers_to_json(if erased { &[] } else { &record.headers }))
        .bind::<Text, _>(*reason)
        .bind::<Text, _>(*message)
        .bind::<Timestamp, _>(now)
        .bind::<Nullable<Timestamp>, _>(erased_at)
        .execute(tx.conn)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{schema::dead_letter, testing};
    use diesel::QueryDsl;

    #[test]
    fn a_record_is_kept_whole() {
        let record = Record {
            topic: "t".into(),
            partition: 3,
            offset: 9,
            timestamp: None,
            key: Some(vec![0xff]),
            value: Some(vec![0, 1]),
            headers: vec![
                Header {
                    name: "a".to_owned(),
                    value: Some(vec![0xfe]),
                },
                Header {
                    name: "b".to_owned(),
                    value: None,
                },
            ],
        };
        for database in testing::databases() {
            let letter = NewDeadLetter {
                record: &record,
                reason: "json",
                message: "not JSON",
            };
            let stored: (i32, i64, Option<Vec<u8>>, Option<Vec<u8>>, String) = database
                .store()
                .transaction("test", |tx| {
                    insert(tx, std::slice::from_ref(&letter))?;
                    Ok(dead_letter::table
                        .select((
                            dead_letter::record_partition,
                            dead_letter::record_offset,
                            dead_letter::record_key,
                            dead_letter::record_value,
                            dead_letter::headers,
                        ))
                        .first(tx.conn)?)
                })
                .expect("stored");
            let headers = r#"[{"name":"a","value":"/g=="},{"name":"b","value":null}]"#.to_owned();
            assert_eq!(stored, (3, 9, Some(vec![0xff]), Some(vec![0, 1]), headers));
        }
    }
}
