//! What is known to make such services slow, looked for where it shows: in what PostgreSQL counts, and in its tables.

use std::sync::Arc;

use diesel::{
    QueryableByName, RunQueryDsl, sql_query,
    sql_types::{BigInt, Text},
};

use super::support::{activate, enrollment, item, writer};
use crate::{
    clock::SystemClock,
    ingest::{Batch, Item, Settings},
    store::{
        Store,
        awards::testing as awards_testing,
        testing::{postgres, sqlite},
    },
};

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    number: i64,
}

#[derive(QueryableByName)]
struct Line {
    #[diesel(sql_type = Text)]
    line: String,
}

/// Transactions that were committed up to now, this look among them.
fn commits(store: &Store) -> i64 {
    let number = store.read("commits", |tx| {
        sql_query("SELECT pg_stat_force_next_flush()").execute(tx.conn)?;
        let sql = "SELECT xact_commit AS number FROM pg_stat_database WHERE datname = current_database()";
        Ok(sql_query(sql).get_result::<Number>(tx.conn)?)
    });
    number.expect("counted").number
}

fn lines(store: &Store, sql: &str) -> Vec<String> {
    let lines = store.read("lines", |tx| Ok(sql_query(sql).load::<Line>(tx.conn)?));
    lines.expect("read").into_iter().map(|line| line.line).collect()
}

fn enrolments(learners: std::ops::Range<i64>) -> Vec<Item> {
    learners
        .map(|learner| item(1, enrollment(learner, learner as usize % 3, true)))
        .collect()
}

#[test]
fn a_batch_is_one_commit_with_all_its_awards() {
    let Some(database) = postgres() else { return };
    activate(&database, "1,one", "", "");
    let settings = Settings {
        award: true,
        issue_at_once: Some(Arc::new(|award| Some(awards_testing::completed(award)))),
        ..Settings::default()
    };
    let store = database.store();
    let mut writer = Batch::new(Arc::clone(&store), Arc::default(), settings);
    // What is read once and kept.
    writer.apply(&enrolments(1..4)).expect("applied");
    // What a look costs by itself is known by the second one.
    let looks = [(); 2].map(|()| commits(&store));
    let look = looks[1] - looks[0];
    let outcome = writer.apply(&enrolments(4..204)).expect("applied");
    assert_eq!(outcome.to_announce, 200);
    assert_eq!(commits(&store) - looks[1], look + 1);
}

#[test]
fn a_connection_prepares_the_statements_of_a_batch_once() {
    let Some(database) = postgres() else { return };
    activate(&database, "1,one", "", "");
    let settings = Settings {
        award: true,
        issue_at_once: Some(Arc::new(|award| Some(awards_testing::completed(award)))),
        ..Settings::default()
    };
    let store = database.another(Arc::new(SystemClock), 1);
    let mut writer = Batch::new(Arc::clone(&store), Arc::default(), settings);
    writer.apply(&enrolments(1..4)).expect("applied");
    writer.apply(&enrolments(3..9)).expect("applied");
    let kept = lines(&store, "SELECT statement AS line FROM pg_prepared_statements").join("\n");
    for name in [
        "event_badges::standing",
        "learners::hold",
        "facts::read",
        "facts::insert",
        "awards::insert_decisions",
        "awards::these",
        "awards::issue_at_once",
        "positions::store",
    ] {
        assert!(
            kept.contains(name),
            "{name} is prepared anew each time; kept are:\n{kept}"
        );
    }
}

#[test]
fn a_batch_is_counted_by_its_labels_and_not_record_by_record() {
    let database = sqlite();
    let outcome = writer(&database).apply(&enrolments(1..301)).expect("applied");
    // What applies records knows no metrics.
    assert_eq!(outcome.events.into_values().collect::<Vec<u64>>(), [300]);
}

#[test]
fn what_is_known_is_not_written_again() {
    let Some(database) = postgres() else { return };
    let store = database.store();
    let mut writer = writer(&database);
    writer.apply(&enrolments(1..50)).expect("applied");
    // Which transaction wrote each row.
    let written = || {
        ["course", "learner", "learner_course"].map(|table| {
            lines(
                &store,
                &format!("SELECT ctid || ' ' || xmin AS line FROM {table} ORDER BY 1"),
            )
        })
    };
    let before = written();
    assert_eq!(before.each_ref().map(Vec::len), [3, 49, 49]);
    writer.apply(&enrolments(1..50)).expect("applied");
    assert_eq!(written(), before);
    // Also by a process that has none of them in its memory.
    self::writer(&database).apply(&enrolments(1..50)).expect("applied");
    assert_eq!(written(), before);
    // Another course is none that is known, and their names stay.
    let more: Vec<Item> = (1..50).map(|learner| item(2, enrollment(learner, 3, true))).collect();
    writer.apply(&more).expect("applied");
    let after = written();
    assert_eq!(after.each_ref().map(Vec::len), [4, 49, 98]);
    assert!(
        before[0].iter().all(|row| after[0].contains(row)),
        "no course is written again"
    );
}

#[test]
fn the_facts_are_found_by_numbers() {
    let Some(database) = postgres() else { return };
    let sql = "SELECT DISTINCT a.attname || ' ' || format_type(a.atttypid, NULL) AS line FROM pg_index i \
               JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey) \
               WHERE i.indrelid = 'learner_course'::regclass ORDER BY 1";
    assert_eq!(
        lines(&database.store(), sql),
        ["course_id integer", "learner_id bigint"]
    );
}
