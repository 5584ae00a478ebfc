//! A configuration of the course event badges as a person or a program writes it: in a file, or in the body of a request.

use serde_json::{Map, Value};

use super::fields::{FieldProblem, Fields};
use crate::domain::event_badges::ConfigurationTexts;

/// A configuration and what is wrong with its form. What its texts say is judged later, together with this.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WrittenConfiguration {
    /// Whether it is to be activated.
    pub enabled: bool,
    /// Its texts as they were written, for errors name their lines; empty where they are no texts.
    pub texts: ConfigurationTexts,
    /// Fields that do not hold what they must.
    pub problems: Vec<FieldProblem>,
}

impl WrittenConfiguration {
    /// Reads it. Every field may be left out; those that nobody asked for do no harm.
    pub fn read(object: &Map<String, Value>) -> Self {
        let mut fields = Fields::new(object);
        let enabled = fields.switch("enabled").unwrap_or_default();
        let mut text = |name: &str| match fields.value(name) {
            None => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(_) => {
                fields.problem(name, "expected a text; \\n ends a line");
                String::new()
            }
        };
        let texts = ConfigurationTexts {
            courses_enrolled: text("courses_enrolled"),
            courses_completed: text("courses_completed"),
            course_groups: text("course_groups"),
        };
        Self {
            enabled,
            texts,
            problems: fields.finish().err().unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_left_out_is_empty_and_every_wrong_field_is_named() {
        let read = |value: Value| WrittenConfiguration::read(value.as_object().expect("an object"));
        let right = read(json!({"enabled": true, "courses_enrolled": " 3,a\r", "course_groups": null, "id": 7}));
        assert!(right.enabled && right.problems.is_empty());
        assert_eq!(right.texts.courses_enrolled, " 3,a\r", "as it was written");
        let wrong = read(json!({"enabled": "yes", "courses_enrolled": "3,a", "courses_completed": ["3,a"]}));
        let named: Vec<&str> = wrong.problems.iter().map(|problem| problem.field.as_str()).collect();
        assert_eq!(named, ["enabled", "courses_completed"]);
        assert_eq!(wrong.texts.courses_enrolled, "3,a", "it is judged all the same");
    }
}
