//! A configuration of the course event badges in a file.

use serde_json::{Map, Value};

use crate::domain::event_badges::ConfigurationTexts;

/// A configuration in a file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::cli) struct ConfigurationFile {
    /// Whether it is to be activated.
    pub(in crate::cli) enabled: bool,
    /// What it says.
    pub(in crate::cli) texts: ConfigurationTexts,
}

impl ConfigurationFile {
    /// The configuration in this JSON, or all that is wrong with its form, a line each.
    pub(in crate::cli) fn parse(text: &str) -> Result<Self, Vec<String>> {
        let file: Map<String, Value> = serde_json::from_str(text).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            vec![format!(
                "line {line} column {column}: expected a JSON object such as {{\"enabled\": true, …}}"
            )]
        })?;
        let mut read = Self::default();
        let mut problems = Vec::new();
        for (name, value) in file {
            let text = match name.as_str() {
                "courses_enrolled" => &mut read.texts.courses_enrolled,
                "courses_completed" => &mut read.texts.courses_completed,
                "course_groups" => &mut read.texts.course_groups,
                "enabled" => {
                    match value.as_bool() {
                        Some(enabled) => read.enabled = enabled,
                        None => problems.push("enabled: expected true or false".to_owned()),
                    }
                    continue;
                }
                // What `show --json` adds.
                "id" | "activated_at" => continue,
                _ => {
                    problems.push(format!(
                        "{name}: no such field; expected enabled or one of the three texts"
                    ));
                    continue;
                }
            };
            match value {
                Value::String(lines) => *text = lines,
                _ => problems.push(format!("{name}: expected a text; \\n ends a line")),
            }
        }
        if problems.is_empty() { Ok(read) } else { Err(problems) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_of_the_contract_is_read() {
        let text = r#"{"enabled": true, "courses_enrolled": "3,a\n5,b", "course_groups": "g,edX/A/1", "id": 7}"#;
        let file = ConfigurationFile::parse(text).expect("a configuration");
        assert!(file.enabled && file.texts.courses_completed.is_empty());
        assert_eq!(
            (file.texts.courses_enrolled.as_str(), file.texts.course_groups.as_str()),
            ("3,a\n5,b", "g,edX/A/1")
        );
        assert!(!ConfigurationFile::parse("{}").expect("an empty one").enabled);
    }

    #[test]
    fn every_wrong_field_is_named() {
        let text = r#"{"enabled": "yes", "courses_enroled": "3,a", "courses_completed": ["3,a"]}"#;
        let problems = ConfigurationFile::parse(text).expect_err("problems");
        for name in [
            "enabled: ",
            "courses_enroled: no such field",
            "courses_completed: expected a text",
        ] {
            assert!(
                problems.iter().any(|problem| problem.starts_with(name)),
                "{name}: {problems:?}"
            );
        }
        assert_eq!(problems.len(), 3);
        let problems = ConfigurationFile::parse("[]").expect_err("problems");
        assert!(problems[0].contains("expected a JSON object"), "{problems:?}");
    }
}
