//! `deploy/samples`: each refers to what is there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;

use super::{normal, read, repository};

fn parsed(name: &str) -> Value {
    serde_json::from_str(&read(&format!("deploy/samples/{name}"))).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_else(|| panic!("{pointer} of {value}"))
}

/// The images of the sample badge classes, as written.
pub(super) fn images() -> Vec<String> {
    let classes = parsed("badge-classes.json");
    let classes = classes["badge_classes"].as_array().expect("a list").clone();
    classes.iter().map(|class| text(class, "/image").to_owned()).collect()
}

/// Slugs and what they are for, as the three texts of the configuration say.
struct Rules {
    enrolled: BTreeMap<usize, String>,
    completed: BTreeMap<usize, String>,
    groups: BTreeMap<String, BTreeSet<String>>,
}

fn rules() -> Rules {
    let file = parsed("event-badges.json");
    assert_eq!(file["enabled"], true);
    let counts = |field: &str| {
        let lines = text(&file, field)
            .lines()
            .map(|line| line.split_once(',').expect("COUNT,SLUG"));
        lines
            .map(|(count, slug)| (count.parse().expect("a count"), slug.to_owned()))
            .collect()
    };
    let groups = text(&file, "/course_groups").lines().map(|line| {
        let mut parts = line.split(',').map(str::to_owned);
        (parts.next().expect("a slug"), parts.collect())
    });
    Rules {
        enrolled: counts("/courses_enrolled"),
        completed: counts("/courses_completed"),
        groups: groups.collect(),
    }
}

#[test]
fn the_configuration_names_each_sample_badge_class_and_no_other() {
    let classes = parsed("badge-classes.json");
    let mut slugs = BTreeSet::new();
    for class in classes["badge_classes"].as_array().expect("a list") {
        assert_eq!(
            (text(class, "/issuing_component"), text(class, "/course_id")),
            ("openedx__course", "")
        );
        assert!(slugs.insert(text(class, "/slug").to_owned()), "{class} is there twice");
    }
    let Rules {
        enrolled,
        completed,
        groups,
    } = rules();
    let named: BTreeSet<String> = enrolled
        .into_values()
        .chain(completed.into_values())
        .chain(groups.into_keys())
        .collect();
    assert_eq!(named, slugs);
}

#[test]
fn the_sample_events_bring_each_sample_badge_to_somebody() {
    let mut events: Vec<Value> = read("deploy/samples/events.jsonl")
        .lines()
        .map(|line| serde_json::from_str(line).expect("a JSON object a line"))
        .collect();
    events.sort_by_key(|event| text(event, "/time").to_owned());
    let (mut enrolled, mut passed) = (
        BTreeMap::<_, BTreeSet<String>>::new(),
        BTreeMap::<_, BTreeSet<String>>::new(),
    );
    for event in events {
        let user = event["data"]["user"]["id"].as_i64().expect("a user");
        let course = text(&event, "/data/course/id").to_owned();
        assert!(course.parse::<accolade::domain::CourseKey>().is_ok(), "{course}");
        let (facts, holds) = match text(&event, "/type") {
            "enrollment.created" => (&mut enrolled, event["data"]["is_active"] != false),
            "enrollment.deactivated" => (&mut enrolled, false),
            "certificate.generated" => {
                let status = event["data"]["status"].as_str().unwrap_or("downloadable");
                (&mut passed, matches!(status, "downloadable" | "generating"))
            }
            other => panic!("{other}: teach it to this test"),
        };
        let courses = facts.entry(user).or_default();
        if holds {
            courses.insert(course);
        } else {
            courses.remove(&course);
        }
    }
    let Rules {
        enrolled: by_enrolled,
        completed,
        groups,
    } = rules();
    for (count, slug) in by_enrolled {
        assert!(
            enrolled.values().any(|courses| courses.len() >= count),
            "nobody gets {slug}"
        );
    }
    for (count, slug) in completed {
        assert!(
            passed.values().any(|courses| courses.len() >= count),
            "nobody gets {slug}"
        );
    }
    for (slug, group) in groups {
        assert!(
            passed.values().any(|courses| courses.is_superset(&group)),
            "nobody gets {slug}"
        );
    }
}

#[test]
fn badge_images_are_square_and_small_and_have_a_source() {
    let samples = repository().join("deploy/samples");
    for image in images() {
        assert!(normal(&samples.join(&image)).is_file(), "{image}");
    }
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(repository().join("deploy/images")).expect("the images are there") {
        let path = entry.expect("directories can be read").path();
        if path.extension().is_some_and(|extension| extension == "png") {
            check_image(&path);
            assert!(path.with_extension("svg").is_file(), "{} has no source", path.display());
            found.insert(path.file_stem().expect("a name").to_string_lossy().into_owned());
        }
    }
    for mode in ["honor", "verified", "professional", "default"] {
        assert!(found.contains(mode), "no image for {mode}");
    }
}

fn check_image(path: &Path) {
    let bytes = std::fs::read(path).expect("images can be read");
    assert!(bytes.len() < 250 * 1024, "{}", path.display());
    let mut reader = png::Decoder::new(std::io::Cursor::new(bytes))
        .read_info()
        .expect("a PNG");
    let (width, height) = reader.info().size();
    assert_eq!(width, height, "{}", path.display());
    let mut pixels = vec![0; reader.output_buffer_size().expect("a small image")];
    reader
        .next_frame(&mut pixels)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}
