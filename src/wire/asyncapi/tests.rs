use std::collections::BTreeSet;

use super::*;
use crate::{
    domain::{Event, EventBody},
    wire::{
        decode::{Decoded, TopicTypes, decode},
        record::{Header, Record},
    },
};

fn types() -> TopicTypes {
    TopicTypes::new([topics::ENROLLMENT], [topics::CERTIFICATE])
}

fn record(topic: &str, headers: &Value, payload: &Value) -> Record {
    let headers = headers.as_object().expect("headers are an object");
    Record {
        topic: topic.into(),
        partition: 0,
        offset: 0,
        timestamp: None,
        key: None,
        value: Some(payload.to_string().into_bytes()),
        headers: headers
            .iter()
            .map(|(name, value)| Header::text(name, value.as_str().expect("header values are texts")))
            .collect(),
    }
}

fn event(record: &Record) -> Event {
    match decode(record, &types()) {
        Ok(Decoded::Event(event)) => event,
        other => panic!("not an event: {other:?}"),
    }
}

fn message<'a>(document: &'a Value, name: &str) -> &'a Value {
    let message = &document["components"]["messages"][name];
    assert!(message.is_object(), "there is no message {name}");
    message
}

#[test]
fn every_example_of_an_event_to_be_read_is_understood_and_both_shapes_say_the_same() {
    let document = document();
    for event_type in EventType::ALL {
        let read = incoming::message_names(event_type).map(|name| {
            let example = &message(&document, &name)["examples"][0];
            event(&record("elsewhere", &example["headers"], &example["payload"]))
        });
        assert_eq!(read[0], read[1], "{event_type:?}");
        let is_right = match (event_type, &read[0].body) {
            (EventType::EnrollmentCreated | EventType::EnrollmentDeactivated, EventBody::Enrollment { .. })
            | (EventType::CourseUpdated, EventBody::CourseUpdated { .. })
            | (EventType::LearnerUpdated, EventBody::LearnerUpdated(_))
            | (EventType::LearnerRetired, EventBody::LearnerRetired(_))
            | (EventType::BadgeRequested, EventBody::BadgeRequested { .. }) => true,
            (EventType::CertificateGenerated, EventBody::Certificate { passed, .. }) => *passed,
            (EventType::CertificateRevoked, EventBody::Certificate { passed, .. }) => !*passed,
            _ => false,
        };
        assert!(is_right, "{event_type:?}: {:?}", read[0].body);
    }
}

/// Every field of an object schema, also of those inside: its pointer, its schema without null, whether it must be there.
fn fields(schemas: &Map<String, Value>, schema: &Value, at: &str, found: &mut Vec<(String, Value, bool)>) {
    let resolved = |schema: &Value| -> Value {
        let choices = schema["oneOf"]
            .as_array()
            .cloned()
            .unwrap_or_else(|| vec![schema.clone()]);
        let choice = choices
            .iter()
            .find(|choice| choice["type"] != "null")
            .cloned()
            .unwrap_or_default();
        let name = choice["$ref"]
            .as_str()
            .and_then(|path| path.rsplit('/').next())
            .map(str::to_owned);
        name.map_or(choice, |name| schemas[&name].clone())
    };
    let schema = resolved(schema);
    for part in schema["allOf"].as_array().into_iter().flatten() {
        fields(schemas, part, at, found);
    }
    let required = schema["required"].as_array().cloned().unwrap_or_default();
    for (name, member) in schema["properties"].as_object().into_iter().flatten() {
        let pointer = format!("{at}/{name}");
        found.push((pointer.clone(), resolved(member), required.contains(&json!(name))));
        fields(schemas, member, &pointer, found);
    }
}

