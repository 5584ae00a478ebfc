//! Both databases have the same tables, and the code knows them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Barrier};

use accolade::clock::SystemClock;
use accolade::store::{Settings, Store};
use accolade::telemetry::Metrics;

use crate::harness::database::Database;

/// The columns of each table; of each whether it may be null.
type Tables = BTreeMap<String, BTreeMap<String, bool>>;

/// A migrated database, and how many migrations ran.
fn migrated(url: &str) -> usize {
    let settings = Settings {
        url: url.parse().expect("a URL"),
        pool_size: 2,
    };
    let store = Store::open(&settings, Arc::new(SystemClock), Arc::new(Metrics::new()));
    let ran = store.migrate().expect("the migrations run");
    assert_eq!(store.migrate().expect("they run again"), Vec::<String>::new());
    assert_eq!(
        store.pending_migrations().expect("the database answers"),
        Vec::<String>::new()
    );
    ran.len()
}

fn parsed(lines: impl Iterator<Item = String>) -> Tables {
    let mut tables = Tables::new();
    for line in lines {
        let mut parts = line.split('|').map(str::to_owned);
        let mut next = || parts.next().expect("table, column, null");
        let (table, column, null) = (next(), next(), next());
        tables.entry(table).or_default().insert(column, null == "1");
    }
    tables
}

fn sqlite(sql: &str) -> (Vec<String>, usize) {
    let database = Database::sqlite();
    let ran = migrated(database.url());
    (database.lines(sql), ran)
}

const SQLITE_COLUMNS: &str = "SELECT m.name || '|' || c.name || '|' || (c.\"notnull\" = 0 AND c.pk = 0) AS line \
     FROM sqlite_master m, pragma_table_info(m.name) c \
     WHERE m.type = 'table' AND m.name NOT LIKE '\\_\\_%' ESCAPE '\\' AND m.name NOT LIKE 'sqlite\\_%' ESCAPE '\\'";
const SQLITE_KEYS: &str = "SELECT m.name || '|' || (SELECT group_concat(name) FROM (SELECT i.name FROM pragma_index_info(x.name) i \
     ORDER BY i.name)) AS line FROM sqlite_master m, pragma_index_list(m.name) x \
     WHERE m.type = 'table' AND m.name NOT LIKE '\\_\\_%' ESCAPE '\\' AND x.\"unique\" \
     UNION SELECT m.name || '|' || c.name FROM sqlite_master m, pragma_table_info(m.name) c \
     WHERE m.type = 'table' AND m.name NOT LIKE '\\_\\_%' ESCAPE '\\' AND m.name NOT LIKE 'sqlite\\_%' ESCAPE '\\' \
     AND c.pk = 1 AND NOT EXISTS (SELECT 1 FROM pragma_table_info(m.name) o WHERE o.pk = 2)";
const POSTGRES_COLUMNS: &str = "SELECT table_name || '|' || column_name || '|' || (is_nullable = 'YES')::int AS line \
     FROM information_schema.columns WHERE table_schema = 'public' AND table_name NOT LIKE '\\_\\_%'";
const POSTGRES_KEYS: &str = "SELECT DISTINCT t.relname || '|' || (SELECT string_agg(a.attname, ',' ORDER BY a.attname COLLATE \"C\") \
     FROM pg_attribute a WHERE a.attrelid = t.oid AND a.attnum = ANY (x.indkey)) AS line \
     FROM pg_index x JOIN pg_class t ON t.oid = x.indrelid JOIN pg_namespace n ON n.oid = t.relnamespace \
     WHERE n.nspname = 'public' AND x.indisunique AND t.relname NOT LIKE '\\_\\_%'";

/// What `schema.rs` says: the tables that the code can reach.
fn schema() -> Tables {
    let text = include_str!("../../src/store/schema.rs");
    let mut tables = Tables::new();
    let mut table = String::new();
    for line in text.lines().map(str::trim) {
        if let Some((column, kind)) = line.split_once(" -> ") {
            let null = kind.starts_with("Nullable");
            tables.entry(table.clone()).or_default().insert(column.to_owned(), null);
        } else if let Some((name, _)) = line.split_once(" (").filter(|_| line.ends_with('{')) {
            table = name.to_owned();
        }
    }
    tables
}

#[test]
fn the_code_knows_the_tables_of_sqlite_as_they_are() {
    let (lines, ran) = sqlite(SQLITE_COLUMNS);
    assert!(ran >= 1);
    let found = parsed(lines.into_iter());
    assert!(found.len() >= 10, "{found:?}");
    assert_eq!(found, schema());
}

