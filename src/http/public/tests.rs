use axum::{
    body::Body,
    http::{Method, StatusCode, header},
};
use serde_json::json;

use crate::{
    domain::badge_class::BadgeClass,
    http::testing::{PUBLIC_URL, Site, badge_class, png},
    store::testing::seed,
};

const ID: &str = "4b1c6f0e-7a53-4a0d-9d0e-2f6c1b8e5a11";

fn site() -> (Site, BadgeClass) {
    let site = Site::new();
    let store = site.store();
    seed::learner(&store, 1, "ada", 1);
    seed::course(&store, "edX/Demo/1", "Demonstration");
    let class = badge_class(&site, "three", "", "edX/Demo/1");
    seed::assertion(&store, 1, ID, &class, 720);
    (site, class)
}

#[tokio::test]
async fn an_assertion_comes_in_the_form_that_is_asked_for() {
    let (site, class) = site();
    let path = format!("/ob2/assertions/{ID}");
    let document = site.get(&path, &[]).await;
    assert_eq!(document.status, StatusCode::OK);
    assert_eq!(document.header(header::CONTENT_TYPE), "application/ld+json");
    assert_eq!(document.header(header::ACCESS_CONTROL_ALLOW_ORIGIN), "*");
    assert_eq!(document.header(header::VARY), "Accept");
    let expected = json!({"@context": "https://w3id.org/openbadges/v2", "type": "Assertion",
        "id": format!("{PUBLIC_URL}{path}"), "badge": format!("{PUBLIC_URL}/ob2/badges/{}", class.public_id),
        "recipient": {"type": "email", "hashed": true, "salt": "b7f3c1", "identity": "sha256$00"},
        "verification": {"type": "hosted"}, "issuedOn": "2026-11-01T12:00:00Z",
        "image": format!("{PUBLIC_URL}{path}/image.png")});
    assert_eq!(document.json(), expected);
    let plain = site.get(&path, &[("accept", "application/json")]).await;
    assert_eq!(
        (plain.header(header::CONTENT_TYPE), plain.json()),
        ("application/json", expected)
    );
    let tag = document.header(header::ETAG);
    let known = site
        .get(&path, &[("accept", "application/json"), ("if-none-match", tag)])
        .await;
    assert_eq!(known.status, StatusCode::OK, "it is another form that is known");
    let page = site.get(&path, &[("accept", "text/html,*/*;q=0.8")]).await;
    assert_eq!(page.header(header::CONTENT_TYPE), "text/html; charset=utf-8");
    assert!(page.text().contains("Badge three") && !page.text().contains("ada@example.com"));
}

#[tokio::test]
async fn what_the_client_has_is_not_sent_again() {
    let (site, class) = site();
    let public_id = &class.public_id;
    for path in [
        format!("/ob2/assertions/{ID}"),
        format!("/ob2/assertions/{ID}/image.png"),
        format!("/badges/{ID}"),
        format!("/ob2/badges/{public_id}"),
        format!("/ob2/badges/{public_id}/image.png"),
        format!("/ob2/badges/{public_id}/criteria"),
        "/ob2/issuer".to_owned(),
        "/ob2/issuer/image.png".to_owned(),
        "/static/style.css".to_owned(),
        "/static/icon.svg".to_owned(),
        "/".to_owned(),
    ] {
        let first = site.get(&path, &[]).await;
        assert_eq!(first.status, StatusCode::OK, "{path}");
        let tag = first.header(header::ETAG).to_owned();
        let known = site
            .get(&path, &[("if-none-match", &format!("\"other\", W/{tag}"))])
            .await;
        assert_eq!(
            (known.status, known.body.len()),
            (StatusCode::NOT_MODIFIED, 0),
            "{path}"
        );
        assert_eq!(known.header(header::ETAG), tag);
        assert_eq!(known.header(header::ACCESS_CONTROL_ALLOW_ORIGIN), "*", "{path}");
        let other = site.get(&path, &[("if-none-match", "\"other\"")]).await;
        assert_eq!(
            (other.status, other.body == first.body),
            (StatusCode::OK, true),
            "{path}"
        );
        let head = site.send(Method::HEAD, &path, &[], Body::empty()).await;
        assert_eq!(
            (head.status, head.body.len(), head.header(header::ETAG)),
            (StatusCode::OK, 0, tag.as_str())
        );
        let preflight = site.send(Method::OPTIONS, &path, &[], Body::empty()).await;
        assert_eq!(preflight.status, StatusCode::NO_CONTENT, "{path}");
        assert!(
            preflight
                .header(header::ACCESS_CONTROL_ALLOW_HEADERS)
                .contains("If-None-Match")
        );
    }
}

