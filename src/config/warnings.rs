//! What is allowed and yet unwise: secrets on their way in clear, and keys that can be guessed.

use std::net::IpAddr;

use url::{Host, Url};

use super::{Backend, Settings};
use crate::{secret::Secret, store::DatabaseUrl};

/// An HMAC key has at least as many bytes as the hash (RFC 7518, section 3.2).
const KEY_BYTES: usize = 32;

/// A warning for each setting by which a secret goes, or may go, over a network to whoever listens. This machine's own
/// addresses are none. No value is quoted.
pub(super) fn in_clear(settings: &Settings) -> Vec<String> {
    let mut warnings = Vec::new();
    match &settings.backend {
        Backend::Badgr(badgr) if is_in_clear(&badgr.base_url) => warnings.push(
            "BADGR_BASE_URL: by http:// the password and what is known of learners are sent in clear; use https://"
                .to_owned(),
        ),
        Backend::Http { url, token: Some(_) } if is_in_clear(url) => warnings.push(
            "BACKEND_URL: by http:// BACKEND_TOKEN and what is known of learners are sent in clear; use https://"
                .to_owned(),
        ),
        _ => {}
    }
    if let DatabaseUrl::Postgres(url) = &settings.database_url
        && !url.is_local()
        && !url.says("sslmode")
    {
        warnings.push(
            "DATABASE_URL: without an sslmode anybody on the way can be the database; add sslmode=verify-full and \
             sslrootcert=FILE, or sslmode=disable where nobody is on the way"
                .to_owned(),
        );
    }
    if settings.kafka_bootstrap_servers.as_deref().is_some_and(is_elsewhere) {
        warnings.extend(kafka(settings));
    }
    warnings
}

/// A warning for a key that is too short to be strong.
pub(super) fn weak_key(name: &str, key: &Secret) -> Option<String> {
    let problem = || format!("{name}: shorter than {KEY_BYTES} bytes, it can be guessed; set it to a long random text");
    (key.expose().len() < KEY_BYTES).then(problem)
}

fn kafka(settings: &Settings) -> Vec<String> {
    let property = |name: &str| {
        let value = settings.kafka_properties.get(name);
        value.map(|value| value.expose().to_lowercase()).unwrap_or_default()
    };
    let protocol = property("security.protocol");
    let mut warnings = Vec::new();
    if protocol == "sasl_plaintext" {
        warnings.push(
            "KAFKA_SECURITY_PROTOCOL: without TLS credentials and records are sent in clear; use SASL_SSL".to_owned(),
        );
    }
    if matches!(protocol.as_str(), "ssl" | "sasl_ssl") {
        let unchecked =
            "anybody on the way can be the broker; leave it out, and name the authority by KAFKA_SSL_CA_LOCATION";
        if matches!(
            property("enable.ssl.certificate.verification").as_str(),
            "false" | "f" | "0"
        ) {
            warnings.push(format!("KAFKA_ENABLE_SSL_CERTIFICATE_VERIFICATION: {unchecked}"));
        }
        if property("ssl.endpoint.identification.algorithm") == "none" {
            warnings.push(format!("KAFKA_SSL_ENDPOINT_IDENTIFICATION_ALGORITHM: {unchecked}"));
        }
    }
    warnings
}

/// Whether this is an http:// URL of another machine.
fn is_in_clear(url: &str) -> bool {
    Url::parse(url).is_ok_and(|url| {
        let is_local = match url.host() {
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            None => true,
        };
        url.scheme() == "http" && !is_local
    })
}

/// Whether one of these brokers is on another machine.
fn is_elsewhere(servers: &str) -> bool {
    servers
        .split(',')
        .map(str::trim)
        .filter(|server| !server.is_empty())
        .any(|server| {
            let server = server.rsplit_once("://").map_or(server, |(_, server)| server);
            let host = server.rsplit_once(':').map_or(server, |(host, _)| host);
            let host = host.trim_start_matches('[').trim_end_matches(']');
            host != "localhost" && !host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
        })
}
