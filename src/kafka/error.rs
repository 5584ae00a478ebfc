//! What can go wrong with Kafka, and what that asks of the caller.

use std::error::Error;
use std::fmt;

use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode};

/// The code of librdkafka or of the broker behind an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BrokerCode(pub(super) RDKafkaErrorCode);

impl BrokerCode {
    /// The stable name of the code, such as `TopicAuthorizationFailed`: a log field, a metric label.
    pub fn name(&self) -> String {
        format!("{:?}", self.0)
    }

    /// Nobody reached a broker.
    pub(super) fn is_transport(self) -> bool {
        use RDKafkaErrorCode as Code;
        matches!(
            self.0,
            Code::BrokerTransportFailure | Code::AllBrokersDown | Code::Resolve | Code::OperationTimedOut
        )
    }

    /// No later attempt succeeds unless someone changes the settings or the cluster.
    fn is_permanent(self) -> bool {
        use RDKafkaErrorCode as Code;
        matches!(
            self.0,
            Code::Authentication
                | Code::SaslAuthenticationFailed
                | Code::SSL
                | Code::TopicAuthorizationFailed
                | Code::GroupAuthorizationFailed
                | Code::ClusterAuthorizationFailed
                | Code::UnsupportedFeature
                | Code::UnsupportedVersion
                | Code::UnsupportedSASLMechanism
                | Code::InvalidArgument
                | Code::InvalidConfig
                | Code::InvalidGroupId
                | Code::InvalidPartitions
                | Code::InvalidReplicationFactor
                | Code::InvalidTopic
                | Code::PolicyViolation
        )
    }
}

impl fmt::Display for BrokerCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for BrokerCode {}

/// Errors of this room. None of them quotes a configured value.
#[derive(Debug, thiserror::Error)]
pub enum KafkaError {
    /// librdkafka has no property of this name.
    #[error("librdkafka does not know the property {name}")]
    UnknownProperty {
        /// Name of the property, dotted.
        name: String,
    },
    /// The property exists and its value is not valid for it, or not in this build.
    #[error("the value of the property {name} is not valid")]
    InvalidProperty {
        /// Name of the property, dotted.
        name: String,
    },
    /// Each property is valid, their combination is not; or a file they name cannot be read.
    #[error("librdkafka refuses the settings: {reason}")]
    Refused {
        /// librdkafka's words.
        reason: String,
    },
    /// No broker could be reached.
    #[error("{reason}")]
    Unreachable {
        /// Address and reason, such as `127.0.0.1:9092: connection refused`.
        reason: String,
    },
    /// A broker, or librdkafka in its place, answered a request with an error.
    #[error("{operation}: {source}")]
    Broker {
        /// What was asked.
        operation: &'static str,
        /// The answer.
        source: BrokerCode,
    },
    /// The client can no longer be used: build a new one.
    #[error("{operation}: fatal: {source}")]
    Fatal {
        /// What was asked.
        operation: &'static str,
        /// The answer.
        source: BrokerCode,
    },
    /// The call was refused by the client library, without a code.
    #[error("{operation}: {reason}")]
    Local {
        /// What was asked.
        operation: &'static str,
        /// librdkafka's words.
        reason: String,
    },
    /// No answer in the time given; what was asked may still happen.
    #[error("{operation}: no answer in time")]
    TimedOut {
        /// What was asked.
        operation: &'static str,
    },
    /// Topics are missing and could not be created.
    #[error("cannot create the topics {}: {source}", topics.join(", "))]
    TopicsNotCreated {
        /// Names of these topics.
        topics: Vec<String>,
        /// Why the first of them could not be created.
        source: BrokerCode,
    },
    /// The system gives no thread.
    #[error("cannot start a thread: {0}")]
    Thread(#[from] std::io::Error),
}

impl KafkaError {
    /// Stable short name: a log field, a metric label.
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnknownProperty { .. } => "unknown_property",
            Self::InvalidProperty { .. } => "invalid_property",
            Self::Refused { .. } => "settings_refused",
            Self::Unreachable { .. } => "unreachable",
            Self::Broker { .. } => "broker_error",
            Self::Fatal { .. } => "fatal",
            Self::Local { .. } => "client_error",
            Self::TimedOut { .. } => "timed_out",
            Self::TopicsNotCreated { .. } => "topics_not_created",
            Self::Thread(_) => "no_thread",
        }
    }

    /// The code of librdkafka or of the broker, where there is one.
    pub fn broker_code(&self) -> Option<BrokerCode> {
        match self {
            Self::Broker { source, .. } | Self::Fatal { source, .. } | Self::TopicsNotCreated { source, .. } => {
                Some(*source)
            }
            _ => None,
        }
    }

    /// The same call may succeed later though nobody changed anything here.
    pub fn is_retriable(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::TimedOut { .. } | Self::Local { .. } | Self::Thread(_) => true,
            Self::Broker { source, .. } | Self::TopicsNotCreated { source, .. } => !source.is_permanent(),
            Self::UnknownProperty { .. } | Self::InvalidProperty { .. } | Self::Refused { .. } | Self::Fatal { .. } => {
                false
            }
        }
    }

    /// Waiting may help: it lies with the network, the brokers, or the rights that somebody gives there, and not with the
    /// settings of this client.
    pub fn is_mended_elsewhere(&self) -> bool {
        !matches!(
            self,
            Self::UnknownProperty { .. } | Self::InvalidProperty { .. } | Self::Refused { .. } | Self::Fatal { .. }
        )
    }

    /// The client that said so is of no further use.
    pub fn is_fatal(&self) -> bool {
        matches!(self, Self::Fatal { .. })
    }

    /// The group is rebalancing, or has done so without this member's knowing yet: it takes no offsets from it now.
    pub(super) fn is_rebalance(&self) -> bool {
        use RDKafkaErrorCode as Code;
        let code = self.broker_code().map(|code| code.0);
        matches!(code, Some(Code::RebalanceInProgress | Code::IllegalGeneration))
    }

    /// Topics that may not be created.
    #[cfg(test)]
    pub(crate) fn without_rights(topic: &str) -> Self {
        Self::TopicsNotCreated {
            topics: vec![topic.to_owned()],
            source: BrokerCode(RDKafkaErrorCode::TopicAuthorizationFailed),
        }
    }

    /// What rdkafka said, without the values it quotes.
    pub(super) fn of(operation: &'static str, error: ClientError) -> Self {
        match error {
            ClientError::ClientConfig(result, _, name, _) => super::settings::property_error(result, name),
            ClientError::ClientCreation(reason) => Self::Refused { reason },
            ClientError::MessageConsumptionFatal(code) => Self::Fatal {
                operation,
                source: BrokerCode(code),
            },
            other => match other.rdkafka_error_code() {
                Some(code) => Self::Broker {
                    operation,
                    source: BrokerCode(code),
                },
                None => Self::Local {
                    operation,
                    reason: other.to_string(),
                },
            },
        }
    }
}

