//! The sample's events, and the awards that they bring.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::facts::Facts;
use crate::{
    cli::{CliError, publish::line},
    config::Topics,
    domain::evaluate::Rules,
    wire::record::OutgoingRecord,
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
        Ok(Self {
            records,
            expected: facts.earned(rules),
        })
    }
}

/// The lines with later times.
fn moved(lines: &str, now: DateTime<Utc>) -> Result<Vec<String>, CliError> {
    let wrong = |error: &dyn std::fmt::Display| CliError::failed(format!("the sample's events: {error}"));
    let events: Result<Vec<Value>, _> = lines.lines().map(serde_json::from_str).collect();
    let mut events = events.map_err(|error| wrong(&error))?;
    let times = events
        .iter()
        .map(|event| event["time"].as_str().unwrap_or_default().parse::<DateTime<Utc>>());
    let times = times.collect::<Result<Vec<_>, _>>().map_err(|error| wrong(&error))?;
    let later = times.iter().max().map_or_else(Default::default, |last| now - last);
    for (event, time) in events.iter_mut().zip(times) {
        event["time"] = json!(time + later);
    }
    Ok(events.iter().map(Value::to_string).collect())
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::{
        cli::{demo::samples, event_badges},
        domain::badge_class::{BadgeClassId, BadgeClassKey},
    };

    fn sample() -> Story {
        let configuration = event_badges::parse(samples::CONFIGURATION).expect("the sample");
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
            story.expected.contains(&Earned {
                username: username.to_owned(),
                badge: badge.to_owned(),
            })
        };
        assert!(has("ada", "enrolled_five") && has("ada", "prereq_cs") && has("ada", "completed_three"));
        assert!(has("linus", "course-v1:edX+CS101+2026") && !has("linus", "enrolled_three"));
    }

    #[test]
    fn the_last_event_happens_now() {
        let now = DateTime::UNIX_EPOCH;
        let lines = "{\"time\": \"2026-09-01T09:00:00Z\"}\n{\"time\": \"2026-09-01T10:00:00Z\"}";
        let moved = moved(lines, now).expect("events");
        assert_eq!(
            moved,
            [
                r#"{"time":"1969-12-31T23:00:00Z"}"#,
                r#"{"time":"1970-01-01T00:00:00Z"}"#
            ]
        );
    }
}