#[tokio::test]
async fn the_image_holds_the_assertion() {
    let (site, class) = site();
    let baked = site.get(&format!("/ob2/assertions/{ID}/image.png"), &[]).await;
    assert_eq!(baked.header(header::CONTENT_TYPE), "image/png");
    let document = site.get(&format!("/ob2/assertions/{ID}"), &[]).await.text();
    let holds = |haystack: &[u8], needle: &[u8]| haystack.windows(needle.len()).any(|window| window == needle);
    assert!(holds(&baked.body, document.as_bytes()) && holds(&baked.body, b"openbadges\0"));
    let plain = site
        .get(&format!("/ob2/badges/{}/image.png", class.public_id), &[])
        .await;
    assert_eq!(plain.body, png());
    seed::image(&site.store(), &class, b"no PNG");
    let broken = site.get(&format!("/ob2/assertions/{ID}/image.png"), &[]).await;
    assert_eq!(broken.problem().0, 500);
}

#[tokio::test]
async fn what_a_revocation_takes_away_is_not_kept_for_long() {
    let (site, class) = site();
    let minute = "public, max-age=60";
    let day = "public, max-age=86400";
    for (path, kept) in [
        (format!("/ob2/assertions/{ID}"), minute),
        (format!("/ob2/assertions/{ID}/image.png"), minute),
        (format!("/badges/{ID}"), minute),
        (format!("/ob2/badges/{}/image.png", class.public_id), day),
        ("/ob2/issuer/image.png".to_owned(), day),
    ] {
        let reply = site.get(&path, &[]).await;
        assert_eq!(reply.header(header::CACHE_CONTROL), kept, "{path}");
    }
}

#[tokio::test]
async fn a_revoked_assertion_is_gone_and_its_page_says_so() {
    let (site, _) = site();
    seed::revoke(&site.store(), ID, "Issued in error");
    let path = format!("/ob2/assertions/{ID}");
    let gone = site.get(&path, &[]).await;
    assert_eq!(
        (gone.status, gone.header(header::CONTENT_TYPE)),
        (StatusCode::GONE, "application/ld+json")
    );
    let expected = json!({"@context": "https://w3id.org/openbadges/v2", "type": "Assertion",
        "id": format!("{PUBLIC_URL}{path}"), "revoked": true, "revocationReason": "Issued in error"});
    assert_eq!(gone.json(), expected);
    let tag = gone.header(header::ETAG).to_owned();
    assert_eq!(
        site.get(&path, &[("if-none-match", &tag)]).await.status,
        StatusCode::GONE
    );
    assert_eq!(site.get(&format!("{path}/image.png"), &[]).await.problem().0, 410);
    assert_eq!(
        site.get(&path, &[("accept", "text/html")]).await.status,
        StatusCode::GONE
    );
    let page = site.get(&format!("/badges/{ID}"), &[]).await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.text().contains("Issued in error") && page.text().contains("1 November 2026"));
}

/// What the `meta` elements of a page say, by their `property` or `name`.
fn meta(page: &str) -> std::collections::HashMap<&str, &str> {
    let elements = page.split("<meta ").skip(1).filter_map(|rest| rest.split('>').next());
    let attributes = elements.map(|element| element.split('"').collect::<Vec<_>>());
    attributes
        .filter(|parts| parts.len() == 5)
        .map(|parts| (parts[1], parts[3]))
        .collect()
}