#[test]
fn processes_that_start_together_run_each_migration_once() {
    let database = Database::of_environment();
    if database.url().starts_with("sqlite") {
        return;
    }
    let stores: Vec<Store> = (0..8)
        .map(|_| {
            let settings = Settings {
                url: database.url().parse().expect("a URL"),
                pool_size: 1,
            };
            Store::open(&settings, Arc::new(SystemClock), Arc::new(Metrics::new()))
        })
        .collect();
    let together = Barrier::new(stores.len());
    let mut ran: Vec<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = stores
            .iter()
            .map(|store| {
                scope.spawn(|| {
                    together.wait();
                    store.migrate().expect("the migrations run")
                })
            })
            .collect();
        let ran = threads.into_iter().flat_map(|thread| thread.join().expect("no panic"));
        ran.collect()
    });
    ran.sort();
    let number = ran.len();
    ran.dedup();
    assert_eq!((ran.len(), number > 1), (number, true), "{ran:?}: each ran once");
    for store in &stores {
        assert_eq!(store.pending_migrations().expect("it looks"), Vec::<String>::new());
    }
}

#[test]
fn every_table_of_learners_is_led_by_the_learner() {
    let (keys, _) = sqlite(SQLITE_KEYS);
    for (table, columns) in schema() {
        if columns.contains_key("learner_id") {
            let key = keys.iter().filter(|key| key.starts_with(&format!("{table}|")));
            assert!(
                key.into_iter().any(|key| key.contains("learner_id")),
                "{table}: {keys:?}"
            );
        }
    }
}

#[test]
fn postgresql_has_the_same_tables_and_keys_as_sqlite() {
    let database = Database::of_environment();
    if database.url().starts_with("sqlite") {
        return;
    }
    migrated(database.url());
    let lines = |sql: &str| database.lines(sql).into_iter().collect::<BTreeSet<_>>();
    assert_eq!(
        parsed(lines(POSTGRES_COLUMNS).into_iter()),
        parsed(sqlite(SQLITE_COLUMNS).0.into_iter())
    );
    assert_eq!(lines(POSTGRES_KEYS), sqlite(SQLITE_KEYS).0.into_iter().collect());
}

/// Rules 1 to 3 of migrations/README.md: why this statement is none of those that the release before can live with.
fn harm(statement: &str, new_tables: &BTreeSet<String>) -> Option<&'static str> {
    let words: Vec<String> = statement.split_whitespace().map(str::to_uppercase).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let has = |word: &str| words.contains(&word);
    match words.as_slice() {
        ["CREATE", "TABLE" | "INDEX", ..] | ["INSERT" | "UPDATE", ..] => None,
        ["CREATE", "UNIQUE", "INDEX", _, "ON", table, ..] if new_tables.contains(*table) => None,
        ["ALTER", "TABLE", _, "ADD", "COLUMN", ..] if has("UNIQUE") || has("CHECK") => Some("a new constraint"),
        ["ALTER", "TABLE", _, "ADD", "COLUMN", ..] if has("NOT") && !has("DEFAULT") => {
            Some("NOT NULL without a default")
        }
        ["ALTER", "TABLE", _, "ADD", "COLUMN", ..] => None,
        _ => Some("it does not only add"),
    }
}

#[test]
fn every_migration_only_adds() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
    let mut seen = 0;
    for database in ["postgres", "sqlite"] {
        let directories = std::fs::read_dir(root.join(database)).expect("the migrations can be read");
        for directory in directories.flatten() {
            let text = std::fs::read_to_string(directory.path().join("up.sql")).expect("a migration has its SQL");
            let code: Vec<&str> = text
                .lines()
                .filter(|line| !line.trim_start().starts_with("--"))
                .collect();
            let code = code.join("\n");
            let statements = code.split(';').map(str::trim).filter(|statement| !statement.is_empty());
            let new_tables = statements.clone().filter_map(|statement| {
                let upper = statement.to_uppercase();
                Some(
                    upper
                        .strip_prefix("CREATE TABLE ")?
                        .split_whitespace()
                        .next()?
                        .to_owned(),
                )
            });
            let new_tables: BTreeSet<String> = new_tables.collect();
            for statement in statements {
                let wrong = harm(statement, &new_tables);
                assert_eq!(wrong, None, "{}: {statement}", directory.path().display());
                seen += 1;
            }
        }
    }
    assert!(seen > 20, "{seen}");
}

#[test]
fn what_the_release_before_could_not_live_with_is_seen() {
    let new = BTreeSet::from(["FRESH".to_owned()]);
    for statement in [
        "ALTER TABLE award DROP COLUMN state",
        "ALTER TABLE award RENAME COLUMN state TO status",
        "ALTER TABLE award ALTER COLUMN state SET NOT NULL",
        "ALTER TABLE award ADD COLUMN kind text NOT NULL",
        "ALTER TABLE award ADD COLUMN kind text CHECK (kind <> '')",
        "CREATE UNIQUE INDEX one ON award (state)",
        "DROP TABLE award",
        "DROP INDEX award_state",
    ] {
        assert!(harm(statement, &new).is_some(), "{statement}");
    }
    for statement in [
        "create unique index one on fresh (state)",
        "ALTER TABLE award ADD COLUMN kind text NOT NULL DEFAULT ''",
        "ALTER TABLE award ADD COLUMN kind text",
    ] {
        assert_eq!(harm(statement, &new), None, "{statement}");
    }
}
