//! `accolade backfill`: every learner once, however often it is begun, and whoever else is at it.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;

use accolade::clock::SystemClock;
use accolade::store::{self, Store, backfill, event_badges::RulesCache};
use accolade::telemetry::Metrics;
use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::harness::app::TestApp;
use crate::harness::binary::program;
use crate::harness::database::Database;
use crate::harness::logs::SECRET_KEY;
use crate::harness::process::{self, Process};
use crate::harness::world::badge_class;

const ENROLLED: &str = "3,enrolled_three";
const COMPLETED: &str = "2,completed_two";
const GROUPS: &str = "group,edX/C1/1,edX/C2/1";
const SLUGS: [&str; 3] = ["enrolled_three", "completed_two", "group"];

/// What the learners of [`seed`] have earned: written anew, from the facts alone.
fn earned(learners: i64) -> BTreeSet<(i64, &'static str)> {
    let mut earned = BTreeSet::new();
    for id in (1..=learners).filter(|id| id % 100 != 0) {
        let passed = [id % 2 == 0, id % 3 == 0, id % 4 == 0];
        if id % 5 >= 3 {
            earned.insert((id, SLUGS[0]));
        }
        if passed.iter().filter(|passed| **passed).count() >= 2 {
            earned.insert((id, SLUGS[1]));
        }
        if passed[0] && passed[1] {
            earned.insert((id, SLUGS[2]));
        }
    }
    earned
}

/// Learners 1 to `learners` with their facts, whom nobody has evaluated; each hundredth has retired.
fn seed(database: &Database, learners: i64) {
    let numbers = format!("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {learners}) ");
    let passed = "CASE WHEN i % 2 = 0 THEN 1 ELSE 0 END + CASE WHEN i % 3 = 0 THEN 1 ELSE 0 END \
                  + CASE WHEN i % 4 = 0 THEN 1 ELSE 0 END";
    database.lines(&format!(
        "{numbers} INSERT INTO learner (learner_id, username, email, enrolled, completed, retired_at) \
         SELECT i, 'user' || i, 'user' || i || '@example.com', i % 5, {passed}, \
         CASE WHEN i % 100 = 0 THEN CURRENT_TIMESTAMP END FROM n"
    ));
    for course in 1..=3 {
        database.lines(&format!(
            "INSERT INTO course (id, course_key) VALUES ({course}, 'edX/C{course}/1')"
        ));
        database.lines(&format!(
            "{numbers} INSERT INTO learner_course (learner_id, course_id, passed, passed_mode, passed_at, passed_event) \
             SELECT i, {course}, i % {} = 0, 'honor', CURRENT_TIMESTAMP, 'e' FROM n",
            course + 1
        ));
    }
}

fn awarded(database: &Database) -> BTreeSet<(i64, &'static str)> {
    let sql = "SELECT a.learner_id || ' ' || b.slug AS line FROM award a JOIN badge_class b ON b.id = a.badge_class_id \
               WHERE a.by_backfill AND a.idempotency_key = ''";
    let lines = database.lines(sql);
    assert_eq!(
        lines.len(),
        database.count("award", "1 = 1"),
        "nothing else was awarded"
    );
    let read = |line: String| {
        let (learner, slug) = line.split_once(' ').expect("learner and slug");
        let slug = SLUGS.into_iter().find(|known| *known == slug).expect("a known slug");
        (learner.parse().expect("a number"), slug)
    };
    lines.into_iter().map(read).collect()
}

/// Every row of every table.
fn rows(database: &Database) -> BTreeMap<String, Vec<String>> {
    let sqlite = database.url().starts_with("sqlite");
    let columns = database.lines(match sqlite {
        true => {
            "SELECT m.name || ' ' || c.name AS line FROM sqlite_master m, pragma_table_info(m.name) c \
             WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite%' ORDER BY 1"
        }
        false => {
            "SELECT table_name || ' ' || column_name AS line FROM information_schema.columns \
             WHERE table_schema = 'public' ORDER BY 1"
        }
    });
    let mut tables: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in columns {
        let (table, column) = line.split_once(' ').expect("table and column");
        let text = match sqlite {
            true => format!("quote({column})"),
            false => format!("coalesce(CAST({column} AS text), '-')"),
        };
        tables.entry(table.to_owned()).or_default().push(text);
    }
    let all = |(table, columns): (String, Vec<String>)| {
        let sql = format!("SELECT {} AS line FROM {table} ORDER BY 1", columns.join(" || ' ' || "));
        let rows = database.lines(&sql);
        (table, rows)
    };
    tables.into_iter().map(all).collect()
}

