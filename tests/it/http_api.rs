//! The HTTP API as Open edX's clients use it, over real sockets.

use std::collections::BTreeSet;

use accolade::telemetry::Metrics;
use serde_json::{Value, json};

use crate::harness::app::TestApp;
use crate::harness::events::{Event, Learner, course};
use crate::harness::tokens::{self, Token};
use crate::harness::world::{PATIENCE, eventually};

const OWN: &str = "/api/badges/v1/assertions/user/learner1/";

/// A service in which learner 1 has a badge of the rules and twelve of courses.
async fn with_thirteen_badges() -> TestApp {
    let app = TestApp::builder().start();
    app.activate("", "12,twelve", "");
    let ada = Learner::new(1);
    let events: Vec<Event> = (1..=12)
        .map(|number| Event::certificate_generated(&ada, &course(number)))
        .collect();
    app.topics.publish_events(&events);
    eventually("thirteen are published", PATIENCE, async || {
        app.database.count("award", "state = 'published'") == 13
    })
    .await;
    app
}

fn query(parameters: &[(&str, &str)]) -> String {
    let mut url = url::Url::parse("http://x").expect("a URL");
    url.query_pairs_mut().extend_pairs(parameters);
    format!("{OWN}?{}", url.query().unwrap_or_default())
}

fn slugs(page: &Value) -> Vec<String> {
    let results = page["results"]
        .as_array()
        .unwrap_or_else(|| panic!("no results: {page}"));
    results
        .iter()
        .map(|found| found["badge_class"]["slug"].as_str().expect("a slug").to_owned())
        .collect()
}

#[tokio::test]
async fn assertions_come_in_pages_newest_first() {
    let app = with_thirteen_badges().await;
    let own = Token::of("learner1");
    let (status, first) = app.get(OWN, Some(&own)).await;
    assert_eq!(status, 200, "{first}");
    let counts = ["count", "num_pages", "current_page", "start"].map(|name| first[name].clone());
    assert_eq!(counts, [json!(13), json!(2), json!(1), json!(0)]);
    assert_eq!((slugs(&first).len(), &first["previous"]), (10, &Value::Null));
    let next = first["next"].as_str().expect("there is a next page");
    let (status, second) = app.get(next, Some(&own)).await;
    assert_eq!((status, slugs(&second).len(), &second["next"]), (200, 3, &Value::Null));
    assert_eq!((&second["current_page"], &second["start"]), (&json!(2), &json!(10)));
    assert!(second["previous"].is_string());
    let all: BTreeSet<String> = slugs(&first).into_iter().chain(slugs(&second)).collect();
    assert_eq!(all.len(), 13, "each once");
    let results = |page: &Value| page["results"].as_array().expect("a list").clone();
    let created: Vec<String> = [results(&first), results(&second)]
        .concat()
        .iter()
        .map(|found| found["created"].as_str().expect("a time").to_owned())
        .collect();
    assert!(created.is_sorted_by(|one, other| one >= other), "{created:?}");
    let (_, hundred) = app.get(&format!("{OWN}?page_size=100"), Some(&own)).await;
    assert_eq!((slugs(&hundred).len(), &hundred["num_pages"]), (13, &json!(1)));
    let names: BTreeSet<&str> = first["results"][0]
        .as_object()
        .expect("an object")
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(names, ["assertion_url", "badge_class", "created", "image_url"].into());
    let class = first["results"][0]["badge_class"].as_object().expect("an object");
    let names: BTreeSet<&str> = class.keys().map(String::as_str).collect();
    let expected = [
        "course_id",
        "criteria",
        "description",
        "display_name",
        "image_url",
        "issuing_component",
        "slug",
    ];
    assert_eq!(names, expected.into());
}

#[tokio::test]
async fn filters_choose_as_in_open_edx() {
    let app = with_thirteen_badges().await;
    let own = Token::of("learner1");
    let (third, unknown) = (course(3), course(99));
    let (_, page) = app.get(&query(&[("course_id", &third)]), Some(&own)).await;
    let of_third = slugs(&page);
    assert_eq!(of_third.len(), 1, "{page}");
    let slug = of_third[0].as_str();
    for (parameters, status, count) in [
        (vec![("courseid", third.as_str())], 200, 1),
        (vec![("course_id", "*")], 200, 13),
        (
            vec![("slug", "twelve"), ("issuing_component", "openedx__course")],
            200,
            1,
        ),
        (vec![("slug", slug), ("course_id", &third)], 200, 1),
        (vec![("slug", slug), ("course_id", "*")], 200, 1),
        (vec![("issuing_component", "openedx__course")], 200, 13),
        // With a slug alone the issuing component and the course are empty: there is no such badge class.
        (vec![("slug", "twelve")], 404, 0),
        (vec![("slug", slug)], 404, 0),
        (vec![("slug", "nobody")], 404, 0),
        (vec![("course_id", &unknown)], 404, 0),
        (vec![("course_id", "not a course")], 400, 0),
    ] {
        let (got, page) = app.get(&query(&parameters), Some(&own)).await;
        assert_eq!(got, status, "{parameters:?}: {page}");
        if status == 200 {
            assert_eq!(page["count"], json!(count), "{parameters:?}");
        }
    }
}

