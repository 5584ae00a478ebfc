//! The pure parts alone: what an event costs to decode, to merge and to evaluate, and an award to bake.

use std::collections::{HashMap, HashSet};
use std::hint::black_box;
use std::sync::Arc;

use accolade::backend::builtin::bake::bake;
use accolade::backend::builtin::documents::{self, AssertionParts, Urls};
use accolade::domain::badge_class::{BadgeClassId, BadgeClassKey, COURSE_EVENTS_COMPONENT};
use accolade::domain::evaluate::{Condition, LearnerChange, Progress, Rule, Rules, evaluate};
use accolade::domain::facts::{CourseFacts, EnrollmentFact};
use accolade::domain::{CourseKey, Event, EventBody, LearnerId};
use accolade::wire::decode::{Decoded, TopicTypes, decode};
use accolade::wire::record::Record;
use chrono::{DateTime, TimeDelta};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use serde_json::json;

const TOPIC: &str = "enrollment.created";
/// Events of a batch: two of each learner, of the same course.
const BATCH: i64 = 1_000;
const RULES: i32 = 10;

fn record(number: i64) -> Record {
    let time = DateTime::from_timestamp(1_793_534_400, 0).expect("a time") + TimeDelta::milliseconds(number);
    let learner = number % (BATCH / 2);
    let event = json!({
        "specversion": "1.0", "id": format!("{number:032x}"), "source": "/openedx/lms", "type": TOPIC, "time": time,
        "data": {"user": {"id": learner, "username": format!("user{learner}"), "email": format!("user{learner}@example.com")},
                 "course": {"id": format!("course-v1:edX+C{}+2026", number % 5)}, "mode": "verified", "is_active": true},
    });
    Record {
        topic: Arc::from(TOPIC),
        partition: 0,
        offset: number,
        timestamp: Some(time),
        key: Some(learner.to_string().into_bytes()),
        value: Some(event.to_string().into_bytes()),
        headers: Vec::new(),
    }
}

fn event(record: &Record, types: &TopicTypes) -> Event {
    match decode(record, types) {
        Ok(Decoded::Event(event)) => event,
        other => panic!("no event: {other:?}"),
    }
}

/// What the events leave, the newest of each learner and course.
fn merge(events: Vec<Event>) -> HashMap<(LearnerId, CourseKey), CourseFacts> {
    let mut facts: HashMap<_, CourseFacts> = HashMap::new();
    for Event { stamp, body } in events {
        let EventBody::Enrollment {
            learner,
            course,
            mode,
            is_active,
        } = body
        else {
            panic!("an enrolment");
        };
        let fact = EnrollmentFact {
            active: is_active,
            mode,
            stamp,
        };
        facts
            .entry((learner.id, course.key))
            .or_default()
            .merge_enrollment(fact);
    }
    facts
}

fn rules() -> Rules {
    let rule = |number| Rule {
        badge_class: BadgeClassId(number),
        badge_class_key: BadgeClassKey {
            slug: format!("badge{number}"),
            issuing_component: COURSE_EVENTS_COMPONENT.to_owned(),
            course_id: String::new(),
        },
        condition: Condition::Enrolled(number),
    };
    Rules {
        configuration_id: 1,
        rules: (1..=RULES).map(rule).collect(),
    }
}

fn events(criterion: &mut Criterion) {
    let types = TopicTypes::new([TOPIC], []);
    let mut group = criterion.benchmark_group("event");
    group.throughput(Throughput::Elements(1));
    let one = record(1);
    group.bench_function("decode", |bencher| bencher.iter(|| decode(black_box(&one), &types)));

    let (rules, nothing) = (rules(), HashSet::new());
    let change = |before, after| LearnerChange {
        learner: LearnerId(1),
        before: Progress {
            enrolled: before,
            completed: 0,
        },
        after: Progress {
            enrolled: after,
            completed: 0,
        },
        newly_passed: &[],
        passed: &nothing,
        cause: None,
    };
    for (name, change, awards) in [
        ("evaluate, no award", change(RULES, RULES + 1), 0),
        ("evaluate, an award", change(RULES - 1, RULES), 1),
    ] {
        assert_eq!(evaluate(&rules, &change).len(), awards, "{name}");
        group.bench_function(name, |bencher| bencher.iter(|| evaluate(&rules, black_box(&change))));
    }

    group.throughput(Throughput::Elements(BATCH.unsigned_abs()));
    let batch: Vec<Event> = (0..BATCH).map(|number| event(&record(number), &types)).collect();
    assert_eq!(merge(batch.clone()).len(), batch.len() / 2);
    group.bench_function("merge a batch", |bencher| {
        bencher.iter_batched(|| batch.clone(), merge, BatchSize::SmallInput);
    });
    group.finish();
}

fn awards(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("award");
    let urls = Urls::new("https://badges.example.com");
    let document = || {
        let parts = AssertionParts {
            id: "0e6b2a1c-2f37-4d0e-9d43-0f2f6a3f1c55",
            badge_class: "7d8f9a40-93a1-4a5e-8f0b-53b7e4d3c2b1",
            salt: "0123456789abcdef0123456789abcdef",
            recipient_hash: &documents::recipient_hash("ada@example.com", "0123456789abcdef0123456789abcdef"),
            evidence_url: None,
            issued_on: DateTime::UNIX_EPOCH,
        };
        documents::assertion(&urls, &parts).to_string()
    };
    group.bench_function("assertion", |bencher| bencher.iter(document));

    let image = noise(160);
    let assertion = document();
    assert!(bake(&image, &assertion).is_ok_and(|baked| baked.len() > image.len()));
    group.throughput(Throughput::Bytes(image.len() as u64));
    group.bench_function("bake", |bencher| bencher.iter(|| bake(black_box(&image), &assertion)));
    group.finish();
}

/// A PNG of so many pixels a side that cannot be compressed: 160 make 100 KB.
fn noise(side: u32) -> Vec<u8> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    let pixels: Vec<u8> = (0..side * side * 4).map(|_| next()).collect();
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, side, side);
    encoder.set_color(png::ColorType::Rgba);
    let mut writer = encoder.write_header().expect("a header");
    writer.write_image_data(&pixels).expect("pixels");
    writer.finish().expect("an end");
    bytes
}

criterion_group!(benches, events, awards);
criterion_main!(benches);
