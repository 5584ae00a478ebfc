//! What is done with the bytes of each fuzz target. The tests do the same with the seeds.

use std::{cell::OnceCell, collections::HashMap, sync::Arc};

use accolade::{
    backend::builtin::{bake::bake, documents::IssuerProfile},
    clock::SystemClock,
    domain::{
        CourseKey, completion,
        event_badges::{ConfigurationTexts, ParsedConfiguration},
        image::{ImageError, check_image},
        limits,
    },
    http::{Issuer, JwtSettings, Probes, Settings, State, router},
    secret::Secret,
    store::{self, Store},
    telemetry::Metrics,
    wire::{
        decode::{TopicTypes, decode},
        record::{Header, Record},
    },
};
use axum::{Router, body::Body, http::Request};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use serde_json::{json, value::RawValue};
use tower::ServiceExt;

const SECRET: &str = "a-secret-for-the-tests-of-32-bytes";

/// 2026-11-20, in seconds.
const NOW: i64 = 1_795_000_000;

/// A record: the first byte says on which topic it is and whether it has headers; then, each in a line of its own, the
/// headers' type, id and time.
pub fn wire(bytes: &[u8]) {
    let Some((kind, mut rest)) = bytes.split_first() else {
        return;
    };
    let topics = ["enrollment.created", "certificate.generated", "extra"];
    let mut headers = Vec::new();
    if kind & 4 != 0 {
        for name in ["ce_type", "ce_id", "ce_time"] {
            let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
            headers.push(Header {
                name: name.to_owned(),
                value: Some(rest[..end].to_vec()),
            });
            rest = rest.get(end + 1..).unwrap_or_default();
        }
    }
    let record = Record {
        topic: topics[usize::from(kind % 3)].into(),
        partition: 0,
        offset: 7,
        timestamp: (kind & 8 == 0).then(now),
        key: Some(b"42".to_vec()),
        value: Some(rest.to_vec()),
        headers,
    };
    let types = TopicTypes::new([topics[0]], [topics[1]]);
    let decoded = decode(&record, &types);
    let again = decode(&record, &types);
    assert_eq!(
        format!("{decoded:?}"),
        format!("{again:?}"),
        "the same record gives the same event"
    );
}

/// A course key, and in a line of its own the mode.
pub fn course_key(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let (text, mode) = text.split_once('\n').unwrap_or((text, ""));
    let Ok(key) = text.parse::<CourseKey>() else {
        return;
    };
    assert_eq!(key.to_string(), text);
    assert!(
        text.len() <= limits::MAX_NAME * 4 && text.chars().count() <= limits::MAX_NAME,
        "it is short"
    );
    let slug = completion::badge_class_key(&key, mode).slug;
    limits::check_slug(&slug).expect("the slug of a completion badge is one");
}

/// The three texts of a configuration, with zero bytes between them.
pub fn event_badges(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let mut texts = text.splitn(3, '\0').map(str::to_owned);
    let mut next = || texts.next().unwrap_or_default();
    let texts = ConfigurationTexts {
        courses_enrolled: next(),
        courses_completed: next(),
        course_groups: next(),
    };
    let Ok(parsed) = ParsedConfiguration::parse(&texts) else {
        return;
    };
    let printed = parsed.print();
    let again = ParsedConfiguration::parse(&printed).expect("what is printed is read");
    let meant = |parsed: &ParsedConfiguration| -> Vec<String> {
        let lines = parsed.lines.iter();
        lines
            .map(|line| format!("{:?} {} {:?}", line.field, line.slug, line.condition))
            .collect()
    };
    assert_eq!(meant(&parsed), meant(&again));
    assert_eq!(printed, again.print());
}

/// A PNG.
pub fn image(bytes: &[u8]) {
    if check_image(bytes).is_err() {
        return;
    }
    let baked = bake(bytes, "{\"id\": \"https://badges.example.com/1\"}").expect("what is a badge image can be baked");
    match check_image(&baked) {
        Ok(()) | Err(ImageError::TooLarge { .. }) => {}
        Err(error) => panic!("a baked image is an image: {error}"),
    }
}

