//! A broker inside this process, for evaluation and tests. It keeps nothing.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::mpsc::{Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;

use super::KafkaError;

type Cluster = MockCluster<'static, DefaultProducerContext>;
type Task = Box<dyn FnOnce(&Cluster) + Send>;

/// librdkafka's mock broker on a port of 127.0.0.1, with its topics. It ends when this is dropped.
///
/// It cannot create topics when asked over the network, keeps about the last 5 MiB of a partition,
/// and does not see the duplicates of an idempotent producer.
pub struct EmbeddedBroker {
    bootstrap_servers: String,
    tasks: Mutex<Option<Sender<Task>>>,
    thread: Option<JoinHandle<()>>,
}

impl EmbeddedBroker {
    /// Starts the broker with these topics and their numbers of partitions.
    ///
    /// # Errors
    /// When it finds no free port, or does not accept a topic.
    pub fn start(topics: &[(String, i32)]) -> Result<Self, KafkaError> {
        Self::start_brokers(1, topics)
    }

    /// The same with so many brokers, numbered from 1.
    pub(super) fn start_brokers(brokers: i32, topics: &[(String, i32)]) -> Result<Self, KafkaError> {
        let topics = topics.to_vec();
        let (tasks, todo) = channel::<Task>();
        let (started, start) = channel();
        // The cluster's handle may not leave its thread.
        let thread = thread::Builder::new()
            .name("embedded broker".to_owned())
            .spawn(move || {
                let cluster = match create(brokers, &topics) {
                    Ok(cluster) => cluster,
                    Err(error) => {
                        let _ = started.send(Err(error));
                        return;
                    }
                };
                let _ = started.send(Ok(cluster.bootstrap_servers()));
                while let Ok(task) = todo.recv() {
                    task(&cluster);
                }
            })?;
        let bootstrap_servers = start.recv().unwrap_or(Err(KafkaError::TimedOut {
            operation: "start the embedded broker",
        }))?;
        Ok(Self {
            bootstrap_servers,
            tasks: Mutex::new(Some(tasks)),
            thread: Some(thread),
        })
    }

    /// Where it listens.
    pub fn bootstrap_servers(&self) -> &str {
        &self.bootstrap_servers
    }

    /// Properties for the consumers of this broker (for [`super::Settings::extra`]): with the
    /// group protocol of Kafka 4 they join at once, where the older one makes the first member wait
    /// three seconds for others.
    pub fn consumer_properties() -> BTreeMap<String, String> {
        BTreeMap::from([("group.protocol".to_owned(), "consumer".to_owned())])
    }

    /// Cuts all connections and takes no new ones, as if the broker had died. The log stays.
    ///
    /// # Errors
    /// When the mock refuses.
    pub fn go_down(&self) -> Result<(), KafkaError> {
        self.with(|cluster| cluster.broker_down(-1))?
            .map_err(|error| KafkaError::of("stop the embedded broker", error))
    }

    /// Ends [`Self::go_down`].
    ///
    /// # Errors
    /// When the mock refuses.
    pub fn come_up(&self) -> Result<(), KafkaError> {
        self.with(|cluster| cluster.broker_up(-1))?
            .map_err(|error| KafkaError::of("start the embedded broker", error))
    }

    /// Lets every answer take this long.
    ///
    /// # Errors
    /// When the mock refuses.
    pub fn answer_after(&self, delay: Duration) -> Result<(), KafkaError> {
        self.with(move |cluster| cluster.broker_round_trip_time(-1, delay))?
            .map_err(|error| KafkaError::of("slow the embedded broker", error))
    }

    /// Answers so many of the next writes as to somebody without rights.
    #[cfg(test)]
    pub(crate) fn refuse_writes(&self, times: usize) -> Result<(), KafkaError> {
        use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED};
        self.with(move |cluster| {
            cluster.request_errors(
                RDKafkaApiKey::Produce,
                &vec![RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED; times],
            );
        })
    }

    /// Lets nobody write to or read from this topic, or everybody again.
    #[cfg(test)]
    pub(crate) fn refuse_topic(&self, topic: &str, is_refused: bool) -> Result<(), KafkaError> {
        use rdkafka::types::RDKafkaRespErr::{
            RD_KAFKA_RESP_ERR_NO_ERROR, RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED,
        };
        let error = if is_refused {
            RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED
        } else {
            RD_KAFKA_RESP_ERR_NO_ERROR
        };
        let topic = topic.to_owned();
        self.with(move |cluster| cluster.topic_error(&topic, error))?
            .map_err(|error| KafkaError::of("refuse a topic", error))
    }

    /// Runs a task on the cluster's thread and waits for it.
    pub(super) fn with<T: Send + 'static>(
        &self,
        task: impl FnOnce(&Cluster) -> T + Send + 'static,
    ) -> Result<T, KafkaError> {
        let (sender, receiver) = channel();
        let gone = || KafkaError::TimedOut {
            operation: "control the embedded broker",
        };
        self.tasks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .as_ref()
            .ok_or_else(gone)?
            .send(Box::new(move |cluster| {
                let _ = sender.send(task(cluster));
            }))
            .map_err(|_| gone())?;
        receiver.recv().map_err(|_| gone())
    }
}

impl Drop for EmbeddedBroker {
    fn drop(&mut self) {
        drop(self.tasks.lock().unwrap_or_else(PoisonError::into_inner).take());
        if let Some(thread) = self.thread.take() {
            // A panic over there has been reported over there.
            let _ = thread.join();
        }
    }
}

fn create(brokers: i32, topics: &[(String, i32)]) -> Result<Cluster, KafkaError> {
    let start = |error| KafkaError::of("start the embedded broker", error);
    let cluster = MockCluster::new(brokers).map_err(start)?;
    for (topic, partitions) in topics {
        cluster.create_topic(topic, *partitions, 1).map_err(start)?;
    }
    Ok(cluster)
}
