//! Real Apache Kafka: one KRaft node, broker and controller, from the jars that `tests/run` brings.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};

use super::certificates::Certificate;
use super::process::{self, Process};
use super::proxy::Proxy;

static SHARED: OnceLock<RealKafka> = OnceLock::new();

/// For a start while other tests have the processors.
const PATIENCE: Duration = Duration::from_secs(240);

/// Where the jars are.
const LIBS: &str = "ACCOLADE_KAFKA_LIBS";

/// A broker of one's own, without topics; it makes none by itself. The shared one ends with the
/// tests' process.
pub struct RealKafka {
    directory: PathBuf,
    port: u16,
    /// Java's second compiler works too: slow to start, fast after some seconds of load.
    under_load: bool,
    /// The way to it for who is to suffer.
    proxy: Option<Proxy>,
    /// The ports on which it takes TLS.
    certified: Vec<u16>,
    broker: Option<Process>,
}

/// Times in UTC, as in the logs of the service.
const LOGS: &str = "status=warn\n\
     appender.out.type=Console\n\
     appender.out.name=out\n\
     appender.out.layout.type=PatternLayout\n\
     appender.out.layout.pattern=%d{yyyy-MM-dd'T'HH:mm:ss.SSS}{UTC} %p %m (%c{1})%n\n\
     rootLogger.level=warn\n\
     rootLogger.appenderRef.out.ref=out\n\
     logger.group.name=org.apache.kafka.coordinator.group\n\
     logger.group.level=info\n";

