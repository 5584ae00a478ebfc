use diesel::sql_types::{Integer, Text};

use super::*;
use crate::store::{
    Store,
    testing::{TestDatabase, databases, postgres},
};

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Text)]
    row: String,
}

/// An event of a learner, acknowledged so many days ago, if it was.
fn event(store: &Store, learner: i64, seq: i64, name: &str, days: Option<i64>) {
    let written = store.transaction("test", |tx| {
        let now = tx.now()?;
        sql_query(
            "INSERT INTO outbox (learner_id, seq, event_id, event_type, award_id, payload, created_at, published_at) \
             VALUES ($1, $2, 'e', 'badge.awarded', 'a', $3, $4, $5)",
        )
        .bind::<BigInt, _>(learner)
        .bind::<BigInt, _>(seq)
        .bind::<Text, _>(serde_json::json!({"user": {"id": learner, "username": name}}).to_string())
        .bind::<Timestamp, _>(now - TimeDelta::days(400))
        .bind::<Nullable<Timestamp>, _>(days.map(|days| now - TimeDelta::days(days)))
        .execute(tx.conn)?;
        Ok(())
    });
    written.expect("written");
}

/// A dead letter that was sent, and dealt with in the column, so many days ago.
fn letter(store: &Store, offset: i32, sent: Option<i64>, dealt: Option<(&str, i64)>) {
    let written = store.transaction("test", |tx| {
        let now = tx.now()?;
        let column = dealt.map_or("dropped_at", |(column, _)| column);
        sql_query(format!(
            "INSERT INTO dead_letter (topic, record_partition, record_offset, headers, reason, message, created_at, \
             published_at, {column}) VALUES ('t', 0, $1, '[]', 'schema', 'wrong', $2, $3, $4)"
        ))
        .bind::<Integer, _>(offset)
        .bind::<Timestamp, _>(now - TimeDelta::days(400))
        .bind::<Nullable<Timestamp>, _>(sent.map(|days| now - TimeDelta::days(days)))
        .bind::<Nullable<Timestamp>, _>(dealt.map(|(_, days)| now - TimeDelta::days(days)))
        .execute(tx.conn)?;
        Ok(())
    });
    written.expect("written");
}

fn left(database: &TestDatabase, sql: &str) -> Vec<String> {
    let read = database
        .store()
        .read("test", |tx| Ok(sql_query(sql).load::<Row>(tx.conn)?));
    read.expect("read").into_iter().map(|row| row.row).collect()
}

#[test]
fn old_events_go_and_of_each_name_the_last_stays() {
    for database in databases() {
        let store = database.store();
        for (learner, seq, name, days) in [
            (1, 1, "ada", Some(31)),
            (1, 2, "ada", Some(31)),
            (1, 3, "ada", Some(29)),
            (2, 1, "bob", Some(90)),
            (2, 2, "rob", Some(90)),
            (2, 3, "bob", Some(90)),
            (3, 1, "eve", None),
            (3, 2, "eve", Some(90)),
            (4, 1, "", Some(90)),
            (4, 2, "", None),
        ] {
            event(&store, learner, seq, name, days);
        }
        let mut after = None;
        let mut deleted = Vec::new();
        loop {
            let slice = store.transaction("test", |tx| delete_events(tx, after, 2));
            let slice = slice.expect("deleted").expect("nobody else is at it");
            deleted.push(slice.deleted);
            after = slice.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(deleted, [3, 1, 0], "two learners at a time");
        let sql =
            "SELECT CAST(learner_id AS text) || ' ' || CAST(seq AS text) AS row FROM outbox ORDER BY learner_id, seq";
        assert_eq!(left(&database, sql), ["1 3", "2 2", "2 3", "3 1", "3 2", "4 2"]);
    }
}

#[test]
fn dead_letters_go_that_were_sent_and_dealt_with_long_ago() {
    for database in databases() {
        let store = database.store();
        for (offset, sent, dealt) in [
            (0, Some(40), Some(("dropped_at", 31))),
            (1, Some(40), Some(("replayed_at", 31))),
            (2, Some(40), Some(("erased_at", 31))),
            (3, Some(40), None),
            (4, None, Some(("dropped_at", 31))),
            (5, Some(29), Some(("dropped_at", 31))),
            (6, Some(40), Some(("replayed_at", 29))),
        ] {
            letter(&store, offset, sent, dealt);
        }
        for deleted in [2, 1, 0] {
            let done = store.transaction("test", |tx| delete_letters(tx, 2));
            assert_eq!(done.expect("deleted"), Some(deleted));
        }
        let sql = "SELECT CAST(record_offset AS text) AS row FROM dead_letter ORDER BY id";
        assert_eq!(left(&database, sql), ["3", "4", "5", "6"]);
    }
}

#[test]
fn one_process_deletes_at_a_time() {
    let Some(database) = postgres() else { return };
    let store = database.store();
    let done = store.transaction("first", |tx| {
        assert_eq!(delete_letters(tx, 1)?, Some(0));
        let second = store.transaction("second", |tx| Ok((delete_events(tx, None, 1)?, delete_letters(tx, 1)?)));
        assert_eq!(second?, (None, None));
        Ok(())
    });
    done.expect("asked");
}
