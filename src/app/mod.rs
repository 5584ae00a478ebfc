//! Builds the parts, runs the loops, and ends them in order.

mod parts;
mod prepare;
mod readiness;
pub mod roles;
pub mod signals;
mod supervisor;
pub mod token_cache;

use std::{future::Future, io, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context as _;
use tokio::{
    net::TcpListener,
    sync::{Notify, mpsc},
};
use tokio_util::sync::CancellationToken;

pub use self::parts::{Wakes, replayer};
use self::{prepare::Waits, roles::Roles, supervisor::Supervisor};
use crate::{
    backend::BadgingBackend,
    backfill::Backfill,
    clock::Clock,
    config::Settings,
    http,
    ingest::{self, Health},
    issue::{self, Issuer},
    kafka::{self, EmbeddedBroker, Producer, ProducerOptions},
    publish::{self, Publisher},
    store::{self, Store, event_badges::RulesCache, outbox},
    telemetry::Metrics,
};

/// How long the loops that take work in get to finish what they hold.
const FINISH: Duration = Duration::from_secs(20);
/// How long the outbox relay and the HTTP server get after them.
const CLOSE: Duration = Duration::from_secs(8);

/// The service, running.
pub struct App {
    store: Arc<Store>,
    metrics: Arc<Metrics>,
    bootstrap_servers: String,
    public_url: String,
    http_address: Option<SocketAddr>,
    /// Takes work in: ingest, issue, backfill.
    intake: Supervisor,
    /// Lets it out: publish, HTTP.
    outlet: Supervisor,
    /// The service is to stop: not ready any more.
    stop: CancellationToken,
    /// What was taken in is dealt with.
    close: CancellationToken,
    /// The tables and topics are there.
    prepared: CancellationToken,
    _broker: Option<EmbeddedBroker>,
}

impl App {
    /// Starts the loops of these roles. Returns once HTTP listens; a database or brokers that are down are waited for
    /// by the loops.
    ///
    /// # Errors
    /// What waiting does not mend: an address in use, a file that cannot be read, settings that librdkafka refuses.
    pub async fn start(settings: Settings, roles: Roles, clock: Arc<dyn Clock>) -> anyhow::Result<Self> {
        let metrics = Arc::new(Metrics::new());
        let topics = &settings.topics;
        metrics.expect(&topics.read(), &topics.written(), parts::backend_name(&settings));
        let database = store::Settings {
            url: settings.database_url.clone(),
            pool_size: settings.database_pool_size,
        };
        let store = Arc::new(Store::open(&database, Arc::clone(&clock), Arc::clone(&metrics)));
        let broker = parts::embedded_broker(&settings)?;
        let bootstrap_servers = match (&broker, &settings.kafka_bootstrap_servers) {
            (Some(broker), _) => broker.bootstrap_servers().to_owned(),
            (None, servers) => servers.clone().unwrap_or_default(),
        };
        let mut reading = parts::kafka(&settings, bootstrap_servers.clone());
        let writing = reading.clone();
        if broker.is_some() {
            reading.extra.extend(EmbeddedBroker::consumer_properties());
        }
        let listener = match roles.http {
            true => Some(listen(settings.http_listen).await?),
            false => None,
        };
        let http_address = listener.as_ref().map(TcpListener::local_addr).transpose()?;
        let public_url = parts::public_url(&settings, http_address);
        let app = Self {
            store,
            metrics,
            bootstrap_servers,
            public_url,
            http_address,
            intake: Supervisor::default(),
            outlet: Supervisor::default(),
            stop: CancellationToken::new(),
            close: CancellationToken::new(),
            prepared: CancellationToken::new(),
            _broker: broker,
        };
        app.with_loops(&settings, roles, &clock, listener, reading, writing)
    }

    fn with_loops(
        mut self,
        settings: &Settings,
        roles: Roles,
        clock: &Arc<dyn Clock>,
        listener: Option<TcpListener>,
        reading: kafka::Settings,
        writing: kafka::Settings,
    ) -> anyhow::Result<Self> {
        let prepared = self.prepared.clone();
        let wakes = Wakes::default();
        let (waits, refusals) = (Arc::<Waits>::default(), Arc::<publish::Refusals>::default());
        let backend = match roles.award {
            true => Some(parts::backend(
                settings,
                &self.public_url,
                &self.store,
                Arc::clone(clock),
                Arc::clone(&self.metrics),
            )?),
            false => None,
        };
        let at_once = backend
            .clone()
            .and_then(|backend| issue::at_once(backend, &self.public_url, Arc::clone(clock)));
        let health = Arc::new(Health::new(settings.ingest_consumers, Arc::clone(&self.metrics)));
        if let Some(listener) = listener {
            let probes = readiness::probes(
                &self.store,
                &writing,
                &settings.topics,
                roles.ingest.then(|| Arc::clone(&health)),
                roles.publish.then(|| Arc::clone(&refusals)),
                (&prepared, &waits),
            );
            let replayer = parts::replayer(
                settings,
                Arc::clone(&self.store),
                Arc::clone(&self.metrics),
                at_once.clone(),
                wakes.clone(),
            );
            let state = http::State::new(
                parts::http(settings, &self.public_url),
                Arc::clone(&self.store),
                Arc::clone(&self.metrics),
                probes,
                Arc::clone(&wakes.decided),
                Arc::new(move |id, actor| replayer.replay(id, actor)),
                self.stop.clone(),
            );
            let close = self.close.clone();
            self.outlet.spawn("http", async move {
                http::serve(listener, state, close).await;
                Ok(())
            });
        }
        self.spawn_preparation(settings, roles, &writing, waits, &prepared);
        let (relay, handed) = publish::handovers();
        let relay = roles.publish.then_some(relay);
        if roles.ingest {
            let ingest = ingest::Settings {
                relay: relay.clone(),
                ..parts::ingest(settings, at_once)
            };
            self.spawn_ingest(settings, &ingest, &reading, &health, &wakes, &prepared)?;
        }
        if let Some(backend) = backend {
            self.spawn_issue(settings, backend, relay, &wakes, &prepared);
        }
        if roles.publish {
            self.spawn_publish(settings, &writing, &wakes.issued, handed, refusals, &prepared)?;
        }
        Ok(self)
    }

    /// Tables and topics; then the gauges of what is in the database.
    fn spawn_preparation(
        &mut self,
        settings: &Settings,
        roles: Roles,
        kafka: &kafka::Settings,
        waits: Arc<Waits>,
        prepared: &CancellationToken,
    ) {
        let (store, metrics) = (Arc::clone(&self.store), Arc::clone(&self.metrics));
        let (kafka, topics) = (kafka.clone(), settings.topics.clone());
        let (stop, prepared) = (self.stop.clone(), prepared.clone());
        let migrate = settings.migrate_on_start;
        self.intake.spawn("start", async move {
            if prepare::database(&store, migrate, &waits, &stop).await?
                && prepare::topics(&kafka, &topics, &waits, &stop).await?
            {
                prepared.cancel();
                tracing::info!("started");
                let tell = async {
                    if roles.ingest {
                        prepare::tell_group(&kafka, &topics.read(), &stop).await;
                    }
                };
                tokio::join!(tell, issue::keep_gauges(store, metrics, stop.clone()));
            }
            stop.cancelled().await;
            Ok(())
        });
    }

    fn spawn_ingest(
        &mut self,
        settings: &Settings,
        ingest: &ingest::Settings,
        kafka: &kafka::Settings,
        health: &Arc<Health>,
        wakes: &Wakes,
        prepared: &CancellationToken,
    ) -> anyhow::Result<()> {
        let shared = ingest::Shared {
            store: Arc::clone(&self.store),
            rules: Arc::new(RulesCache::default()),
            metrics: Arc::clone(&self.metrics),
            health: Arc::clone(health),
            awards: Arc::clone(&wakes.decided),
            announcements: Arc::clone(&wakes.issued),
            breaker: Arc::default(),
            stop: self.stop.clone(),
        };
        let topics = parts::topics(settings);
        let ingest = ingest::Settings {
            lanes: Arc::new(ingest::Lanes::of(settings.database_url.is_sqlite())),
            ..ingest.clone()
        };
        for consumer in 0..settings.ingest_consumers {
            let kafka = kafka.of_consumer(consumer, settings.ingest_consumers);
            let (topics, shared, own) = (topics.clone(), shared.clone(), ingest.clone());
            let begin = wait_for(prepared, &self.stop);
            let runtime = tokio::runtime::Handle::current();
            self.intake.spawn_thread("ingest", move || {
                if runtime.block_on(begin) {
                    ingest::run(&kafka, &topics, &own, &shared)?;
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    fn spawn_issue(
        &mut self,
        settings: &Settings,
        backend: Arc<dyn BadgingBackend>,
        relay: Option<mpsc::Sender<outbox::Handover>>,
        wakes: &Wakes,
        prepared: &CancellationToken,
    ) {
        let issuer = Issuer::new(
            Arc::clone(&self.store),
            backend,
            parts::issue(settings, &self.public_url),
            Arc::clone(&self.metrics),
            Arc::clone(&wakes.decided),
            Arc::clone(&wakes.issued),
        )
        .handing_over(relay);
        let (begin, stop) = (wait_for(prepared, &self.stop), self.stop.clone());
        let awards = settings.enable_openbadges;
        self.intake.spawn("award", async move {
            match begin.await {
                true if awards => issuer.run(stop).await?,
                // What was awarded before is still revoked: a learner may leave.
                true => issuer.run_revocations(stop).await?,
                false => {}
            }
            Ok(())
        });
        if !awards {
            return;
        }
        let backfill = Backfill {
            store: Arc::clone(&self.store),
            metrics: Arc::clone(&self.metrics),
            rules: Arc::new(RulesCache::default()),
            wake: Arc::clone(&wakes.decided),
        };
        let (begin, stop) = (wait_for(prepared, &self.stop), self.stop.clone());
        self.intake.spawn("backfill", async move {
            if begin.await {
                backfill.run(stop).await?;
            }
            Ok(())
        });
    }

    fn spawn_publish(
        &mut self,
        settings: &Settings,
        kafka: &kafka::Settings,
        issued: &Arc<Notify>,
        handed: mpsc::Receiver<outbox::Handover>,
        refusals: Arc<publish::Refusals>,
        prepared: &CancellationToken,
    ) -> anyhow::Result<()> {
        let publisher = Publisher {
            store: Arc::clone(&self.store),
            producer: Producer::new(kafka, ProducerOptions::default()).context("the Kafka producer")?,
            settings: publish::Settings {
                topic_badge_awarded: settings.topics.badge_awarded.clone(),
                topic_badge_revoked: settings.topics.badge_revoked.clone(),
                topic_dead_letters: settings.topics.dead_letters.clone(),
                source: self.public_url.clone(),
                poll: Duration::from_millis(500),
                lease: outbox::LEASE,
            },
            metrics: Arc::clone(&self.metrics),
            wake: Arc::clone(issued),
            refusals,
        };
        let (begin, close) = (wait_for(prepared, &self.stop), self.close.clone());
        let closed = self.close.clone();
        self.outlet.spawn("publish", async move {
            if begin.await {
                publisher.run(handed, close).await?;
            }
            closed.cancelled().await;
            Ok(())
        });
        Ok(())
    }

    /// The address that HTTP listens on.
    pub fn http_address(&self) -> Option<SocketAddr> {
        self.http_address
    }

    /// Where Kafka is, embedded or not.
    pub fn bootstrap_servers(&self) -> &str {
        &self.bootstrap_servers
    }

    /// Where the world reaches the service.
    pub fn public_url(&self) -> &str {
        &self.public_url
    }

    /// Waits until tables and topics are there, and what comes with the service is in them.
    pub async fn prepared(&self) {
        self.prepared.cancelled().await;
    }

    /// The database.
    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// The metrics of this process.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Runs until the future ends or a loop fails; then stops in order: not ready, nothing new is taken in, what was
    /// taken in is finished, the rest is flushed. Within 30 seconds, whatever hangs.
    ///
    /// # Errors
    /// The loop that ended early, or what did not end in time.
    pub async fn run(mut self, until: impl Future<Output = io::Result<()>>) -> anyhow::Result<()> {
        let ended = tokio::select! {
            signal = until => signal.context("waiting for a signal"),
            error = self.intake.first_end() => Err(error),
            error = self.outlet.first_end() => Err(error),
        };
        let finished = self.intake.stop(&self.stop, FINISH).await;
        let closed = self.outlet.stop(&self.close, CLOSE).await;
        ended.and(finished).and(closed)
    }
}

/// True once the database and the topics are there, false if the service stops before.
fn wait_for(prepared: &CancellationToken, stop: &CancellationToken) -> impl Future<Output = bool> + Send + 'static {
    let (prepared, stop) = (prepared.clone(), stop.clone());
    async move {
        tokio::select! {
            () = stop.cancelled() => false,
            () = prepared.cancelled() => true,
        }
    }
}

async fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("HTTP_LISTEN: cannot listen on {address}; is something else running there?"))
}
