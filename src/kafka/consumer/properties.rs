//! What librdkafka is told for a member of the group.

use rdkafka::ClientConfig;

use super::super::Settings;

/// Defaults that operators may change. The fetch sizes let records of 16 MiB and their headers
/// through: brokers send at least one whole batch, and the receive limit has room for it.
const DEFAULTS: [(&str, &str); 10] = [
    ("fetch.queue.backoff.ms", "10"),
    ("queued.min.messages", "20000"),
    ("queued.max.messages.kbytes", "16384"),
    ("fetch.message.max.bytes", "1048576"),
    ("fetch.max.bytes", "17825792"),
    ("message.max.bytes", "17000000"),
    ("receive.message.max.bytes", "37748736"),
    ("statistics.interval.ms", "5000"),
    ("topic.metadata.refresh.interval.ms", "60000"),
    ("fetch.wait.max.ms", "500"),
];

/// Defaults where the members share out the partitions. With the group protocol of Kafka 4 (KIP-848) the brokers do,
/// and librdkafka refuses these.
const SHARED_OUT_BY_MEMBERS: [(&str, &str); 2] = [
    ("partition.assignment.strategy", "cooperative-sticky"),
    // A member hears with its next heartbeat that another one has come or gone. librdkafka's default is 3 s.
    ("heartbeat.interval.ms", "1000"),
];

/// What at-least-once delivery rests on.
const FIXED: [(&str, &str); 4] = [
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    ("auto.offset.reset", "earliest"),
    ("allow.auto.create.topics", "false"),
];

/// The configuration of a consumer: the defaults, over them what the operator says, over both what is fixed.
pub(super) fn of(settings: &Settings) -> ClientConfig {
    let mut config = settings.client_config(&DEFAULTS, &FIXED);
    config.set("group.id", &settings.group_id);
    if config.get("group.protocol") != Some("consumer") {
        for (name, value) in SHARED_OUT_BY_MEMBERS {
            if config.get(name).is_none() {
                config.set(name, value);
            }
        }
    }
    config
}

#[cfg(test)]
mod tests {
    use rdkafka::consumer::BaseConsumer;

    use super::*;

    /// What a consumer has whose operator says this.
    fn got(said: &[(&str, &str)], name: &str) -> Option<String> {
        let mut settings = Settings::new("127.0.0.1:1");
        let said = said.iter().map(|(name, value)| (name.to_string(), value.to_string()));
        settings.extra.extend(said);
        let config = of(&settings);
        config.create::<BaseConsumer>().expect("librdkafka takes it");
        config.get(name).map(str::to_owned)
    }

    #[test]
    fn a_full_queue_is_looked_at_again_at_once_and_not_after_a_second() {
        let name = "fetch.queue.backoff.ms";
        assert_eq!(got(&[], name).as_deref(), Some("10"));
        assert_eq!(got(&[(name, "250")], name).as_deref(), Some("250"));
    }

    #[test]
    fn who_comes_waits_for_a_heartbeat_of_a_second_where_members_share_out() {
        let [strategy, heartbeat] = ["partition.assignment.strategy", "heartbeat.interval.ms"];
        assert_eq!(got(&[], strategy).as_deref(), Some("cooperative-sticky"));
        assert_eq!(got(&[], heartbeat).as_deref(), Some("1000"));
        assert_eq!(got(&[(heartbeat, "500")], heartbeat).as_deref(), Some("500"));
        let by_brokers = [("group.protocol", "consumer")];
        assert_eq!(got(&by_brokers, strategy), None);
        assert_eq!(got(&by_brokers, heartbeat), None);
    }

    #[test]
    fn no_operator_has_positions_kept_before_the_work() {
        for (name, fixed, other) in [
            ("enable.auto.commit", "false", "true"),
            ("enable.auto.offset.store", "false", "true"),
            ("auto.offset.reset", "earliest", "latest"),
            ("allow.auto.create.topics", "false", "true"),
        ] {
            assert_eq!(got(&[(name, other)], name).as_deref(), Some(fixed));
        }
    }
}
