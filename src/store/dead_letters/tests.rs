use chrono::TimeDelta;

use super::*;
use crate::{
    store::{
        api_reads::Window,
        audit::{self, Action, Actor, Via},
        dead_letter_relay,
        testing::{self, TestDatabase, seed},
    },
    wire::record::{Header, Record},
};

const ALL: Window = Window { start: 0, length: 100 };

fn actor() -> Actor {
    Actor {
        name: "ada".to_owned(),
        via: Via::Api,
    }
}

fn record() -> Record {
    Record {
        topic: "t".into(),
        partition: 3,
        offset: 9,
        timestamp: Some("2026-11-01T00:00:00.123Z".parse().expect("a time")),
        key: Some(vec![0xff]),
        value: Some(vec![0, 1]),
        headers: vec![
            Header {
                name: "a".to_owned(),
                value: Some(vec![0xfe]),
            },
            Header {
                name: "b".to_owned(),
                value: None,
            },
        ],
    }
}

/// Dead letters of these topics and reasons; their ids.
fn kept(database: &TestDatabase, letters: &[(&str, &str)]) -> Vec<i64> {
    (0..)
        .zip(letters)
        .map(|(offset, (topic, reason))| {
            let record = Record {
                topic: (*topic).into(),
                offset,
                ..record()
            };
            seed::dead_letter(&database.store(), &record, reason, "what is wrong")
        })
        .collect()
}

/// Sends what is to be sent; the records.
fn sent(database: &TestDatabase) -> Vec<Record> {
    let send = |tx: &mut Tx<'_>| {
        let claimed = dead_letter_relay::claim(tx, 10, 1 << 20, TimeDelta::seconds(60))?;
        let leases: Vec<_> = claimed.iter().map(|letter| letter.lease).collect();
        dead_letter_relay::mark_published(tx, &leases)?;
        Ok(claimed.into_iter().map(|letter| letter.record).collect())
    };
    database.store().transaction("send", send).expect("sent")
}

fn read(database: &TestDatabase, id: i64) -> (DeadLetter, Record) {
    let read = database.store().read("test", |tx| get(tx, id));
    read.expect("read").expect("a dead letter")
}

fn dropped(database: &TestDatabase, id: i64) -> Option<Dropped> {
    let work = |tx: &mut Tx<'_>| drop_by(tx, id, &actor());
    database.store().transaction("test", work).expect("written")
}

fn log(database: &TestDatabase) -> Vec<(String, String, String)> {
    let entries = database.store().read("test", |tx| audit::list(tx, ALL));
    let told = entries.expect("read").into_iter();
    told.map(|entry| (entry.action, entry.target, entry.details)).collect()
}

#[test]
fn a_record_is_kept_whole() {
    for database in testing::databases() {
        let id = seed::dead_letter(&database.store(), &record(), "json", "not JSON");
        let (letter, kept) = read(&database, id);
        assert_eq!(kept, record());
        assert_eq!(
            (letter.partition, letter.offset, letter.time),
            (3, 9, record().timestamp)
        );
        assert_eq!((&*letter.reason, &*letter.message), ("json", "not JSON"));
        assert_eq!(
            (letter.state(), letter.replays, letter.sent_at),
            (State::Waiting, 0, None)
        );
        assert_eq!(database.store().read("test", |tx| get(tx, id + 1)).expect("read"), None);
    }
}

#[test]
fn they_are_listed_newest_first_by_state_reason_and_topic() {
    for database in testing::databases() {
        let store = database.store();
        let ids = kept(&database, &[("a", "x"), ("a", "y"), ("b", "x"), ("b", "y")]);
        dropped(&database, ids[0]).expect("a dead letter");
        store
            .transaction("test", |tx| mark_replayed(tx, ids[1], &actor(), &serde_json::json!({})))
            .expect("marked");
        let filter = |state: Option<State>, reason: Option<&str>, topic: Option<&str>| Filter {
            state,
            reason: reason.map(str::to_owned),
            topic: topic.map(str::to_owned),
        };
        for (filter, expected) in [
            (filter(None, None, None), vec![3, 2, 1, 0]),
            (filter(Some(State::Waiting), None, None), vec![3, 2]),
            (filter(Some(State::Replayed), None, None), vec![1]),
            (filter(Some(State::Dropped), None, None), vec![0]),
            (filter(None, Some("y"), None), vec![3, 1]),
            (filter(None, Some("x"), Some("b")), vec![2]),
            (filter(Some(State::Waiting), None, Some("a")), vec![]),
        ] {
            let read = store.read("test", |tx| {
                Ok((count(tx, &filter)?, list(tx, &filter, ALL)?, waiting(tx, &filter)?))
            });
            let (count, letters, waiting) = read.expect("read");
            let listed: Vec<i64> = letters.iter().map(|letter| letter.id).collect();
            let expected: Vec<i64> = expected.into_iter().map(|n: usize| ids[n]).collect();
            assert_eq!((listed, count), (expected.clone(), letters.len() as i64), "{filter:?}");
            if filter.state == Some(State::Waiting) {
                assert_eq!(waiting, expected.into_iter().rev().collect::<Vec<_>>(), "{filter:?}");
            }
        }
        let window = Window { start: 1, length: 2 };
        let page = store.read("test", |tx| list(tx, &Filter::default(), window));
        let page: Vec<i64> = page.expect("read").iter().map(|letter| letter.id).collect();
        assert_eq!(page, [ids[2], ids[1]]);
    }
}