#[test]
fn the_reader_refuses_what_the_schema_refuses_and_takes_what_may_be_left_out() {
    let document = document();
    let schemas = document["components"]["schemas"].as_object().expect("schemas");
    let mut seen = 0;
    for event_type in EventType::ALL {
        let [_, name] = incoming::message_names(event_type);
        let message = message(&document, &name);
        let example = &message["examples"][0];
        let mut all = Vec::new();
        fields(schemas, &message["payload"], "", &mut all);
        for (pointer, schema, is_required) in all {
            let read = |value: Option<Value>| {
                let mut payload = example["payload"].clone();
                let (parent, member) = pointer.rsplit_once('/').expect("a pointer");
                let parent = payload
                    .pointer_mut(parent)
                    .and_then(Value::as_object_mut)
                    .expect("an object");
                match value {
                    Some(value) => parent.insert(member.to_owned(), value),
                    None => parent.remove(member),
                };
                decode(&record("elsewhere", &example["headers"], &payload), &types())
            };
            let wrong = if schemas::kind(&schema) == "boolean" {
                json!("yes")
            } else {
                json!(true)
            };
            let error = read(Some(wrong)).expect_err(&pointer).to_string();
            let path = format!("data{}", pointer.replace('/', "."));
            assert!(error.starts_with(&path), "{pointer}: {error}");
            assert_eq!(read(None).is_err(), is_required, "{name}{pointer} left out");
            assert_eq!(read(Some(Value::Null)).is_err(), is_required, "{name}{pointer} null");
            if let Some(most) = schema["maxLength"].as_u64() {
                let long = "a".repeat(usize::try_from(most).expect("a length") + 1);
                assert!(read(Some(json!(long))).is_err(), "{name}{pointer}: longer than {most}");
            }
            seen += 1;
        }
    }
    assert!(seen > 40, "only {seen} fields were found");
}

#[test]
fn a_bare_event_is_what_its_topic_stands_for() {
    let document = document();
    for (topic, name) in [
        (topics::ENROLLMENT, "EnrollmentCreatedData"),
        (topics::CERTIFICATE, "CertificateGeneratedData"),
    ] {
        let example = &message(&document, name)["examples"][0];
        let bare = event(&record(topic, &json!({}), &example["payload"]));
        let whole = event(&record(topic, &example["headers"], &example["payload"]));
        assert_eq!(bare.body, whole.body, "{topic}");
    }
}

#[test]
fn the_headers_that_are_described_are_those_that_are_written() {
    let document = document();
    for (name, record, own) in [
        ("BadgeAwarded", samples::awarded(), 0),
        ("BadgeRevoked", samples::revoked(), 0),
        // The first one is the record's own.
        (topics::DEAD_LETTER, samples::dead_letter(), 1),
    ] {
        let headers = &message(&document, name)["headers"];
        let required = headers["required"].as_array().expect("a list");
        let described: BTreeSet<&str> = required.iter().filter_map(Value::as_str).collect();
        let written: BTreeSet<&str> = record.headers[own..]
            .iter()
            .map(|header| header.name.as_str())
            .collect();
        assert_eq!(described, written, "{name}");
        for name in described {
            assert!(headers["properties"][name].is_object(), "{name}");
        }
    }
}

#[test]
fn what_is_written_has_the_fields_of_its_schema_and_no_others() {
    let document = document();
    let schemas = document["components"]["schemas"].as_object().expect("schemas");
    let mut all = Vec::new();
    fields(
        schemas,
        &json!({"$ref": "#/components/schemas/BadgeEvent"}),
        "",
        &mut all,
    );
    let described: BTreeSet<String> = all.iter().map(|(pointer, ..)| pointer.clone()).collect();
    let revoked = samples::revoked();
    let payload: Value = serde_json::from_slice(revoked.value.as_deref().expect("a value")).expect("JSON");
    let mut written = BTreeSet::new();
    let mut rest = vec![(String::new(), &payload)];
    while let Some((pointer, value)) = rest.pop() {
        for (name, member) in value.as_object().into_iter().flatten() {
            let pointer = format!("{pointer}/{name}");
            written.insert(pointer.clone());
            rest.push((pointer, member));
        }
    }
    let unwritten: BTreeSet<&String> = described.difference(&written).collect();
    assert_eq!(
        unwritten,
        BTreeSet::from([&"/reason/rule".to_owned()]),
        "only a backfill names a rule"
    );
    assert!(written.is_subset(&described), "{:?}", written.difference(&described));
    for (pointer, _, is_required) in all {
        assert!(!is_required || written.contains(&pointer), "{pointer}");
    }
}

#[test]
fn every_reference_leads_somewhere() {
    let document = document();
    let mut rest = vec![&document];
    let mut seen = 0;
    while let Some(value) = rest.pop() {
        if let Some(path) = value["$ref"].as_str() {
            let found = document.pointer(path.trim_start_matches('#'));
            assert!(found.is_some(), "{path} leads nowhere");
            seen += 1;
        }
        rest.extend(value.as_object().into_iter().flatten().map(|(_, member)| member));
        rest.extend(value.as_array().into_iter().flatten());
    }
    assert!(seen > 50, "only {seen} references were found");
}
