//! Settings: a TOML file and the environment, strict and documented in `config.default.toml`.

mod names;
mod source;
mod values;
mod warnings;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

pub use names::{NAMES, is_setting};
pub use source::ConfigError;

use self::{source::Source, values::Values};
use crate::{http::JwtSettings, secret::Secret, store::DatabaseUrl, telemetry::LogFormat, wire::asyncapi::topics};

/// Every setting with its meaning and default: what `--config` files are written from.
pub const SAMPLE: &str = include_str!("../config.default.toml");

/// All settings of the service, checked.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `ENABLE_OPENBADGES`
    pub enable_openbadges: bool,
    /// `BADGING_BACKEND` and what it needs.
    pub backend: Backend,
    /// `SECRET_KEY`
    pub secret_key: Option<Secret>,
    /// `DATABASE_URL`
    pub database_url: DatabaseUrl,
    /// `DATABASE_POOL_SIZE`
    pub database_pool_size: u32,
    /// `MIGRATE_ON_START`
    pub migrate_on_start: bool,
    /// `KAFKA_…`; `None`: an embedded broker.
    pub kafka_bootstrap_servers: Option<String>,
    /// `KAFKA_GROUP_ID`
    pub kafka_group_id: String,
    /// Further librdkafka properties, by their dotted names.
    pub kafka_properties: BTreeMap<String, Secret>,
    /// `INGEST_CONSUMERS`
    pub ingest_consumers: usize,
    /// `BACKEND_CONCURRENCY`
    pub backend_concurrency: usize,
    /// The topics, with `TOPIC_PREFIX` before each name.
    pub topics: Topics,
    /// `CA_FILE`
    pub ca_file: Option<PathBuf>,
    /// `ADOPT_EXISTING_ASSERTIONS`
    pub adopt_existing_assertions: bool,
    /// `REVOKE_ON_LOSS`
    pub revoke_on_loss: bool,
    /// `EVIDENCE_URL_TEMPLATE`
    pub evidence_url_template: Option<String>,
    /// `COURSE_ABOUT_URL_TEMPLATE`
    pub course_about_url_template: Option<String>,
    /// `HTTP_LISTEN`
    pub http_listen: SocketAddr,
    /// `PUBLIC_URL`, without a trailing slash; `None`: the address listened on.
    pub public_url: Option<String>,
    /// `JWT_…`
    pub jwt: JwtSettings,
    /// `ADMIN_USERNAME`, `ADMIN_PASSWORD_HASH`
    pub admin: Option<(String, Secret)>,
    /// `ISSUER_…`
    pub issuer: Issuer,
    /// `LOG_FORMAT`
    pub log_format: Option<LogFormat>,
    /// `RUST_LOG`
    pub log_filter: String,
    /// What is odd but no error: said once at the start.
    pub warnings: Vec<String>,
    /// No setting: `accolade demo` shows its latest awards on the front page.
    pub is_demo: bool,
}

/// The badge backend.
#[derive(Debug, Clone)]
pub enum Backend {
    /// Issues Open Badges itself.
    Builtin,
    /// A Badgr server.
    Badgr(Badgr),
    /// Any other badge generator.
    Http {
        /// `BACKEND_URL`
        url: String,
        /// `BACKEND_TOKEN`
        token: Option<Secret>,
    },
}

/// `BADGR_…`
#[derive(Debug, Clone)]
pub struct Badgr {
    /// `BADGR_BASE_URL`, without a trailing slash.
    pub base_url: String,
    /// `BADGR_USERNAME`
    pub username: String,
    /// `BADGR_PASSWORD`
    pub password: Secret,
    /// `BADGR_PASSWORD_FILE`, if the password comes from there
    pub password_file: Option<PathBuf>,
    /// `BADGR_ISSUER_SLUG`
    pub issuer_slug: String,
    /// `BADGR_TOKENS_CACHE_KEY`
    pub tokens_cache_key: String,
    /// `BADGR_TIMEOUT`
    pub timeout: Duration,
    /// `BADGR_ENABLE_NOTIFICATIONS`
    pub notify: bool,
}

