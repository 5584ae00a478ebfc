//! The names of all settings.

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

/// Whether this names a further librdkafka property, such as `KAFKA_SECURITY_PROTOCOL`.
pub(super) fn is_kafka_property(name: &str) -> bool {
    name.strip_prefix("KAFKA_")
        .is_some_and(|rest| !rest.is_empty() && !NAMES.contains(&name))
}

/// The librdkafka property of a setting: `KAFKA_SECURITY_PROTOCOL` is `security.protocol`.
pub(super) fn kafka_property(name: &str) -> String {
    let name = name.strip_prefix("KAFKA_").unwrap_or(name);
    name.to_lowercase().replace('_', ".")
}