#[tokio::test]
async fn a_shared_page_shows_what_was_earned_or_that_it_was_revoked() {
    let (site, class) = site();
    let path = format!("/badges/{ID}");
    let page = site.get(&path, &[]).await.text();
    let (url, image) = (
        format!("{PUBLIC_URL}{path}"),
        format!("{PUBLIC_URL}/ob2/badges/{}/image.png", class.public_id),
    );
    let common = [
        ("og:type", "website"),
        ("og:url", &url),
        ("og:image", &image),
        ("twitter:card", "summary"),
    ];
    let said = meta(&page);
    for (name, expected) in common.into_iter().chain([
        ("og:title", "ada earned “Badge three”"),
        ("og:description", "A description"),
        ("og:site_name", "Example Academy"),
        ("og:image:alt", "The badge “Badge three”"),
    ]) {
        assert_eq!(said.get(name), Some(&expected), "{name}: {page}");
    }
    assert!(!page.contains("evoked"), "{page}");

    seed::revoke(&site.store(), ID, "Issued in error");
    let page = site.get(&path, &[]).await.text();
    let said = meta(&page);
    for (name, expected) in common.into_iter().chain([
        ("og:title", "Revoked: “Badge three” of ada"),
        (
            "og:description",
            "This badge was revoked on 1 November 2026 and no longer holds. Issued in error",
        ),
        ("description", "Revoked. A description"),
    ]) {
        assert_eq!(said.get(name), Some(&expected), "{name}: {page}");
    }
    assert!(page.contains("<title>Revoked: Badge three"), "{page}");
}

#[tokio::test]
async fn an_assertion_of_another_server_is_found_there() {
    let (site, _) = site();
    let store = site.store();
    seed::issued_elsewhere(
        &store,
        ID,
        "https://badgr.example.com/public/a",
        "https://badgr.example.com/i.png",
    );
    let away = site.get(&format!("/ob2/assertions/{ID}"), &[]).await;
    assert_eq!(away.header(header::LOCATION), "https://badgr.example.com/public/a");
    let image = site.get(&format!("/ob2/assertions/{ID}/image.png"), &[]).await;
    assert_eq!(image.header(header::LOCATION), "https://badgr.example.com/i.png");
    let page = site.get(&format!("/badges/{ID}"), &[]).await.text();
    assert!(page.contains("https://badgr.example.com/public/a"));
    for url in [
        "javascript:alert(1)",
        "https://badgr.example.com/\r\nSet-Cookie: a=b",
        "https://badgr.example.com/a b",
        "https:badgr.example.com",
        "//badgr.example.com",
        &format!("https://badgr.example.com/{}", "a".repeat(2048)),
        &format!("{PUBLIC_URL}/ob2/assertions/{ID}"),
    ] {
        seed::issued_elsewhere(&store, ID, url, url);
        for path in [
            format!("/ob2/assertions/{ID}"),
            format!("/ob2/assertions/{ID}/image.png"),
        ] {
            let reply = site.get(&path, &[]).await;
            assert_eq!(reply.problem().0, 404, "{url}");
            assert_eq!(reply.header(header::LOCATION), "", "{url}");
        }
    }
}

#[tokio::test]
async fn unknown_ids_are_404_for_browsers_and_programs() {
    let (site, _) = site();
    let other = "00000000-0000-4000-8000-000000000000";
    for path in [
        "/badges/ID",
        "/ob2/assertions/ID",
        "/ob2/assertions/ID/image.png",
        "/ob2/badges/ID",
        "/ob2/badges/ID/image.png",
        "/ob2/badges/ID/criteria",
    ] {
        for id in [other, "%00", "a%2Fb", &"x".repeat(65)] {
            let path = path.replace("ID", id);
            let reply = site.get(&path, &[]).await;
            assert_eq!(reply.problem().0, 404, "{path}");
            assert_eq!(reply.header(header::ACCESS_CONTROL_ALLOW_ORIGIN), "*");
        }
        let page = site.get(&path.replace("ID", other), &[("accept", "text/html")]).await;
        assert_eq!(page.status, StatusCode::NOT_FOUND);
        assert!(page.text().contains("There is nothing here"), "{path}");
    }
}

