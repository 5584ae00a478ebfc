//! Writes records, each acknowledged by all replicas in sync.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use tokio::sync::{Notify, oneshot};
use tracing::warn;

use super::delivery::{DeliveryContext, Outcome};
use super::message::from_headers;
use super::observer::Observer;
use super::{BrokerCode, KafkaError, SendError, Settings};
use crate::wire::record::OutgoingRecord;

/// How long to wait for room in the queue before looking again: librdkafka frees the room shortly
/// after it reports the delivery that made it.
const ROOM_CHECK: Duration = Duration::from_millis(20);

/// How long one poll for what became of records waits. rdkafka spins through the last millisecond of each, and its own
/// thread's poll lasts 100 ms: one per cent of a core for a producer that does nothing.
const POLL: Duration = Duration::from_secs(1);

/// How long a producer that is dropped may take to write what was given to it.
const DROP_FLUSH: Duration = Duration::from_secs(5);

/// Defaults that operators may change. The largest record is a dead letter of 16 MiB.
const DEFAULTS: [(&str, &str); 5] = [
    ("message.max.bytes", "17000000"),
    ("queue.buffering.max.messages", "10000"),
    ("queue.buffering.max.kbytes", "65536"),
    // Java's: whoever joins these topics by key finds the same partition.
    ("partitioner", "murmur2_random"),
    // A topic that refused a record refuses all until the next refresh.
    ("topic.metadata.refresh.interval.ms", "30000"),
];

/// What at-least-once delivery in order rests on.
const FIXED: [(&str, &str); 2] = [("enable.idempotence", "true"), ("acks", "all")];

/// How a producer weighs time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProducerOptions {
    /// How long a record waits for others to travel with.
    pub linger: Duration,
    /// After this long without an acknowledgement a record has failed. Longer than librdkafka's
    /// back-off between connections (10 s), or the first records after an outage fail too.
    pub delivery_timeout: Duration,
}

impl Default for ProducerOptions {
    fn default() -> Self {
        Self {
            linger: Duration::ZERO,
            delivery_timeout: Duration::from_secs(120),
        }
    }
}

/// Writes records. Cheap to clone; clones share the connection and the queue.
///
/// Records of one partition are written in the order in which they were queued. When the brokers
/// refuse to go on with this producer (a *fatal* error), it is built anew underneath, once, and
/// what it had in hand fails with [`SendError::Fatal`]. [`Self::flush`] before dropping the last
/// clone at the end of the process: what is still queued then is lost.
#[derive(Clone)]
pub struct Producer {
    shared: Arc<Shared>,
}

struct Shared {
    settings: Settings,
    options: ProducerOptions,
    observer: Arc<Observer>,
    current: Mutex<Arc<Client>>,
}

/// One producer of librdkafka.
struct Client {
    generation: u64,
    room: Arc<Notify>,
    /// `None` only while being dropped.
    producer: Option<Arc<BaseProducer<DeliveryContext>>>,
}

/// What becomes of a queued record: wait for it with [`Self::delivered`].
#[must_use = "whether the record was written is known only from here"]
pub struct Receipt {
    shared: Arc<Shared>,
    client: Arc<Client>,
    outcome: oneshot::Receiver<Outcome>,
}

impl Producer {
    /// A producer for these brokers, which need not be there yet.
    ///
    /// # Errors
    /// When librdkafka does not accept the settings.
    pub fn new(settings: &Settings, options: ProducerOptions) -> Result<Self, KafkaError> {
        let observer = Arc::new(Observer::new("producer"));
        let client = Client::new(settings, options, &observer, 0)?;
        Ok(Self {
            shared: Arc::new(Shared {
                settings: settings.clone(),
                options,
                observer,
                current: Mutex::new(Arc::new(client)),
            }),
        })
    }

    /// Writes a record: partition and offset once all replicas in sync have it. Waits while the
    /// queue is full. Dropping the future does not call a queued record back.
    ///
    /// # Errors
    /// See [`SendError`]. After [`SendError::Retriable`] the record may be in the log all the same.
    pub async fn send(&self, record: OutgoingRecord) -> Result<(i32, i64), SendError> {
        self.enqueue(&record).await?.delivered().await
    }

    /// Queues a record, waiting while the queue is full, and returns without waiting for the
    /// brokers. For many records in order: queue one after the other, then wait for the receipts.
    ///
    /// # Errors
    /// See [`SendError`]; the record was not queued then.
    pub async fn enqueue(&self, record: &OutgoingRecord) -> Result<Receipt, SendError> {
        let mut renewed = false;
        loop {
            let client = self.shared.current();
            let code = match client.queue(record) {
                Ok(outcome) => {
                    return Ok(Receipt {
                        shared: Arc::clone(&self.shared),
                        client,
                        outcome,
                    });
                }
                Err(code) => code,
            };
            match code {
                RDKafkaErrorCode::QueueFull => {
                    // Elapsed or not, the next turn looks again.
                    let _ = tokio::time::timeout(ROOM_CHECK, client.room.notified()).await;
                }
                _ if client.fatal().is_some() && !renewed => {
                    self.shared.renew(&client)?;
                    renewed = true;
                }
                code => return Err(SendError::of(code)),
            }
        }
    }

    /// Waits until everything queued so far is written or has failed. To be called before the last
    /// clone is dropped.
    ///
    /// # Errors
    /// [`KafkaError::TimedOut`] when records were still waiting after `timeout`.
    pub async fn flush(&self, timeout: Duration) -> Result<(), KafkaError> {
        let client = self.shared.current();
        tokio::task::spawn_blocking(move || client.flush(timeout))
            .await
            .unwrap_or(Err(KafkaError::TimedOut { operation: "flush" }))
    }

