use serde_json::{Value, json};

use crate::{
    http::testing::{PUBLIC_URL, Site, badge_class},
    store::testing::seed,
};

const COURSE: &str = "course-v1:edX+DemoX+2026";
const PATH: &str = "/api/badges/v1/assertions/user/ada/";

/// Ada has four badges, one of them revoked; Bob has one.
fn site() -> Site {
    let site = Site::new();
    let store = site.store();
    seed::learner(&store, 1, "ada", 10);
    seed::learner(&store, 2, "bob", 10);
    seed::course(&store, "edX/Empty/1", "Nobody is here");
    let three = badge_class(&site, "three", "openedx__course", "");
    let plain = badge_class(&site, "three", "", "");
    let course = badge_class(&site, "three", "", COURSE);
    let gone = badge_class(&site, "gone", "", "");
    for (at, id, class) in [
        (1, "a1", &three),
        (2, "a2", &plain),
        (3, "a3", &course),
        (4, "a4", &gone),
    ] {
        seed::assertion(&store, 1, id, class, at);
    }
    seed::assertion(&store, 2, "b1", &three, 5);
    seed::revoke(&store, "a4", "a mistake");
    site
}

fn ids(page: &Value) -> Vec<String> {
    let results = page["results"].as_array().expect("a list");
    let id = |item: &Value| {
        item["assertion_url"]
            .as_str()
            .and_then(|url| url.rsplit('/').next())
            .map(str::to_owned)
    };
    results.iter().filter_map(id).collect()
}

#[tokio::test]
async fn a_learner_reads_the_own_badges_newest_first() {
    let site = site();
    let reply = site.get_as("ada", PATH).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let page = reply.json();
    assert_eq!(ids(&page), ["a3", "a2", "a1"]);
    for (name, value) in [("count", 3), ("num_pages", 1), ("current_page", 1), ("start", 0)] {
        assert_eq!(page[name], value, "{name}");
    }
    assert_eq!((&page["next"], &page["previous"]), (&Value::Null, &Value::Null));
    let image = page["results"][0]["badge_class"]["image_url"]
        .as_str()
        .expect("a URL")
        .to_owned();
    assert!(image.starts_with("https://badges.example.com/ob2/badges/") && image.ends_with("/image.png"));
    let expected = json!({
        "badge_class": {"slug": "three", "issuing_component": "", "display_name": "Badge three", "course_id": COURSE,
            "description": "A description", "criteria": "What one must do", "image_url": image},
        "image_url": "https://badges.example.com/ob2/assertions/a3/image.png",
        "assertion_url": "https://badges.example.com/ob2/assertions/a3",
        "created": "2026-11-01T00:03:00Z"});
    assert_eq!(page["results"][0], expected);
    assert_eq!(page["results"][2]["badge_class"]["course_id"], Value::Null);
    assert_eq!(site.get_as("ada", PATH.trim_end_matches('/')).await.json(), page);
}

#[tokio::test]
async fn filters_are_those_of_open_edx() {
    let site = site();
    for (query, expected) in [
        ("slug=three", vec!["a2"]),
        ("slug=three&issuing_component=openedx__course", vec!["a1"]),
        ("slug=three&course_id=*", vec!["a3", "a2"]),
        ("course_id=*", vec!["a3", "a2", "a1"]),
        ("issuing_component=openedx__course", vec!["a3", "a2", "a1"]),
        ("course_id=course-v1%3AedX%2BDemoX%2B2026", vec!["a3"]),
        ("courseid=course-v1:edX+DemoX+2026", vec!["a3"]),
        ("slug=three&course_id=course-v1:edX+DemoX+2026", vec!["a3"]),
        ("course_id=edX/Empty/1", vec![]),
        ("slug=gone", vec![]),
    ] {
        let reply = site.get_as("ada", &format!("{PATH}?{query}")).await;
        assert_eq!(reply.status, 200, "{query}: {}", reply.text());
        assert_eq!(ids(&reply.json()), expected, "{query}");
    }
}

#[tokio::test]
async fn what_there_is_not_is_404_and_what_is_wrong_is_400() {
    let site = site();
    let long = "x".repeat(256);
    for (path, expected) in [
        (format!("{PATH}?slug=nothing"), (404, "")),
        (format!("{PATH}?slug=three&issuing_component=xblock"), (404, "")),
        (format!("{PATH}?slug=gone&course_id=edX/Empty/1"), (404, "")),
        (format!("{PATH}?course_id=edX/Unknown/1"), (404, "")),
        (format!("{PATH}?course_id=nonsense"), (400, "course_id")),
        (format!("{PATH}?courseid=a+b"), (400, "courseid")),
        (format!("{PATH}?page=2"), (404, "")),
        (format!("{PATH}?page=0"), (400, "page")),
        (format!("{PATH}?page_size=x"), (400, "page_size")),
        (format!("{PATH}?slug={long}"), (400, "slug")),
        (format!("{PATH}?slug=%00"), (400, "slug")),
        (format!("/api/badges/v1/assertions/user/{long}/"), (400, "username")),
        ("/api/badges/v1/assertions/user/a%00/".to_owned(), (400, "username")),
        ("/api/badges/v1/assertions/user/nobody/".to_owned(), (404, "")),
    ] {
        let problem = site.get_as("staff", &path).await.problem();
        assert_eq!(problem, (expected.0, expected.1.to_owned()), "{path}");
    }
}

#[tokio::test]
async fn others_are_refused_whether_the_learner_exists_or_not() {
    let site = site();
    let existing = site.get_as("bob", PATH).await;
    let missing = site
        .get_as("bob", "/api/badges/v1/assertions/user/nobody/?course_id=nonsense")
        .await;
    assert_eq!((existing.problem().0, existing.text()), (403, missing.text()));
    assert_eq!(ids(&site.get_as("staff", PATH).await.json()).len(), 3);
}

#[tokio::test]
async fn pages_lead_to_each_other_and_keep_the_filters() {
    let site = site();
    let query = "course_id=*&page_size=1";
    let page = site.get_as("ada", &format!("{PATH}?{query}&page=2")).await.json();
    assert_eq!(
        (ids(&page), &page["num_pages"], &page["start"]),
        (vec!["a2".to_owned()], &json!(3), &json!(1))
    );
    assert_eq!(
        page["next"],
        format!("{PUBLIC_URL}{PATH}?course_id=*&page_size=1&page=3")
    );
    assert_eq!(page["previous"], format!("{PUBLIC_URL}{PATH}?course_id=*&page_size=1"));
    let last = page["next"]
        .as_str()
        .and_then(|url| url.strip_prefix(PUBLIC_URL))
        .expect("below PUBLIC_URL");
    let last = site.get_as("ada", last).await.json();
    assert_eq!((ids(&last), &last["next"]), (vec!["a1".to_owned()], &Value::Null));
}

#[tokio::test]
async fn a_username_means_who_bears_it_now() {
    let site = site();
    seed::learner(&site.store(), 3, "ada", 20);
    assert_eq!(site.get_as("ada", PATH).await.json()["count"], 0);
}
