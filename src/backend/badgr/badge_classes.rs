//! Badge classes as Badgr is told of them, and how one of its own is known again.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::{Settings, texts};
use crate::domain::badge_class::BadgeClass;

/// The texts of a badge class as they are sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Texts {
    name: String,
    description: String,
    criteria_url: Option<String>,
    narrative: Option<String>,
}

/// Badgr's names are not unique and it takes no key of ours; our criteria page's address, where it can be sent, tells
/// badge classes apart that are otherwise alike.
pub(super) fn texts(badge_class: &BadgeClass, settings: &Settings) -> Texts {
    let name = texts::first_fit([badge_class.display_name.as_str(), &badge_class.key.slug], texts::NAME);
    let description = texts::first_fit([badge_class.description.as_str(), &name], texts::PROSE);
    let criterion = texts::url(&badge_class.criteria, texts::CRITERIA_URL);
    let narrative = match criterion {
        Some(_) => None,
        None => Some(texts::fit(&badge_class.criteria, texts::PROSE)).filter(|text| !text.is_empty()),
    };
    let criteria_url = criterion
        .or_else(|| course_page(badge_class, settings))
        .or_else(|| texts::url(&criteria_page(badge_class, settings), texts::CRITERIA_URL));
    Texts {
        name,
        description,
        criteria_url,
        narrative,
    }
}

/// The JSON that makes it, with the image as a data URI.
pub(super) fn body(badge_class: &BadgeClass, image: &[u8], settings: &Settings) -> Value {
    let texts = texts(badge_class, settings);
    let mut body = json!({
        "name": texts.name,
        "description": texts.description,
        "image": format!("data:image/png;base64,{}", STANDARD.encode(image)),
    });
    if let Some(url) = texts.criteria_url {
        body["criteriaUrl"] = json!(url);
    }
    if let Some(narrative) = texts.narrative {
        body["criteriaNarrative"] = json!(narrative);
    }
    body
}

impl Texts {
    /// Whether a badge class in Badgr's list has these texts. A narrative that the list does not show is not compared.
    pub(super) fn are_those_of(&self, found: &Value) -> bool {
        let shown = |name: &str| {
            let text = texts::fit(found[name].as_str().unwrap_or_default(), texts::PROSE);
            (!text.is_empty()).then_some(text)
        };
        let narrative = shown("criteriaNarrative");
        shown("name").as_ref() == Some(&self.name)
            && shown("description").as_ref() == Some(&self.description)
            && shown("criteriaUrl") == self.criteria_url
            && (narrative.is_none() || narrative == self.narrative)
    }
}

fn course_page(badge_class: &BadgeClass, settings: &Settings) -> Option<String> {
    let course_id = &badge_class.key.course_id;
    let template = settings.course_about_url_template.as_deref()?;
    let url = template.replace("{course_id}", course_id);
    texts::url(&url, texts::CRITERIA_URL).filter(|_| !course_id.is_empty())
}

fn criteria_page(badge_class: &BadgeClass, settings: &Settings) -> String {
    format!("{}/ob2/badges/{}/criteria", settings.public_url, badge_class.public_id)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        domain::badge_class::{BadgeClassId, BadgeClassKey},
        secret::Secret,
    };

    fn settings() -> Settings {
        Settings {
            base_url: "https://badgr.example".to_owned(),
            username: "u".to_owned(),
            password: Secret::new("hunter2"),
            password_file: None,
            issuer_slug: "i1".to_owned(),
            tokens_cache_key: "badgr-tokens".to_owned(),
            timeout: Duration::from_secs(10),
            notify: false,
            ca_file: None,
            secret_key: Some(Secret::new("hunter3")),
            public_url: "https://badges.example.com".to_owned(),
            course_about_url_template: None,
            settle_time: Settings::SETTLE_TIME,
        }
    }

    fn badge_class(criteria: &str) -> BadgeClass {
        BadgeClass {
            id: BadgeClassId(7),
            key: BadgeClassKey {
                slug: "three".to_owned(),
                issuing_component: "openedx__course".to_owned(),
                course_id: String::new(),
            },
            mode: String::new(),
            display_name: "Three <b>courses</b> 🎉".to_owned(),
            description: "🎉".to_owned(),
            criteria: criteria.to_owned(),
            backend: None,
            backend_id: None,
            backend_image_url: None,
            public_id: "p1".to_owned(),
        }
    }

    #[test]
    fn settings_print_no_secret() {
        let printed = format!("{:?}", settings());
        assert!(!printed.contains("hunter"), "{printed}");
    }

    #[test]
    fn criteria_that_are_no_url_are_a_narrative_with_a_page() {
        let body = body(&badge_class("Enroll in ![three]"), b"png", &settings());
        let expected = json!({"name": "Three courses", "description": "Three courses",
            "image": "data:image/png;base64,cG5n", "criteriaNarrative": "Enroll in ! [three]",
            "criteriaUrl": "https://badges.example.com/ob2/badges/p1/criteria"});
        assert_eq!(body, expected);
        let mut inside = settings();
        inside.public_url = "http://accolade:8080".to_owned();
        assert_eq!(texts(&badge_class("Enroll"), &inside).criteria_url, None);
    }

    #[test]
    fn a_criterion_that_is_a_url_is_sent_as_one() {
        let sent = texts(&badge_class(" https://lms.example.com/criteria "), &settings());
        assert_eq!(sent.criteria_url.as_deref(), Some("https://lms.example.com/criteria"));
        assert_eq!(sent.narrative, None);
    }

    #[test]
    fn a_course_has_its_own_page() {
        let mut of_course = badge_class("Pass");
        of_course.key.course_id = "course-v1:edX+DemoX+2026".to_owned();
        let mut settings = settings();
        settings.course_about_url_template = Some("https://lms.example.com/courses/{course_id}/about".to_owned());
        assert_eq!(
            texts(&of_course, &settings).criteria_url.as_deref(),
            Some("https://lms.example.com/courses/course-v1:edX+DemoX+2026/about")
        );
    }

    #[test]
    fn a_badge_class_is_known_again_by_all_its_texts() {
        let sent = texts(&badge_class("Enroll"), &settings());
        let url = "https://badges.example.com/ob2/badges/p1/criteria";
        let found = |name: &str, url: Value, narrative: Value| json!({"name": name, "description": "Three courses", "criteriaUrl": url, "criteriaNarrative": narrative});
        assert!(sent.are_those_of(&found("Three courses ", json!(url), json!("Enroll"))));
        assert!(sent.are_those_of(&found("Three courses", json!(url), Value::Null)));
        assert!(!sent.are_those_of(&found("Four courses", json!(url), json!("Enroll"))));
        assert!(!sent.are_those_of(&found("Three courses", json!("https://b.example/x"), json!("Enroll"))));
        assert!(!sent.are_those_of(&found("Three courses", Value::Null, json!("Enroll"))));
        assert!(!sent.are_those_of(&found("Three courses", json!(url), json!("Other"))));
    }
}