fn run(database: &Database, arguments: &[&str], setting: Option<(&str, &str)>) -> Output {
    let settings = [("DATABASE_URL", database.url()), ("SECRET_KEY", SECRET_KEY)];
    let mut command = Command::new(program());
    command.env_clear().envs(settings).envs(setting).args(arguments);
    command.output().expect("the program runs")
}

fn done(database: &Database, arguments: &[&str]) -> String {
    let output = run(database, arguments, None);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn refused(database: &Database, arguments: &[&str], setting: Option<(&str, &str)>) -> String {
    let output = run(database, arguments, setting);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}");
    assert_eq!(output.stdout, b"", "{arguments:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// An empty database with the three rules.
fn configured() -> Database {
    let database = Database::of_environment();
    done(&database, &["migrate"]);
    let directory = tempfile::tempdir().expect("a temporary directory");
    let write = |name: &str, value: Value| {
        let path = directory.path().join(name);
        std::fs::write(&path, value.to_string()).expect("the file can be written");
        path.display().to_string()
    };
    let classes: Vec<Value> = SLUGS
        .iter()
        .map(|slug| badge_class(slug, "openedx__course", 1))
        .collect();
    let file = write("classes.json", json!({"badge_classes": classes}));
    done(&database, &["badge-class", "import", &file]);
    let texts =
        json!({"enabled": true, "courses_enrolled": ENROLLED, "courses_completed": COMPLETED, "course_groups": GROUPS});
    done(&database, &["event-badges", "set", &write("texts.json", texts)]);
    database
}

/// Of each badge: decided and had, as the command tells it.
fn told(text: &str) -> (i64, Vec<(i64, i64)>) {
    let value: Value = serde_json::from_str(text).expect("JSON");
    let badges = value["badges"].as_array().expect("a list").iter();
    let slugs: Vec<_> = badges.clone().map(|badge| badge["slug"].clone()).collect();
    assert_eq!(slugs, SLUGS);
    let number = |value: &Value| value.as_i64().expect("a number");
    let badges = badges.map(|badge| (number(&badge["decided"]), number(&badge["had"])));
    (number(&value["learners"]), badges.collect())
}

/// How many learners have earned each badge.
fn counts(learners: i64) -> Vec<i64> {
    let earned = earned(learners);
    let count = |slug: &str| earned.iter().filter(|(_, earned)| *earned == slug).count();
    SLUGS.map(|slug| i64::try_from(count(slug)).expect("small")).to_vec()
}

fn all_decided(learners: i64) -> (i64, Vec<(i64, i64)>) {
    (learners, counts(learners).into_iter().map(|count| (count, 0)).collect())
}

fn all_had(learners: i64) -> (i64, Vec<(i64, i64)>) {
    (learners, counts(learners).into_iter().map(|count| (0, count)).collect())
}

#[test]
fn a_dry_run_counts_and_changes_no_row_of_any_table() {
    let database = configured();
    seed(&database, 300);
    let before = rows(&database);
    assert_eq!(
        told(&done(&database, &["backfill", "--dry-run", "--json"])),
        all_decided(300)
    );
    assert!(done(&database, &["backfill", "--dry-run"]).contains("nothing was written"));
    assert!(rows(&database) == before, "a dry run wrote something");
    assert_eq!(told(&done(&database, &["backfill", "--json"])), all_decided(300));
    assert!(rows(&database) != before, "the comparison sees nothing");
    assert_eq!(
        told(&done(&database, &["backfill", "--dry-run", "--json"])),
        all_had(300)
    );
}

#[test]
fn what_another_process_left_is_gone_on_with_and_a_second_run_decides_nothing() {
    let database = configured();
    seed(&database, 5_000);
    let settings = store::Settings {
        url: database.url().parse().expect("a URL"),
        pool_size: 1,
    };
    let store = Store::open(&settings, Arc::new(SystemClock), Arc::new(Metrics::new()));
    // Somebody came past the first learners and then was no more; the lease has run out.
    let short = TimeDelta::milliseconds(1);
    let first = store.transaction("test", |tx| {
        let claim = backfill::claim_backfill(tx, short)?.expect("it is open");
        backfill::evaluate_chunk(tx, &claim, &RulesCache::default(), 700, short)
    });
    let backfill::Chunk::More(first) = first.expect("committed") else {
        panic!("there are more than 700");
    };
    assert_eq!((first.learners, first.new.len()), (700, earned(700).len()));

    assert_eq!(told(&done(&database, &["backfill", "--json"])), all_decided(5_000));
    assert_eq!(awarded(&database), earned(5_000));
    let again = done(&database, &["backfill"]);
    assert!(again.contains("looked at 5000 learners"), "{again}");
    assert_eq!(told(&done(&database, &["backfill", "--json"])), all_had(5_000));
    assert_eq!(awarded(&database), earned(5_000));
    let noted = database.lines("SELECT details AS line FROM audit WHERE action = 'event_badges.backfill' ORDER BY id");
    assert_eq!(noted, [r#"{"from":700}"#, r#"{"from":0}"#, r#"{"from":0}"#]);
}

#[test]
fn killed_at_some_moment_and_run_again_everybody_is_reached_once() {
    let database = configured();
    seed(&database, 12_000);
    let log = process::directory("backfill", None).join("log");
    let mut arguments = vec!["-i".to_owned(), format!("DATABASE_URL={}", database.url())];
    arguments.extend([format!("SECRET_KEY={SECRET_KEY}"), program(), "backfill".to_owned()]);
    let running = Process::spawn(None, "KILL", "env", &arguments, &log);
    let has_begun = || database.count("event_badges_configuration", "backfill_cursor IS NOT NULL") > 0;
    process::wait_until("it has come to somebody", Duration::from_secs(60), || {
        has_begun() || running.has_ended()
    });
    running.end("KILL");
    assert!(has_begun(), "{}", std::fs::read_to_string(&log).unwrap_or_default());
    let (learners, badges) = told(&done(&database, &["backfill", "--json"]));
    assert_eq!(learners, 12_000);
    let reached: Vec<i64> = badges.iter().map(|(decided, had)| decided + had).collect();
    assert_eq!(reached, counts(12_000));
    assert_eq!(awarded(&database), earned(12_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn beside_a_running_service_and_twice_at_once_nothing_is_awarded_twice() {
    let app = TestApp::builder().start();
    app.activate(ENROLLED, COMPLETED, GROUPS);
    seed(&app.database, 90);
    std::thread::scope(|threads| {
        let commands = [(); 2].map(|()| threads.spawn(|| app.cli(&["backfill", "--json"])));
        for command in commands {
            let (learners, badges) = told(&command.join().expect("it does not panic"));
            let reached: Vec<i64> = badges.iter().map(|(decided, had)| decided + had).collect();
            assert_eq!((learners, reached), (90, counts(90)));
        }
    });
    let expected: Vec<(String, String)> = earned(90)
        .into_iter()
        .map(|(learner, slug)| (learner.to_string(), slug.to_owned()))
        .collect();
    app.expect_announced(&expected).await;
    assert_eq!(awarded(&app.database), earned(90));
    let reasons: BTreeSet<String> = app
        .topics
        .awarded()
        .iter()
        .map(|record| record.json()["reason"].clone())
        .map(|reason| format!("{} {}", reason["kind"], reason["rule"]))
        .collect();
    let kinds = ["course_group", "courses_completed", "courses_enrolled"];
    assert_eq!(reasons, kinds.map(|kind| format!(r#""backfill" "{kind}""#)).into());
}

#[test]
fn without_a_configuration_or_where_nothing_is_awarded_it_says_so_and_does_nothing() {
    let database = Database::of_environment();
    done(&database, &["migrate"]);
    for arguments in [&["backfill"][..], &["backfill", "--dry-run"]] {
        let errors = refused(&database, arguments, None);
        assert!(errors.contains("no active configuration"), "{errors}");
    }
    let database = configured();
    seed(&database, 10);
    let before = rows(&database);
    for arguments in [&["backfill"][..], &["backfill", "--dry-run"]] {
        let errors = refused(&database, arguments, Some(("ENABLE_OPENBADGES", "false")));
        assert!(errors.contains("ENABLE_OPENBADGES"), "{errors}");
    }
    assert!(rows(&database) == before, "something was written");
}
