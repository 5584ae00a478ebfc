//! The HTTP backend against a badge generator over real HTTP.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use accolade::{
    backend::{
        AwardRequest, BackendError, BadgingBackend, RevokeRequest,
        http::{Http, Settings},
    },
    clock::SystemClock,
    domain::{
        LearnerId,
        award::{AwardId, Reason, RuleKind},
        badge_class::{BadgeClass, BadgeClassId, BadgeClassKey},
    },
    secret::Secret,
    telemetry::Metrics,
};
use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use tokio_util::task::AbortOnDropHandle;

/// What came: path, headers, body.
type Seen = (String, HeaderMap, Value);

#[derive(Clone, Default)]
struct Generator {
    answers: Arc<Mutex<VecDeque<Response>>>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Generator {
    fn answer(&self, answer: impl IntoResponse) {
        self.answers.lock().expect("answers").push_back(answer.into_response());
    }

    fn seen(&self) -> Vec<Seen> {
        self.seen.lock().expect("seen").clone()
    }

    async fn listen(&self) -> (SocketAddr, AbortOnDropHandle<()>) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let app = Router::new().fallback(serve).with_state(self.clone());
        let server = tokio::spawn(async { axum::serve(listener, app).await.expect("serves") });
        (address, AbortOnDropHandle::new(server))
    }

    async fn start(&self) -> (Http, AbortOnDropHandle<()>) {
        let (address, server) = self.listen().await;
        let settings = Settings {
            url: format!("http://{address}/accolade/"),
            token: Some(Secret::new("t0ken")),
            ca_file: None,
        };
        let http = Http::new(settings, Arc::new(SystemClock), Arc::new(Metrics::new()));
        (http.expect("good settings"), server)
    }
}

async fn serve(State(generator): State<Generator>, uri: Uri, headers: HeaderMap, Json(body): Json<Value>) -> Response {
    let seen = (uri.path().to_owned(), headers, body);
    generator.seen.lock().expect("seen").push(seen);
    let answer = generator.answers.lock().expect("answers").pop_front();
    answer.unwrap_or_else(|| StatusCode::IM_A_TEAPOT.into_response())
}

fn request() -> AwardRequest {
    let key = BadgeClassKey {
        slug: "three".to_owned(),
        issuing_component: String::new(),
        course_id: String::new(),
    };
    AwardRequest {
        others: Vec::new(),
        award: AwardId::of(LearnerId(42), &key, ""),
        learner: LearnerId(42),
        username: "ada".to_owned(),
        full_name: None,
        recipient: "ada@example.com".to_owned(),
        badge_class: BadgeClass {
            id: BadgeClassId(7),
            key,
            mode: String::new(),
            display_name: "Three".to_owned(),
            description: "Three".to_owned(),
            criteria: "Three".to_owned(),
            backend: None,
            backend_id: None,
            backend_image_url: None,
            public_id: "p1".to_owned(),
        },
        image: Some((*b"png").into()),
        evidence_url: None,
        reason: Reason {
            rule: RuleKind::Requested,
            by_backfill: false,
            threshold: None,
            count: None,
            configuration_id: None,
            event_id: None,
            event_time: None,
        },
        now: chrono::Utc::now(),
    }
}

#[tokio::test]
async fn an_award_carries_its_key_and_is_taken_when_it_was_issued_before() {
    let generator = Generator::default();
    let (http, _server) = generator.start().await;
    let request = request();
    let body = json!({"assertion_url": "https://gen.example/1", "image_url": "https://gen.example/1.png", "data": {}});
    generator.answer((StatusCode::CREATED, Json(body.clone())));
    generator.answer((StatusCode::CONFLICT, Json(body)));
    let issued = http.award(&request).await.expect("issued");
    assert_eq!(
        http.look_up(&request).await.expect("issued before"),
        Some(issued.clone())
    );
    for (path, headers, body) in generator.seen() {
        assert_eq!(path, "/accolade/award");
        assert_eq!(headers["authorization"], "Bearer t0ken");
        assert_eq!(headers["idempotency-key"], request.award.0.to_string());
        assert_eq!(body["badge_class"]["image"], "data:image/png;base64,cG5n");
    }
    generator.answer(StatusCode::NO_CONTENT);
    let revoke = RevokeRequest {
        award: request.award,
        backend_id: None,
        assertion_url: issued.assertion_url,
        reason: "In error".to_owned(),
    };
    http.revoke(&revoke).await.expect("revoked");
    let (path, _, body) = generator.seen().remove(2);
    assert_eq!(path, "/accolade/revoke");
    let award = request.award.0.to_string();
    let expected = json!({"award_id": award, "assertion_url": "https://gen.example/1", "reason": "In error"});
    assert_eq!(body, expected);
}

#[tokio::test]
async fn a_busy_generator_says_when_to_come_again() {
    let generator = Generator::default();
    let (http, server) = generator.start().await;
    generator.answer((StatusCode::SERVICE_UNAVAILABLE, [("retry-after", "7")]));
    let error = http.award(&request()).await.expect_err("busy");
    let seven = std::time::Duration::from_secs(7);
    assert!(
        matches!(error, BackendError::NotSent { retry_after: Some(wait), .. } if wait == seven),
        "{error}"
    );
    assert_eq!(http.award(&request()).await.expect_err("a teapot").code(), "unknown");
    drop(server);
}

#[tokio::test]
async fn a_redirect_is_followed_nowhere() {
    let (generator, other) = (Generator::default(), Generator::default());
    let (http, _server) = generator.start().await;
    let (address, _other) = other.listen().await;
    let elsewhere = format!("http://{address}/accolade/award");
    for status in [301, 302, 303, 307, 308] {
        let status = StatusCode::from_u16(status).expect("a status");
        generator.answer((status, [("location", elsewhere.as_str())]));
        generator.answer((status, [("location", elsewhere.as_str())]));
        let error = http.award(&request()).await.expect_err("no answer of a generator");
        assert_eq!(error.code(), "unknown", "{status}: {error}");
        assert!(error.to_string().contains("BACKEND_URL"), "{error}");
        let revoke = RevokeRequest {
            award: request().award,
            backend_id: None,
            assertion_url: "https://gen.example/1".to_owned(),
            reason: "In error".to_owned(),
        };
        let error = http.revoke(&revoke).await.expect_err("no answer of a generator");
        assert_eq!(error.code(), "unknown", "{status}: {error}");
    }
    assert_eq!(generator.seen().len(), 10);
    assert!(other.seen().is_empty(), "the token went elsewhere");
}