/// Why a record was not written, sorted by what to do next.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// Not this record's fault: send it again later. It may be in the log already.
    #[error("not delivered: {0}")]
    Retriable(BrokerCode),
    /// The record is larger than the producer or the broker takes; it never fits.
    #[error("the record is too large for the broker")]
    TooLarge,
    /// The broker does not accept this record, now or later.
    #[error("the broker refuses the record: {0}")]
    Permanent(BrokerCode),
    /// The producer lost its place in the sequence and was built anew: send the record again.
    #[error("the producer had to be built anew: {0}")]
    Fatal(BrokerCode),
}

impl SendError {
    /// Stable short name: a log field, a metric label.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Retriable(_) => "retriable",
            Self::TooLarge => "too_large",
            Self::Permanent(_) => "permanent",
            Self::Fatal(_) => "fatal",
        }
    }

    /// The code of librdkafka or of the broker.
    pub fn broker_code(&self) -> BrokerCode {
        match self {
            Self::Retriable(code) | Self::Permanent(code) | Self::Fatal(code) => *code,
            Self::TooLarge => BrokerCode(RDKafkaErrorCode::MessageSizeTooLarge),
        }
    }

    /// Sending the same record again later may succeed.
    pub fn is_retriable(&self) -> bool {
        matches!(self, Self::Retriable(_) | Self::Fatal(_))
    }

    /// The brokers do not let this client write there, and will not until somebody changes something: no rights.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Retriable(code) if code.is_permanent())
    }

    /// Missing rights.
    #[cfg(test)]
    pub(crate) fn without_rights() -> Self {
        Self::of(RDKafkaErrorCode::TopicAuthorizationFailed)
    }

    /// Nobody reached a broker.
    #[cfg(test)]
    pub(crate) fn without_brokers() -> Self {
        Self::of(RDKafkaErrorCode::AllBrokersDown)
    }

    /// Sorts a code. What an operator can mend (rights, a missing topic) is retriable: the record
    /// waits. Only what lies in the record itself is permanent.
    pub(super) fn of(code: RDKafkaErrorCode) -> Self {
        use RDKafkaErrorCode as Code;
        match code {
            Code::MessageSizeTooLarge | Code::MessageBatchTooLarge | Code::InvalidMessageSize => Self::TooLarge,
            Code::InvalidRecord
            | Code::PolicyViolation
            | Code::InvalidTimestamp
            | Code::UnsupportedForMessageFormat
            | Code::InvalidArgument => Self::Permanent(BrokerCode(code)),
            Code::Fatal => Self::Fatal(BrokerCode(code)),
            _ => Self::Retriable(BrokerCode(code)),
        }
    }
}
