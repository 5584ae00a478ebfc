//! What `decode` understands, and what it says of what it does not.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use super::{
    decode::{DecodeError, Decoded, IgnoreReason, TopicTypes, decode},
    record::{Header, Record},
};
use crate::domain::{Event, EventBody, LearnerId, event::LearnerDetails};

mod arbitrary;
mod deep;

fn at(text: &str) -> DateTime<Utc> {
    text.parse().expect("a time")
}

fn types() -> TopicTypes {
    TopicTypes::new(["enrollment.created"], ["certificate.generated"])
}

fn record(value: impl Into<Vec<u8>>) -> Record {
    Record {
        topic: "enrollment.created".into(),
        partition: 0,
        offset: 0,
        timestamp: Some(at("2026-11-01T12:00:05Z")),
        key: None,
        value: Some(value.into()),
        headers: Vec::new(),
    }
}

fn with_headers<'a>(mut record: Record, headers: impl IntoIterator<Item = (&'a str, &'a str)>) -> Record {
    record
        .headers
        .extend(headers.into_iter().map(|(name, value)| Header::text(name, value)));
    record
}

fn event(record: &Record) -> Event {
    match decode(record, &types()) {
        Ok(Decoded::Event(event)) => event,
        other => panic!("not an event: {other:?}"),
    }
}

fn error(record: &Record) -> (&'static str, String) {
    let error: DecodeError = decode(record, &types()).expect_err("an error");
    (error.reason(), error.to_string())
}

fn data() -> Value {
    json!({"user": {"id": 42, "username": "ada", "email": "ada@example.com", "name": "Ada Lovelace"},
        "course": {"id": "course-v1:edX+DemoX+2026", "display_name": "Demonstration",
            "start": "2026-09-01T00:00:00Z", "end": null},
        "mode": "verified", "is_active": true, "extra": [1, {"user": 5}]})
}

fn structured(event_type: &str, data: &Value) -> Record {
    let event = json!({"specversion": "1.0", "id": "e1", "source": "/openedx/lms", "type": event_type,
        "time": "2026-11-01T12:00:00.123456789Z", "data": data});
    with_headers(
        record(event.to_string()),
        [("content-type", "application/cloudevents+json; charset=utf-8")],
    )
}

fn body(event_type: &str, data: &Value) -> EventBody {
    event(&structured(event_type, data)).body
}

#[test]
fn the_three_shapes_say_the_same() {
    let whole = structured("enrollment.created", &data());
    let expected = event(&whole);
    assert_eq!(expected.stamp.event_id, "e1");
    assert_eq!(expected.stamp.time, at("2026-11-01T12:00:00.123456Z"));
    let EventBody::Enrollment {
        learner,
        course,
        mode,
        is_active: true,
    } = &expected.body
    else {
        panic!("not an enrolment: {expected:?}");
    };
    assert_eq!(
        (learner.id, &*learner.username, &**mode),
        (LearnerId(42), "ada", "verified")
    );
    assert_eq!(learner.email.as_deref(), Some("ada@example.com"));
    assert_eq!(learner.name.as_deref(), Some("Ada Lovelace"));
    assert_eq!(course.key.as_str(), "course-v1:edX+DemoX+2026");
    assert_eq!(course.display_name.as_deref(), Some("Demonstration"));
    assert_eq!((course.start, course.end), (Some(at("2026-09-01T00:00:00Z")), None));

    let mut untold = whole.clone();
    untold.headers.clear();
    assert_eq!(event(&untold), expected);

    let attributes = [
        ("ce_specversion", "1.0"),
        ("ce_id", "e1"),
        ("ce_type", "enrollment.created"),
        ("ce_time", "2026-11-01T12:00:00.123456789Z"),
        ("content-type", "application/json"),
    ];
    assert_eq!(event(&with_headers(record(data().to_string()), attributes)), expected);

    let bare = event(&record(data().to_string()));
    assert_eq!(bare.body, expected.body);
    assert_eq!(bare.stamp.time, at("2026-11-01T12:00:05Z"));
}

