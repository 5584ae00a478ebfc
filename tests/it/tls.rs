//! Badge backends and brokers behind TLS: with the right certificate all goes on, with any other nothing is said.

use std::time::Duration;

use accolade::kafka::{self, admin};
use axum::{Json, Router, http::StatusCode};
use serde_json::json;
use tokio_util::task::AbortOnDropHandle;

use crate::harness::app::{Builder, TestApp};
use crate::harness::certificates::Certificates;
use crate::harness::events::{Event, Learner, course};
use crate::harness::fake_badgr::{FakeBadgr, PASSWORD};
use crate::harness::logs::SECRETS;
use crate::harness::tls::{Seen, Tls};
use crate::harness::world::{PATIENCE, eventually};

/// `BACKEND_TOKEN` of every service of the tests.
const TOKEN: &str = SECRETS[3].1;

/// Badgr behind this address, over TLS.
fn badgr(server: &FakeBadgr, tls: &Tls) -> Builder {
    let url = format!("https://{}", tls.address());
    TestApp::builder().badgr(server).setting("BADGR_BASE_URL", &url)
}

/// A generator behind this address, over TLS.
fn generator(tls: &Tls) -> Builder {
    let url = format!("https://{}", tls.address());
    let app = TestApp::builder().setting("BADGING_BACKEND", "http");
    app.setting("BACKEND_URL", &url)
}

/// A generator that issues whatever it is asked for; its port.
async fn start_generator() -> (u16, AbortOnDropHandle<()>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    let issued =
        json!({"assertion_url": "https://gen.example/1", "image_url": "https://gen.example/1.png", "data": {}});
    let app = Router::new().fallback(async move || (StatusCode::CREATED, Json(issued)));
    let server = tokio::spawn(async { axum::serve(listener, app).await.expect("serves") });
    (port, AbortOnDropHandle::new(server))
}

/// A learner earns a badge; what its announcement says of the assertion.
async fn issued(app: &TestApp) -> String {
    app.activate("1,one", "", "");
    app.topics
        .publish_events(&[Event::enrollment_created(&Learner::new(1), &course(1))]);
    eventually("the award is announced", PATIENCE, async || {
        app.clock.advance(chrono::TimeDelta::seconds(10));
        !app.topics.awarded().is_empty()
    })
    .await;
    app.topics.awarded()[0].json()["assertion"]["backend"].to_string()
}

/// A learner earns a badge, and it is tried to issue it: nothing was sent, and the award says why.
async fn nothing_is_sent(app: &TestApp, tls: &Tls, secret: &str, flaw: &str) {
    app.activate("1,one", "", "");
    app.topics
        .publish_events(&[Event::enrollment_created(&Learner::new(1), &course(1))]);
    eventually(&format!("the award waits: {flaw}"), PATIENCE, async || {
        app.clock.advance(chrono::TimeDelta::seconds(10));
        app.database.count(
            "award",
            "state = 'pending' AND last_error LIKE '%certificate verify failed%'",
        ) == 1
    })
    .await;
    assert_eq!(app.database.count("award", "posted"), 0, "{flaw}");
    // The server hears of it after the service.
    eventually(&format!("it is refused: {flaw}"), PATIENCE, async || {
        tls.seen().refused > 0
    })
    .await;
    let seen = tls.seen();
    assert_eq!((seen.handshakes, seen.read.len()), (0, 0), "{flaw}");
    assert!(!contains(&seen, secret), "{flaw}: the secret was sent");
}

fn contains(seen: &Seen, secret: &str) -> bool {
    let holds = |bytes: &[u8]| bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
    holds(&seen.sent) || holds(&seen.read)
}

#[tokio::test]
async fn badgr_is_believed_by_its_certificate_alone() {
    let certificates = Certificates::new();
    let authority = certificates.authority().display().to_string();
    let server = FakeBadgr::start().await;
    for (flaw, certificate) in &certificates.wrong {
        let tls = Tls::before(server.port(), certificate);
        let app = badgr(&server, &tls).setting("CA_FILE", &authority).start();
        nothing_is_sent(&app, &tls, PASSWORD, flaw).await;
    }
    let tls = Tls::before(server.port(), &certificates.right);
    let app = badgr(&server, &tls).start();
    nothing_is_sent(&app, &tls, PASSWORD, "no CA_FILE").await;
    drop(app);
    assert!(server.requests("POST", "/").is_empty() && server.requests("GET", "/").is_empty());

    let tls = Tls::before(server.port(), &certificates.right);
    let app = badgr(&server, &tls).setting("CA_FILE", &authority).start();
    assert_eq!(issued(&app).await, "\"badgr\"");
    let seen = tls.seen();
    assert!(contains(&seen, PASSWORD) && server.assertions().len() == 1);
    let on_the_wire = Seen {
        read: Vec::new(),
        ..seen
    };
    assert!(!contains(&on_the_wire, PASSWORD), "the password was sent in clear");
}

#[tokio::test]
async fn a_generator_is_believed_by_its_certificate_alone() {
    let certificates = Certificates::new();
    let authority = certificates.authority().display().to_string();
    let (port, _server) = start_generator().await;
    for (flaw, certificate) in &certificates.wrong {
        let tls = Tls::before(port, certificate);
        let app = generator(&tls).setting("CA_FILE", &authority).start();
        nothing_is_sent(&app, &tls, TOKEN, flaw).await;
    }
    let tls = Tls::before(port, &certificates.right);
    let app = generator(&tls).setting("CA_FILE", &authority).start();
    assert_eq!(issued(&app).await, "\"http\"");
    assert!(contains(&tls.seen(), TOKEN));
}

#[tokio::test]
async fn a_broker_is_believed_by_its_certificate_alone() {
    // Nothing listens behind: whether somebody believes is known after the handshake.
    let certificates = Certificates::new();
    let authority = certificates.authority().display().to_string();
    let reach = async |tls: &Tls, more: &[(&str, &str)]| {
        let mut settings = kafka::Settings::new(tls.address());
        for (name, value) in [
            ("security.protocol", "sasl_ssl"),
            ("sasl.mechanism", "PLAIN"),
            ("sasl.username", "u"),
        ]
        .iter()
        .chain(&[("sasl.password", "canary-sasl-password")])
        .chain(more)
        {
            settings.extra.insert((*name).to_owned(), (*value).to_owned());
        }
        let error = admin::reach(&settings, Duration::from_secs(5))
            .await
            .expect_err("no broker");
        error.to_string()
    };
    let known = ("ssl.ca.location", authority.as_str());
    for (flaw, certificate) in &certificates.wrong {
        let tls = Tls::before(1, certificate);
        let said = reach(&tls, &[known]).await;
        let seen = tls.seen();
        assert!(seen.handshakes == 0 && seen.refused > 0, "{flaw}: {said}: {seen:?}");
        assert!(!contains(&seen, "canary") && !said.contains("canary"), "{flaw}: {said}");
        assert!(said.to_lowercase().contains("certificate"), "{flaw}: {said}");
    }
    let right = Tls::before(1, &certificates.right);
    let said = reach(&right, &[]).await;
    assert_eq!(
        right.seen().handshakes,
        0,
        "the authorities of this machine do not know it: {said}"
    );
    let said = reach(&right, &[known]).await;
    assert!(right.seen().handshakes > 0, "{said}");
}
