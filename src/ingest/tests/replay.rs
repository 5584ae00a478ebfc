//! Dead letters processed once more.

use std::sync::{Arc, Barrier};

use chrono::TimeDelta;
use diesel::{QueryDsl, RunQueryDsl, connection::SimpleConnection};
use serde_json::{Value, json};

use super::support::{activate, awards, counters, facts, new_badge_class, slugs, writer};
use crate::{
    domain::badge_class::COURSE_EVENTS_COMPONENT,
    ingest::{Item, Replayer, Settings},
    store::{
        Tx,
        api_reads::Window,
        audit::{self, Actor, Via},
        badge_classes,
        dead_letters::{self, DeadLetter, NotReplayed, Replay, Replayed, State},
        retirement,
        schema::{consumer_position, dead_letter},
        testing::{self, TestDatabase, seed},
    },
    telemetry::Metrics,
    wire::{
        decode::TopicTypes,
        record::{Header, Record},
    },
};

const TOPIC: &str = "enrollment.created";

fn types() -> TopicTypes {
    TopicTypes::new([TOPIC], [])
}

fn replayer(database: &TestDatabase) -> Replayer {
    Replayer {
        store: database.store(),
        rules: Arc::default(),
        settings: Settings {
            award: true,
            ..Settings::default()
        },
        types: types(),
        metrics: Arc::new(Metrics::new()),
        awards: Arc::default(),
        announcements: Arc::default(),
    }
}

fn actor() -> Actor {
    Actor {
        name: "ada".to_owned(),
        via: Via::CommandLine,
    }
}

/// A record of minute `minute` of November 2026.
fn record(minute: i64, value: impl Into<Vec<u8>>) -> Record {
    let start: chrono::DateTime<chrono::Utc> = "2026-11-01T00:00:00Z".parse().expect("a time");
    Record {
        topic: TOPIC.into(),
        partition: 0,
        offset: 41,
        timestamp: Some(start + TimeDelta::minutes(minute)),
        key: Some(b"7".to_vec()),
        value: Some(value.into()),
        headers: Vec::new(),
    }
}

/// In binary mode: the type is in a header, and must be there after the database.
fn request(slug: &str) -> Record {
    let data = json!({"user": {"id": 7, "username": "user7", "email": "user7@example.com"},
        "badge_class": {"slug": slug, "issuing_component": COURSE_EVENTS_COMPONENT}});
    let mut record = record(1, data.to_string());
    let header = |(name, value): (&str, &str)| Header::text(name, value);
    let headers = [
        ("ce_specversion", "1.0"),
        ("ce_id", "r1"),
        ("ce_source", "/forum"),
        ("ce_type", "badge.requested"),
    ];
    record.headers = headers.map(header).to_vec();
    record
}

fn enrolled(course: usize, is_active: bool) -> Value {
    json!({"user": {"id": 7, "username": "user7"}, "course": {"id": format!("course-v1:edX+C{course}+1")},
        "is_active": is_active})
}

fn kept(database: &TestDatabase, record: &Record, reason: &str) -> i64 {
    seed::dead_letter(&database.store(), record, reason, "what is wrong")
}

fn replay(database: &TestDatabase, id: i64) -> Replay {
    let replayed = replayer(database).replay(id, &actor());
    replayed.expect("the database answers").expect("a dead letter")
}

/// It failed again with this reason, and has it now.
fn failed(database: &TestDatabase, id: i64, expected: &str) -> DeadLetter {
    let replayed = replay(database, id);
    let Err(NotReplayed::FailedAgain { reason, message }) = replayed else {
        panic!("{replayed:?}");
    };
    let (letter, _) = read(database, id);
    assert_eq!(
        (&*reason, &*letter.reason, &*letter.message),
        (expected, expected, &*message)
    );
    letter
}

fn read(database: &TestDatabase, id: i64) -> (DeadLetter, Record) {
    let read = database.store().read("test", |tx| dead_letters::get(tx, id));
    read.expect("read").expect("a dead letter")
}

