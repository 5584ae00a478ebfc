use axum::{
    body::Body,
    http::{Method, StatusCode},
};
use serde_json::{Value, json};

use crate::{
    http::testing::{Reply, Site, png},
    store::{api_reads::Window, audit},
    wire::badge_class::data_uri,
};

const PATH: &str = "/api/badges/v1/completion-images/";

fn image(mode: &str, default: bool) -> Value {
    json!({"mode": mode, "icon": data_uri(&png()), "default": default})
}

async fn post(site: &Site, body: &Value) -> Reply {
    site.send_as("staff", Method::POST, PATH, body).await
}

async fn defaults(site: &Site) -> Vec<(Value, Value)> {
    let listed = site.get_as("staff", PATH).await.json();
    let results = listed["results"].as_array().expect("results").clone();
    results
        .into_iter()
        .map(|item| (item["mode"].clone(), item["default"].clone()))
        .collect()
}

/// What the audit log says, oldest first.
fn log(site: &Site) -> Vec<(String, String, String)> {
    let window = Window { start: 0, length: 99 };
    let entries = site.store().read("log", |tx| audit::list(tx, window)).expect("read");
    let told = entries
        .into_iter()
        .rev()
        .map(|entry| (entry.actor, entry.action, entry.target));
    told.collect()
}

#[tokio::test]
async fn an_image_is_set_once_and_again_without_harm() {
    let site = Site::new();
    let made = post(&site, &image("audit", true)).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text());
    assert_eq!(made.json()["icon"], image("audit", true)["icon"]);
    assert!(made.json()["note"].is_string());
    let again = post(&site, &image("audit", true)).await;
    assert_eq!((again.status, again.json()), (StatusCode::OK, made.json()));
    let unsaid = json!({"mode": "audit", "icon": data_uri(&png())});
    assert_eq!(
        post(&site, &unsaid).await.json()["default"],
        true,
        "what is not said stays"
    );
    assert_eq!(
        site.get_as("staff", &format!("{PATH}audit/")).await.json(),
        image("audit", true)
    );
    let one = |what: &str| ("staff".to_owned(), what.to_owned(), "audit".to_owned());
    assert_eq!(log(&site), vec![one("completion_image.set"); 3]);
}

#[tokio::test]
async fn there_is_one_default_at_most_and_it_moves() {
    let site = Site::new();
    post(&site, &image("audit", true)).await;
    post(&site, &image("honor", true)).await;
    assert_eq!(
        defaults(&site).await,
        [(json!("audit"), json!(false)), (json!("honor"), json!(true))]
    );
    let path = format!("{PATH}audit");
    let moved = site
        .send_as("staff", Method::PUT, &path, &json!({"default": true}))
        .await;
    assert_eq!(moved.status, StatusCode::OK, "{}", moved.text());
    assert_eq!(moved.json()["icon"], image("audit", true)["icon"]);
    assert_eq!(
        defaults(&site).await,
        [(json!("audit"), json!(true)), (json!("honor"), json!(false))]
    );
    site.send_as("staff", Method::PUT, &path, &json!({"default": false}))
        .await;
    assert!(
        defaults(&site)
            .await
            .iter()
            .all(|(_, default)| *default == json!(false)),
        "none is possible"
    );
}

#[tokio::test]
async fn a_mode_is_deleted_and_then_unknown() {
    let site = Site::new();
    post(&site, &image("no id/é", false)).await;
    let path = format!("{PATH}no%20id%2F%C3%A9/");
    assert_eq!(site.get_as("staff", &path).await.json()["mode"], "no id/é");
    let gone = site.send_as("staff", Method::DELETE, &path, &Value::Null).await;
    assert_eq!((gone.status, gone.body.len()), (StatusCode::NO_CONTENT, 0));
    for method in [Method::GET, Method::PUT, Method::DELETE] {
        let reply = site
            .send_as("staff", method.clone(), &path, &json!({"default": true}))
            .await;
        assert_eq!(reply.problem().0, 404, "{method}");
    }
    let actions: Vec<String> = log(&site).into_iter().map(|(_, action, _)| action).collect();
    assert_eq!(actions, ["completion_image.set", "completion_image.delete"]);
}

#[tokio::test]
async fn every_wrong_field_is_named_and_nothing_is_saved() {
    let site = Site::new();
    let wrong = json!({"mode": "x".repeat(256), "icon": "data:image/png;base64,AAAA", "default": "yes"});
    let named = |reply: &Reply| {
        let errors = reply.json()["errors"].as_array().expect("errors").clone();
        errors
            .into_iter()
            .map(|error| error["field"].clone())
            .collect::<Vec<_>>()
    };
    let reply = post(&site, &wrong).await;
    assert_eq!(
        (reply.status, named(&reply)),
        (
            StatusCode::BAD_REQUEST,
            vec![json!("mode"), json!("icon"), json!("default")]
        )
    );
    assert_eq!(named(&post(&site, &json!({})).await), ["mode", "icon"]);
    assert_eq!(site.get_as("staff", PATH).await.json()["count"], 0);
    post(&site, &image("audit", false)).await;
    let path = format!("{PATH}audit/");
    let renamed = site.send_as("staff", Method::PUT, &path, &image("honor", true)).await;
    assert_eq!(renamed.problem(), (400, "mode".to_owned()));
    let long = format!("{PATH}{}/", "x".repeat(256));
    assert_eq!(site.get_as("staff", &long).await.problem(), (400, "mode".to_owned()));
    let token = format!("JWT {}", crate::http::auth::tests::token_of("staff"));
    let headers = [("authorization", &*token), ("content-type", "text/plain")];
    let reply = site.send(Method::POST, PATH, &headers, Body::from("{}")).await;
    assert_eq!(reply.problem().0, 415);
}

#[tokio::test]
async fn a_form_sets_an_image_too() {
    let site = Site::new();
    let mut body = Vec::new();
    for (name, text) in [("mode", "audit"), ("default", "true")] {
        body.extend(format!("--x\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{text}\r\n").bytes());
    }
    body.extend(
        b"--x\r\nContent-Disposition: form-data; name=\"icon\"; filename=\"a.png\"\r\nContent-Type: image/png\r\n\r\n",
    );
    body.extend(png());
    body.extend(b"\r\n--x--\r\n");
    let token = format!("JWT {}", crate::http::auth::tests::token_of("staff"));
    let headers = [
        ("authorization", &*token),
        ("content-type", "multipart/form-data; boundary=x"),
    ];
    let made = site.send(Method::POST, PATH, &headers, Body::from(body)).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text());
    assert_eq!(
        site.get_as("staff", &format!("{PATH}audit/")).await.json(),
        image("audit", true)
    );
}

#[tokio::test]
async fn only_administrators_may() {
    let site = Site::new();
    let one = format!("{PATH}honor/");
    for (method, path) in [
        (Method::GET, PATH),
        (Method::POST, PATH),
        (Method::GET, &one),
        (Method::PUT, &one),
        (Method::DELETE, &one),
    ] {
        let reply = site.send_as("ada", method, path, &image("honor", true)).await;
        assert_eq!(reply.status, StatusCode::FORBIDDEN);
    }
}
