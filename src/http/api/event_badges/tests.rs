use axum::http::{Method, StatusCode};
use diesel::RunQueryDsl as _;
use serde_json::{Value, json};

use crate::{
    http::testing::{Site, badge_class},
    store::testing::seed,
};

const PATH: &str = "/api/badges/v1/event-badges/";
const PREVIEW: &str = "/api/badges/v1/event-badges/preview/";

/// Three learners with one, two and three enrolments; the third has the badge for two already.
fn site() -> Site {
    let site = Site::new();
    let store = site.store();
    let two = badge_class(&site, "two", "openedx__course", "");
    badge_class(&site, "pair", "openedx__course", "");
    for (id, name) in [(1, "ada"), (2, "bob"), (3, "eve")] {
        seed::learner(&store, id, name, 10);
    }
    seed::award(&store, 3, "w3", &two, ("published", None), 5);
    seed::award(&store, 1, "w1", &two, ("published", None), 5);
    let counted = store.transaction("test", |tx| {
        diesel::sql_query("UPDATE learner SET enrolled = learner_id").execute(tx.conn)?;
        diesel::sql_query("UPDATE award SET idempotency_key = ''").execute(tx.conn)?;
        Ok(())
    });
    counted.expect("counted");
    site
}

fn texts(enrolled: &str, groups: &str) -> Value {
    json!({"courses_enrolled": enrolled, "course_groups": groups})
}

fn one_line(error: &Value) -> String {
    let text = |name: &str| error[name].as_str().unwrap_or_default().to_owned();
    format!("{}: {}", text("field"), text("problem"))
}

#[tokio::test]
async fn a_preview_counts_and_writes_nothing() {
    let site = site();
    let reply = site
        .send_as("staff", Method::POST, PREVIEW, &texts("2,two", "pair,edX/A/1,edX/B/1"))
        .await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let expected = json!({"badges": [
        {"slug": "two", "kind": "courses_enrolled", "threshold": 2, "courses": null, "learners": 2, "awarded": 1},
        {"slug": "pair", "kind": "course_group", "threshold": null, "courses": ["edX/A/1", "edX/B/1"], "learners": 0,
         "awarded": 0},
    ]});
    assert_eq!(reply.json(), expected);
    assert_eq!(site.get_as("staff", PATH).await.json()["count"], 0);
}

#[tokio::test]
async fn a_new_configuration_is_a_new_row_and_the_active_one_if_it_says_so() {
    let site = site();
    let mut body = texts("2,two", "");
    let first = site.send_as("staff", Method::POST, PATH, &body).await;
    assert_eq!(
        (first.status, &first.json()["enabled"]),
        (StatusCode::CREATED, &json!(false)),
        "{}",
        first.text()
    );
    body["enabled"] = json!(true);
    for _ in 0..2 {
        let next = site.send_as("staff", Method::POST, PATH, &body).await.json();
        assert_eq!((&next["enabled"], &next["changed_by"]), (&json!(true), &json!("staff")));
    }
    let listed = site.get_as("staff", PATH).await.json();
    let told: Vec<(i64, bool)> = listed["results"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|item| (item["id"].as_i64().expect("an id"), item["enabled"] == true))
        .collect();
    assert_eq!(told, [(3, true), (2, false), (1, false)]);
}

#[tokio::test]
async fn all_wrong_lines_are_told_and_nothing_is_saved() {
    let site = site();
    let wrong =
        json!({"courses_enrolled": "\n0,two\n2,nobody", "courses_completed": "x", "course_groups": "pair,nonsense"});
    for path in [PATH, PREVIEW] {
        let reply = site.send_as("staff", Method::POST, path, &wrong).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST);
        let problem = reply.json();
        let told: Vec<(String, bool)> = problem["errors"]
            .as_array()
            .expect("errors")
            .iter()
            .map(|error| {
                (
                    error["field"].to_string(),
                    error["problem"].as_str().is_some_and(|p| p.starts_with("line ")),
                )
            })
            .collect();
        let field = |name: &str| (format!("\"{name}\""), true);
        let enrolled = field("courses_enrolled");
        assert_eq!(
            told,
            [
                enrolled.clone(),
                enrolled,
                field("courses_completed"),
                field("course_groups")
            ],
            "{problem}"
        );
    }
    let types =
        json!({"courses_enrolled": 3, "enabled": "yes", "courses_completed": "0,nobody", "course_groups": "none,x"});
    for path in [PATH, PREVIEW] {
        let reply = site.send_as("staff", Method::POST, path, &types).await.json();
        let told: Vec<String> = reply["errors"]
            .as_array()
            .expect("errors")
            .iter()
            .map(one_line)
            .collect();
        let unknown = |slug: &str| format!("line 1: there is no badge class \"{slug}\"");
        for (found, (field, problem)) in told.iter().zip([
            ("enabled", "expected true or false".to_owned()),
            ("courses_enrolled", "expected a text".to_owned()),
            ("courses_completed", "line 1: the count \"0\"".to_owned()),
            ("courses_completed", unknown("nobody")),
            ("course_groups", "line 1: \"x\": not a course key".to_owned()),
            ("course_groups", unknown("none")),
        ]) {
            assert!(found.starts_with(&format!("{field}: {problem}")), "{problem}: {told:?}");
        }
        assert_eq!(told.len(), 6, "{told:?}");
    }
    assert_eq!(site.get_as("staff", PATH).await.json()["count"], 0);
    for path in [PATH, PREVIEW] {
        assert_eq!(
            site.send_as("ada", Method::POST, path, &texts("", "")).await.status,
            StatusCode::FORBIDDEN
        );
    }
}
