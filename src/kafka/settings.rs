//! How to reach the brokers: our own settings, and whatever else librdkafka takes.

use std::collections::BTreeMap;
use std::fmt;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError as ClientError;
use rdkafka::types::RDKafkaConfRes;

use super::KafkaError;

/// Where Kafka is and who we are there.
#[derive(Clone, PartialEq, Eq)]
pub struct Settings {
    /// Brokers to start from: `host:port`, separated by commas.
    pub bootstrap_servers: String,
    /// Consumer group.
    pub group_id: String,
    /// Name in the logs and quotas of the brokers, unless [`Self::extra`] has another.
    pub client_id: String,
    /// Further librdkafka properties under their dotted names. They win over our defaults, not over
    /// what correctness rests on (manual offsets, idempotence, `acks`). Secrets are among them.
    pub extra: BTreeMap<String, String>,
}

/// Shows the names of the further properties, never their values.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("bootstrap_servers", &self.bootstrap_servers)
            .field("group_id", &self.group_id)
            .field("client_id", &self.client_id)
            .field("extra", &self.extra.keys().collect::<Vec<_>>())
            .finish()
    }
}

/// Names of librdkafka that mean the same property. rdkafka sets properties in no particular order,
/// so only one name of a pair may be set.
const ALIASES: [(&str, &str); 8] = [
    ("metadata.broker.list", "bootstrap.servers"),
    ("max.partition.fetch.bytes", "fetch.message.max.bytes"),
    ("message.timeout.ms", "delivery.timeout.ms"),
    ("queue.buffering.max.ms", "linger.ms"),
    ("request.required.acks", "acks"),
    ("compression.type", "compression.codec"),
    ("max.in.flight", "max.in.flight.requests.per.connection"),
    ("retries", "message.send.max.retries"),
];

/// After so long without an answer a broker is taken for lost: within a minute, the half second included for which a
/// broker may hold back a fetch. librdkafka's own minute comes to more.
const SILENCE: &str = "45000";

impl Settings {
    /// Settings for these brokers, with `accolade` as group and client name and nothing further.
    pub fn new(bootstrap_servers: impl Into<String>) -> Self {
        Self {
            bootstrap_servers: bootstrap_servers.into(),
            group_id: "accolade".to_owned(),
            client_id: "accolade".to_owned(),
            extra: BTreeMap::new(),
        }
    }

    /// The same for one of several consumers of a process: a static member (`group.instance.id`) bears its number as well,
    /// for two members of one name drive each other out of the group.
    pub fn of_consumer(&self, number: usize, of: usize) -> Self {
        let mut own = self.clone();
        if of > 1
            && let Some(name) = own.extra.get_mut("group.instance.id")
        {
            name.push_str(&format!("-{number}"));
        }
        own
    }

    /// Where librdkafka finds the authorities of this machine, unless the properties or the environment of OpenSSL name
    /// some. The OpenSSL that is linked in would look where nobody keeps any.
    fn authorities(&self, is_in_environment: impl Fn(&str) -> bool) -> Option<&'static str> {
        let in_properties = ["ssl.ca.location", "ssl.ca.pem", "ssl.ca.certificate.stores"];
        let is_named = in_properties.iter().any(|name| self.extra.contains_key(*name))
            || ["SSL_CERT_FILE", "SSL_CERT_DIR"].into_iter().any(is_in_environment);
        (!is_named).then_some("probe")
    }

    /// What rdkafka asks for itself, whatever the property says: warnings, unless the property says otherwise.
    fn log_level(&self) -> RDKafkaLogLevel {
        match self.extra.get("log_level").map(String::as_str) {
            Some("0") => RDKafkaLogLevel::Emerg,
            Some("1") => RDKafkaLogLevel::Alert,
            Some("2") => RDKafkaLogLevel::Critical,
            Some("3") => RDKafkaLogLevel::Error,
            Some("5") => RDKafkaLogLevel::Notice,
            Some("6") => RDKafkaLogLevel::Info,
            Some("7") => RDKafkaLogLevel::Debug,
            _ => RDKafkaLogLevel::Warning,
        }
    }

    /// A client's configuration: `defaults`, over them [`Self::extra`], over these `fixed`.
    pub(super) fn client_config(&self, defaults: &[(&str, &str)], fixed: &[(&str, &str)]) -> ClientConfig {
        let mut config = ClientConfig::new();
        let mut set = |name: &str, value: &str| {
            config.set(canonical(name), value);
        };
        set("client.id", &self.client_id);
        set("socket.keepalive.enable", "true");
        if let Some(place) = self.authorities(|variable| std::env::var_os(variable).is_some()) {
            set("ssl.ca.location", place);
        }
        set("socket.timeout.ms", SILENCE);
        defaults.iter().for_each(|(name, value)| set(name, value));
        self.extra.iter().for_each(|(name, value)| set(name, value));
        fixed.iter().for_each(|(name, value)| set(name, value));
        set("bootstrap.servers", &self.bootstrap_servers);
        config.set_log_level(self.log_level());
        config
    }
}

/// The one name under which a property is set.
fn canonical(name: &str) -> &str {
    ALIASES
        .iter()
        .find(|(alias, _)| *alias == name)
        .map_or(name, |(_, canonical)| canonical)
}

/// Whether librdkafka has a property of this (dotted) name, in any build.
pub fn is_known_property(name: &str) -> bool {
    !matches!(
        try_property(name, ""),
        Err(ClientError::ClientConfig(RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN, ..)) | Err(ClientError::Nul(_))
    )
}

