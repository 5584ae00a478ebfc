//! Rules as commands print them.

use serde_json::{Value, json};

use crate::domain::{badge_class::BadgeClassKey, evaluate::Condition};

/// What a rule asks for, in words.
pub(super) fn words(condition: &Condition) -> String {
    match condition {
        Condition::Enrolled(n) => format!("{n} courses enrolled"),
        Condition::Completed(n) => format!("{n} courses completed"),
        Condition::Group(courses) => format!("a group of {} courses", courses.len()),
    }
}

/// A rule as an object, to which more may be added.
pub(super) fn object(badge_class: &BadgeClassKey, condition: &Condition) -> Value {
    let (kind, threshold, courses) = match condition {
        Condition::Enrolled(n) => ("courses_enrolled", Some(*n), None),
        Condition::Completed(n) => ("courses_completed", Some(*n), None),
        Condition::Group(courses) => {
            let keys: Vec<String> = courses.iter().map(ToString::to_string).collect();
            ("course_group", None, Some(keys))
        }
    };
    json!({"slug": badge_class.slug, "kind": kind, "threshold": threshold, "courses": courses})
}
