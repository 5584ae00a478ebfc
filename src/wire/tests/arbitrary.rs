//! `decode` returns whatever the bytes.

use proptest::prelude::*;

use super::{data, record, structured, types, with_headers};
use crate::wire::{EventType, decode::decode};

/// Changes single bytes of a valid event.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let edits = proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
    (
        prop::sample::select(EventType::ALL.map(EventType::as_str).to_vec()),
        edits,
    )
        .prop_map(|(event_type, edits)| {
            let mut bytes = structured(event_type, &data()).value.expect("a value");
            for (place, byte) in edits {
                let place = place.index(bytes.len());
                bytes[place] = byte;
            }
            bytes
        })
}

proptest! {
    #[test]
    fn any_bytes_in_any_shape_return(value in any::<Vec<u8>>(), content_type in ".{0,30}", event_type in "[a-z.]{0,20}") {
        let shapes: [&[(&str, &str)]; 4] = [
            &[],
            &[("content-type", "application/cloudevents+json")],
            &[("ce_type", "enrollment.created")],
            &[("content-type", &content_type), ("ce_type", &event_type)],
        ];
        for headers in shapes {
            drop(decode(&with_headers(record(value.clone()), headers.iter().copied()), &types()));
        }
    }

    #[test]
    fn an_event_with_wrong_bytes_is_read_the_same_each_time(value in mutated()) {
        let record = record(value);
        let first = decode(&record, &types());
        if let Err(error) = &first {
            prop_assert!(!error.to_string().contains("ada"), "{}", error);
        }
        prop_assert_eq!(first, decode(&record, &types()));
    }
}