fn done(replay: Replay) -> (&'static str, u64) {
    let Replayed {
        letter,
        outcome,
        awards,
    } = replay.expect("replayed");
    assert_eq!(letter.state(), State::Replayed);
    (outcome, awards)
}

/// Dead letters, and positions.
fn rows(database: &TestDatabase) -> (i64, i64) {
    let count = |tx: &mut Tx<'_>| {
        Ok((
            dead_letter::table.count().get_result(tx.conn)?,
            consumer_position::table.count().get_result(tx.conn)?,
        ))
    };
    database.store().read("count", count).expect("read")
}

fn made(database: &TestDatabase, slug: &str) {
    let create = |tx: &mut Tx<'_>| badge_classes::get_or_create(tx, &new_badge_class(slug));
    database.store().transaction("create", create).expect("created");
}

#[tokio::test]
async fn a_request_is_granted_once_its_badge_class_is_there() {
    for database in testing::databases() {
        let read = Item::of(request("asked"), &types());
        writer(&database).apply(&[read]).expect("applied");
        assert_eq!(rows(&database), (1, 1));
        let store = database.store();
        let id = store.read("ids", |tx| dead_letters::waiting(tx, &dead_letters::Filter::default()));
        let id = id.expect("read")[0];

        let letter = failed(&database, id, "unknown_badge_class");
        assert_eq!(letter.replays, 1);
        assert!(letter.message.starts_with("no badge class"), "{}", letter.message);
        assert_eq!(rows(&database), (1, 1), "no second dead letter");

        made(&database, "asked");
        let replayer = replayer(&database);
        let replayed = replayer.replay(id, &actor()).expect("written").expect("a dead letter");
        assert_eq!(done(replayed), ("applied", 1));
        replayer.awards.notified().await;
        let counted = replayer.metrics.awards_decided.with_label_values(&["requested"]);
        assert_eq!(counted.get(), 1);
        let counted = replayer.metrics.events.with_label_values(&[TOPIC, "applied"]);
        assert_eq!(counted.get(), 0, "it was counted when it was read");
        assert_eq!(slugs(&database, 7), ["asked"]);

        assert!(matches!(replay(&database, id), Err(NotReplayed::Before(_))));
        assert_eq!(self::read(&database, id).0.replays, 2);
        assert_eq!((awards(&database).len(), rows(&database)), (1, (1, 1)));
        let window = Window { start: 0, length: 9 };
        let log = store.read("log", |tx| audit::list(tx, window)).expect("read");
        let log: Vec<_> = log.iter().map(|entry| (&*entry.action, entry.details())).collect();
        let expected = [
            ("dead_letter.replay", json!({"outcome": "applied", "awards": 1})),
            (
                "dead_letter.replay",
                json!({"outcome": "failed", "reason": "unknown_badge_class"}),
            ),
        ];
        assert_eq!(log, expected);
        assert_eq!(replayer.replay(id + 1, &actor()).expect("read"), None);
    }
}

#[test]
fn the_records_own_time_orders_its_facts() {
    for database in testing::databases() {
        let late = Item::of(record(9, enrolled(1, false).to_string()), &types());
        writer(&database).apply(&[late]).expect("applied");
        let before = facts(&database);
        let old = kept(&database, &record(5, enrolled(1, true).to_string()), "schema");
        assert_eq!(done(replay(&database, old)), ("stale", 0));
        assert_eq!((counters(&database, 7), facts(&database)), ((0, 0), before));
        let new = kept(&database, &record(10, enrolled(1, true).to_string()), "schema");
        assert_eq!(done(replay(&database, new)), ("applied", 0));
        assert_eq!(counters(&database, 7), (1, 0));
    }
}

#[test]
fn a_replayed_fact_is_decided_on_like_any_other() {
    for database in testing::databases() {
        activate(&database, "2,two", "", "");
        for (course, expected) in [(1, 0), (2, 1)] {
            let id = kept(
                &database,
                &record(5, enrolled(course, true).to_string()),
                "database_data",
            );
            assert_eq!(done(replay(&database, id)), ("applied", expected));
        }
        assert_eq!(slugs(&database, 7), ["two"]);
    }
}

