//! However deep an event is nested, it is read or refused, within the stack of a thread.

use super::{data, record, structured, with_headers};
use crate::wire::{
    decode::{Decoded, decode},
    record::Record,
};

/// As much as threads get by default.
const STACK: usize = 2 * 1024 * 1024;

/// JSON that is nested so deep, as lists and as objects.
fn nested(depth: usize) -> [String; 2] {
    [
        format!("{}1{}", "[".repeat(depth), "]".repeat(depth)),
        format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth)),
    ]
}

/// An event of each shape with this text in the place of a member's value.
fn shapes(member: &str, text: &str) -> [Record; 3] {
    let mut data = data();
    let (outer, inner) = member.split_once('.').unwrap_or(("", member));
    match outer {
        "" => data[inner] = "HERE".into(),
        outer => data[outer][inner] = "HERE".into(),
    }
    let put = |mut record: Record| {
        let value = String::from_utf8(record.value.take().expect("a value")).expect("a text");
        record.value = Some(value.replace("\"HERE\"", text).into_bytes());
        record
    };
    [
        put(structured("enrollment.created", &data)),
        put(with_headers(
            record(data.to_string()),
            [
                ("ce_type", "enrollment.created"),
                ("ce_id", "e1"),
                ("content-type", "application/json"),
            ],
        )),
        put(record(data.to_string())),
    ]
}

#[test]
fn what_is_nested_deeply_is_passed_over_or_refused() {
    let run = || {
        for depth in [1, 200, 100_000] {
            for text in nested(depth) {
                for record in shapes("extra", &text).into_iter().chain(shapes("user.extra", &text)) {
                    let decoded = decode(&record, &super::types());
                    assert!(
                        matches!(decoded, Ok(Decoded::Event(_))),
                        "nobody reads it: {decoded:.200?}"
                    );
                }
                for member in [
                    "user",
                    "course",
                    "mode",
                    "is_active",
                    "user.id",
                    "user.email",
                    "course.start",
                ] {
                    for record in shapes(member, &text) {
                        let decoded = decode(&record, &super::types());
                        assert!(decoded.is_err(), "{member}, {depth} deep: {decoded:.200?}");
                    }
                }
            }
        }
    };
    let thread = std::thread::Builder::new().stack_size(STACK).spawn(run);
    thread.expect("a thread").join().expect("it ends");
}