    /// Records queued and not yet acknowledged.
    pub fn in_flight(&self) -> usize {
        usize::try_from(self.shared.current().producer().in_flight_count()).unwrap_or(0)
    }

    /// How often the producer had to be built anew.
    pub fn renewals(&self) -> u64 {
        self.shared.current().generation
    }

    /// No broker could be reached since one last answered.
    pub fn is_down(&self) -> bool {
        self.shared.observer.is_down()
    }

    /// Why a broker could not be reached the last time.
    pub fn last_failure(&self) -> Option<String> {
        self.shared.observer.reason()
    }

    #[cfg(test)]
    pub(super) fn shares_client_with(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared.current(), &other.shared.current())
    }
}

impl Receipt {
    /// Waits for the brokers: partition and offset of the record.
    ///
    /// # Errors
    /// See [`Producer::send`].
    pub async fn delivered(self) -> Result<(i32, i64), SendError> {
        let code = match self.outcome.await {
            Ok(Ok(written)) => return Ok(written),
            Ok(Err(code)) => code,
            // The producer went away with it: nobody knows.
            Err(_) => RDKafkaErrorCode::PurgeInflight,
        };
        match self.client.fatal() {
            Some(code) => {
                self.shared.renew(&self.client)?;
                Err(SendError::Fatal(BrokerCode(code)))
            }
            None => Err(SendError::of(code)),
        }
    }
}

impl Shared {
    fn current(&self) -> Arc<Client> {
        Arc::clone(&self.current.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Replaces `failed`, unless someone else did.
    fn renew(&self, failed: &Client) -> Result<(), SendError> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.generation != failed.generation {
            return Ok(());
        }
        let generation = failed.generation + 1;
        match Client::new(&self.settings, self.options, &self.observer, generation) {
            Ok(client) => {
                warn!(
                    kafka.generation = generation,
                    "the producer was built anew after a fatal error"
                );
                *current = Arc::new(client);
                Ok(())
            }
            Err(error) => {
                warn!("the producer cannot be built anew: {error}");
                Err(SendError::Fatal(BrokerCode(RDKafkaErrorCode::Fatal)))
            }
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.observer.end();
    }
}

impl Client {
    fn new(
        settings: &Settings,
        options: ProducerOptions,
        observer: &Arc<Observer>,
        generation: u64,
    ) -> Result<Self, KafkaError> {
        let room = Arc::new(Notify::new());
        let linger = options.linger.as_millis().to_string();
        let timeout = options.delivery_timeout.as_millis().to_string();
        let mut defaults = DEFAULTS.to_vec();
        defaults.push(("linger.ms", &linger));
        defaults.push(("delivery.timeout.ms", &timeout));
        let producer = settings
            .client_config(&defaults, &FIXED)
            .create_with_context(DeliveryContext {
                observer: Arc::clone(observer),
                room: Arc::clone(&room),
            })
            .map_err(|error| KafkaError::of("create the producer", error))?;
        let producer = Arc::new(producer);
        poll_while_held(Arc::downgrade(&producer));
        Ok(Self {
            generation,
            room,
            producer: Some(producer),
        })
    }

    fn producer(&self) -> &BaseProducer<DeliveryContext> {
        self.producer
            .as_ref()
            .expect("a client has its producer until it is dropped")
    }

    fn queue(&self, record: &OutgoingRecord) -> Result<oneshot::Receiver<Outcome>, RDKafkaErrorCode> {
        let (sender, receiver) = oneshot::channel();
        let mut out = BaseRecord::with_opaque_to(&record.topic, Box::new(sender));
        out.key = record.key.as_deref();
        out.payload = record.value.as_deref();
        out.headers = from_headers(record);
        match self.producer().send(out) {
            Ok(()) => Ok(receiver),
            Err((error, _)) => Err(error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::InvalidArgument)),
        }
    }

    /// The error after which this client accepts nothing more.
    fn fatal(&self) -> Option<RDKafkaErrorCode> {
        self.producer().client().fatal_error().map(|(code, _)| code)
    }

    fn flush(&self, timeout: Duration) -> Result<(), KafkaError> {
        self.producer().flush(timeout).map_err(|error| match error {
            ClientError::Flush(RDKafkaErrorCode::OperationTimedOut) => KafkaError::TimedOut { operation: "flush" },
            error => KafkaError::of("flush", error),
        })
    }
}

/// Tells on a thread of its own what became of records, until nobody else holds the producer.
fn poll_while_held(producer: Weak<BaseProducer<DeliveryContext>>) {
    thread::Builder::new()
        .name("poll the producer".to_owned())
        .spawn(move || {
            while let Some(producer) = producer.upgrade() {
                producer.poll(POLL);
            }
        })
        .expect("a thread can be started");
}

/// Dropping librdkafka's producer blocks and throws away what is queued: both is for a thread of
/// its own, after a last flush.
impl Drop for Client {
    fn drop(&mut self) {
        let Some(producer) = self.producer.take() else {
            return;
        };
        let dropping = thread::Builder::new()
            .name("drop the producer".to_owned())
            .spawn(move || {
                if producer.flush(DROP_FLUSH).is_err() {
                    warn!("a producer was dropped with records still queued");
                }
            });
        if let Err(error) = dropping {
            warn!("a producer was dropped without a flush: {error}");
        }
    }
}
