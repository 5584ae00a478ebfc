//! How long it takes from an event to its `badge.awarded`, at steady rates, with the built-in issuer; beside a plain reader
//! of the same broker, whose share is not the service's.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};

use crate::harness::binary::BinaryApp;
use crate::harness::kafka::RealKafka;
use crate::support::{Random, TOPIC, configuration, event, from_the_beginning, number, plan_on, runtime};

const RATES: &str = "10,100,1000,5000";
const SECONDS: u64 = 20;
/// Broker, database and service run warm for as long first, at the same rate.
const WARM_SECONDS: u64 = 30;

/// For each rate of `ACCOLADE_BENCH_RATES`, in events a second.
pub fn run() {
    warn_of_autogroups();
    let kafka = RealKafka::start_for(true);
    let rates = std::env::var("ACCOLADE_BENCH_RATES").unwrap_or_else(|_| RATES.to_owned());
    for rate in rates.split(',') {
        at(&kafka, rate.parse().expect("ACCOLADE_BENCH_RATES holds numbers"));
    }
}

fn at(kafka: &RealKafka, per_second: u64) {
    let seconds = number("ACCOLADE_BENCH_SECONDS", SECONDS);
    let plan = plan_on(kafka);
    let prefix = plan.settings["TOPIC_PREFIX"].clone();
    let app = BinaryApp::start(plan);
    app.activate("2,two", "", "");

    let sent: Sent = Arc::default();
    let over = Arc::new(AtomicBool::new(false));
    let reader = |topic: &str, sent| Reader::start(&kafka.bootstrap(), &format!("{prefix}-{topic}"), sent, &over);
    let announced = reader("badge.awarded", &sent);
    // The same broker without the service: what is beyond it is the service's.
    let sent_events: Sent = Arc::default();
    let echo = reader(TOPIC, &sent_events);

    let producer: ThreadedProducer<DefaultProducerContext> = configuration(&kafka.bootstrap())
        .set("linger.ms", "0")
        // Few requests in flight: what waits for the broker travels together, as from any well-set producer.
        .set("enable.idempotence", "true")
        .create()
        .expect("a producer");
    let topic = format!("{prefix}-{TOPIC}");
    let mut random = Random(11);
    let start = Instant::now();
    let warm = per_second * number("ACCOLADE_BENCH_WARM_SECONDS", WARM_SECONDS);
    let total = warm + per_second * seconds;
    for id in 0..total {
        let due = start
            + Duration::from_secs_f64(
                f64::from(u32::try_from(id).expect("small")) / f64::from(u32::try_from(per_second).expect("small")),
            );
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        // Every twentieth is the second course of somebody who came a second ago with the first.
        let second = id % 20 == 19 && id >= warm;
        let learner = if second { id - per_second - 4 } else { id + 1 };
        let course = if second { 2_001 } else { random.below(2_000) + 1 };
        let body = event(id, learner, course, true, 0);
        if second {
            sent_events.lock().expect("no one panics").insert(id, Instant::now());
            sent.lock().expect("no one panics").insert(learner, Instant::now());
        }
        let key = id.to_string();
        producer
            .send(BaseRecord::to(&topic).key(&key).payload(&body))
            .map_err(|(error, _)| error)
            .expect("queued");
    }
    producer.flush(Duration::from_secs(30)).expect("acknowledged");
    let expected = sent.lock().expect("no one panics").len();
    // What is late is waited for; what never comes fails the run.
    let sql = "SELECT CAST(count(*) AS text) AS line FROM award WHERE state = 'published'";
    let deadline = Instant::now() + Duration::from_secs(60);
    while app.database.lines(sql)[0] != expected.to_string() {
        assert!(
            Instant::now() < deadline,
            "{} of {expected} were published",
            app.database.lines(sql)[0]
        );
        std::thread::sleep(Duration::from_millis(100));
    }
    over.store(true, Ordering::SeqCst);
    let found = announced.all();
    assert_eq!(found.len(), expected, "announced");
    let memory = app.peak_memory_kib() / 1024;
    println!(
        "event to badge.awarded, {per_second}/s for {seconds} s:  {}   peak {memory} MiB",
        quantiles(found)
    );
    println!("  of it, event to a plain reader: {}", quantiles(echo.all()));
    let stages = "SELECT format('decided to issued: p50 %s p99 %s max %s ms; issued to marked as published: p50 %s p99 %s max %s ms', \
         p[1], p[2], p[3], q[1], q[2], q[3]) AS line FROM (SELECT \
         percentile_disc(ARRAY[0.5, 0.99, 1]) WITHIN GROUP (ORDER BY round(1000 * extract(epoch FROM o.created_at - a.created_at))) AS p, \
         percentile_disc(ARRAY[0.5, 0.99, 1]) WITHIN GROUP (ORDER BY round(1000 * extract(epoch FROM o.published_at - o.created_at))) AS q \
         FROM outbox o JOIN award a ON a.learner_id = o.learner_id AND a.id = o.award_id) AS stages";
    println!("  of it, {}", app.database.lines(stages)[0]);
    let metrics = runtime().block_on(app.text("/metrics"));
    println!(
        "  batches of ingest: {:.1} events, {:.1} ms each",
        mean(&metrics, "accolade_ingest_batch_events"),
        mean(&metrics, "accolade_ingest_batch_duration_seconds") * 1_000.0,
    );
    assert_eq!(app.terminate(), Some(0));
}

