//! The sample's events, and the awards that they bring.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::{
    cli::{CliError, publish::line},
    config::Topics,
    domain::{
        CourseKey, EventBody, LearnerId,
        evaluate::{LearnerChange, Progress, Rules, evaluate},
        event::Stamp,
    },
    wire::{
        decode::{Decoded, TopicTypes, decode},
        record::{OutgoingRecord, Record},
    },
};

/// Who has which badge.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Earned {
    /// The learner.
    pub(super) username: String,
    /// The course of a course completion badge, the slug of any other.
    pub(super) badge: String,
}

/// Events in their order.
#[derive(Debug)]
pub(super) struct Story {
    /// The events, on their way to their topics.
    pub(super) records: Vec<OutgoingRecord>,
    /// What they bring by these rules: each award once.
    pub(super) expected: BTreeSet<Earned>,
}

impl Story {
    /// Reads the events, a line each, and moves their times so that the last of them happens now.
    pub(super) fn read(lines: &str, topics: &Topics, rules: &Rules, now: DateTime<Utc>) -> Result<Self, CliError> {
        let mut records = Vec::new();
        let mut facts = Facts::default();
        for (number, line) in (1..).zip(moved(lines, now)?) {
            let record = line::record(number, line.as_bytes(), topics).map_err(CliError::failed)?;
            if let Some(record) = record {
                facts.take(&record, now)?;
                records.push(record);
            }
        }
        Ok(Self { records, expected: facts.earned(rules) })
    }
}

/// The lines with later times.
fn moved(lines: &str, now: DateTime<Utc>) -> Result<Vec<String>, CliError> {
    let wrong = |error: &dyn std::fmt::Display| CliError::failed(format!("the sample's events: {error}"));
    let events: Result<Vec<Value>, _> = lines.lines().map(serde_json::from_str).collect();
    let mut events = events.map_err(|error| wrong(&error))?;
    let times = events.iter().map(|event| event["time"].as_str().unwrap_or_default().parse::<DateTime<Utc>>());
    let times = times.collect::<Result<Vec<_>, _>>().map_err(|error| wrong(&error))?;
    let later = times.iter().max().map_or_else(Default::default, |last| now - last);
    for (event, time) in events.iter_mut().zip(times) {
        event["time"] = json!(time + later);
    }
    Ok(events.iter().map(Value::to_string).collect())
}

/// The newest word on each learner and course.
#[derive(Default)]
struct Facts {
    usernames: HashMap<LearnerId, String>,
    enrolled: BTreeMap<(LearnerId, CourseKey), (Stamp, bool)>,
    passed: BTreeMap<(LearnerId, CourseKey), (Stamp, bool)>,
}

impl Facts {
    fn take(&mut self, record: &OutgoingRecord, now: DateTime<Utc>) -> Result<(), CliError> {
        let record = Record {
            topic: record.topic.as_str().into(),
            partition: 0,
            offset: 0,
            timestamp: Some(now),
            key: record.key.clone(),
            value: record.value.clone(),
            headers: record.headers.clone(),
        };
        let event = match decode(&record, &TopicTypes::default()) {
            Ok(Decoded::Event(event)) => event,
            Ok(_) => return Ok(()),
            Err(error) => return Err(CliError::failed(format!("the sample's events: {error}"))),
        };
        let (learner, course, facts, holds) = match event.body {
            EventBody::Enrollment { learner, course, is_active, .. } => (learner, course, &mut self.enrolled, is_active),
            EventBody::Certificate { learner, course, passed, .. } => (learner, course, &mut self.passed, passed),
            _ => return Ok(()),
        };
        self.usernames.insert(learner.id, learner.username);
        let fact = (event.stamp, holds);
        let known = facts.entry((learner.id, course.key)).or_insert_with(|| fact.clone());
        if fact.0 > known.0 {
            *known = fact;
        }
        Ok(())
    }

    fn earned(&self, rules: &Rules) -> BTreeSet<Earned> {
        let mut earned = BTreeSet::new();
        for (id, username) in &self.usernames {
            let courses = |facts: &BTreeMap<(LearnerId, CourseKey), (Stamp, bool)>| -> Vec<CourseKey> {
                let held = facts.iter().filter(|((learner, _), (_, holds))| learner == id && *holds);
                held.map(|((_, course), _)| course.clone()).collect()
            };
            let passed = courses(&self.passed);
            let count = |courses: &[CourseKey]| i32::try_from(courses.len()).unwrap_or(i32::MAX);
            let decisions = evaluate(rules, &LearnerChange {
                learner: *id,
                before: Progress::default(),
                after: Progress { enrolled: count(&courses(&self.enrolled)), completed: count(&passed) },
                newly_passed: &passed,
                passed: &passed.iter().cloned().collect::<HashSet<_>>(),
                cause: None,
            });
            let badges = decisions.into_iter().map(|decision| decision.badge_class_key.slug);
            let badges = badges.chain(passed.iter().map(ToString::to_string));
            earned.extend(badges.map(|badge| Earned { username: username.clone(), badge }));
        }
        earned
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cli::{demo::samples, event_badges::ConfigurationFile},
        domain::badge_class::{BadgeClassId, BadgeClassKey},
    };

    fn sample() -> Story {
        let configuration = ConfigurationFile::parse(samples::CONFIGURATION).expect("the sample");
        let lookup = |slug: &str| {
            let key = BadgeClassKey {
                slug: slug.to_owned(),
                issuing_component: "openedx__course".to_owned(),
                course_id: String::new(),
            };
            Some((BadgeClassId(1), key))
        };
        let rules = configuration.texts.check(1, lookup).expect("rules");
        let settings = crate::config::Settings::load(None, &HashMap::new()).expect("defaults");
        Story::read(samples::EVENTS, &settings.topics, &rules, Utc::now()).expect("the sample")
    }

    #[test]
    fn the_sample_brings_badges_of_every_kind() {
        let story = sample();
        assert_eq!((story.records.len(), story.expected.len()), (41, 31));
        let has = |username: &str, badge: &str| {
            story.expected.contains(&Earned { username: username.to_owned(), badge: badge.to_owned() })
        };
        assert!(has("ada", "enrolled_five") && has("ada", "prereq_cs") && has("ada", "completed_three"));
        assert!(has("linus", "course-v1:edX+CS101+2026") && !has("linus", "enrolled_three"));
    }

    #[test]
    fn the_last_event_happens_now() {
        let now = DateTime::UNIX_EPOCH;
        let lines = "{\"time\": \"2026-09-01T09:00:00Z\"}\n{\"time\": \"2026-09-01T10:00:00Z\"}";
        let moved = moved(lines, now).expect("events");
        assert_eq!(moved, [r#"{"time":"1969-12-31T23:00:00Z"}"#, r#"{"time":"1970-01-01T00:00:00Z"}"#]);
    }
}