/// A request's path and query, by an administrator.
pub fn query(bytes: &[u8]) {
    thread_local! {
        static SITE: OnceCell<Site> = const { OnceCell::new() };
    }
    let path = std::str::from_utf8(bytes).ok().filter(|path| path.starts_with('/'));
    let request = Request::builder().uri(path.unwrap_or_default());
    let token = sign(
        json!({"alg": "HS256"}).to_string(),
        json!({
            "exp": 4_000_000_000_u64, "preferred_username": "staff", "administrator": true,
        })
        .to_string(),
    );
    let request = request
        .header("authorization", format!("JWT {token}"))
        .body(Body::empty());
    let (Some(path), Ok(request)) = (path, request) else {
        return;
    };
    SITE.with(|site| {
        let site = site.get_or_init(Site::new);
        let answered = site.runtime.block_on(site.router.clone().oneshot(request));
        let status = answered.expect("it answers").status();
        assert!(!status.is_server_error(), "{path}: {status}");
    });
}

/// A token's header and, in a line of its own, its claims, which we sign ourselves; and the bytes as they are.
pub fn token(bytes: &[u8]) {
    let settings = JwtSettings::parse(None, None, Some(&Secret::new(SECRET)), None).expect("a key");
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    assert!(settings.verify(text, now()).is_none(), "nobody signed it");
    let (header, claims) = text.split_once('\n').unwrap_or((text, ""));
    if settings
        .verify(&sign(header.to_owned(), claims.to_owned()), now())
        .is_some()
    {
        let member = |text, name| -> Box<RawValue> {
            let mut members: HashMap<String, Box<RawValue>> = serde_json::from_str(text).expect("an object");
            members.remove(name).expect("a member that is needed")
        };
        let algorithm: String = serde_json::from_str(member(header, "alg").get()).expect("a text");
        let expires: f64 = serde_json::from_str(member(claims, "exp").get()).expect("a number");
        assert_eq!(algorithm, "HS256");
        assert!(expires > NOW as f64 - 1.0, "{expires} is over");
    }
}

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(NOW, 0).expect("a time")
}

fn sign(header: String, claims: String) -> String {
    let part = |text: String| BASE64_URL_SAFE_NO_PAD.encode(text);
    let message = format!("{}.{}", part(header), part(claims));
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    let signature = crypto::sign(message.as_bytes(), &key, Algorithm::HS256).expect("signed");
    format!("{message}.{signature}")
}

/// The service's HTTP side over an empty database.
struct Site {
    runtime: tokio::runtime::Runtime,
    router: Router,
    _directory: tempfile::TempDir,
}

impl Site {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let directory = tempfile::tempdir().expect("a temporary directory");
        let url = format!("sqlite://{}", directory.path().join("fuzz.db").display());
        let metrics = Arc::new(Metrics::new());
        let settings = store::Settings {
            url: url.parse().expect("a URL"),
            pool_size: 2,
        };
        let store = Arc::new(Store::open(&settings, Arc::new(SystemClock), Arc::clone(&metrics)));
        store.migrate().expect("tables");
        let profile = IssuerProfile {
            name: "Example Academy".to_owned(),
            url: "https://academy.example.com".to_owned(),
            email: "badges@academy.example.com".to_owned(),
            description: None,
            has_image: false,
        };
        let settings = Settings {
            listen: ([127, 0, 0, 1], 0).into(),
            public_url: "https://badges.example.com".to_owned(),
            jwt: JwtSettings::parse(None, None, Some(&Secret::new(SECRET)), None).expect("a key"),
            issuer: Issuer { profile, image: None },
            awards: true,
            is_demo: true,
        };
        let probes = Probes {
            hanging: Box::new(|| None),
            ready: Vec::new(),
        };
        let (decided, stop) = Default::default();
        let replay = Arc::new(|_, _: &_| Ok(None));
        let router = router(State::new(settings, store, metrics, probes, decided, replay, stop));
        Self {
            runtime: runtime.expect("a runtime"),
            router,
            _directory: directory,
        }
    }
}
