//! The router over a temporary database, asked without a socket.

use std::sync::Arc;

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{HeaderMap, Method, Request, StatusCode, header},
};
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::{Issuer, JwtSettings, LivenessCheck, Probes, ReadinessCheck, ReplayDeadLetter, Settings, State, router};
use crate::{
    backend::builtin::documents::IssuerProfile,
    domain::badge_class::{BadgeClass, BadgeClassKey, NewBadgeClass},
    secret::Secret,
    store::{
        Store,
        dead_letters::{self, NotReplayed, Replayed},
        testing::{TestDatabase, seed, sqlite},
    },
    telemetry::Metrics,
};

pub(super) const SECRET: &str = "a-secret-for-the-tests-of-32-bytes";
pub(super) const PUBLIC_URL: &str = "https://badges.example.com";

/// The service's HTTP side.
pub(super) struct Site {
    pub(super) database: TestDatabase,
    pub(super) stop: CancellationToken,
    pub(super) state: State,
}

/// What came back.
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Site {
    pub(super) fn new() -> Self {
        Self::with(Vec::new(), false)
    }

    pub(super) fn with(checks: Vec<ReadinessCheck>, is_demo: bool) -> Self {
        Self::made(ready(checks), |settings| settings.is_demo = is_demo)
    }

    /// One where `ENABLE_OPENBADGES` is false.
    pub(super) fn without_awards() -> Self {
        Self::made(ready(Vec::new()), |settings| settings.awards = false)
    }

    /// One whose `/livez` answers after this.
    pub(super) fn hanging(hanging: LivenessCheck) -> Self {
        let probes = Probes {
            hanging,
            ready: Vec::new(),
        };
        Self::made(probes, |_| {})
    }

    fn made(probes: Probes, change: impl FnOnce(&mut Settings)) -> Self {
        let database = sqlite();
        let stop = CancellationToken::new();
        let jwt = JwtSettings::parse(None, None, Some(&Secret::new(SECRET)), None).expect("keys");
        let mut settings = Settings {
            listen: ([127, 0, 0, 1], 0).into(),
            public_url: PUBLIC_URL.to_owned(),
            jwt,
            issuer: Issuer {
                profile: IssuerProfile {
                    name: "Example Academy".to_owned(),
                    url: "https://academy.example.com".to_owned(),
                    email: "badges@academy.example.com".to_owned(),
                    description: None,
                    has_image: false,
                },
                image: Some(png()),
            },
            awards: true,
            is_demo: false,
        };
        change(&mut settings);
        let metrics = Arc::new(Metrics::new());
        let state = State::new(
            settings,
            database.store(),
            metrics,
            probes,
            Arc::default(),
            replay(database.store()),
            stop.clone(),
        );
        Self { database, stop, state }
    }

    pub(super) fn store(&self) -> Arc<Store> {
        self.database.store()
    }

    pub(super) fn router(&self) -> Router {
        router(self.state.clone())
    }

    pub(super) async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Reply {
        self.send(Method::GET, path, headers, Body::empty()).await
    }

    /// As a learner, or as an administrator named `staff`.
    pub(super) async fn get_as(&self, username: &str, path: &str) -> Reply {
        let token = super::auth::tests::token_of(username);
        self.get(path, &[("authorization", &format!("JWT {token}"))]).await
    }

    /// Sends JSON as a learner, or as an administrator named `staff`.
    pub(super) async fn send_as(&self, username: &str, method: Method, path: &str, body: &Value) -> Reply {
        let token = super::auth::tests::token_of(username);
        let headers = [
            ("authorization", &*format!("JWT {token}")),
            ("content-type", "application/json"),
        ];
        self.send(method, path, &headers, Body::from(body.to_string())).await
    }

    pub(super) async fn send(&self, method: Method, path: &str, headers: &[(&str, &str)], body: Body) -> Reply {
        send(self.router(), method, path, headers, body).await
    }
}

fn ready(ready: Vec<ReadinessCheck>) -> Probes {
    Probes {
        hanging: Box::new(|| None),
        ready,
    }
}

/// A replay that does what the reason of the dead letter says: `mended` works, `request` asks for a badge while nothing
/// is awarded, any other fails again with `schema`.
fn replay(store: Arc<Store>) -> ReplayDeadLetter {
    Arc::new(move |id, actor| {
        store.transaction("replay", |tx| {
            let Some((letter, _)) = dead_letters::hold(tx, id)? else {
                return Ok(None);
            };
            let replay = match (letter.dropped_at, letter.replayed_at, &*letter.reason) {
                (Some(at), _, _) => Err(NotReplayed::Dropped(at)),
                (_, Some(at), _) => Err(NotReplayed::Before(at)),
                (_, _, "request") => Err(NotReplayed::NothingAwarded),
                (_, _, "mended") => Ok(Replayed {
                    letter: dead_letters::mark_replayed(tx, id, actor, &serde_json::json!({}))?,
                    outcome: "applied",
                    awards: 1,
                }),
                _ => {
                    let (reason, message) = ("schema".to_owned(), "user.id: missing".to_owned());
                    dead_letters::keep_failure(tx, id, &reason, &message, actor)?;
                    Err(NotReplayed::FailedAgain { reason, message })
                }
            };
            Ok(Some(replay))
        })
    })
}

pub(super) async fn send(router: Router, method: Method, path: &str, headers: &[(&str, &str)], body: Body) -> Reply {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = router
        .oneshot(request.body(body).expect("a request"))
        .await
        .expect("an answer");
    let (parts, body) = response.into_parts();
    Reply {
        status: parts.status,
        headers: parts.headers,
        body: to_bytes(body, usize::MAX).await.expect("a body").to_vec(),
    }
}

impl Reply {
    pub(super) fn header(&self, name: impl header::AsHeaderName) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().expect("a text"))
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).expect("UTF-8")
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    /// Status and field of a problem document.
    pub(super) fn problem(&self) -> (u16, String) {
        assert_eq!(
            self.header(header::CONTENT_TYPE),
            "application/problem+json",
            "{}",
            self.text()
        );
        let document = self.json();
        assert_eq!(document["status"], self.status.as_u16());
        assert!(
            document["detail"].as_str().is_some_and(|detail| detail.len() > 20),
            "{document}"
        );
        (
            self.status.as_u16(),
            document["field"].as_str().unwrap_or_default().to_owned(),
        )
    }
}

/// A PNG of one pixel.
pub(super) fn png() -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = png::Encoder::new(&mut bytes, 1, 1).write_header().expect("a header");
    writer.write_image_data(&[0]).expect("a pixel");
    writer.finish().expect("an end");
    bytes
}

/// A badge class that exists from now on.
pub(super) fn badge_class(site: &Site, slug: &str, component: &str, course: &str) -> BadgeClass {
    let new = NewBadgeClass {
        key: BadgeClassKey {
            slug: slug.to_owned(),
            issuing_component: component.to_owned(),
            course_id: course.to_owned(),
        },
        mode: String::new(),
        display_name: format!("Badge {slug}"),
        description: "A description".to_owned(),
        criteria: "What one must do".to_owned(),
        image: png(),
    };
    seed::badge_class(&site.store(), &new)
}