#[test]
fn what_is_bad_for_good_stays_with_its_reason() {
    for database in testing::databases() {
        let large = format!("{}{}", enrolled(1, true), " ".repeat(1 << 20));
        for (value, reason) in [
            ("{".to_owned(), "not_json"),
            ("{}".to_owned(), "schema"),
            (large, "too_large"),
        ] {
            let record = record(5, value);
            let id = kept(&database, &record, "what_an_older_version_said");
            let letter = failed(&database, id, reason);
            assert_eq!((letter.state(), letter.replays), (State::Waiting, 1));
            assert_ne!(letter.message, "what is wrong");
            assert_eq!(read(&database, id).1, record, "{reason}");
        }
        assert_eq!(rows(&database), (3, 0));
    }
}

#[test]
fn what_the_database_refuses_stays_too() {
    let database = testing::sqlite();
    let refuse = |tx: &mut Tx<'_>| {
        Ok(tx.conn.batch_execute(
            "INSERT INTO learner (learner_id) VALUES (99); CREATE UNIQUE INDEX refuse ON learner (0 * learner_id)",
        )?)
    };
    database.store().transaction("refuse", refuse).expect("an index");
    let id = kept(&database, &record(5, enrolled(1, true).to_string()), "schema");
    assert_eq!(failed(&database, id, "database_data").replays, 1);
}

#[test]
fn a_dropped_or_erased_one_is_left_alone_and_so_is_a_request_while_nothing_is_awarded() {
    for database in testing::databases() {
        let id = kept(&database, &record(5, enrolled(1, true).to_string()), "schema");
        let drop = |tx: &mut Tx<'_>| dead_letters::drop_by(tx, id, &actor());
        database.store().transaction("drop", drop).expect("dropped");
        assert!(matches!(replay(&database, id), Err(NotReplayed::Dropped(_))));

        made(&database, "asked");
        let id = kept(&database, &request("asked"), "unknown_badge_class");
        let mut off = replayer(&database);
        off.settings.award = false;
        let replayed = off.replay(id, &actor()).expect("read").expect("a dead letter");
        assert_eq!(replayed, Err(NotReplayed::NothingAwarded));
        assert_eq!(read(&database, id).0.replays, 0);
        assert_eq!(done(replay(&database, id)), ("applied", 1));
        assert_eq!(facts(&database).matches("user7@").count(), 1);

        let id = kept(&database, &record(7, json!({"user": {"id": 7}}).to_string()), "schema");
        let retire = |tx: &mut Tx<'_>| retirement::retire(tx, "user7", &actor());
        let retired = database
            .store()
            .transaction("retire", retire)
            .expect("the database answers");
        assert!(retired.is_some());
        assert!(matches!(replay(&database, id), Err(NotReplayed::Erased(_))));
        assert_eq!(read(&database, id).0.state(), State::Erased);
    }
}

#[test]
fn of_two_at_once_one_replays() {
    for database in testing::databases() {
        made(&database, "asked");
        for _ in 0..10 {
            let id = kept(&database, &request("asked"), "unknown_badge_class");
            let barrier = Barrier::new(2);
            let outcomes: Vec<Replay> = std::thread::scope(|scope| {
                let both = [(); 2].map(|()| {
                    scope.spawn(|| {
                        barrier.wait();
                        replay(&database, id)
                    })
                });
                both.map(|thread| thread.join().expect("no panic"))
                    .into_iter()
                    .collect()
            });
            let replayed = outcomes.iter().filter(|replay| replay.is_ok());
            assert_eq!(replayed.count(), 1, "{outcomes:?}");
            assert!(
                outcomes
                    .iter()
                    .any(|replay| matches!(replay, Err(NotReplayed::Before(_)))),
                "{outcomes:?}"
            );
        }
        assert_eq!(database.deadlocks(), 0);
        assert_eq!(awards(&database).len(), 1);
    }
}
