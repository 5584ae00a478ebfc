use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    http::testing::{Reply, Site},
    store::{api_reads::Window, audit},
};

const PATH: &str = "/api/badges/v1/courses/";

async fn put(site: &Site, key: &str, body: &Value) -> Reply {
    site.send_as("staff", Method::PUT, &format!("{PATH}{key}/"), body).await
}

#[tokio::test]
async fn a_course_is_set_and_only_what_is_there_changes() {
    let site = Site::new();
    let key = "course-v1:edX+Demo+2026";
    assert_eq!(site.get_as("staff", &format!("{PATH}{key}/")).await.problem().0, 404);
    let all = json!({"issue_badges": false, "display_name": " Demonstration ", "start": "2026-09-01T02:00:00+02:00",
        "end": "2026-12-24T00:00:00.5Z"});
    let set = put(&site, key, &all).await;
    assert_eq!(set.status, StatusCode::OK, "{}", set.text());
    let mut expected = json!({"course_id": key, "issue_badges": false, "display_name": "Demonstration",
        "start": "2026-09-01T00:00:00Z", "end": "2026-12-24T00:00:00.500Z", "note": null});
    assert_eq!(set.json(), expected);
    let changed = put(&site, key, &json!({"issue_badges": true, "end": null})).await;
    assert!(changed.json()["note"].is_string());
    expected["issue_badges"] = json!(true);
    expected["end"] = Value::Null;
    expected.as_object_mut().expect("an object").remove("note");
    assert_eq!(site.get_as("staff", &format!("{PATH}{key}")).await.json(), expected);
    let window = Window { start: 0, length: 9 };
    let log = site.store().read("log", |tx| audit::list(tx, window)).expect("read");
    let told: Vec<_> = log.iter().map(|e| (e.action.as_str(), e.target.as_str())).collect();
    assert_eq!(told, [("course.change", key), ("course.change", key)]);
    assert!(
        log[0].details.contains(r#"["issue_badges","end"]"#),
        "{}",
        log[0].details
    );
}

#[tokio::test]
async fn both_forms_of_a_key_are_found_however_they_are_encoded() {
    let site = Site::new();
    for (set, read, key) in [
        ("edX%2FDemo%2F1", "edX%2fDemo%2f1", "edX/Demo/1"),
        ("course-v1:a+b+c", "course-v1%3Aa%2Bb%2Bc", "course-v1:a+b+c"),
        ("course-v1:%C3%A9+b+c", "course-v1:%C3%A9%2Bb+c", "course-v1:é+b+c"),
    ] {
        assert_eq!(put(&site, set, &json!({})).await.status, StatusCode::OK, "{set}");
        let found = site.get_as("staff", &format!("{PATH}{read}/")).await;
        assert_eq!(found.json()["course_id"], key, "{read}");
        assert_eq!(found.json()["issue_badges"], true);
    }
}

#[tokio::test]
async fn what_is_no_key_is_refused() {
    let site = Site::new();
    let long = format!("course-v1:a+b+{}", "x".repeat(250));
    for key in ["nonsense", "a%2Fb", "course-v1:a+b", "a%00%2Fb%2Fc", long.as_str()] {
        assert_eq!(
            put(&site, key, &json!({})).await.problem(),
            (400, "course_id".to_owned())
        );
        let read = site.get_as("staff", &format!("{PATH}{key}/")).await;
        assert_eq!(read.problem(), (400, "course_id".to_owned()), "{key}");
    }
}

#[tokio::test]
async fn every_wrong_field_is_named_and_nothing_is_saved() {
    let site = Site::new();
    let key = "course-v1:a+b+c";
    let wrong = json!({"course_id": "course-v1:a+b+d", "issue_badges": null, "display_name": 7, "start": "yesterday",
        "end": 1_700_000_000});
    let refused = put(&site, key, &wrong).await;
    let named: Vec<Value> = refused.json()["errors"]
        .as_array()
        .expect("errors")
        .iter()
        .map(|error| error["field"].clone())
        .collect();
    assert_eq!(named, ["course_id", "issue_badges", "display_name", "start", "end"]);
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    assert_eq!(site.get_as("staff", &format!("{PATH}{key}/")).await.problem().0, 404);
}

#[tokio::test]
async fn only_administrators_may() {
    let site = Site::new();
    for key in ["course-v1:a+b+c", "nonsense"] {
        for method in [Method::GET, Method::PUT] {
            let path = format!("{PATH}{key}/");
            let reply = site
                .send_as("ada", method, &path, &json!({"issue_badges": false}))
                .await;
            assert_eq!(reply.status, StatusCode::FORBIDDEN);
        }
    }
}
