//! JSON objects that people and programs write, read field by field: all that is wrong is told at once.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use super::decode::parse_time;
use crate::domain::limits::InvalidText;

/// What is wrong with a field.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct FieldProblem {
    /// Its name.
    #[schema(example = "slug")]
    pub field: String,
    /// What is wrong, never what it holds.
    #[schema(example = "needed")]
    pub problem: String,
}

/// How a text is checked.
type Check = fn(&str) -> Result<(), InvalidText>;

/// The fields of an object; what is wrong with them is collected.
#[derive(Debug)]
pub struct Fields<'a> {
    object: &'a Map<String, Value>,
    problems: Vec<FieldProblem>,
}

impl<'a> Fields<'a> {
    /// The fields of this object.
    pub fn new(object: &'a Map<String, Value>) -> Self {
        Self {
            object,
            problems: Vec::new(),
        }
    }

    /// Notes what is wrong with a field.
    pub fn problem(&mut self, field: &str, problem: impl std::fmt::Display) {
        self.problems.push(FieldProblem {
            field: field.to_owned(),
            problem: problem.to_string(),
        });
    }

    /// A field that may be missing or null.
    pub fn value(&self, name: &str) -> Option<&'a Value> {
        self.object.get(name).filter(|value| !value.is_null())
    }

    /// Whether a field is there, be it null.
    pub fn has(&self, name: &str) -> bool {
        self.object.contains_key(name)
    }

    /// A text, without the blanks around it; `None` where it is missing, null, or wrong.
    pub fn text(&mut self, name: &str, check: Check) -> Option<String> {
        self.checked(name, str::trim, check)
    }

    /// The same with the blanks around it, which tell one from another.
    pub fn exact(&mut self, name: &str, check: Check) -> Option<String> {
        self.checked(name, |text| text, check)
    }

    fn checked(&mut self, name: &str, part: fn(&str) -> &str, check: Check) -> Option<String> {
        let text = match self.value(name)? {
            Value::String(text) => part(text).to_owned(),
            _ => {
                self.problem(name, "expected a text");
                return None;
            }
        };
        // An empty text is for the caller to judge: often it means "none".
        match check(&text) {
            Err(problem) if !text.is_empty() => {
                self.problem(name, problem);
                None
            }
            _ => Some(text),
        }
    }

    /// A text that may be left out: then it is empty.
    pub fn optional(&mut self, name: &str, check: Check) -> String {
        self.text(name, check).unwrap_or_default()
    }

    /// A text that must be there, and not be empty.
    pub fn required(&mut self, name: &str, check: Check) -> String {
        let before = self.problems.len();
        let text = self.optional(name, check);
        if text.is_empty() && self.problems.len() == before {
            self.problem(name, "needed");
        }
        text
    }

    /// A switch that may be left out.
    pub fn switch(&mut self, name: &str) -> Option<bool> {
        match self.value(name)? {
            Value::Bool(on) => Some(*on),
            _ => {
                self.problem(name, "expected true or false");
                None
            }
        }
    }

    /// A whole number that may be left out.
    pub fn integer(&mut self, name: &str) -> Option<i64> {
        let value = self.value(name)?;
        let number = value.as_i64();
        if number.is_none() {
            self.problem(name, "expected a whole number");
        }
        number
    }

    /// A time as RFC 3339 has it, cut to microseconds, that may be left out.
    pub fn time(&mut self, name: &str) -> Option<DateTime<Utc>> {
        let time = match self.value(name)? {
            Value::String(text) => parse_time(text.trim(), "").ok(),
            _ => None,
        };
        if time.is_none() {
            self.problem(
                name,
                "expected a time as RFC 3339 has it, such as 2026-11-01T12:00:00Z, or null",
            );
        }
        time
    }

    /// All that is wrong; nothing, when all is well. Fields that nobody asked for do no harm.
    pub fn finish(self) -> Result<(), Vec<FieldProblem>> {
        if self.problems.is_empty() {
            Ok(())
        } else {
            Err(self.problems)
        }
    }
}

/// What [`day_or_time`] reads.
pub const DAY_OR_TIME: &str =
    "expected a day such as 2026-11-01, or a time as RFC 3339 has it, such as 2026-11-01T12:00:00Z";

/// A time as RFC 3339 has it, cut to microseconds, or the beginning of a day in UTC.
pub fn day_or_time(text: &str) -> Option<DateTime<Utc>> {
    let text = text.trim();
    let day = || parse_time(&format!("{text}T00:00:00Z"), "");
    parse_time(text, "").or_else(|_| day()).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::limits::{check_slug, check_text};

    #[test]
    fn all_that_is_wrong_is_told_at_once() {
        let value = json!({"slug": "a b", "name": 7, "on": "yes", "count": 1.5, "unknown": 1, "empty": ""});
        let object = value.as_object().expect("an object");
        let mut fields = Fields::new(object);
        assert_eq!(fields.required("slug", check_slug), "");
        assert_eq!(fields.text("name", check_text), None);
        assert_eq!(fields.required("empty", check_text), "");
        assert_eq!(fields.required("missing", check_text), "");
        assert_eq!((fields.switch("on"), fields.integer("count")), (None, None));
        let problems = fields.finish().expect_err("wrong");
        let named: Vec<&str> = problems.iter().map(|problem| problem.field.as_str()).collect();
        assert_eq!(named, ["slug", "name", "empty", "missing", "on", "count"]);
    }

    #[test]
    fn what_is_right_is_read() {
        let value = json!({"slug": " three ", "on": false, "count": 3, "none": null});
        let mut fields = Fields::new(value.as_object().expect("an object"));
        assert_eq!(fields.required("slug", check_slug), "three");
        assert_eq!((fields.switch("on"), fields.integer("count")), (Some(false), Some(3)));
        assert_eq!(fields.text("none", check_text), None);
        assert_eq!(fields.finish(), Ok(()));
    }

    #[test]
    fn a_day_is_its_beginning() {
        let time = |text: &str| day_or_time(text).map(|time| time.to_rfc3339());
        assert_eq!(time("2026-11-01").as_deref(), Some("2026-11-01T00:00:00+00:00"));
        assert_eq!(
            time(" 2026-11-01T12:00:00+02:00 ").as_deref(),
            Some("2026-11-01T10:00:00+00:00")
        );
        for wrong in ["", "yesterday", "2026-13-01", "2026-11-01T12:00", "2026-11-01T"] {
            assert_eq!(time(wrong), None, "{wrong}");
        }
    }
}
