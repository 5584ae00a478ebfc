use axum::http::{StatusCode, header};

use super::*;
use crate::http::testing::{PUBLIC_URL, Site};

#[tokio::test]
async fn the_documents_are_public_and_say_where_the_service_is() {
    let site = Site::new();
    for (path, version) in [("/api/openapi.json", "openapi"), ("/api/asyncapi.json", "asyncapi")] {
        let reply = site.get(path, &[]).await;
        assert_eq!(reply.status, StatusCode::OK, "{path}");
        assert_eq!(reply.header(header::CONTENT_TYPE), "application/json");
        assert_eq!(reply.header(header::ACCESS_CONTROL_ALLOW_ORIGIN), "*");
        assert!(
            reply.json()[version]
                .as_str()
                .is_some_and(|number| number.starts_with("3."))
        );
        let tag = reply.header(header::ETAG).to_owned();
        let again = site.get(path, &[("if-none-match", &tag)]).await;
        assert_eq!(
            (again.status, again.body.len()),
            (StatusCode::NOT_MODIFIED, 0),
            "{path}"
        );
    }
    let openapi = site.get("/api/openapi.json", &[]).await.json();
    assert_eq!(openapi["servers"], serde_json::json!([{"url": PUBLIC_URL}]));
}

#[tokio::test]
async fn an_address_that_leads_nowhere_names_a_document_that_is_there() {
    let site = Site::new();
    // Also for browsers: nobody looks at pages there.
    let lost = site.get("/api/badges/v1/nothing/", &[("accept", "text/html")]).await;
    assert_eq!(lost.problem().0, 404);
    let lost = lost.json();
    let detail = lost["detail"].as_str().expect("a text");
    let named = detail
        .split(' ')
        .find(|word| word.starts_with("/api/"))
        .expect("it names an address");
    assert_eq!(site.get(named.trim_end_matches('.'), &[]).await.status, StatusCode::OK);
}

#[tokio::test]
async fn the_page_shows_every_operation_and_event_and_loads_nothing_from_elsewhere() {
    let site = Site::new();
    let reply = site.get("/api/docs", &[]).await;
    assert_eq!(reply.status, StatusCode::OK);
    let policy = reply.header(header::CONTENT_SECURITY_POLICY).to_owned();
    assert!(
        policy.starts_with("default-src 'none'; style-src 'self' https://badges.example.com/static/;"),
        "{policy}"
    );
    let page = reply.text();
    for (document, list) in [
        ("/api/openapi.json", "/paths"),
        ("/api/asyncapi.json", "/components/messages"),
    ] {
        let document = site.get(document, &[]).await.json();
        let all = document.pointer(list).and_then(Value::as_object).expect("a list");
        assert!(all.len() > 15, "{list}");
        for name in all.keys() {
            let shown = format!("<code class=\"path\">{name}</code>");
            assert!(
                page.contains(&shown) || page.contains(&format!("id=\"{name}\"")),
                "{name} is not there"
            );
        }
    }
    for forbidden in ["<script", "style=", "http-equiv", "cdn"] {
        assert!(!page.contains(forbidden), "{forbidden}");
    }
    let loaded = page
        .split("<link ")
        .skip(1)
        .filter_map(|link| link.split("href=\"").nth(1));
    for url in loaded {
        assert!(url.starts_with(PUBLIC_URL), "{url}");
    }
    let links = page.split("href=\"#").skip(1).filter_map(|link| link.split('"').next());
    for target in links {
        assert!(page.contains(&format!("id=\"{target}\"")), "#{target} leads nowhere");
    }
    assert_eq!(site.get("/static/docs.css", &[]).await.status, StatusCode::OK);
}