#[test]
fn the_type_decides_and_without_one_the_topic() {
    let revoked = with_headers(record(data().to_string()), [("ce_type", "certificate.revoked")]);
    assert!(matches!(
        event(&revoked).body,
        EventBody::Certificate { passed: false, .. }
    ));
    let mut bare = record(data().to_string());
    bare.topic = "certificate.generated".into();
    assert!(matches!(event(&bare).body, EventBody::Certificate { passed: true, .. }));
    bare.topic = "other".into();
    assert_eq!(error(&bare).0, "schema");
    let unknown = with_headers(record("not JSON"), [("ce_type", "course.published")]);
    assert_eq!(
        decode(&unknown, &types()),
        Ok(Decoded::Ignored(IgnoreReason::UnknownType))
    );
    for envelope in [
        json!({"specversion": "1.0", "id": "1", "source": "x", "type": "course.published"}),
        json!({"specversion": "1.0", "id": 5, "source": "x", "type": "course.published", "time": "soon", "data": null}),
    ] {
        assert_eq!(
            decode(&record(envelope.to_string()), &types()),
            Ok(Decoded::Ignored(IgnoreReason::UnknownType)),
            "what others send is theirs to check: {envelope}"
        );
    }
    bare.value = None;
    assert_eq!(decode(&bare, &types()), Ok(Decoded::Ignored(IgnoreReason::Tombstone)));
}

#[test]
fn every_type_is_read() {
    let deactivated = json!({"user": {"id": 1, "username": "a"}, "course": {"id": "a/b/c"}});
    let EventBody::Enrollment {
        is_active: false, mode, ..
    } = body("enrollment.deactivated", &deactivated)
    else {
        panic!("not a deactivation");
    };
    assert_eq!(mode, "");
    assert!(matches!(
        body("enrollment.created", &deactivated),
        EventBody::Enrollment { is_active: true, .. }
    ));
    let course = json!({"course": {"id": "a/b/c", "issue_badges": false, "display_name": ""}});
    let EventBody::CourseUpdated {
        course,
        issue_badges: Some(false),
    } = body("course.updated", &course)
    else {
        panic!("not a course");
    };
    assert_eq!(course.display_name, None);
    let learner = json!({"user": {"id": -1, "username": "a", "email": "", "name": null}});
    let expected = LearnerDetails {
        id: LearnerId(-1),
        username: "a".to_owned(),
        email: None,
        name: None,
    };
    assert_eq!(body("learner.updated", &learner), EventBody::LearnerUpdated(expected));
    let retired = json!({"user": {"id": 9}});
    assert_eq!(
        body("learner.retired", &retired),
        EventBody::LearnerRetired(LearnerId(9))
    );
    let request = json!({"user": {"id": 1, "username": "a"}, "idempotency_key": "k",
        "badge_class": {"slug": "Great", "issuing_component": "xblock", "course_id": ""}});
    let EventBody::BadgeRequested {
        slug,
        issuing_component,
        course: None,
        idempotency_key,
        ..
    } = body("badge.requested", &request)
    else {
        panic!("not a request");
    };
    assert_eq!(
        (&*slug, &*issuing_component, &*idempotency_key),
        ("great", "xblock", "k")
    );
}

#[test]
fn only_the_passed_statuses_of_open_edx_pass() {
    for (status, expected) in [
        (json!("downloadable"), true),
        (json!("generating"), true),
        (json!("honor_passing"), false),
        (json!(""), false),
        (Value::Null, true),
    ] {
        let mut data = data();
        data["status"] = status;
        let EventBody::Certificate { passed, .. } = body("certificate.generated", &data) else {
            panic!("not a certificate");
        };
        assert_eq!(passed, expected, "{data}");
    }
}

#[test]
fn a_time_is_at_most_five_minutes_past_its_records() {
    let of = |time: &str, sent: Option<&str>| {
        let mut record = with_headers(
            record(data().to_string()),
            [("ce_type", "enrollment.created"), ("ce_time", time)],
        );
        record.timestamp = sent.map(at);
        event(&record).stamp.time
    };
    let sent = Some("2026-11-01T12:00:00.5Z");
    assert_eq!(of("2027-01-01T00:00:00Z", sent), at("2026-11-01T12:05:00.5Z"));
    assert_eq!(of("2026-11-01T13:04:00+01:00", sent), at("2026-11-01T12:04:00Z"));
    assert_eq!(of("2027-01-01T00:00:00Z", None), at("2027-01-01T00:00:00Z"));
    let mut timeless = record(data().to_string());
    timeless.timestamp = None;
    assert_eq!(event(&timeless).stamp.time, DateTime::UNIX_EPOCH);
    timeless.timestamp = Some(DateTime::<Utc>::MAX_UTC - TimeDelta::seconds(1));
    let late = with_headers(timeless, [("ce_time", "2026-11-01T12:00:00Z")]);
    assert_eq!(event(&late).stamp.time, at("2026-11-01T12:00:00Z"));
}

