//! Open edX course keys.

use std::{fmt, str::FromStr};

/// An Open edX course key: `course-v1:ORG+COURSE+RUN`, or the old `ORG/COURSE/RUN`.
///
/// The parts hold letters, digits and `_ - ~ . :` (Open edX `opaque_keys`, `ALLOWED_ID_CHARS`); the whole is at most
/// 255 characters long.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
#[serde(transparent)]
pub struct CourseKey(String);

/// What a text is that is no course key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a course key; expected course-v1:ORG+COURSE+RUN or ORG/COURSE/RUN, at most 255 characters")]
pub struct InvalidCourseKey;

impl CourseKey {
    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn is_valid(text: &str) -> bool {
        let (parts, separator) = match text.strip_prefix("course-v1:") {
            Some(parts) => (parts, '+'),
            None => (text, '/'),
        };
        let allowed = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '~' | '.' | ':');
        text.chars().count() <= 255
            && parts.split(separator).count() == 3
            && parts
                .split(separator)
                .all(|part| !part.is_empty() && part.chars().all(allowed))
    }
}

impl FromStr for CourseKey {
    type Err = InvalidCourseKey;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if Self::is_valid(text) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidCourseKey)
        }
    }
}

impl fmt::Display for CourseKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_keys_and_others_are_not() {
        for key in ["course-v1:edX+DemoX+2026", "edX/DemoX/2026", "course-v1:é+a.b~c:d+1"] {
            assert_eq!(key.parse::<CourseKey>().map(|k| k.to_string()), Ok(key.to_owned()));
        }
        let long = format!("course-v1:edX+{}+1", "x".repeat(250));
        for text in [
            "",
            "course-v1:a+b",
            "a/b",
            "a/b/c/d",
            "course-v1:a+b+",
            "a b/c/d",
            "library-v1:a+b+c",
            &long,
        ] {
            assert_eq!(text.parse::<CourseKey>(), Err(InvalidCourseKey), "{text}");
        }
    }
}