/// Topic names, prefixed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topics {
    /// `TOPICS_ENROLLMENT`
    pub enrollment: Vec<String>,
    /// `TOPICS_CERTIFICATE`
    pub certificate: Vec<String>,
    /// `TOPICS_EXTRA`
    pub extra: Vec<String>,
    /// `TOPIC_BADGE_AWARDED`
    pub badge_awarded: String,
    /// `TOPIC_BADGE_REVOKED`
    pub badge_revoked: String,
    /// `TOPIC_DEAD_LETTERS`
    pub dead_letters: String,
    /// `CREATE_TOPICS`
    pub create: bool,
    /// `TOPIC_PARTITIONS`
    pub partitions: i32,
}

impl Topics {
    /// Every topic that is read.
    pub fn read(&self) -> Vec<String> {
        [&self.enrollment, &self.certificate, &self.extra]
            .into_iter()
            .flatten()
            .cloned()
            .collect()
    }

    /// Every topic that is written.
    pub fn written(&self) -> Vec<String> {
        vec![
            self.badge_awarded.clone(),
            self.badge_revoked.clone(),
            self.dead_letters.clone(),
        ]
    }
}

/// The issuer of the `builtin` backend.
#[derive(Debug, Clone)]
pub struct Issuer {
    /// `ISSUER_NAME`
    pub name: String,
    /// `ISSUER_URL`
    pub url: Option<String>,
    /// `ISSUER_EMAIL`
    pub email: Option<String>,
    /// `ISSUER_DESCRIPTION`
    pub description: Option<String>,
    /// The content of `ISSUER_IMAGE`: a PNG.
    pub image: Option<Vec<u8>>,
}

impl Settings {
    /// Reads `--config FILE`, else `ACCOLADE_CONFIG`, else `./accolade.toml` if there is one; then the environment.
    ///
    /// Says everything that is wrong at once.
    pub fn load(config: Option<&Path>, environment: &HashMap<String, String>) -> Result<Self, Vec<ConfigError>> {
        let named = config.map(Path::to_owned).or_else(|| {
            let variable = environment.get("ACCOLADE_CONFIG").filter(|path| !path.is_empty());
            variable.map(PathBuf::from)
        });
        let usual = PathBuf::from("accolade.toml");
        let file = named.or_else(|| usual.exists().then_some(usual));
        let mut errors = Vec::new();
        let source = Source::read(file.as_deref(), environment, &mut errors);
        Self::check(source, errors)
    }

