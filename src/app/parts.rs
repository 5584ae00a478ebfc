//! The settings of each room, made of the settings of the service.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context as _;
use tokio::sync::Notify;

use super::token_cache::StoreTokenCache;
use crate::{
    backend::{
        BadgingBackend,
        badgr::{self, Badgr},
        builtin::{self, Builtin, documents::IssuerProfile},
        http::{self as http_backend, Http},
    },
    clock::Clock,
    config::{Backend, Settings},
    http,
    ingest::{self, Replayer},
    issue,
    kafka::{self, EmbeddedBroker},
    store::{Store, awards::AtOnce},
    telemetry::Metrics,
    wire::decode::TopicTypes,
};

/// Where the world reaches the service: `PUBLIC_URL`, or the address that it listens on.
pub(super) fn public_url(settings: &Settings, listening: Option<SocketAddr>) -> String {
    settings
        .public_url
        .clone()
        .unwrap_or_else(|| format!("http://{}", listening.unwrap_or(settings.http_listen)))
}

/// The broker inside this process, where the settings name no other.
pub(super) fn embedded_broker(settings: &Settings) -> anyhow::Result<Option<EmbeddedBroker>> {
    if settings.kafka_bootstrap_servers.is_some() {
        return Ok(None);
    }
    let topics = &settings.topics;
    let names = topics.read().into_iter().chain(topics.written());
    let with_partitions: Vec<(String, i32)> = names.map(|name| (name, topics.partitions)).collect();
    let broker = EmbeddedBroker::start(&with_partitions).context("the embedded broker does not start")?;
    Ok(Some(broker))
}

/// How this process speaks to Kafka.
pub(super) fn kafka(settings: &Settings, bootstrap_servers: String) -> kafka::Settings {
    kafka::Settings {
        bootstrap_servers,
        group_id: settings.kafka_group_id.clone(),
        client_id: "accolade".to_owned(),
        extra: settings
            .kafka_properties
            .iter()
            .map(|(name, value)| (name.clone(), value.expose().to_owned()))
            .collect(),
    }
}

/// The topics that are read, and what their events are.
pub(super) fn topics(settings: &Settings) -> ingest::Topics {
    let topics = &settings.topics;
    ingest::Topics {
        names: topics.read(),
        types: TopicTypes::new(topics.enrollment.iter().cloned(), topics.certificate.iter().cloned()),
    }
}

/// What ingest does with events; for the first of one consumer.
pub(super) fn ingest(settings: &Settings, at_once: Option<Arc<AtOnce>>) -> ingest::Settings {
    ingest::Settings {
        award: settings.enable_openbadges,
        issue_at_once: at_once,
        revoke_on_loss: settings.revoke_on_loss,
        evidence_url_template: settings.evidence_url_template.clone(),
        ..ingest::Settings::default()
    }
}

/// How awards are issued.
pub(super) fn issue(settings: &Settings, public_url: &str) -> issue::Settings {
    issue::Settings {
        concurrency: settings.backend_concurrency,
        poll: Duration::from_millis(500),
        adopt_existing: settings.adopt_existing_assertions,
        public_url: public_url.to_owned(),
    }
}

/// Told that awards were decided, and that some are to be announced.
#[derive(Clone, Default)]
pub struct Wakes {
    /// The issue loop.
    pub decided: Arc<Notify>,
    /// The relay.
    pub issued: Arc<Notify>,
}

/// What replays dead letters as the consumers of these settings process records.
pub fn replayer(
    settings: &Settings,
    store: Arc<Store>,
    metrics: Arc<Metrics>,
    at_once: Option<Arc<AtOnce>>,
    wakes: Wakes,
) -> Replayer {
    Replayer {
        store,
        rules: Arc::default(),
        settings: ingest(settings, at_once),
        types: topics(settings).types,
        metrics,
        awards: wakes.decided,
        announcements: wakes.issued,
    }
}

/// The name of the badge backend, as its metrics have it.
pub(super) fn backend_name(settings: &Settings) -> &'static str {
    match &settings.backend {
        Backend::Builtin => "builtin",
        Backend::Badgr(_) => "badgr",
        Backend::Http { .. } => "http",
    }
}

/// The badge backend of the settings.
pub(super) fn backend(
    settings: &Settings,
    public_url: &str,
    store: &Arc<Store>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
) -> anyhow::Result<Arc<dyn BadgingBackend>> {
    Ok(match &settings.backend {
        Backend::Builtin => Arc::new(Builtin::new(builtin::Settings {
            public_url: public_url.to_owned(),
            issuer: issuer(settings, public_url).profile,
        })),
        Backend::Badgr(own) => {
            let tokens = StoreTokenCache::new(Arc::clone(store), own.tokens_cache_key.clone());
            let settings = badgr::Settings {
                base_url: own.base_url.clone(),
                username: own.username.clone(),
                password: own.password.clone(),
                password_file: own.password_file.clone(),
                issuer_slug: own.issuer_slug.clone(),
                tokens_cache_key: own.tokens_cache_key.clone(),
                timeout: own.timeout,
                notify: own.notify,
                ca_file: settings.ca_file.clone(),
                secret_key: settings.secret_key.clone(),
                public_url: public_url.to_owned(),
                course_about_url_template: settings.course_about_url_template.clone(),
                settle_time: badgr::Settings::SETTLE_TIME,
            };
            Arc::new(Badgr::new(settings, Arc::new(tokens), clock, metrics)?)
        }
        Backend::Http { url, token } => {
            let settings = http_backend::Settings {
                url: url.clone(),
                token: token.clone(),
                ca_file: settings.ca_file.clone(),
            };
            Arc::new(Http::new(settings, clock, metrics)?)
        }
    })
}

/// What the HTTP server needs to know.
pub(super) fn http(settings: &Settings, public_url: &str) -> http::Settings {
    http::Settings {
        listen: settings.http_listen,
        public_url: public_url.to_owned(),
        jwt: settings.jwt.clone(),
        issuer: issuer(settings, public_url),
        awards: settings.enable_openbadges,
        is_demo: settings.is_demo,
    }
}

fn issuer(settings: &Settings, public_url: &str) -> http::Issuer {
    let own = &settings.issuer;
    let host = url::Url::parse(public_url).ok();
    let host = host.as_ref().and_then(url::Url::host_str).unwrap_or("localhost");
    http::Issuer {
        profile: IssuerProfile {
            name: own.name.clone(),
            url: own.url.clone().unwrap_or_else(|| public_url.to_owned()),
            email: own.email.clone().unwrap_or_else(|| format!("badges@{host}")),
            description: own.description.clone(),
            has_image: own.image.is_some(),
        },
        image: own.image.clone(),
    }
}
