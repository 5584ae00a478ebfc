//! The whole loop, on the embedded broker.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use diesel::{ExpressionMethods, JoinOnDsl, QueryDsl, RunQueryDsl, connection::SimpleConnection};
use serde_json::json;

use super::support::{activate, shared, slugs};
use crate::{
    clock::SystemClock,
    ingest::{IngestError, Paused, Settings, Shared, Topics, run},
    kafka::{self, EmbeddedBroker, Producer, ProducerOptions},
    store::{
        self, Store,
        awards::{AtOnce, ClaimedAward},
        positions,
        schema::{course, dead_letter, learner, learner_course},
        testing,
    },
    telemetry::Metrics,
    wire::{decode::TopicTypes, record::OutgoingRecord},
};

pub(super) const TOPIC: &str = "enrollment.created";
const DEADLINE: Duration = Duration::from_secs(30);

pub(super) struct Running {
    pub(super) shared: Shared,
    said: Said,
    thread: Option<JoinHandle<Result<(), IngestError>>>,
}

/// What a consumer's thread logged.
#[derive(Clone, Default)]
struct Said(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Said {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("whole").write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Running {
    pub(super) fn start(broker: &EmbeddedBroker, store: Arc<Store>) -> Self {
        Self::with(broker, store, None)
    }

    fn with(broker: &EmbeddedBroker, store: Arc<Store>, issue_at_once: Option<Arc<AtOnce>>) -> Self {
        Self::of(broker, store, issue_at_once, EmbeddedBroker::consumer_properties())
    }

    /// The same with these properties of librdkafka.
    pub(super) fn of(
        broker: &EmbeddedBroker,
        store: Arc<Store>,
        issue_at_once: Option<Arc<AtOnce>>,
        properties: BTreeMap<String, String>,
    ) -> Self {
        let shared = shared(store);
        let mut kafka = kafka::Settings::new(broker.bootstrap_servers());
        kafka.extra = properties;
        let topics = Topics {
            names: vec![TOPIC.to_owned()],
            types: TopicTypes::new([TOPIC], []),
        };
        let settings = Settings {
            award: true,
            issue_at_once,
            ..Settings::default()
        };
        let own = shared.clone();
        let said = Said::default();
        let log = said.clone();
        let thread = std::thread::spawn(move || {
            let subscriber = tracing_subscriber::fmt()
                .with_ansi(false)
                .with_max_level(tracing::Level::DEBUG)
                .with_writer(move || log.clone());
            tracing::subscriber::with_default(subscriber.finish(), || run(&kafka, &topics, &settings, &own))
        });
        Self {
            shared,
            said,
            thread: Some(thread),
        }
    }

    pub(super) fn wait(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + DEADLINE;
        while !holds(self) {
            assert!(Instant::now() < deadline, "never: {what}");
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }

    /// What the consumer logged.
    pub(super) fn said(&self) -> String {
        String::from_utf8(self.said.0.lock().expect("whole").clone()).expect("a log is text")
    }

    pub(super) fn is_paused(&self, reason: Paused) -> bool {
        let gauge = self
            .shared
            .metrics
            .consumer_paused
            .with_label_values(&[reason.as_str()]);
        self.shared.health.paused() == [reason] && gauge.get() == 1
    }

    pub(super) fn stop(mut self) {
        self.shared.stop.cancel();
        let thread = self.thread.take().expect("stopped once");
        thread.join().expect("no panic").expect("ended as told");
    }
}

pub(super) fn broker() -> (EmbeddedBroker, Producer) {
    let broker = EmbeddedBroker::start(&[(TOPIC.to_owned(), 1)]).expect("the broker starts");
    let settings = kafka::Settings::new(broker.bootstrap_servers());
    let producer = Producer::new(&settings, ProducerOptions::default()).expect("valid settings");
    (broker, producer)
}

pub(super) async fn send(producer: &Producer, value: impl Into<Vec<u8>>) {
    let record = OutgoingRecord {
        topic: TOPIC.to_owned(),
        key: None,
        value: Some(value.into()),
        headers: Vec::new(),
    };
    producer.send(record).await.expect("written");
}

pub(super) fn enrolled(learner: i64, username: &str) -> String {
    json!({
        "user": {"id": learner, "username": username, "email": "learner@example.com"},
        "course": {"id": "course-v1:a+b+c"},
    })
    .to_string()
}

pub(super) fn letters(store: &Store) -> i64 {
    let read = |tx: &mut store::Tx<'_>| Ok(dead_letter::table.count().get_result(tx.conn)?);
    store.read("letters", read).expect("read")
}

pub(super) fn learners(store: &Store) -> i64 {
    let read = |tx: &mut store::Tx<'_>| Ok(learner::table.count().get_result(tx.conn)?);
    store.read("learners", read).unwrap_or(-1)
}

pub(super) fn position(store: &Store) -> Option<i64> {
    let known = store.read("position", positions::all).expect("read");
    known.get(&(TOPIC.to_owned(), 0)).copied()
}

#[tokio::test]
async fn an_event_becomes_an_award_and_is_not_read_again() {
    for database in testing::databases() {
        activate(&database, "1,one", "", "");
        let (broker, producer) = broker();
        send(&producer, enrolled(7, "ada")).await;
        let running = Running::start(&broker, database.store());
        running.wait("an award", |_| slugs(&database, 7) == ["one"]);
        running.wait("ready", |running| running.shared.health.problems().is_empty());
        tokio::time::timeout(DEADLINE, running.shared.awards.notified())
            .await
            .expect("the issue loop is told");
        running.stop();
        let again = Running::start(&broker, database.store());
        send(&producer, enrolled(8, "bob")).await;
        again.wait("the next", |_| position(&database.store()) == Some(2));
        let metrics = Arc::clone(&again.shared.metrics);
        again.stop();
        assert_eq!(metrics.events.with_label_values(&[TOPIC, "applied"]).get(), 1);
    }
}

#[tokio::test]
async fn a_flood_stops_it_until_an_operator_resumes() {
    for database in testing::databases() {
        let store = database.store();
        let (broker, producer) = broker();
        send(&producer, enrolled(1, "ada")).await;
        for _ in 0..450 {
            send(&producer, "{").await;
        }
        send(&producer, enrolled(2, "bob")).await;
        let running = Running::start(&broker, database.store());
        running.wait("stopped", |running| running.is_paused(Paused::DeadLetters));
        running.wait("written down", |_| {
            store.read("state", positions::resume_state).expect("read").paused
        });
        let kept = letters(&store);
        assert!(kept < 200, "{kept} records passed");
        assert_eq!(position(&store), Some(1 + kept));
        running.stop();

        let again = Running::start(&broker, database.store());
        again.wait("stopped again", |again| again.is_paused(Paused::DeadLetters));
        assert_eq!(letters(&store), kept, "a restart alone lets nothing pass");
        store.transaction("resume", positions::resume).expect("resumed");
        again.wait("all passed", |_| learners(&store) == 2);
        assert_eq!((letters(&store), position(&store)), (450, Some(452)));
        again.wait("goes on", |again| again.shared.health.paused().is_empty());
        // The same once more, with no good record between.
        for _ in 0..250 {
            send(&producer, "{").await;
        }
        again.wait("stopped before the next", |again| again.is_paused(Paused::DeadLetters));
        assert!(letters(&store) < 650, "{}", letters(&store));
        again.stop();
    }
}

#[tokio::test]
async fn a_record_that_the_database_refuses_is_isolated() {
    // SQLSTATE 23505; and 22P02, of which SQLite knows nothing.
    let twice = "INSERT INTO learner (learner_id, username) VALUES (99, 'refused'); \
                 CREATE UNIQUE INDEX refuse ON learner (username) WHERE username = 'refused'";
    let no_number = "CREATE INDEX refuse ON learner ((username::integer)) WHERE username = 'refused'";
    let broken = testing::databases().map(|database| (database, twice));
    for (database, refuse) in broken.chain(testing::postgres().map(|database| (database, no_number))) {
        let store = database.store();
        let refused = store.transaction("refuse", |tx| Ok(tx.conn.batch_execute(refuse)?));
        refused.expect("an index");
        let before = learners(&store);
        let (broker, producer) = broker();
        for learner in 0..20 {
            let username = if learner == 13 { "refused" } else { "fine" };
            send(&producer, enrolled(learner, username)).await;
        }
        let running = Running::start(&broker, database.store());
        running.wait("all done", |_| position(&store) == Some(20));
        assert_eq!((letters(&store), learners(&store)), (1, before + 19), "{refuse}");
        let letter: (i64, String) = store
            .read("letter", |tx| {
                let letter = dead_letter::table.select((dead_letter::record_offset, dead_letter::reason));
                Ok(letter.first(tx.conn)?)
            })
            .expect("read");
        assert_eq!(letter, (13, "database_data".to_owned()), "{refuse}");
        let courses: i64 = store
            .read("courses", |tx| Ok(course::table.count().get_result(tx.conn)?))
            .expect("read");
        assert_eq!(courses, 1);
        running.stop();
    }
}

#[tokio::test]
async fn a_record_that_panics_is_isolated_and_set_aside() {
    for database in testing::databases() {
        let store = database.store();
        activate(&database, "1,one", "", "");
        let (broker, producer) = broker();
        for learner in 0..20 {
            send(&producer, enrolled(learner, "fine")).await;
        }
        let tries = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&tries);
        let issue = move |award: &ClaimedAward| {
            // Not even always: a batch that panicked once is tried again.
            let is_bad = award.learner.0 == 13 || (award.learner.0 == 5 && counted.fetch_add(1, Ordering::SeqCst) == 0);
            assert!(!is_bad, "a panic was ordered");
            None
        };
        let running = Running::with(&broker, database.store(), Some(Arc::new(issue)));
        running.wait("all done", |_| position(&store) == Some(20));
        assert_eq!((letters(&store), learners(&store)), (1, 19));
        let reason: String = store
            .read("reason", |tx| {
                Ok(dead_letter::table.select(dead_letter::reason).first(tx.conn)?)
            })
            .expect("read");
        assert_eq!(reason, "panic");
        running.stop();
    }
}

#[tokio::test]
async fn what_a_database_lost_that_went_back_is_read_again() {
    for database in testing::databases() {
        let store = database.store();
        let (broker, producer) = broker();
        let running = Running::start(&broker, database.store());
        for learner in 0..10 {
            send(&producer, enrolled(learner, "fine")).await;
        }
        running.wait("ten are done", |_| position(&store) == Some(10));
        // As a replica that had not got everything, or a backup.
        let back = store.transaction("back", |tx| {
            Ok(tx.conn.batch_execute(
                "UPDATE consumer_position SET next_offset = 5; DELETE FROM learner WHERE learner_id >= 5; \
                 DELETE FROM learner_course; DELETE FROM course",
            )?)
        });
        back.expect("written");
        send(&producer, enrolled(10, "fine")).await;
        running.wait("all done", |_| position(&store) == Some(11));
        assert_eq!((letters(&store), learners(&store)), (0, 11));
        let facts = store.read("facts", |tx| {
            let known = learner_course::table.inner_join(course::table.on(course::id.eq(learner_course::course_id)));
            Ok(known.count().get_result::<i64>(tx.conn)?)
        });
        assert_eq!(facts.expect("read"), 6, "of courses that are there");
        running.stop();
    }
}

#[tokio::test]
async fn a_database_that_is_away_is_waited_for() {
    let directory = tempfile::tempdir().expect("a directory");
    let away = directory.path().join("away");
    let here = directory.path().join("here");
    std::fs::create_dir(&here).expect("made");
    let open = |path: &std::path::Path| {
        let settings = store::Settings {
            url: format!("sqlite://{}", path.join("db").display())
                .parse()
                .expect("a URL"),
            pool_size: 2,
        };
        Arc::new(Store::open(&settings, Arc::new(SystemClock), Arc::new(Metrics::new())))
    };
    open(&here).migrate().expect("migrated");
    let (broker, producer) = broker();
    send(&producer, enrolled(1, "ada")).await;
    let running = Running::start(&broker, open(&away));
    running.wait("paused", |running| running.is_paused(Paused::Database));
    std::fs::rename(&here, &away).expect("moved");
    running.wait("done", |running| learners(&running.shared.store) == 1);
    running.wait("goes on", |running| running.shared.health.paused().is_empty());
    running.stop();
}
