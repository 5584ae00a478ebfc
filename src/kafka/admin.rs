//! Looking at the cluster, and creating topics.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::{ClientContext, DefaultClientContext};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode};
use rdkafka::metadata::Metadata;

use super::observer::Observer;
use super::{BrokerCode, KafkaError, Settings};

/// How long one question to the brokers may take.
const TIMEOUT: Duration = Duration::from_secs(20);

/// A name may have several addresses, tried one after the other: that the first is refused decides
/// nothing before this time.
const GRACE: Duration = Duration::from_millis(1500);

/// How often to look for the reason while waiting.
const SLICE: Duration = Duration::from_millis(100);
/// So many events of a client are served after each slice: more than one attempt to connect makes.
const EVENTS: usize = 64;

/// The brokers' own default of the replication factor.
const DEFAULT_REPLICATION: TopicReplication<'static> = TopicReplication::Fixed(-1);

/// What a cluster says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    /// The cluster's id, from brokers that tell it.
    pub id: Option<String>,
    /// `host:port` of each broker, sorted.
    pub brokers: Vec<String>,
    /// Names of all topics this client may see, sorted.
    pub topics: Vec<String>,
}

/// Asks the brokers who they are.
///
/// # Errors
/// [`KafkaError::Unreachable`], in words for people, when none answers within `timeout`; sooner
/// when it is clear that none will.
pub async fn reach(settings: &Settings, timeout: Duration) -> Result<Cluster, KafkaError> {
    let settings = settings.clone();
    tokio::task::spawn_blocking(move || describe(&settings, timeout))
        .await
        .unwrap_or(Err(KafkaError::TimedOut {
            operation: "reach Kafka",
        }))
}

/// Which of these topics exist, in the order given.
///
/// # Errors
/// As [`reach`].
pub async fn existing_topics(settings: &Settings, names: &[String]) -> Result<Vec<String>, KafkaError> {
    let cluster = reach(settings, TIMEOUT).await?;
    Ok(select(names, |name| cluster.has(name)))
}

/// Which of these topics do not exist, in the order given.
///
/// # Errors
/// As [`reach`].
pub async fn missing_topics(settings: &Settings, names: &[String]) -> Result<Vec<String>, KafkaError> {
    let cluster = reach(settings, TIMEOUT).await?;
    Ok(select(names, |name| !cluster.has(name)))
}

/// Creates those of these topics that are missing, with this many partitions and the brokers'
/// default replication, and returns the names of those it created. May be called again, and by
/// several processes at once.
///
/// # Errors
/// As [`reach`]; [`KafkaError::TopicsNotCreated`] with the names when the brokers refuse (rights,
/// policy) or cannot create topics at all. The embedded broker cannot: it names no controller, so
/// the code is `OperationTimedOut`; a broker that lacks the request gives `UnsupportedFeature`.
pub async fn ensure_topics(settings: &Settings, names: &[String], partitions: i32) -> Result<Vec<String>, KafkaError> {
    create_missing(settings, names, partitions, TIMEOUT).await
}

/// [`ensure_topics`], where the brokers have this long to create them.
pub(super) async fn create_missing(
    settings: &Settings,
    names: &[String],
    partitions: i32,
    timeout: Duration,
) -> Result<Vec<String>, KafkaError> {
    let missing = missing_topics(settings, names).await?;
    if missing.is_empty() {
        return Ok(missing);
    }
    let admin: AdminClient<DefaultClientContext> = settings
        .client_config(&[], &[])
        .create()
        .map_err(|error| KafkaError::of("create the admin client", error))?;
    let wanted: Vec<NewTopic<'_>> = missing
        .iter()
        .map(|name| NewTopic::new(name, partitions, DEFAULT_REPLICATION))
        .collect();
    let options = AdminOptions::new()
        .request_timeout(Some(timeout))
        .operation_timeout(Some(timeout));
    let answers = match admin.create_topics(&wanted, &options).await {
        Ok(answers) => answers,
        Err(ClientError::AdminOp(code)) => {
            return Err(KafkaError::TopicsNotCreated {
                topics: missing,
                source: BrokerCode(code),
            });
        }
        Err(error) => return Err(KafkaError::of("create topics", error)),
    };
    let mut created = Vec::new();
    let mut refused = Vec::new();
    for answer in answers {
        match answer {
            Ok(name) => created.push(name),
            // Another process was faster.
            Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((name, code)) => refused.push((name, BrokerCode(code))),
        }
    }
    match refused.first() {
        None => {
            become_known(settings, &missing, timeout).await?;
            Ok(created)
        }
        Some(&(_, source)) => Err(KafkaError::TopicsNotCreated {
            topics: refused.into_iter().map(|(name, _)| name).collect(),
            source,
        }),
    }
}