#[test]
fn a_failed_replay_leaves_the_new_reason_and_is_counted() {
    for database in testing::databases() {
        let id = kept(&database, &[("a", "x")])[0];
        assert_eq!(sent(&database).len(), 1);
        for n in 1..=2 {
            let work = |tx: &mut Tx<'_>| keep_failure(tx, id, "schema", "user.id: missing", &actor());
            database.store().transaction("test", work).expect("written");
            let (letter, _) = read(&database, id);
            assert_eq!((letter.replays, letter.state()), (n, State::Waiting));
            assert_eq!((&*letter.reason, &*letter.message), ("schema", "user.id: missing"));
        }
        assert_eq!(sent(&database), [], "it is not sent again");
        assert_eq!(read(&database, id).1.value, record().value);
        let (action, target, details) = log(&database).remove(0);
        assert_eq!(
            (&*action, &*target),
            (Action::ReplayDeadLetter.as_str(), &*id.to_string())
        );
        assert_eq!(details, r#"{"outcome":"failed","reason":"schema"}"#);
    }
}

#[test]
fn a_dropped_one_that_was_sent_is_erased_and_its_row_stays() {
    for database in testing::databases() {
        let id = kept(&database, &[("a", "x")])[0];
        assert_eq!(sent(&database).len(), 1);
        let first = dropped(&database, id).expect("a dead letter");
        assert!(first.changed);
        let (letter, erased) = read(&database, id);
        assert_eq!((letter.state(), &letter), (State::Dropped, &first.letter));
        assert_eq!((erased.key, erased.value, erased.headers), (None, None, Vec::new()));
        assert_eq!((&*letter.reason, letter.offset), ("x", 0));
        assert!(!dropped(&database, id).expect("a dead letter").changed);
        assert_eq!(dropped(&database, id + 1), None);
        let told = [(
            "dead_letter.drop".to_owned(),
            id.to_string(),
            r#"{"from":"waiting","reason":"x"}"#.to_owned(),
        )];
        assert_eq!(log(&database), told, "once");
    }
}

#[test]
fn a_dropped_one_that_was_not_sent_is_sent_whole_and_then_erased() {
    for database in testing::databases() {
        let ids = kept(&database, &[("a", "x"), ("a", "x")]);
        dropped(&database, ids[0]).expect("a dead letter");
        assert_eq!(read(&database, ids[0]).1.value, record().value, "not yet");
        let sent = sent(&database);
        assert_eq!(sent.len(), 2);
        assert_eq!((&sent[0].value, &sent[0].headers), (&record().value, &record().headers));
        assert_eq!(read(&database, ids[0]).1.value, None);
        assert_eq!(
            read(&database, ids[1]).1.value,
            record().value,
            "the other one stays whole"
        );
    }
}

#[test]
fn a_replayed_one_that_was_not_sent_is_sent_all_the_same() {
    for database in testing::databases() {
        let id = kept(&database, &[("a", "x")])[0];
        let details = serde_json::json!({"outcome": "applied"});
        let mark = |tx: &mut Tx<'_>| mark_replayed(tx, id, &actor(), &details);
        let letter = database.store().transaction("test", mark).expect("marked");
        assert_eq!((letter.state(), letter.replays), (State::Replayed, 1));
        assert_eq!(sent(&database).len(), 1);
        let (letter, kept) = read(&database, id);
        assert!(letter.sent_at.is_some() && letter.replayed_at.is_some());
        assert_eq!(kept.value, record().value, "it can be looked at until it is dropped");
        assert!(dropped(&database, id).expect("a dead letter").changed);
        assert_eq!(read(&database, id).1.value, None);
    }
}
