//! Configurations of the course event badges of the removed app.

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::{Row, UserRef, assertion::time};
use crate::{
    domain::{event_badges::ConfigurationTexts, limits::check_text},
    wire::fields::{FieldProblem, Fields},
};

/// A configuration as a row has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DumpedConfiguration {
    /// When it was saved.
    pub created: DateTime<Utc>,
    /// By whom.
    pub changed_by: Option<UserRef>,
    /// Whether it was to hold.
    pub enabled: bool,
    /// What it says. Open edX took lines that we do not.
    pub texts: ConfigurationTexts,
}

impl Row<'_> {
    /// A configuration.
    pub fn configuration(&self) -> Result<DumpedConfiguration, Vec<FieldProblem>> {
        self.read(|fields| DumpedConfiguration {
            created: time(fields, "change_date"),
            changed_by: match fields.value("changed_by") {
                Some(Value::Number(id)) => id.as_i64().map(UserRef::Id),
                Some(Value::Array(natural)) => {
                    let name = natural.first().and_then(Value::as_str);
                    name.map(|name| UserRef::Name(name.to_owned()))
                }
                _ => None,
            },
            enabled: fields.switch("enabled").unwrap_or_default(),
            texts: ConfigurationTexts {
                courses_enrolled: text(fields, "courses_enrolled"),
                courses_completed: text(fields, "courses_completed"),
                course_groups: text(fields, "course_groups"),
            },
        })
    }
}

/// A text as it was written, with its blanks and ends of lines.
fn text(fields: &mut Fields<'_>, name: &str) -> String {
    match fields.value(name) {
        None => String::new(),
        Some(Value::String(text)) => match check_text(text) {
            Ok(()) => text.clone(),
            Err(problem) => {
                fields.problem(name, problem);
                String::new()
            }
        },
        Some(_) => {
            fields.problem(name, "expected a text");
            String::new()
        }
    }
}