/// The mean of a histogram.
fn mean(metrics: &str, name: &str) -> f64 {
    let sample = |what: &str| -> f64 {
        let of = |line: &str| line.strip_prefix(name)?.strip_prefix(what)?.trim().parse().ok();
        metrics.lines().find_map(of).expect("a histogram")
    };
    sample("_sum") / sample("_count")
}

/// When each was sent, by the number that is its record's key.
type Sent = Arc<Mutex<HashMap<u64, Instant>>>;

/// Reads a topic from its beginning.
struct Reader(std::thread::JoinHandle<Vec<Duration>>);

impl Reader {
    fn start(bootstrap: &str, topic: &str, sent: &Sent, over: &Arc<AtomicBool>) -> Self {
        let consumer: BaseConsumer = configuration(bootstrap)
            .set("group.id", "accolade-bench")
            .set("enable.auto.commit", "false")
            .create()
            .expect("a consumer");
        consumer.assign(&from_the_beginning(topic)).expect("assigned");
        let (sent, over) = (Arc::clone(sent), Arc::clone(over));
        Self(std::thread::spawn(move || {
            let mut found = HashMap::new();
            loop {
                match consumer.poll(Duration::from_millis(500)) {
                    Some(message) => {
                        let seen = Instant::now();
                        let message = message.expect("the topic can be read");
                        let key = std::str::from_utf8(message.key().unwrap_or_default()).unwrap_or_default();
                        let key: u64 = key.parse().expect("the key is a number");
                        if let Some(start) = sent.lock().expect("no one panics").get(&key) {
                            found.entry(key).or_insert(seen - *start);
                        }
                    }
                    None if over.load(Ordering::SeqCst) => return found.into_values().collect(),
                    None => {}
                }
            }
        }))
    }

    /// How long after its sending each of those came that are waited for.
    fn all(self) -> Vec<Duration> {
        self.0.join().expect("the reader does not panic")
    }
}

fn quantiles(mut found: Vec<Duration>) -> String {
    found.sort();
    let at = |of_a_thousand: usize| {
        found[(found.len() * of_a_thousand / 1_000).min(found.len() - 1)].as_secs_f64() * 1_000.0
    };
    format!(
        "p50 {:.1} ms   p90 {:.1} ms   p99 {:.1} ms   p99.9 {:.1} ms   max {:.1} ms",
        at(500),
        at(900),
        at(990),
        at(999),
        at(1_000)
    )
}

/// Each PostgreSQL process is a session of its own, and the kernel then lets it wait for hundreds of milliseconds behind
/// the broker, which is one session with this program.
fn warn_of_autogroups() {
    const SETTING: &str = "/proc/sys/kernel/sched_autogroup_enabled";
    if std::fs::read_to_string(SETTING).is_ok_and(|text| text.trim() == "1") {
        println!(
            "kernel.sched_autogroup_enabled is 1: the longest times are the scheduler's; set it to 0 for latencies"
        );
    }
}
