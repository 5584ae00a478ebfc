//! What librdkafka says about itself: its log, and whether the brokers can be reached and why not.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode};
use tracing::{debug, error, info, warn};

use super::BrokerCode;

/// Collects the errors of one client. Logs when the brokers go away and when they come back, not
/// each attempt in between.
#[derive(Debug)]
pub(super) struct Observer {
    role: &'static str,
    down: AtomicBool,
    reason: Mutex<Option<String>>,
    refused: AtomicBool,
    offset_resets: AtomicU64,
    ended: AtomicBool,
}

impl Observer {
    /// An observer of a client that plays this role ("consumer", …).
    pub(super) fn new(role: &'static str) -> Self {
        Self {
            role,
            down: AtomicBool::new(false),
            reason: Mutex::new(None),
            refused: AtomicBool::new(false),
            offset_resets: AtomicU64::new(0),
            ended: AtomicBool::new(false),
        }
    }

    /// The client has done its work: that brokers go away is no news any more.
    pub(super) fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
    }

    /// A line of librdkafka's log. Failed connections come here once an attempt: to debug with
    /// them, [`Self::error`] has the same news.
    pub(super) fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        let role = self.role;
        match (level, facility) {
            (_, "FAIL" | "ERROR" | "CONFWARN") => {
                debug!(kafka.role = role, "librdkafka {facility}: {message}");
            }
            // So much is said of an offset only when it is reset: the records from there on are not in the log any more.
            (RDKafkaLogLevel::Error | RDKafkaLogLevel::Warning, "OFFSET") => {
                self.offset_resets.fetch_add(1, Ordering::Relaxed);
                error!(
                    kafka.role = role,
                    "records may be lost, for Kafka does not hold them any more (retention, or a topic made anew): {message}"
                );
            }
            (RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical, _) => {
                error!(kafka.role = role, "librdkafka {facility}: {message}");
            }
            (RDKafkaLogLevel::Error | RDKafkaLogLevel::Warning, _) => {
                warn!(kafka.role = role, "librdkafka {facility}: {message}");
            }
            _ => debug!(kafka.role = role, "librdkafka {facility}: {message}"),
        }
    }

    /// An error of the client as a whole.
    pub(super) fn error(&self, error: &ClientError, reason: &str) {
        let Some(code) = error.rdkafka_error_code() else {
            return;
        };
        let role = self.role;
        if self.ended.load(Ordering::Relaxed) {
            return;
        }
        if code == RDKafkaErrorCode::AllBrokersDown {
            if !self.down.swap(true, Ordering::Relaxed) {
                let reason = self.reason().unwrap_or_else(|| reason.to_owned());
                warn!(kafka.role = role, "no Kafka broker can be reached: {reason}");
            }
            return;
        }
        let reason = readable(reason);
        debug!(kafka.role = role, kafka.code = ?code, "Kafka client error: {reason}");
        if is_refusal(code) && !self.refused.swap(true, Ordering::Relaxed) {
            warn!(kafka.role = role, kafka.code = ?code, "Kafka refuses this client: {reason}");
        }
        if BrokerCode(code).is_transport() || is_refusal(code) {
            *self.reason.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason);
        }
    }

    /// A broker answered.
    pub(super) fn answered(&self) {
        self.refused.store(false, Ordering::Relaxed);
        if self.down.swap(false, Ordering::Relaxed) {
            info!(kafka.role = self.role, "Kafka can be reached again");
        }
    }

    /// How often reading went on elsewhere than where it was to, because that place was not in the log.
    pub(super) fn offset_resets(&self) -> u64 {
        self.offset_resets.load(Ordering::Relaxed)
    }

    /// No broker could be reached since one last answered.
    pub(super) fn is_down(&self) -> bool {
        self.down.load(Ordering::Relaxed)
    }

    /// A broker answered that it does not let us in (TLS, SASL).
    pub(super) fn is_refused(&self) -> bool {
        self.refused.load(Ordering::Relaxed)
    }

    /// Why a broker could not be reached the last time, such as
    /// `127.0.0.1:9092: connection refused`.
    pub(super) fn reason(&self) -> Option<String> {
        self.reason.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn is_refusal(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SaslAuthenticationFailed | RDKafkaErrorCode::SSL
    )
}

/// librdkafka's reason without its inner life:
/// `h:1/bootstrap: Connect to ipv4#h:1 failed: Connection refused (after 0ms in state CONNECT)`
/// becomes `h:1: connection refused`. Anything of another form stays as it is.
fn readable(reason: &str) -> String {
    let Some((broker, rest)) = reason.split_once(": ") else {
        return reason.to_owned();
    };
    let name = broker.rsplit_once("://").map_or(broker, |(_, name)| name);
    let address = name.split('/').next().unwrap_or(name);
    let rest = rest.split(" (after ").next().unwrap_or(rest);
    let why = rest.rsplit_once(" failed: ").map_or(rest, |(_, why)| why);
    let mut letters = why.chars();
    let starts_as_a_word = why.chars().nth(1).is_some_and(char::is_lowercase);
    match letters.next() {
        Some(first) if starts_as_a_word => {
            format!("{address}: {}{}", first.to_lowercase(), letters.as_str())
        }
        _ => format!("{address}: {why}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_connection_reads_well() {
        assert_eq!(
            readable(
                "127.0.0.1:9092/bootstrap: Connect to ipv4#127.0.0.1:9092 failed: \
                 Connection refused (after 0ms in state CONNECT)"
            ),
            "127.0.0.1:9092: connection refused"
        );
        assert_eq!(
            readable("sasl_ssl://kafka:9093/bootstrap: SSL handshake failed: Disconnected: x"),
            "kafka:9093: disconnected: x"
        );
        assert_eq!(readable("something else"), "something else");
    }

    #[test]
    fn the_reason_outlives_the_summary() {
        let observer = Observer::new("test");
        observer.error(
            &ClientError::Global(RDKafkaErrorCode::BrokerTransportFailure),
            "h:1/bootstrap: Connect to ipv4#h:1 failed: Connection refused (after 0ms in state X)",
        );
        observer.error(
            &ClientError::Global(RDKafkaErrorCode::AllBrokersDown),
            "1/1 brokers are down",
        );
        assert!(observer.is_down());
        assert_eq!(observer.reason().as_deref(), Some("h:1: connection refused"));
        observer.answered();
        assert!(!observer.is_down());
    }
    #[test]
    fn that_brokers_go_away_is_no_news_at_the_end() {
        let observer = Observer::new("test");
        observer.end();
        observer.error(
            &ClientError::Global(RDKafkaErrorCode::AllBrokersDown),
            "1/1 brokers are down",
        );
        assert!(!observer.is_down());
    }
}