#[test]
fn an_event_without_an_id_gets_one_from_its_data() {
    let id = |text: &str| event(&record(text)).stamp.event_id;
    let first = id(r#"{"user": {"id": 1, "username": "a"}, "course": {"id": "a/b/c"}}"#);
    let again = id(r#"{"course":{"id":"a/b/c"},"user":{"username":"\u0061","id":1}}"#);
    let other = id(r#"{"user": {"id": 2, "username": "a"}, "course": {"id": "a/b/c"}}"#);
    assert_eq!((first.len(), &first), (64, &again));
    assert_ne!(first, other);
    let revoked = with_headers(
        record(r#"{"user":{"id":1,"username":"a"},"course":{"id":"a/b/c"}}"#),
        [("ce_type", "certificate.revoked")],
    );
    assert_ne!(event(&revoked).stamp.event_id, first);
}

#[test]
fn an_error_names_the_place_and_never_the_content() {
    let table = [
        ("/user/id", json!("42"), "data.user.id: expected an integer"),
        ("/user/id", json!(42.0), "data.user.id: expected an integer"),
        ("/user/id", json!(true), "data.user.id: expected an integer"),
        ("/user/id", json!(u64::MAX), "data.user.id: expected an integer"),
        ("/user/id", Value::Null, "data.user.id: missing; expected an integer"),
        (
            "/user/username",
            json!(["secret"]),
            "data.user.username: expected a text",
        ),
        ("/user/username", json!(""), "data.user.username: must not be empty"),
        (
            "/user/username",
            json!("s".repeat(256)),
            "data.user.username: too long: at most 255 characters",
        ),
        (
            "/user/name",
            json!("sec\0ret"),
            "data.user.name: must not hold a NUL character",
        ),
        (
            "/user/name",
            json!("s".repeat(65537)),
            "data.user.name: too long: at most 64 KiB",
        ),
        ("/user", json!("secret"), "data.user: expected an object"),
        ("/course", Value::Null, "data.course: missing; expected an object"),
        (
            "/course/start",
            json!("secret"),
            "data.course.start: expected a time as RFC 3339 has it, such as 2026-11-01T12:00:00Z",
        ),
        ("/mode", json!({"secret": 1}), "data.mode: expected a text"),
        ("/is_active", json!("true"), "data.is_active: expected true or false"),
        ("", json!(["secret"]), "data: expected an object"),
    ];
    for (pointer, wrong, expected) in table {
        let mut data = data();
        *data.pointer_mut(pointer).expect("a member") = wrong;
        let said = error(&structured("enrollment.created", &data));
        assert_eq!(said, ("schema", expected.to_owned()));
    }
    let mut data = data();
    data["url"] = json!("javascript:secret");
    let said = error(&structured("certificate.generated", &data));
    assert_eq!(said, ("schema", "data.url: expected an http or https URL".to_owned()));
    data["course"]["id"] = json!("secret");
    let (reason, message) = error(&structured("enrollment.created", &data));
    assert_eq!(reason, "invalid_course_key");
    assert!(
        message.starts_with("data.course.id: ") && !message.contains("secret"),
        "{message}"
    );
}

#[test]
fn what_is_no_json_or_too_large_or_contradictory_is_said_to_be_so() {
    assert_eq!(
        error(&record("{\n\"a\" 1}")),
        ("not_json", "not JSON at line 2, column 5".to_owned())
    );
    assert_eq!(error(&record("")).0, "not_json");
    assert_eq!(error(&record(b"{\"user\": \"\xff\"}".as_slice())).0, "not_json");
    assert_eq!(error(&record("[".repeat(100_000))).0, "not_json");
    assert_eq!(error(&record(vec![b' '; (1 << 20) + 1])).0, "too_large");
    let twice = r#"{"user": {"id": 1, "id": 2, "username": "a"}, "course": {"id": "a/b/c"}}"#;
    assert_eq!(error(&record(twice)).0, "schema");
    let two = with_headers(record(data().to_string()), [("ce_id", "a"), ("ce_id", "b")]);
    assert_eq!(
        error(&two),
        (
            "headers",
            "header ce_id: there are two with different values".to_owned()
        )
    );
    let same = with_headers(record(data().to_string()), [("ce_id", "a"), ("ce_id", "a")]);
    assert_eq!(event(&same).stamp.event_id, "a");
    let mut bytes = record(data().to_string());
    bytes.headers.push(Header {
        name: "ce_id".to_owned(),
        value: Some(vec![0xff]),
    });
    assert_eq!(error(&bytes).0, "headers");
    let untimely = with_headers(record(data().to_string()), [("ce_time", "yesterday")]);
    assert_eq!(error(&untimely).0, "schema");
}

#[test]
fn what_nobody_reads_does_no_harm() {
    let deep = format!(
        r#"{{"x": {}{}, "y": "\ud800", "user": {{"id": 1, "username": "a"}}, "course": {{"id": "a/b/c"}}}}"#,
        "[".repeat(5000),
        "]".repeat(5000)
    );
    assert_eq!(
        event(&record(deep)).body.learner().map(|learner| learner.id),
        Some(LearnerId(1))
    );
}
