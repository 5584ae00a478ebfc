//! The course completion badge: its identity and its texts.

use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};

use super::{
    CourseKey,
    badge_class::{BadgeClassKey, NewBadgeClass},
};

/// What is known of a course that was passed.
#[derive(Debug, Clone)]
pub struct CompletedCourse<'a> {
    /// The course.
    pub key: &'a CourseKey,
    /// Its name, `""` where unknown.
    pub display_name: &'a str,
    /// Its first day.
    pub start: Option<DateTime<Utc>>,
    /// Its last day.
    pub end: Option<DateTime<Utc>>,
}

/// The identity of a course's completion badge in a mode, as Open edX forms it.
pub fn badge_class_key(course: &CourseKey, mode: &str) -> BadgeClassKey {
    let slug: String = format!("{course}_{mode}_")
        .to_lowercase()
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
        .take(248)
        .collect();
    let digest = Sha256::digest(format!("{course}{mode}").as_bytes());
    let hex: String = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    BadgeClassKey {
        slug: format!("{slug}{}", &hex[..7]),
        issuing_component: String::new(),
        course_id: course.to_string(),
    }
}

/// The badge class of a course's completion badge in a mode.
pub fn badge_class(course: &CompletedCourse<'_>, mode: &str, image: Vec<u8>) -> NewBadgeClass {
    let name = if course.display_name.is_empty() {
        course.key.as_str()
    } else {
        course.display_name
    };
    let day = |time: DateTime<Utc>| time.format("%F").to_string();
    let dates = match (course.start.map(day), course.end.map(day)) {
        (Some(start), Some(end)) => format!(" ({start} to {end})"),
        (Some(start), None) => format!(" (from {start})"),
        (None, Some(end)) => format!(" (until {end})"),
        (None, None) => String::new(),
    };
    NewBadgeClass {
        key: badge_class_key(course.key, mode),
        mode: mode.to_owned(),
        display_name: format!("Badge for {name}"),
        description: format!("Completed the course {name} in mode {mode:?}{dates}"),
        criteria: format!("Complete the course {name} in mode {mode:?}{dates}"),
        image,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slug_is_the_one_of_open_edx() {
        let course = "course-v1:edX+course_test+test_run".parse().expect("a key");
        let key = badge_class_key(&course, "honor");
        assert_eq!(key.slug, "course-v1edxcourse_testtest_run_honor_2055051");
    }
}