    fn check(source: Source, errors: Vec<ConfigError>) -> Result<Self, Vec<ConfigError>> {
        let mut values = Values::new(source, errors);
        let database_url: DatabaseUrl = values.parsed("DATABASE_URL", "sqlite://accolade.db");
        let secret_key = values.secret("SECRET_KEY");
        if !database_url.is_sqlite() && secret_key.is_none() {
            values.error(
                "SECRET_KEY",
                "needed with a postgres:// database; set it to a long random text",
            );
        }
        let backend = backend(&mut values);
        let topics = topics(&mut values);
        let (kafka_properties, mut warnings) = values.kafka_properties();
        let admin = match (values.text("ADMIN_USERNAME"), values.secret("ADMIN_PASSWORD_HASH")) {
            (Some(name), Some(hash)) => Some((name, hash)),
            (None, None) => None,
            (Some(_), None) => {
                values.error("ADMIN_PASSWORD_HASH", "needed with ADMIN_USERNAME");
                None
            }
            (None, Some(_)) => {
                values.error("ADMIN_USERNAME", "needed with ADMIN_PASSWORD_HASH");
                None
            }
        };
        let jwt_key = values.secret("JWT_SECRET_KEY");
        let keys = [("SECRET_KEY", &secret_key), ("JWT_SECRET_KEY", &jwt_key)];
        warnings.extend(
            keys.iter()
                .filter_map(|(name, key)| warnings::weak_key(name, key.as_ref()?)),
        );
        let jwt = jwt(&mut values, jwt_key.as_ref());
        let mut settings = Self {
            enable_openbadges: values.bool("ENABLE_OPENBADGES", true),
            backend,
            secret_key,
            database_url,
            database_pool_size: values.integer("DATABASE_POOL_SIZE", 10, 1..=1000),
            migrate_on_start: values.bool("MIGRATE_ON_START", true),
            kafka_bootstrap_servers: values.servers("KAFKA_BOOTSTRAP_SERVERS"),
            kafka_group_id: values.text("KAFKA_GROUP_ID").unwrap_or_else(|| "accolade".to_owned()),
            kafka_properties,
            ingest_consumers: values.integer("INGEST_CONSUMERS", 2, 1..=64),
            backend_concurrency: values.integer("BACKEND_CONCURRENCY", 16, 1..=10_000),
            topics,
            ca_file: values.text("CA_FILE").map(PathBuf::from),
            adopt_existing_assertions: values.bool("ADOPT_EXISTING_ASSERTIONS", true),
            revoke_on_loss: values.bool("REVOKE_ON_LOSS", false),
            evidence_url_template: values.template("EVIDENCE_URL_TEMPLATE"),
            course_about_url_template: values.template("COURSE_ABOUT_URL_TEMPLATE"),
            http_listen: values.parsed("HTTP_LISTEN", "127.0.0.1:8080"),
            public_url: values.url("PUBLIC_URL"),
            jwt,
            admin,
            issuer: Issuer {
                name: values.text("ISSUER_NAME").unwrap_or_else(|| "Accolade".to_owned()),
                url: values.url("ISSUER_URL"),
                email: values.text("ISSUER_EMAIL"),
                description: values.text("ISSUER_DESCRIPTION"),
                image: values.image("ISSUER_IMAGE"),
            },
            log_format: values.choice("LOG_FORMAT", &[("text", LogFormat::Text), ("json", LogFormat::Json)]),
            log_filter: values.log_filter("RUST_LOG"),
            warnings,
            is_demo: false,
        };
        settings.warnings.extend(warnings::in_clear(&settings));
        values.finish(settings)
    }
}

/// What Badgr needs.
const BADGR: [&str; 4] = [
    "BADGR_BASE_URL",
    "BADGR_USERNAME",
    "BADGR_PASSWORD",
    "BADGR_ISSUER_SLUG",
];

/// `BADGING_BACKEND`, by its own name or by the last part of a dotted path.
fn backend(values: &mut Values) -> Backend {
    // Whichever it is: what is set is of its type.
    let [badgr_url, backend_url] = ["BADGR_BASE_URL", "BACKEND_URL"].map(|name| values.url(name));
    let [username, issuer_slug] = ["BADGR_USERNAME", "BADGR_ISSUER_SLUG"].map(|name| values.text(name));
    let [password, token] = ["BADGR_PASSWORD", "BACKEND_TOKEN"].map(|name| values.secret(name));
    let tokens_cache_key = values.text("BADGR_TOKENS_CACHE_KEY");
    let timeout = Duration::from_secs(values.integer("BADGR_TIMEOUT", 10, 1..=600));
    let notify = values.bool("BADGR_ENABLE_NOTIFICATIONS", false);
    let default = if values.has("BADGR_BASE_URL") {
        "badgr"
    } else {
        "builtin"
    };
    let named = values.text("BADGING_BACKEND").unwrap_or_else(|| default.to_owned());
    let last = named.rsplit('.').next().unwrap_or(&named).to_lowercase();
    match last
        .strip_suffix("backend")
        .filter(|name| !name.is_empty())
        .unwrap_or(&last)
    {
        "builtin" => Backend::Builtin,
        "badgr" => {
            values.need(&BADGR, "the badgr backend");
            Backend::Badgr(Badgr {
                base_url: badgr_url.unwrap_or_default(),
                username: username.unwrap_or_default(),
                password: password.unwrap_or_else(|| Secret::new("")),
                password_file: values.file("BADGR_PASSWORD"),
                issuer_slug: issuer_slug.unwrap_or_default(),
                tokens_cache_key: tokens_cache_key.unwrap_or_else(|| "badgr-tokens".to_owned()),
                timeout,
                notify,
            })
        }
        "http" => {
            values.need(&["BACKEND_URL"], "the http backend");
            Backend::Http {
                url: backend_url.unwrap_or_default(),
                token,
            }
        }
        _ => {
            values.error(
                "BADGING_BACKEND",
                "expected badgr, builtin, http, or a dotted path whose last part names one",
            );
            Backend::Builtin
        }
    }
}

