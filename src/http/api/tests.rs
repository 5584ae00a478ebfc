//! Who may ask what, over all routes.

use std::collections::BTreeSet;

use axum::{
    body::Body,
    http::{Method, StatusCode},
};

use crate::http::{auth::tests::token_of, limits::BODY_BYTES, openapi, testing::Site};

/// What a learner reads of their own.
const OWN: [&str; 3] = [
    "/api/badges/v1/assertions/user/{username}/",
    "/api/badges/v1/badge-classes/{id}/assertions/",
    "/api/badges/v1/progress/user/{username}/",
];

/// Every operation of the API that is for administrators, at an address of it.
fn for_administrators() -> Vec<(Method, String)> {
    let document = openapi::document("/");
    let paths = document["paths"].as_object().expect("paths").iter();
    let ours = paths.filter(|(path, _)| path.starts_with("/api/badges/v1/") && !OWN.contains(&path.as_str()));
    let operations = ours.flat_map(|(path, item)| {
        let address = path
            .split('/')
            .map(|part| if part.starts_with('{') { "1" } else { part });
        let address = address.collect::<Vec<_>>().join("/");
        let methods = item.as_object().expect("methods").keys();
        methods.map(move |method| (method.to_uppercase().parse().expect("a method"), address.clone()))
    });
    operations.collect()
}

#[tokio::test]
async fn whatever_a_request_brings_nobody_but_an_administrator_gets_on() {
    let site = Site::new();
    let operations = for_administrators();
    let methods: BTreeSet<String> = operations.iter().map(|(method, _)| method.to_string()).collect();
    assert_eq!(
        methods,
        ["DELETE", "GET", "PATCH", "POST", "PUT"].map(str::to_owned).into()
    );
    assert!(operations.len() > 20, "{operations:?}");
    let learner = format!("JWT {}", token_of("ada"));
    let (form, too_long) = ("multipart/form-data; boundary=x", vec![b' '; BODY_BYTES + 1]);
    let length = too_long.len().to_string();
    for (method, address) in operations {
        for (headers, body) in [
            (vec![], vec![]),
            (vec![("content-type", "application/json")], b"{".to_vec()),
            (vec![("content-type", "text/plain")], b"x".to_vec()),
            (vec![("content-type", form)], b"x".to_vec()),
            (vec![("content-type", "application/json")], too_long.clone()),
            (vec![("content-length", length.as_str())], too_long.clone()),
        ] {
            let what = format!("{method} {address} with {headers:?}");
            let sent = site.send(method.clone(), &address, &headers, Body::from(body.clone()));
            assert_eq!(sent.await.status, StatusCode::UNAUTHORIZED, "{what}");
            let as_learner = [headers.as_slice(), &[("authorization", &learner)]].concat();
            let reply = site.send(method.clone(), &address, &as_learner, Body::from(body));
            assert_eq!(reply.await.problem().0, 403, "{what}");
        }
    }
}

#[tokio::test]
async fn a_body_that_is_too_long_is_told_so() {
    let site = Site::new();
    let administrator = format!("JWT {}", token_of("staff"));
    let text = vec![b' '; BODY_BYTES + 1];
    let file = b"--x\r\nContent-Disposition: form-data; name=\"a\"; filename=\"a.png\"\r\n\r\n";
    let form = [file.as_slice(), &text].concat();
    let classes = "/api/badges/v1/badge-classes/";
    let images = "/api/badges/v1/completion-images/";
    let image = "/api/badges/v1/completion-images/honor/";
    for (method, path, content_type, body) in [
        (Method::POST, classes, "application/json", &text),
        (Method::POST, classes, "multipart/form-data; boundary=x", &form),
        (Method::POST, images, "application/json", &text),
        (Method::POST, images, "multipart/form-data; boundary=x", &form),
        (Method::PUT, image, "multipart/form-data; boundary=x", &form),
        (Method::POST, "/api/badges/v1/event-badges/", "application/json", &text),
        // Nothing of this body is read: its length is enough.
        (
            Method::POST,
            "/api/badges/v1/awards/1/retry/",
            "application/json",
            &text,
        ),
    ] {
        let length = body.len().to_string();
        let known = ("content-length", length.as_str());
        let headers = [
            ("authorization", administrator.as_str()),
            ("content-type", content_type),
        ];
        let mut sent = vec![[headers.as_slice(), &[known]].concat()];
        if !path.ends_with("/retry/") {
            sent.push(headers.to_vec());
        }
        for headers in sent {
            let reply = site
                .send(method.clone(), path, &headers, Body::from(body.clone()))
                .await;
            assert_eq!(reply.problem().0, 413, "{method} {path} {headers:?}: {}", reply.text());
        }
    }
}

#[tokio::test]
async fn a_body_that_is_nested_deeply_is_refused() {
    let site = Site::new();
    let administrator = format!("JWT {}", token_of("staff"));
    let headers = [
        ("authorization", administrator.as_str()),
        ("content-type", "application/json"),
    ];
    for depth in [200, 100_000] {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let nested = format!("{}1{}", open.repeat(depth), close.repeat(depth));
            for body in [
                nested.clone(),
                format!("{{\"slug\": {nested}}}"),
                format!("{{\"other\": {nested}}}"),
            ] {
                let path = "/api/badges/v1/badge-classes/";
                let reply = site.send(Method::POST, path, &headers, Body::from(body)).await;
                assert_eq!(reply.problem(), (400, "body".to_owned()), "{depth}");
            }
        }
    }
}