/// Waits until brokers name these topics, which takes them a moment: who subscribes earlier is told that there is no such
/// topic, and looks again only after a while. Longer than `timeout` nobody waits: consumers find a topic when it appears.
async fn become_known(settings: &Settings, names: &[String], timeout: Duration) -> Result<(), KafkaError> {
    let started = Instant::now();
    while !missing_topics(settings, names).await?.is_empty() && started.elapsed() < timeout {
        tokio::time::sleep(SLICE).await;
    }
    Ok(())
}

impl Cluster {
    /// Whether the topic exists.
    pub fn has(&self, topic: &str) -> bool {
        self.topics.binary_search_by(|name| name.as_str().cmp(topic)).is_ok()
    }

    fn new(metadata: &Metadata, id: Option<String>) -> Self {
        let mut brokers: Vec<_> = metadata
            .brokers()
            .iter()
            .map(|broker| format!("{}:{}", broker.host(), broker.port()))
            .collect();
        brokers.sort();
        let mut topics: Vec<_> = metadata
            .topics()
            .iter()
            .filter(|topic| topic.error().is_none())
            .map(|topic| topic.name().to_owned())
            .collect();
        topics.sort();
        Self { id, brokers, topics }
    }
}

fn select(names: &[String], keep: impl Fn(&str) -> bool) -> Vec<String> {
    names.iter().filter(|name| keep(name)).cloned().collect()
}

/// A client that only asks. Without a group, polling it serves its errors and nothing else.
struct AskContext(Arc<Observer>);

impl ClientContext for AskContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.0.log(level, facility, message);
    }

    fn error(&self, error: ClientError, reason: &str) {
        self.0.error(&error, reason);
    }
}

impl ConsumerContext for AskContext {}

/// Asks for all topics: a question for one by name may create it.
fn describe(settings: &Settings, timeout: Duration) -> Result<Cluster, KafkaError> {
    let observer = Arc::new(Observer::new("admin"));
    let mut config = settings.client_config(&[], &[("allow.auto.create.topics", "false")]);
    for needs_a_group in ["group.id", "group.instance.id", "group.protocol"] {
        config.remove(needs_a_group);
    }
    let client: BaseConsumer<AskContext> = config
        .create_with_context(AskContext(Arc::clone(&observer)))
        .map_err(|error| KafkaError::of("create the client", error))?;
    let started = Instant::now();
    loop {
        let left = timeout.saturating_sub(started.elapsed());
        match client.fetch_metadata(None, left.min(SLICE)) {
            Ok(metadata) => {
                let left = timeout.saturating_sub(started.elapsed());
                return Ok(Cluster::new(
                    &metadata,
                    client.client().fetch_cluster_id(left.min(SLICE)),
                ));
            }
            Err(ClientError::MetadataFetch(code)) if BrokerCode(code).is_transport() => {}
            Err(error) => return Err(KafkaError::of("ask for topics", error)),
        }
        // Each poll serves one event, a line of the log as well as an error, and does not say that it did.
        for _ in 0..EVENTS {
            drop(client.poll(Duration::ZERO));
        }
        let hopeless = observer.is_refused() || (observer.is_down() && started.elapsed() >= GRACE);
        if hopeless || started.elapsed() >= timeout {
            let reason = observer
                .reason()
                .unwrap_or_else(|| format!("{}: no answer", settings.bootstrap_servers));
            return Err(KafkaError::Unreachable { reason });
        }
    }
}