/// How API tokens are checked.
fn jwt(values: &mut Values, secret_key: Option<&Secret>) -> JwtSettings {
    let issuer = values.text("JWT_ISSUER");
    let audience = values.text("JWT_AUDIENCE");
    let jwk_set = values.secret("JWT_PUBLIC_SIGNING_JWK_SET");
    JwtSettings::parse(issuer.as_deref(), audience.as_deref(), secret_key, jwk_set.as_ref()).unwrap_or_else(|error| {
        values.error("JWT_PUBLIC_SIGNING_JWK_SET", error.to_string());
        JwtSettings::default()
    })
}

fn topics(values: &mut Values) -> Topics {
    let prefix = values
        .text("TOPIC_PREFIX")
        .map(|prefix| format!("{prefix}-"))
        .unwrap_or_default();
    let mut list = |name: &str, default: &str| -> Vec<String> {
        let names = values.text(name).unwrap_or_else(|| default.to_owned());
        let names = names.split(',').map(str::trim).filter(|topic| !topic.is_empty());
        names.map(|topic| format!("{prefix}{topic}")).collect()
    };
    let enrollment = list("TOPICS_ENROLLMENT", topics::ENROLLMENT);
    let certificate = list("TOPICS_CERTIFICATE", topics::CERTIFICATE);
    let extra = list("TOPICS_EXTRA", "");
    let mut one = |name: &str, default: &str| {
        let topic = values.text(name).unwrap_or_else(|| default.to_owned());
        format!("{prefix}{topic}")
    };
    let topics = Topics {
        enrollment,
        certificate,
        extra,
        badge_awarded: one("TOPIC_BADGE_AWARDED", topics::AWARDED),
        badge_revoked: one("TOPIC_BADGE_REVOKED", topics::REVOKED),
        dead_letters: one("TOPIC_DEAD_LETTERS", topics::DEAD_LETTERS),
        create: values.bool("CREATE_TOPICS", true),
        partitions: values.integer("TOPIC_PARTITIONS", 8, 1..=10_000),
    };
    let mut read = BTreeSet::new();
    for (name, list) in [
        ("TOPICS_ENROLLMENT", &topics.enrollment),
        ("TOPICS_CERTIFICATE", &topics.certificate),
        ("TOPICS_EXTRA", &topics.extra),
    ] {
        if list.iter().filter(|topic| !read.insert(topic.as_str())).count() > 0 {
            let problem = "a topic is named for the second time; name one with events of several types in TOPICS_EXTRA \
                           alone";
            values.error(name, problem);
        }
    }
    for (name, topic) in [
        ("TOPIC_BADGE_AWARDED", &topics.badge_awarded),
        ("TOPIC_BADGE_REVOKED", &topics.badge_revoked),
        ("TOPIC_DEAD_LETTERS", &topics.dead_letters),
    ] {
        if read.contains(topic.as_str()) {
            values.error(name, "the service reads this topic; name one that it only writes");
        }
    }
    topics
}

#[cfg(test)]
mod tests;
