use axum::{
    body::Body,
    http::{Method, StatusCode},
};
use serde_json::{Value, json};

use crate::{domain::limits::MAX_TEXT, http::testing::Site, wire::badge_class::data_uri};

const PATH: &str = "/api/badges/v1/badge-classes/";

fn three() -> Value {
    json!({
        "slug": "three", "issuing_component": "my_block", "display_name": "Three", "description": "d", "criteria": "c",
        "image": data_uri(&crate::http::testing::png()),
    })
}

#[tokio::test]
async fn a_badge_class_is_created_once_and_stays() {
    let site = Site::new();
    let created = site.send_as("staff", Method::POST, PATH, &three()).await;
    assert_eq!(created.status, StatusCode::CREATED, "{}", created.text());
    let mut again = three();
    again["display_name"] = json!("Another");
    let again = site.send_as("staff", Method::POST, PATH, &again).await;
    assert_eq!((again.status, again.json()), (StatusCode::OK, created.json()));
    let path = format!("{PATH}{}/", created.json()["id"]);
    assert_eq!(site.get_as("staff", &path).await.json(), created.json());
    let listed = site.get_as("staff", &format!("{PATH}?slug=three")).await.json();
    assert_eq!((&listed["count"], &listed["results"][0]), (&json!(1), &created.json()));
    assert_eq!(
        site.get_as("staff", &format!("{PATH}?slug=four")).await.json()["count"],
        0
    );
}

#[tokio::test]
async fn a_form_makes_a_badge_class_too() {
    let site = Site::new();
    let mut body = Vec::new();
    for (name, text) in [
        ("slug", "three"),
        ("display_name", "Three"),
        ("description", "d"),
        ("criteria", "c"),
    ] {
        body.extend(format!("--x\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{text}\r\n").bytes());
    }
    body.extend(
        b"--x\r\nContent-Disposition: form-data; name=\"image\"; filename=\"a.png\"\r\nContent-Type: image/png\r\n\r\n",
    );
    body.extend(crate::http::testing::png());
    body.extend(b"\r\n--x--\r\n");
    let token = format!("JWT {}", crate::http::auth::tests::token_of("staff"));
    let headers = [
        ("authorization", &*token),
        ("content-type", "multipart/form-data; boundary=x"),
    ];
    let created = site.send(Method::POST, PATH, &headers, Body::from(body)).await;
    assert_eq!(created.status, StatusCode::CREATED, "{}", created.text());
    assert_eq!(created.json()["issuing_component"], "");
}

#[tokio::test]
async fn every_wrong_field_is_named_and_nothing_is_saved() {
    let site = Site::new();
    let wrong = json!({"slug": "a b", "issuing_component": 7, "course_id": "nonsense", "display_name": "",
        "description": "x".repeat(70_000), "image": "data:image/png;base64,AAAA"});
    let reply = site.send_as("staff", Method::POST, PATH, &wrong).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    let problem = reply.json();
    let named: Vec<&str> = problem["errors"]
        .as_array()
        .expect("errors")
        .iter()
        .map(|error| error["field"].as_str().expect("a name"))
        .collect();
    assert_eq!(
        named,
        [
            "slug",
            "issuing_component",
            "course_id",
            "display_name",
            "description",
            "criteria",
            "image"
        ]
    );
    assert_eq!(site.get_as("staff", PATH).await.json()["count"], 0);
    let token = format!("JWT {}", crate::http::auth::tests::token_of("staff"));
    for (content_type, body, status) in [
        ("application/json", "{", StatusCode::BAD_REQUEST),
        ("application/json", "[]", StatusCode::BAD_REQUEST),
        ("text/plain", "{}", StatusCode::UNSUPPORTED_MEDIA_TYPE),
        ("multipart/form-data", "x", StatusCode::BAD_REQUEST),
        ("multipart/form-data; boundary=x", "x", StatusCode::BAD_REQUEST),
    ] {
        let headers = [("authorization", &*token), ("content-type", content_type)];
        let reply = site.send(Method::POST, PATH, &headers, Body::from(body)).await;
        assert_eq!(reply.status, status, "{content_type} {body}");
        assert_eq!(reply.header("content-type"), "application/problem+json");
    }
}

#[tokio::test]
async fn what_a_badge_class_is_known_by_cannot_be_changed() {
    let site = Site::new();
    let id = site.send_as("staff", Method::POST, PATH, &three()).await.json()["id"].clone();
    let path = format!("{PATH}{id}/");
    let change = json!({"display_name": "Three courses", "image": data_uri(&crate::http::testing::png())});
    let changed = site.send_as("staff", Method::PATCH, &path, &change).await;
    assert_eq!(changed.status, StatusCode::OK, "{}", changed.text());
    assert_eq!(changed.json()["display_name"], "Three courses");
    assert_eq!(
        (changed.json()["description"].clone(), changed.json()["note"].clone()),
        (json!("d"), Value::Null)
    );
    let refused = site
        .send_as("staff", Method::PATCH, &path, &json!({"slug": "four", "criteria": ""}))
        .await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    assert_eq!(refused.json()["errors"].as_array().map(Vec::len), Some(2));
    for path in [format!("{PATH}999/"), format!("{PATH}x/")] {
        assert_eq!(
            site.send_as("staff", Method::PATCH, &path, &change).await.status,
            StatusCode::NOT_FOUND
        );
    }
}

#[tokio::test]
async fn a_mode_may_be_as_long_as_in_an_event() {
    let site = Site::new();
    let mut class = three();
    for (mode, status) in [
        ("m".repeat(MAX_TEXT + 1), StatusCode::BAD_REQUEST),
        ("m".repeat(MAX_TEXT), StatusCode::CREATED),
    ] {
        class["mode"] = json!(mode);
        let reply = site.send_as("staff", Method::POST, PATH, &class).await;
        assert_eq!(reply.status, status, "{}", reply.text());
    }
    let path = format!("{PATH}1/");
    for (mode, status) in [
        ("n".repeat(MAX_TEXT + 1), StatusCode::BAD_REQUEST),
        ("n".repeat(256), StatusCode::OK),
    ] {
        let reply = site
            .send_as("staff", Method::PATCH, &path, &json!({"mode": mode}))
            .await;
        assert_eq!(reply.status, status, "{}", reply.text());
    }
    assert_eq!(site.get_as("staff", &path).await.json()["mode"], "n".repeat(256));
}

#[tokio::test]
async fn only_administrators_may() {
    let site = Site::new();
    for (method, path) in [
        (Method::GET, PATH),
        (Method::POST, PATH),
        (Method::PATCH, "/api/badges/v1/badge-classes/1/"),
    ] {
        assert_eq!(
            site.send_as("ada", method, path, &three()).await.status,
            StatusCode::FORBIDDEN
        );
    }
}
