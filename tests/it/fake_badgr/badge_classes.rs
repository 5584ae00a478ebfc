//! Making badge classes, and what is refused.

use serde_json::{Value, json};

use super::{Caller, badge_class, content_type, json_of, status_of, with};
use crate::harness::fake_badgr::FakeBadgr;
use crate::harness::images;

#[tokio::test]
async fn a_badge_class_is_made_from_json_and_from_a_form_and_its_name_is_not_unique() {
    let badgr = FakeBadgr::start().await;
    let caller = Caller::new(&badgr).await;
    let response = caller.make(&badge_class()).send().await.expect("an answer comes");
    assert_eq!(
        (response.status().as_u16(), content_type(&response)),
        (201, "application/ld+json")
    );
    let form = reqwest::multipart::Form::new()
        .text("name", "Three courses")
        .text("criteriaUrl", "https://lms.example.com/criteria")
        .text("description", "Enrolled in three courses")
        .part(
            "image",
            reqwest::multipart::Part::bytes(images::square(40, 1)).file_name("image.png"),
        );
    let url = format!("{}/v2/issuers/issuer1/badgeclasses", badgr.url());
    let (status, body) = json_of(caller.http.post(url).bearer_auth(&caller.token).multipart(form)).await;
    assert_eq!((status, &body["result"][0]["name"]), (201, &json!("Three courses")));

    let (_, listed) = json_of(caller.get("/v2/issuers/issuer1/badgeclasses")).await;
    let ids: Vec<&Value> = listed["result"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|c| &c["entityId"])
        .collect();
    let made = badgr.badge_classes();
    assert_eq!(ids, made.iter().map(|c| &c.entity_id).collect::<Vec<_>>());
    assert_eq!(made[0].image, made[1].image);
    let read = caller.get(&format!("/v2/badgeclasses/{}", made[1].entity_id));
    assert_eq!(json_of(read).await.1["result"][0]["criteriaUrl"], made[1].criteria_url);
    assert_eq!(made[0].image_type, "image/png");
}

#[tokio::test]
async fn a_badge_class_is_refused_with_the_fields_named() {
    let badgr = FakeBadgr::start().await;
    let caller = Caller::new(&badgr).await;
    let (status, body) = json_of(caller.make(&json!({}))).await;
    assert_eq!(status, 400);
    let errors = &body["fieldErrors"];
    assert_eq!(errors["image"], "Valid image file or data URI required.");
    assert!(
        errors["name"].is_array() && errors["description"].is_array(),
        "{errors}"
    );
    let png = images::square(40, 1);
    for (image, message) in [
        (
            "nonsense".to_owned(),
            "The submitted data was not a file. Check the encoding type on the form.",
        ),
        (images::data_uri(b"\xff\xd8\xff\xe0jpeg"), "Invalid PNG"),
        (images::data_uri(b"garbage"), "Invalid image."),
        (images::data_uri(&png[..png.len() / 2]), "Invalid image."),
        (images::data_uri(&images::corrupted()), "Invalid image."),
    ] {
        let (status, body) = json_of(caller.make(&with(badge_class(), "image", json!(image)))).await;
        assert_eq!((status, &body["fieldErrors"]["image"]), (400, &json!([message])));
    }
    for (url, taken) in [
        ("http://accolade:8080/x", false),
        ("nonsense", false),
        ("ftp:x", false),
        ("http://127.0.0.1:8080/x", true),
        ("https://lms.example.com/x", true),
    ] {
        let status = status_of(caller.make(&with(badge_class(), "criteriaUrl", json!(url)))).await;
        assert_eq!(status, if taken { 201 } else { 400 }, "{url}");
    }
    assert_eq!(badgr.badge_classes().len(), 2);
}

#[tokio::test]
async fn hosts_without_a_dot_are_taken_where_hosts_are_not_checked() {
    let badgr = FakeBadgr::builder().check_url_hosts(false).start().await;
    let caller = Caller::new(&badgr).await;
    let body = with(badge_class(), "criteriaUrl", json!("http://accolade:8080/x"));
    assert_eq!(status_of(caller.make(&body)).await, 201);
}

#[tokio::test]
async fn texts_beyond_the_columns_break_the_server() {
    let badgr = FakeBadgr::start().await;
    let caller = Caller::new(&badgr).await;
    let url = |length: usize| format!("https://e.org/{}", "x".repeat(length - 14));
    for (field, text, status) in [
        ("name", "n".repeat(255), 201),
        ("name", "n".repeat(256), 500),
        ("name", "n".repeat(1_025), 400),
        ("name", "Party 🎉".to_owned(), 500),
        ("description", "Ünïcödé → fine".to_owned(), 201),
        ("description", "d".repeat(16_385), 400),
        ("description", "🎉".to_owned(), 500),
        ("criteriaUrl", url(254), 201),
        ("criteriaUrl", url(255), 500),
    ] {
        assert_eq!(
            status_of(caller.make(&with(badge_class(), field, json!(text)))).await,
            status,
            "{field}: {text}"
        );
    }
    let body = with(badge_class(), "name", json!(" <b>Bold</b> 1 < 2 "));
    assert_eq!(json_of(caller.make(&body)).await.1["result"][0]["name"], "Bold 1 < 2");
}