#[tokio::test]
async fn tokens_open_what_they_may_and_nothing_else() {
    let app = with_thirteen_badges().await;
    let nobody = "/api/badges/v1/assertions/user/nobody/";
    let (own, other) = (Token::of("learner1"), Token::of("learner2"));
    let root = Token::of_administrator("root");
    let not_quite = Token::of("learner2").claim("administrator", json!("true"));
    for (path, token, expected) in [
        (OWN, None, 401),
        (OWN, Some(&own), 200),
        (OWN, Some(&other), 403),
        (nobody, Some(&other), 403),
        (OWN, Some(&not_quite), 403),
        (OWN, Some(&root), 200),
        (nobody, Some(&root), 404),
        ("/api/badges/v1/awards/", Some(&own), 403),
        ("/api/badges/v1/awards/", Some(&root), 200),
    ] {
        let (status, body) = app.get(path, token).await;
        assert_eq!(status, expected, "{path}: {body}");
        if expected >= 400 {
            assert!(
                body["detail"].as_str().is_some_and(|detail| !detail.is_empty()),
                "{path}: {body}"
            );
        }
    }
    let unsigned =
        "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.eyJwcmVmZXJyZWRfdXNlcm5hbWUiOiJsZWFybmVyMSIsImV4cCI6NDEwMjQ0NDgwMH0.";
    for (header, expected) in [
        (format!("Bearer {}", own.hs256()), 200),
        (format!("JWT {}", Token::of("learner1").expired().hs256()), 401),
        (
            format!("JWT {}", Token::of("learner1").claim("exp", Value::Null).hs256()),
            401,
        ),
        (
            format!("JWT {}", own.hs256_with("another secret of the same length")),
            401,
        ),
        (format!("JWT {}", own.rs256(None)), 401),
        (format!("JWT {unsigned}"), 401),
        ("JWT".to_owned(), 401),
        ("Basic bGVhcm5lcjE6eA==".to_owned(), 401),
    ] {
        let request = app
            .client
            .get(format!("{}{OWN}", app.http))
            .header("Authorization", &header);
        let answer = request.send().await.expect("the service answers");
        assert_eq!(answer.status().as_u16(), expected, "{header}");
        if expected == 401 {
            let kind = answer.headers()["content-type"].to_str().expect("ASCII").to_owned();
            assert_eq!(kind, "application/problem+json");
        }
    }
}

#[tokio::test]
async fn a_key_set_admits_its_own_signatures_only() {
    let app = TestApp::builder()
        .setting("JWT_SECRET_KEY", "")
        .setting("JWT_PUBLIC_SIGNING_JWK_SET", &tokens::jwk_set())
        .setting("JWT_ISSUER", "https://lms.example.com/oauth2")
        .setting("JWT_AUDIENCE", "openedx")
        .start();
    app.topics.publish_events(&[Event::learner_updated(&Learner::new(1))]);
    app.quiet(1).await;
    let right = || {
        let token = Token::of("learner1").claim("iss", json!("https://lms.example.com/oauth2"));
        token.claim("aud", json!("openedx"))
    };
    let wrong_issuer = right().claim("iss", json!("https://other.example.com"));
    let no_audience = right().claim("aud", Value::Null);
    for (text, expected) in [
        (right().rs256(Some(tokens::KEY_ID)), 200),
        (right().rs256(None), 200),
        (wrong_issuer.rs256(None), 401),
        (no_audience.rs256(None), 401),
        (right().hs256(), 401),
        // The public key is no secret.
        (right().hs256_with(&tokens::jwk_set()), 401),
    ] {
        let request = app
            .client
            .get(format!("{}{OWN}", app.http))
            .header("Authorization", format!("JWT {text}"));
        assert_eq!(
            request.send().await.expect("the service answers").status().as_u16(),
            expected,
            "{text}"
        );
    }
}

#[tokio::test]
async fn probes_and_metrics_need_no_token_and_name_no_learner() {
    let app = with_thirteen_badges().await;
    for path in ["/livez", "/readyz", "/metrics"] {
        assert_eq!(app.get(path, None).await.0, 200, "{path}");
    }
    let text = app.text("/metrics").await;
    for (name, _) in Metrics::described() {
        assert!(
            text.contains(&format!("# TYPE {name} ")),
            "{name} is not there:\n{text}"
        );
    }
    let value = |line: &str| {
        let found = text
            .lines()
            .find_map(|found| found.strip_prefix(line)?.trim().parse::<f64>().ok());
        found.unwrap_or_else(|| panic!("{line} is not there:\n{text}"))
    };
    assert!((value("accolade_awards_decided_total{kind=\"courses_completed\"}") - 1.0).abs() < 0.1);
    assert!((value("accolade_awards_decided_total{kind=\"course_completion\"}") - 12.0).abs() < 0.1);
    assert!((value("accolade_published_total{topic=\"badge.awarded\"}") - 13.0).abs() < 0.1);
    assert!(!text.contains("learner1"), "a learner is in a label");
}
