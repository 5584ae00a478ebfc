//! Which certificates count, and when a count is reached.

use std::collections::HashSet;

use accolade::domain::badge_class::{BadgeClassId, BadgeClassKey};
use accolade::domain::evaluate::{Condition, LearnerChange, Progress, Rule, Rules, evaluate};
use accolade::domain::{EventBody, LearnerId};
use accolade::wire::decode::{Decoded, TopicTypes, decode};
use accolade::wire::record::Record;
use serde_json::json;

/// Every status that a certificate of Open edX had or has, and whether it counted as passed.
const STATUSES: [(&str, bool); 14] = [
    ("downloadable", true),
    ("generating", true),
    ("deleted", false),
    ("deleting", false),
    ("error", false),
    ("notpassing", false),
    ("restricted", false),
    ("unavailable", false),
    ("auditing", false),
    ("audit_passing", false),
    ("audit_notpassing", false),
    ("honor_passing", false),
    ("unverified", false),
    ("invalidated", false),
];

#[test]
fn certificates_pass_by_the_statuses_of_the_app() {
    for (status, app) in STATUSES {
        let event = json!({"user": {"id": 1, "username": "ada"}, "course": {"id": "edX/A/1"}, "mode": "honor",
            "status": status});
        let record = Record {
            topic: "certificate.generated".into(),
            partition: 0,
            offset: 0,
            timestamp: None,
            key: None,
            value: Some(event.to_string().into_bytes()),
            headers: Vec::new(),
        };
        let types = TopicTypes::new(Vec::<String>::new(), ["certificate.generated".to_owned()]);
        match decode(&record, &types).expect("an event") {
            Decoded::Event(event) => match event.body {
                EventBody::Certificate { passed, .. } => assert_eq!(passed, app, "{status}"),
                other => panic!("{status}: {other:?}"),
            },
            Decoded::Ignored(reason) => panic!("{status}: {reason:?}"),
        }
    }
}

/// The count before an event and after it, which of the badges for 3 and for 5 the app awarded, which ours does.
///
/// The app looked its count up in a table: exactly N. Ours is at least N, named so in CONTRACT.
const THRESHOLDS: [(i32, i32, &[i32], &[i32]); 9] = [
    (0, 1, &[], &[]),
    (1, 2, &[], &[]),
    (2, 3, &[3], &[3]),
    (3, 4, &[], &[]),
    (4, 5, &[5], &[5]),
    (5, 6, &[], &[]),
    // On purpose: whoever comes past a threshold in one step gets it.
    (2, 4, &[], &[3]),
    (0, 5, &[5], &[3, 5]),
    (0, 9, &[], &[3, 5]),
];

#[test]
fn thresholds_are_reached_as_in_the_app_and_besides_by_those_who_jump_over_them() {
    let key = |n: i32| BadgeClassKey {
        slug: format!("for_{n}"),
        issuing_component: "openedx__course".to_owned(),
        course_id: String::new(),
    };
    for (before, after, app, ours) in THRESHOLDS {
        let jumps = after - before > 1;
        assert_eq!(
            app != ours,
            jumps,
            "{before} to {after}: only a jump makes a difference"
        );
        let awarded = |condition: fn(i32) -> Condition, progress: fn(i32) -> Progress| -> Vec<i32> {
            let rule = |n: i32| Rule {
                badge_class: BadgeClassId(n),
                badge_class_key: key(n),
                condition: condition(n),
            };
            let rules = Rules {
                configuration_id: 1,
                rules: vec![rule(3), rule(5)],
            };
            let change = LearnerChange {
                learner: LearnerId(1),
                before: progress(before),
                after: progress(after),
                newly_passed: &[],
                passed: &HashSet::new(),
                cause: None,
            };
            evaluate(&rules, &change)
                .iter()
                .map(|decision| decision.badge_class.0)
                .collect()
        };
        let enrolled = awarded(Condition::Enrolled, |enrolled| Progress { enrolled, completed: 0 });
        let completed = awarded(Condition::Completed, |completed| Progress { enrolled: 0, completed });
        assert_eq!(
            (enrolled.as_slice(), completed.as_slice()),
            (ours, ours),
            "{before} to {after}"
        );
    }
}