#[tokio::test]
async fn badge_class_and_issuer_have_documents_and_pages() {
    let (site, class) = site();
    let path = format!("/ob2/badges/{}", class.public_id);
    let document = site.get(&path, &[]).await.json();
    assert_eq!(document["criteria"]["narrative"], "What one must do");
    let page = site.get(&format!("{path}/criteria"), &[]).await.text();
    assert!(page.contains("What one must do") && page.contains("Demonstration"));
    let issuer = site.get("/ob2/issuer", &[]).await.json();
    assert_eq!(issuer["image"], format!("{PUBLIC_URL}/ob2/issuer/image.png"));
    assert_eq!(document["issuer"], issuer["id"]);
    let page = site.get("/ob2/issuer", &[("accept", "text/html")]).await.text();
    assert!(page.contains("Example Academy") && !page.contains("badges@academy.example.com"));
}

#[tokio::test]
async fn only_the_demo_shows_awards_on_the_front_page() {
    for is_demo in [false, true] {
        let site = Site::with(Vec::new(), is_demo);
        seed::learner(&site.store(), 1, "ada", 1);
        let class = badge_class(&site, "three", "", "");
        seed::assertion(&site.store(), 1, ID, &class, 1);
        let page = site.get("/", &[]).await.text();
        assert_eq!(page.contains(&format!("{PUBLIC_URL}/badges/{ID}")), is_demo);
    }
}

#[tokio::test]
async fn no_page_shows_a_name_that_is_an_address() {
    let site = Site::new();
    seed::learner(&site.store(), 1, "ada@example.com", 1);
    let class = badge_class(&site, "three", "", "");
    seed::assertion(&site.store(), 1, ID, &class, 1);
    seed::assertion(&site.store(), 2, "erased", &class, 1);
    for id in [ID, "erased"] {
        let page = site.get(&format!("/badges/{id}"), &[]).await.text();
        assert!(page.contains("a learner") && !page.contains('@'), "{page}");
    }
}

#[tokio::test]
async fn no_document_and_no_page_holds_an_address() {
    let site = Site::new();
    let store = site.store();
    seed::learner(&store, 1, "ada", 1);
    let class = badge_class(&site, "three", "", "");
    seed::assertion(&store, 1, ID, &class, 1);
    store
        .transaction("test", |tx| {
            use diesel::RunQueryDsl as _;
            let evidence = "https://lms.example.com/c?for=ada@example.com&n=1";
            let elsewhere = "https://gen.example/a?for=ada@example.com";
            diesel::sql_query(format!(
                "UPDATE assertion SET evidence_url = '{evidence}', assertion_url = '{elsewhere}', image_url = '{elsewhere}'"
            ))
            .execute(tx.conn)?;
            Ok(())
        })
        .expect("stored");
    let read = async || {
        let document = site.get(&format!("/ob2/assertions/{ID}"), &[]).await;
        let page = site.get(&format!("/badges/{ID}"), &[]).await;
        (document, page.text())
    };
    let (document, page) = read().await;
    assert_eq!(
        document.json()["evidence"],
        "https://lms.example.com/c?for=%5Be-mail%5D&n=1"
    );
    assert!(
        page.contains("https://lms.example.com/c?for=") && !page.contains('@'),
        "{page}"
    );
    seed::revoke(&store, ID, "ada@example.com asked for it");
    let (document, page) = read().await;
    assert_eq!(document.json()["revocationReason"], "[e-mail] asked for it");
    assert!(page.contains("asked for it") && !page.contains('@'), "{page}");
    let baked = site.get(&format!("/ob2/assertions/{ID}/image.png"), &[]).await;
    assert_eq!(baked.status, StatusCode::GONE);
}