impl RealKafka {
    /// The broker that all tests of this process share; each takes a topic prefix of its own.
    pub fn shared() -> &'static Self {
        SHARED.get_or_init(Self::start)
    }

    /// A broker for one test alone, which may kill it.
    pub fn start() -> Self {
        Self::start_for(false)
    }

    /// The same; under load as one would run it in production.
    pub fn start_for(under_load: bool) -> Self {
        Self::start_with(under_load, None, &[])
    }

    /// The same with a further way to it for each of these certificates, over TLS.
    pub fn certified(certificates: &[&Certificate]) -> Self {
        Self::start_with(false, None, certificates)
    }

    /// The same with a second way to it, by a proxy: who asks there is always sent there.
    pub fn behind_a_proxy() -> Self {
        let listener = process::free_port();
        Self::start_with(false, Some((listener, Proxy::before(listener))), &[])
    }

    fn start_with(under_load: bool, proxied: Option<(u16, Proxy)>, certificates: &[&Certificate]) -> Self {
        let directory = process::directory("kafka", None);
        let port = process::free_port();
        let controller = process::free_port();
        let (listener, advertised) = proxied.as_ref().map_or_else(Default::default, |(listener, proxy)| {
            let proxy = proxy.port();
            (
                format!(",PROXIED://127.0.0.1:{listener}"),
                format!(",PROXIED://127.0.0.1:{proxy}"),
            )
        });
        let mut secure = Secure::default();
        for certificate in certificates {
            secure.add(&directory, certificate);
        }
        let Secure {
            ports,
            listeners,
            protocols,
            stores,
        } = secure;
        // By default three seconds: so the members that start at once share out the partitions at once.
        let delay = if under_load { 1000 } else { 0 };
        let properties = format!(
            "process.roles=broker,controller\n\
             node.id=1\n\
             controller.quorum.voters=1@127.0.0.1:{controller}\n\
             controller.listener.names=CONTROLLER\n\
             listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}{listener}{listeners}\n\
             advertised.listeners=PLAINTEXT://127.0.0.1:{port}{advertised}{listeners}\n\
             listener.security.protocol.map=PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT,CONTROLLER:PLAINTEXT{protocols}\n\
             inter.broker.listener.name=PLAINTEXT\n\
             log.dirs={}\n\
             auto.create.topics.enable=false\n\
             num.partitions=8\n\
             offsets.topic.num.partitions=8\n\
             offsets.topic.replication.factor=1\n\
             transaction.state.log.num.partitions=4\n\
             transaction.state.log.replication.factor=1\n\
             transaction.state.log.min.isr=1\n\
             share.coordinator.state.topic.replication.factor=1\n\
             share.coordinator.state.topic.min.isr=1\n\
             group.initial.rebalance.delay.ms={delay}\n\
             log.cleaner.dedupe.buffer.size=8388608\n\
             {stores}",
            directory.join("data").display(),
        );
        for (name, text) in [("server.properties", properties.as_str()), ("log4j2.properties", LOGS)] {
            std::fs::write(directory.join(name), text).expect("the properties can be written");
        }
        let mut kafka = Self {
            directory,
            port,
            under_load,
            proxy: proxied.map(|(_, proxy)| proxy),
            certified: ports,
            broker: None,
        };
        let formatted = Command::new("java")
            .args(kafka.java("kafka.tools.StorageTool"))
            .args(["format", "--cluster-id", "MkU3OEVBNTcwNTJENDM2Qg", "--config"])
            .arg(kafka.directory.join("server.properties"))
            .output()
            .expect("java runs");
        assert!(
            formatted.status.success(),
            "format: {}",
            String::from_utf8_lossy(&formatted.stderr)
        );
        kafka.restart();
        kafka
    }

    /// `KAFKA_BOOTSTRAP_SERVERS`.
    pub fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// What the broker said: its warnings, and how the members of its groups came and went.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory.join("log")).unwrap_or_default()
    }

    /// The second way, if it was started with one.
    pub fn proxy(&self) -> &Proxy {
        self.proxy.as_ref().expect("it was started behind a proxy")
    }

    /// `KAFKA_BOOTSTRAP_SERVERS` over TLS, with the certificate of this number.
    pub fn secure_bootstrap(&self, number: usize) -> String {
        format!("127.0.0.1:{}", self.certified[number])
    }

    /// A `TOPIC_PREFIX` that no other test has.
    pub fn topic_prefix() -> String {
        format!("t{}", uuid::Uuid::new_v4().simple())
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.broker.take().expect("the broker runs").end("KILL");
    }

    /// The broker's process id, to stop and continue it.
    pub fn pid(&self) -> u32 {
        self.broker.as_ref().expect("the broker runs").pid()
    }

    /// Starts it again, on the same port and data; it answers when this returns.
    pub fn restart(&mut self) {
        let mut arguments = self.java("kafka.Kafka");
        arguments.push(self.directory.join("server.properties").display().to_string());
        let log = self.directory.join("log");
        let bootstrap = self.bootstrap();
        let broker = self
            .broker
            .insert(Process::spawn(None, "KILL", "java", &arguments, &log));
        process::wait_until("Kafka listens", PATIENCE, || {
            assert!(
                !broker.has_ended(),
                "Kafka ended: {}",
                std::fs::read_to_string(&log).unwrap_or_default()
            );
            std::net::TcpStream::connect(&bootstrap).is_ok()
        });
        let client: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", &bootstrap)
            .create()
            .expect("a client can be made");
        process::wait_until("Kafka answers", PATIENCE, || {
            let metadata = client.fetch_metadata(None, Duration::from_secs(5));
            metadata.is_ok_and(|metadata| !metadata.brokers().is_empty())
        });
    }

    fn java(&self, class: &str) -> Vec<String> {
        let libs = std::env::var(LIBS).unwrap_or_else(|_| panic!("{LIBS} names the jars of Kafka (tests/run sets it)"));
        let logs = self.directory.display();
        let compilers = if self.under_load { 4 } else { 1 };
        vec![
            "-Xmx512m".to_owned(),
            "-XX:+UseSerialGC".to_owned(),
            // Without such a file, or with one of another Java, it loads its classes from the jars.
            format!("-XX:SharedArchiveFile={libs}/kafka.jsa"),
            format!("-XX:TieredStopAtLevel={compilers}"),
            format!("-Dkafka.logs.dir={logs}"),
            format!("-Dlog4j2.configurationFile={logs}/log4j2.properties"),
            "-cp".to_owned(),
            format!("{libs}/*"),
            class.to_owned(),
        ]
    }
}

/// What the broker's properties say of the ways over TLS.
#[derive(Default)]
struct Secure {
    ports: Vec<u16>,
    listeners: String,
    protocols: String,
    stores: String,
}

impl Secure {
    fn add(&mut self, directory: &Path, certificate: &Certificate) {
        let (number, port) = (self.ports.len(), process::free_port());
        let store = directory.join(format!("secure{number}.pem"));
        let pem = format!("{}{}", certificate.key, certificate.certificate);
        std::fs::write(&store, pem).expect("the file can be written");
        self.ports.push(port);
        self.listeners.push_str(&format!(",SECURE{number}://127.0.0.1:{port}"));
        self.protocols.push_str(&format!(",SECURE{number}:SSL"));
        let name = format!("listener.name.secure{number}.ssl.keystore");
        self.stores
            .push_str(&format!("{name}.type=PEM\n{name}.location={}\n", store.display()));
    }
}

impl Drop for RealKafka {
    fn drop(&mut self) {
        drop(self.broker.take());
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}
