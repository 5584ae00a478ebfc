use serde_json::{Value, json};

use super::bundle::{Bundle, Entry, parse};
use crate::{
    domain::badge_class::{BadgeClass, BadgeClassId, BadgeClassKey},
    wire::badge_class::data_uri,
};

const PNG: &[u8] = include_bytes!("../../../deploy/images/honor.png");

fn problems(file: &Value) -> Vec<String> {
    parse(&file.to_string(), |path| Err(format!("{path}: not found"))).expect_err("problems")
}

#[test]
fn what_is_exported_is_imported() {
    let class = BadgeClass {
        id: BadgeClassId(7),
        key: BadgeClassKey {
            slug: "three".to_owned(),
            issuing_component: "openedx__course".to_owned(),
            course_id: "edX/A/1".to_owned(),
        },
        mode: "honor".to_owned(),
        display_name: "Three".to_owned(),
        description: "Enrolled in three".to_owned(),
        criteria: "Enroll".to_owned(),
        backend: None,
        backend_id: Some("abc".to_owned()),
        backend_image_url: None,
        public_id: "9f3c".to_owned(),
    };
    let bundle = Bundle {
        badge_classes: vec![Entry::new(class.clone(), data_uri(PNG))],
    };
    let text = serde_json::to_string(&bundle).expect("JSON");
    let read = parse(&text, |path| Err(path.to_owned())).expect("badge classes");
    assert_eq!((&read[0].key, read[0].mode.as_str()), (&class.key, "honor"));
    assert_eq!(
        (read[0].display_name.as_str(), read[0].criteria.as_str()),
        ("Three", "Enroll")
    );
    assert_eq!(read[0].image, PNG);
}

#[test]
fn a_slug_is_lower_cased_and_an_image_may_be_a_path() {
    let file = json!({"badge_classes": [{"slug": "Three", "display_name": "Three", "description": "d",
        "criteria": "c", "image": "three.png"}]});
    let read = parse(&file.to_string(), |path| {
        Ok(if path == "three.png" { PNG.to_vec() } else { vec![] })
    });
    let read = read.expect("badge classes");
    assert_eq!((read[0].key.slug.as_str(), read[0].image.as_slice()), ("three", PNG));
}

#[test]
fn all_that_is_wrong_is_told_by_entry_and_field() {
    let file = json!({"badge_classes": [
        {"slug": "a b", "issuing_component": 7, "display_name": "", "description": "d", "criteria": "c",
         "course_id": "nonsense", "image": "data:image/png;base64,%"},
        "three",
        {"slug": "x", "display_name": "X", "description": "d", "criteria": "c", "image": "gone.png"},
    ]});
    let found = problems(&file);
    for (index, start) in [
        "badge_classes[0].slug: ",
        "badge_classes[0].issuing_component: expected a text",
        "badge_classes[0].course_id: ",
        "badge_classes[0].display_name: needed",
        "badge_classes[0].image: not base64",
        "badge_classes[1]: expected an object",
        "badge_classes[2].image: gone.png: not found",
    ]
    .into_iter()
    .enumerate()
    {
        assert!(found[index].starts_with(start), "{start}: {found:#?}");
    }
    assert_eq!(found.len(), 7, "{found:#?}");
    assert_eq!(
        problems(&json!([])),
        ["badge_classes: expected a list of badge classes"]
    );
}

#[test]
fn an_image_that_is_no_png_is_refused() {
    let file = json!({"badge_classes": [{"slug": "x", "display_name": "X", "description": "d", "criteria": "c",
        "image": "data:image/png;base64,R0lGODlhAQABAAAAACw="}]});
    assert!(problems(&file)[0].starts_with("badge_classes[0].image: "));
}