/// Tries each property by itself on a configuration that is thrown away.
///
/// # Errors
/// [`KafkaError::UnknownProperty`] or [`KafkaError::InvalidProperty`] for the first bad one, by
/// name; its value is never quoted.
pub fn check_properties(properties: &BTreeMap<String, String>) -> Result<(), KafkaError> {
    for (name, value) in properties {
        match try_property(name, value) {
            Ok(()) => {}
            Err(ClientError::ClientConfig(result, ..)) => {
                return Err(property_error(result, name.clone()));
            }
            Err(_) => {
                return Err(KafkaError::InvalidProperty { name: name.clone() });
            }
        }
    }
    Ok(())
}

/// The error for a property that could not be set.
pub(super) fn property_error(result: RDKafkaConfRes, name: String) -> KafkaError {
    match result {
        RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN => KafkaError::UnknownProperty { name },
        _ => KafkaError::InvalidProperty { name },
    }
}

fn try_property(name: &str, value: &str) -> Result<(), ClientError> {
    let mut config = ClientConfig::new();
    config.set(name, value);
    config.create_native_config().map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn properties(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn each_consumer_of_a_process_is_a_static_member_of_its_own() {
        let name = |settings: &Settings| settings.extra.get("group.instance.id").cloned();
        let mut settings = Settings::new("127.0.0.1:1");
        assert_eq!(name(&settings.of_consumer(1, 2)), None);
        settings.extra = properties(&[("group.instance.id", "pod-3")]);
        assert_eq!(name(&settings.of_consumer(1, 2)).as_deref(), Some("pod-3-1"));
        assert_eq!(name(&settings.of_consumer(0, 1)).as_deref(), Some("pod-3"));
    }

    #[test]
    fn properties_of_librdkafka_are_told_from_others() {
        for known in [
            "security.protocol",
            "sasl.password",
            "queued.min.messages",
            "partitioner",
        ] {
            assert!(is_known_property(known), "{known}");
        }
        for unknown in ["port", "service.host", "port.9092.tcp.addr", "", "a\0b"] {
            assert!(!is_known_property(unknown), "{unknown}");
        }
    }

    #[test]
    fn a_bad_value_is_named_and_not_quoted() {
        let error = check_properties(&properties(&[("security.protocol", "hunter2")])).expect_err("bad");
        assert_eq!(error.code(), "invalid_property");
        assert!(error.to_string().contains("security.protocol"), "{error}");
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("hunter2"), "{shown}");

        let error = check_properties(&properties(&[("port", "tcp")])).expect_err("unknown");
        assert_eq!(error.code(), "unknown_property");
        check_properties(&properties(&[("sasl.password", "x"), ("linger.ms", "5")])).expect("good ones pass");
    }

    #[test]
    fn a_broker_that_says_nothing_is_lost_within_a_minute_unless_an_operator_says_otherwise() {
        let mut settings = Settings::new("127.0.0.1:1");
        let after = |settings: &Settings| {
            let config = settings.client_config(&[("fetch.wait.max.ms", "500")], &[]);
            let of = |name| config.get(name).and_then(|value| value.parse::<u32>().ok());
            Some(of("socket.timeout.ms")? + of("fetch.wait.max.ms")?)
        };
        assert!(after(&settings).is_some_and(|silence| silence < 60_000));
        settings.extra = properties(&[("socket.timeout.ms", "90000")]);
        assert_eq!(after(&settings), Some(90_500));
    }

    #[test]
    fn values_are_not_shown() {
        let mut settings = Settings::new("127.0.0.1:1");
        settings.extra = properties(&[("sasl.password", "hunter2")]);
        let shown = format!("{settings:?}");
        assert!(shown.contains("sasl.password"), "{shown}");
        assert!(!shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn what_correctness_rests_on_cannot_be_set_under_another_name() {
        let mut settings = Settings::new("127.0.0.1:1");
        settings.extra = properties(&[("request.required.acks", "0"), ("queue.buffering.max.ms", "7")]);
        let config = settings.client_config(&[("linger.ms", "0")], &[("acks", "all")]);
        assert_eq!(config.get("acks"), Some("all"));
        assert_eq!(config.get("request.required.acks"), None);
        assert_eq!(config.get("linger.ms"), Some("7"));
        assert_eq!(config.get("client.id"), Some("accolade"));
        settings.extra = properties(&[("client.id", "mine")]);
        assert_eq!(settings.client_config(&[], &[]).get("client.id"), Some("mine"));
        assert_eq!(settings.log_level() as i32, RDKafkaLogLevel::Warning as i32);
        settings.extra = properties(&[("log_level", "7")]);
        assert_eq!(settings.log_level() as i32, RDKafkaLogLevel::Debug as i32);
    }

    #[test]
    fn the_authorities_of_the_machine_are_looked_for_unless_others_are_named() {
        let mut settings = Settings::new("127.0.0.1:1");
        assert_eq!(settings.authorities(|_| false), Some("probe"));
        assert_eq!(settings.authorities(|variable| variable == "SSL_CERT_FILE"), None);
        for named in ["ssl.ca.location", "ssl.ca.pem"] {
            settings.extra = properties(&[(named, "x")]);
            assert_eq!(settings.authorities(|_| false), None, "{named}");
            assert_eq!(settings.client_config(&[], &[]).get(named), Some("x"));
        }
    }
}
