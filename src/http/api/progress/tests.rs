use axum::http::{Method, StatusCode};
use diesel::RunQueryDsl as _;
use serde_json::json;

use crate::{
    http::testing::{Site, badge_class},
    store::testing::seed,
};

const PATH: &str = "/api/badges/v1/progress/user/ada/";

/// Ada is enrolled in two courses and has passed one of two; she has the badge for one enrolment.
async fn site() -> Site {
    let site = Site::new();
    let store = site.store();
    let one = badge_class(&site, "one", "openedx__course", "");
    for slug in ["three", "pair"] {
        badge_class(&site, slug, "openedx__course", "");
    }
    seed::learner(&store, 1, "ada", 10);
    seed::course(&store, "edX/A/1", "A");
    seed::award(&store, 1, "w1", &one, ("published", None), 5);
    let written = store.transaction("test", |tx| {
        for sql in [
            "UPDATE learner SET enrolled = 2, completed = 1",
            "UPDATE award SET idempotency_key = ''",
            "INSERT INTO learner_course (learner_id, course_id, passed) SELECT 1, id, true FROM course",
        ] {
            diesel::sql_query(sql).execute(tx.conn)?;
        }
        Ok(())
    });
    written.expect("written");
    let body = json!({"enabled": true, "courses_enrolled": "1,one\n3,three", "course_groups": "pair,edX/A/1,edX/B/1"});
    let added = site
        .send_as("staff", Method::POST, "/api/badges/v1/event-badges/", &body)
        .await;
    assert_eq!(added.status, StatusCode::CREATED, "{}", added.text());
    site
}

#[tokio::test]
async fn each_badge_says_how_far_it_is() {
    let site = site().await;
    for caller in ["ada", "staff"] {
        let reply = site.get_as(caller, PATH).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
        let page = reply.json();
        let told: Vec<_> = page["results"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|item| {
                let slug = item["badge_class"]["slug"].clone();
                json!([
                    slug,
                    item["kind"],
                    item["count"],
                    item["threshold"],
                    item["remaining"],
                    item["missing_courses"],
                    item["earned"]
                ])
            })
            .collect();
        assert_eq!(
            told,
            [
                json!(["one", "courses_enrolled", 2, 1, 0, [], true]),
                json!(["three", "courses_enrolled", 2, 3, 1, [], false]),
                json!(["pair", "course_group", 1, 2, 1, ["edX/B/1"], false]),
            ]
        );
    }
}

#[tokio::test]
async fn pages_are_cut_and_others_are_refused() {
    let site = site().await;
    let second = site.get_as("ada", &format!("{PATH}?page_size=2&page=2")).await.json();
    assert_eq!(
        (&second["count"], second["results"].as_array().map(Vec::len)),
        (&json!(3), Some(1))
    );
    assert_eq!(site.get_as("bob", PATH).await.status, StatusCode::FORBIDDEN);
    assert_eq!(
        site.get_as("staff", "/api/badges/v1/progress/user/nobody/")
            .await
            .status,
        StatusCode::NOT_FOUND
    );
    assert_eq!(
        site.get_as("ada", &format!("{PATH}?page=9")).await.status,
        StatusCode::NOT_FOUND
    );
}
