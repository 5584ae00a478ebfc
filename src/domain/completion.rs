//! The course completion badge: its identity and its texts.

use chrono::{DateTime, Utc};
use icu_normalizer::DecomposingNormalizerBorrowed;
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

/// The identity of a course's completion badge in a mode, as Open edX forms it, so that imported badge classes are found
/// again.
pub fn badge_class_key(course: &CourseKey, mode: &str) -> BadgeClassKey {
    let base: String = slugify(&format!("{course}_{mode}_")).chars().take(248).collect();
    let digest = Sha256::digest(format!("{course}{mode}").as_bytes());
    let hex: String = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    BadgeClassKey {
        slug: format!("{base}{}", &hex[..7]),
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
        (Some(start), Some(end)) => Some(format!("{start} to {end}")),
        (Some(start), None) => Some(format!("from {start}")),
        (None, Some(end)) => Some(format!("until {end}")),
        (None, None) => None,
    };
    let details = [Some(mode.to_owned()).filter(|mode| !mode.is_empty()), dates];
    let details: Vec<String> = details.into_iter().flatten().collect();
    let details = match details.is_empty() {
        true => String::new(),
        false => format!(" ({})", details.join(", ")),
    };
    NewBadgeClass {
        key: badge_class_key(course.key, mode),
        mode: mode.to_owned(),
        display_name: format!("Badge for {name}"),
        description: format!("Completed the course \"{name}\"{details}"),
        criteria: format!("Pass the course \"{name}\"{details} and receive its certificate"),
        image,
    }
}

/// Django's `slugify`: letters lose their marks, then everything but ASCII letters, digits, `_`, `-` and blanks is
/// dropped, and each run of blanks and hyphens becomes one hyphen.
fn slugify(text: &str) -> String {
    let plain = DecomposingNormalizerBorrowed::new_nfkd().normalize(text);
    let mut slug = String::with_capacity(plain.len());
    for c in plain.trim().chars() {
        if c.is_ascii_alphanumeric() || c == '_' {
            slug.push(c.to_ascii_lowercase());
        } else if (c == '-' || c.is_ascii_whitespace()) && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    slug
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slug(course: &str, mode: &str) -> String {
        badge_class_key(&course.parse().expect("a key"), mode).slug
    }

    #[test]
    fn the_slug_is_the_one_of_open_edx() {
        assert_eq!(
            slug("course-v1:edX+course_test+test_run", "honor"),
            "course-v1edxcourse_testtest_run_honor_2055051"
        );
    }

    #[test]
    fn a_slug_stays_a_slug_whatever_the_key() {
        assert!(slug("course-v1:École+a--b+~1", "no id").starts_with("course-v1ecolea-b1_no-id_"));
        let long = format!("course-v1:edX+{}+1", "x".repeat(230));
        let slugs = [slug(&long, "honor"), slug(&long, "verified")];
        for slug in &slugs {
            assert_eq!(slug.len(), 255);
            assert_eq!(super::super::limits::check_slug(slug), Ok(()));
        }
        assert_ne!(slugs[0], slugs[1]);
    }

    #[test]
    fn the_texts_name_course_mode_and_dates() {
        let key: CourseKey = "edX/Demo/1".parse().expect("a key");
        let mut course = CompletedCourse {
            key: &key,
            display_name: "Demonstration",
            start: "2026-09-01T00:00:00Z".parse().ok(),
            end: "2026-12-24T00:00:00Z".parse().ok(),
        };
        let made = badge_class(&course, "verified", vec![1]);
        assert_eq!(made.display_name, "Badge for Demonstration");
        assert_eq!(
            made.description,
            "Completed the course \"Demonstration\" (verified, 2026-09-01 to 2026-12-24)"
        );
        assert_eq!(
            (made.mode.as_str(), made.key.course_id.as_str()),
            ("verified", "edX/Demo/1")
        );
        course.display_name = "";
        (course.start, course.end) = (None, None);
        let unknown = badge_class(&course, "", vec![]);
        assert_eq!(unknown.display_name, "Badge for edX/Demo/1");
        assert_eq!(
            unknown.criteria,
            "Pass the course \"edX/Demo/1\" and receive its certificate"
        );
    }
}
