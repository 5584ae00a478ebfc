//! A configuration of the course event badges in a file.

use serde_json::{Map, Value};

use crate::wire::{fields::FieldProblem, written_configuration::WrittenConfiguration};

/// The fields that there are, and what `show --json` adds.
const FIELDS: [&str; 6] = [
    "enabled",
    "courses_enrolled",
    "courses_completed",
    "course_groups",
    "id",
    "activated_at",
];

/// The configuration in this JSON, or why it is none. A field that there is not is wrong here: it is a mistyped one.
pub(in crate::cli) fn parse(text: &str) -> Result<WrittenConfiguration, String> {
    let file: Map<String, Value> = serde_json::from_str(text).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        format!("line {line} column {column}: expected a JSON object such as {{\"enabled\": true, …}}")
    })?;
    let mut written = WrittenConfiguration::read(&file);
    let unknown = file.keys().filter(|name| !FIELDS.contains(&name.as_str()));
    written.problems.extend(unknown.map(|name| FieldProblem {
        field: name.clone(),
        problem: "no such field; expected enabled or one of the three texts".to_owned(),
    }));
    Ok(written)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_of_the_contract_is_read() {
        let text = r#"{"enabled": true, "courses_enrolled": "3,a\n5,b", "course_groups": "g,edX/A/1", "id": 7}"#;
        let file = parse(text).expect("a configuration");
        assert!(file.enabled && file.problems.is_empty() && file.texts.courses_completed.is_empty());
        assert_eq!(
            (file.texts.courses_enrolled.as_str(), file.texts.course_groups.as_str()),
            ("3,a\n5,b", "g,edX/A/1")
        );
        assert!(!parse("{}").expect("an empty one").enabled);
    }

    #[test]
    fn every_wrong_field_is_named() {
        let text = r#"{"enabled": "yes", "courses_enroled": "3,a", "courses_completed": ["3,a"]}"#;
        let problems = parse(text).expect("an object").problems;
        let named: Vec<&str> = problems.iter().map(|problem| problem.field.as_str()).collect();
        assert_eq!(named, ["enabled", "courses_completed", "courses_enroled"]);
        assert!(problems[2].problem.starts_with("no such field"), "{problems:?}");
        let problem = parse("[]").expect_err("a problem");
        assert!(problem.contains("expected a JSON object"), "{problem}");
    }
}
