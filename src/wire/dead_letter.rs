//! A record that could not be processed, on its way to the dead-letter topic.

use sha2::{Digest, Sha256};

use super::{
    canonical::hex,
    record::{Header, OutgoingRecord, Record},
};

/// What is left of a value, or of a long key, that the broker refuses for its size.
const EXCERPT: usize = 1024;
/// As many bytes of a key, and of headers, pass with an excerpt.
const ROOM: usize = 64 * 1024;

/// The record whole: key, value and headers as they came, and after them where it was and what is wrong with it.
pub fn dead_letter_record(topic: &str, original: &Record, reason: &str, message: &str) -> OutgoingRecord {
    let mut headers = original.headers.clone();
    headers.extend(error_headers(original, reason, message));
    OutgoingRecord {
        topic: topic.to_owned(),
        key: original.key.clone(),
        value: original.value.clone(),
        headers,
    }
}

/// What stands for a record that the broker refuses for its size: the first KiB of the value, its length and its
/// SHA-256. Of headers it has the first 64 KiB, and how many are missing; a key above 64 KiB is cut like the value.
pub fn dead_letter_digest(topic: &str, original: &Record, reason: &str, message: &str) -> OutgoingRecord {
    let mut room = ROOM;
    let mut headers: Vec<Header> = original
        .headers
        .iter()
        .take_while(|header| {
            let size = header.name.len() + header.value.as_ref().map_or(0, Vec::len);
            room.checked_sub(size).inspect(|left| room = *left).is_some()
        })
        .cloned()
        .collect();
    let omitted = original.headers.len() - headers.len();
    headers.extend(error_headers(original, reason, message));
    let value = original.value.as_deref().unwrap_or_default();
    headers.push(Header::text("accolade-value-length", value.len().to_string()));
    headers.push(Header::text("accolade-value-sha256", hex(&Sha256::digest(value))));
    if omitted > 0 {
        headers.push(Header::text("accolade-headers-omitted", omitted.to_string()));
    }
    let excerpt = |bytes: &[u8]| bytes[..bytes.len().min(EXCERPT)].to_vec();
    OutgoingRecord {
        topic: topic.to_owned(),
        key: match &original.key {
            Some(key) if key.len() > ROOM => Some(excerpt(key)),
            key => key.clone(),
        },
        value: original.value.as_deref().map(excerpt),
        headers,
    }
}

fn error_headers(original: &Record, reason: &str, message: &str) -> [Header; 5] {
    [
        Header::text("__connect.errors.topic", &*original.topic),
        Header::text("__connect.errors.partition", original.partition.to_string()),
        Header::text("__connect.errors.offset", original.offset.to_string()),
        Header::text("__connect.errors.exception.message", message),
        Header::text("accolade-reason", reason),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(value: Vec<u8>) -> Record {
        Record {
            topic: "enrollment.created".into(),
            partition: 3,
            offset: 17,
            timestamp: None,
            key: Some(b"42".to_vec()),
            value: Some(value),
            headers: vec![
                Header {
                    name: "none".to_owned(),
                    value: None,
                },
                Header {
                    name: "bytes".to_owned(),
                    value: Some(vec![0xff, 0]),
                },
            ],
        }
    }

    fn header<'a>(record: &'a OutgoingRecord, name: &str) -> Option<&'a str> {
        let header = record.headers.iter().find(|header| header.name == name)?;
        std::str::from_utf8(header.value.as_deref()?).ok()
    }

    #[test]
    fn a_dead_letter_is_the_whole_record_and_what_is_wrong() {
        let original = record(b"{".to_vec());
        let letter = dead_letter_record(
            "badges.dead-letters",
            &original,
            "not_json",
            "not JSON at line 1, column 1",
        );
        assert_eq!((&letter.key, &letter.value), (&original.key, &original.value));
        assert_eq!(letter.headers[..2], original.headers);
        let names: Vec<&str> = letter.headers[2..].iter().map(|header| header.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "__connect.errors.topic",
                "__connect.errors.partition",
                "__connect.errors.offset",
                "__connect.errors.exception.message",
                "accolade-reason"
            ]
        );
        assert_eq!(header(&letter, "__connect.errors.topic"), Some("enrollment.created"));
        assert_eq!(header(&letter, "__connect.errors.partition"), Some("3"));
        assert_eq!(header(&letter, "__connect.errors.offset"), Some("17"));
        assert_eq!(header(&letter, "accolade-reason"), Some("not_json"));
    }

    #[test]
    fn a_digest_has_the_first_kib_the_length_and_the_hash() {
        let mut original = record(vec![b'a'; 5000]);
        original.headers.push(Header::text("long", "x".repeat(ROOM)));
        let letter = dead_letter_digest("badges.dead-letters", &original, "too_large", "");
        assert_eq!(letter.value, Some(vec![b'a'; 1024]));
        assert_eq!(letter.key, original.key);
        assert_eq!(letter.headers[..2], original.headers[..2]);
        assert_eq!(header(&letter, "accolade-value-length"), Some("5000"));
        let sha256 = hex(&Sha256::digest([b'a'; 5000]));
        assert_eq!(header(&letter, "accolade-value-sha256"), Some(sha256.as_str()));
        assert_eq!(header(&letter, "accolade-headers-omitted"), Some("1"));
    }
}
