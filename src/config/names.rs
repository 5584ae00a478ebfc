//! The names of all settings.

use crate::kafka;

/// Every setting but the further librdkafka properties.
pub const NAMES: [&str; 48] = [
    "ENABLE_OPENBADGES",
    "BADGING_BACKEND",
    "BACKEND_URL",
    "BACKEND_TOKEN",
    "BADGR_BASE_URL",
    "BADGR_USERNAME",
    "BADGR_PASSWORD",
    "BADGR_ISSUER_SLUG",
    "BADGR_TOKENS_CACHE_KEY",
    "BADGR_TIMEOUT",
    "BADGR_ENABLE_NOTIFICATIONS",
    "SECRET_KEY",
    "DATABASE_URL",
    "KAFKA_BOOTSTRAP_SERVERS",
    "KAFKA_GROUP_ID",
    "INGEST_CONSUMERS",
    "BACKEND_CONCURRENCY",
    "DATABASE_POOL_SIZE",
    "TOPIC_PREFIX",
    "TOPICS_ENROLLMENT",
    "TOPICS_CERTIFICATE",
    "TOPICS_EXTRA",
    "TOPIC_BADGE_AWARDED",
    "TOPIC_BADGE_REVOKED",
    "TOPIC_DEAD_LETTERS",
    "MIGRATE_ON_START",
    "CA_FILE",
    "CREATE_TOPICS",
    "TOPIC_PARTITIONS",
    "ADOPT_EXISTING_ASSERTIONS",
    "REVOKE_ON_LOSS",
    "EVIDENCE_URL_TEMPLATE",
    "COURSE_ABOUT_URL_TEMPLATE",
    "HTTP_LISTEN",
    "PUBLIC_URL",
    "JWT_ISSUER",
    "JWT_AUDIENCE",
    "JWT_SECRET_KEY",
    "JWT_PUBLIC_SIGNING_JWK_SET",
    "ADMIN_USERNAME",
    "ADMIN_PASSWORD_HASH",
    "ISSUER_NAME",
    "ISSUER_URL",
    "ISSUER_EMAIL",
    "ISSUER_DESCRIPTION",
    "ISSUER_IMAGE",
    "LOG_FORMAT",
    "RUST_LOG",
];

/// Whether a variable of the environment means something to this program.
pub fn is_setting(variable: &str) -> bool {
    let name = variable.strip_suffix("_FILE").unwrap_or(variable);
    variable == "ACCOLADE_CONFIG"
        || [name, variable]
            .iter()
            .any(|name| NAMES.contains(name) || is_kafka_property(name))
}

/// Whether this names a further librdkafka property, such as `KAFKA_SECURITY_PROTOCOL`.
pub(super) fn is_kafka_property(name: &str) -> bool {
    name.strip_prefix("KAFKA_")
        .is_some_and(|rest| !rest.is_empty() && !NAMES.contains(&name))
}

/// The librdkafka property of a setting: `KAFKA_SECURITY_PROTOCOL` is `security.protocol`, `KAFKA_LOG_LEVEL` the one that
/// is written `log_level` there.
pub(super) fn kafka_property(name: &str) -> String {
    let name = name.strip_prefix("KAFKA_").unwrap_or(name).to_lowercase();
    // The one that librdkafka writes with an underscore.
    if name == "log_level" {
        name
    } else {
        name.replace('_', ".")
    }
}

/// The setting whose value a `KAFKA_…` variable holds, or names the file of: librdkafka has properties whose names end in
/// `.file`, and a pod's environment may hold what is none of ours.
pub(super) fn kafka_setting(variable: &str) -> &str {
    let is_known = |name: &str| kafka::is_known_property(&kafka_property(name));
    match variable.strip_suffix("_FILE") {
        Some(name) if is_known(name) && !is_known(variable) => name,
        _ => variable,
    }
}
