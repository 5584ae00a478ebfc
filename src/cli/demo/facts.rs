//! What the sample's events come to, and so which awards they bring.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use chrono::{DateTime, Utc};

use super::story::Earned;
use crate::{
    cli::CliError,
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

/// The newest word on each learner and course.
#[derive(Default)]
pub(super) struct Facts {
    usernames: HashMap<LearnerId, String>,
    enrolled: BTreeMap<(LearnerId, CourseKey), (Stamp, bool)>,
    passed: BTreeMap<(LearnerId, CourseKey), (Stamp, bool)>,
}

impl Facts {
    /// Takes an event in.
    pub(super) fn take(&mut self, record: &OutgoingRecord, now: DateTime<Utc>) -> Result<(), CliError> {
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
            EventBody::Enrollment {
                learner,
                course,
                is_active,
                ..
            } => (learner, course, &mut self.enrolled, is_active),
            EventBody::Certificate {
                learner,
                course,
                passed,
                ..
            } => (learner, course, &mut self.passed, passed),
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

    /// Every badge that the facts demand, by these rules.
    pub(super) fn earned(&self, rules: &Rules) -> BTreeSet<Earned> {
        let mut earned = BTreeSet::new();
        for (id, username) in &self.usernames {
            let courses = |facts: &BTreeMap<(LearnerId, CourseKey), (Stamp, bool)>| -> Vec<CourseKey> {
                let held = facts
                    .iter()
                    .filter(|((learner, _), (_, holds))| learner == id && *holds);
                held.map(|((_, course), _)| course.clone()).collect()
            };
            let passed = courses(&self.passed);
            let count = |courses: &[CourseKey]| i32::try_from(courses.len()).unwrap_or(i32::MAX);
            let decisions = evaluate(
                rules,
                &LearnerChange {
                    learner: *id,
                    before: Progress::default(),
                    after: Progress {
                        enrolled: count(&courses(&self.enrolled)),
                        completed: count(&passed),
                    },
                    newly_passed: &passed,
                    passed: &passed.iter().cloned().collect::<HashSet<_>>(),
                    cause: None,
                },
            );
            let badges = decisions.into_iter().map(|decision| decision.badge_class_key.slug);
            let badges = badges.chain(passed.iter().map(ToString::to_string));
            earned.extend(badges.map(|badge| Earned {
                username: username.clone(),
                badge,
            }));
        }
        earned
    }
}
