//! The house: which room may enter which, and what belongs in one room only.

mod source;
mod statements;

use std::fs;
use std::path::{Path, PathBuf};

use source::{Token, rooms_named, tokens};

/// The rooms by layer; imports point down. Rooms of layers 2 and 3 do not know each other.
const LAYERS: [(u8, &[&str]); 7] = [
    // For tests alone.
    (6, &["simulation"]),
    (5, &["main", "cli", "app"]),
    (4, &["config"]),
    (3, &["http", "ingest", "issue", "publish", "backfill"]),
    (2, &["store", "backend", "kafka"]),
    (1, &["wire"]),
    (0, &["domain", "clock", "failpoint", "retry", "secret", "telemetry"]),
];

/// Names that only the files below these paths may say; unit tests may, too: they look into tables.
const BELONGS: [(&str, &[&str]); 19] = [
    ("rdkafka", &["kafka/"]),
    ("diesel", &["store/"]),
    ("diesel_migrations", &["store/"]),
    ("libsqlite3_sys", &["store/"]),
    ("pq_sys", &["store/"]),
    ("axum", &["http/"]),
    ("hyper", &["http/"]),
    ("hyper_util", &["http/"]),
    ("tower_http", &["http/"]),
    ("utoipa_axum", &["http/"]),
    ("reqwest", &["backend/", "cli/healthcheck.rs"]),
    ("chacha20poly1305", &["backend/", "secret.rs", "http/"]),
    ("clap", &["cli/", "main.rs"]),
    ("indicatif", &["cli/"]),
    ("println", &["cli/", "main.rs"]),
    ("print", &["cli/", "main.rs"]),
    ("eprintln", &["cli/", "main.rs"]),
    ("eprint", &["cli/", "main.rs"]),
    ("dbg", &[]),
];

/// What pure rooms do without.
const IMPURE: [&str; 9] = [
    "async",
    "await",
    "tokio",
    "futures_util",
    "tracing",
    "fs",
    "net",
    "rand",
    "Instant",
];
const PURE: [&str; 2] = ["domain/", "wire/"];

/// No file is longer than this.
const LINES: usize = 400;

fn layer(room: &str) -> Option<u8> {
    LAYERS
        .iter()
        .find(|(_, rooms)| rooms.contains(&room))
        .map(|(layer, _)| *layer)
}

/// What is wrong with one file; `path` is below `src`.
fn violations(path: &str, source: &str) -> Vec<String> {
    let tokens = tokens(source);
    let parts: Vec<&str> = path.trim_end_matches(".rs").split('/').collect();
    let is_tests = parts.iter().any(|part| *part == "tests" || *part == "testing");
    let mut found = Vec::new();
    let mut say = |line: usize, what: String| found.push(format!("src/{path}:{line}: {what}"));

    if path != "lib.rs" {
        let depth = parts.len() - usize::from(parts.last() == Some(&"mod"));
        match layer(parts[0]) {
            None => say(1, format!("{} is no room of DESIGN.md", parts[0])),
            Some(own) => {
                for named in rooms_named(&tokens, depth) {
                    if let Some(problem) = forbidden(parts[0], own, &named.text) {
                        say(named.line, problem);
                    }
                }
            }
        }
    }
    for (index, token) in tokens.iter().enumerate() {
        let next = |n: usize| tokens.get(index + n).map_or("", |token: &Token| token.text.as_str());
        let previous = index.checked_sub(1).map_or("", |n| tokens[n].text.as_str());
        let text = token.text.as_str();
        let for_tests = token.in_tests || is_tests;
        let is_macro = matches!(text, "println" | "print" | "eprintln" | "eprint" | "dbg");
        let is_name = if is_macro { next(1) == "!" } else { previous != "." };
        if for_tests {
            continue;
        }
        if let Some((_, homes)) = BELONGS.iter().find(|(name, _)| *name == text)
            && is_name
            && !homes.iter().any(|home| path.starts_with(home))
        {
            say(token.line, format!("{text} belongs in {homes:?}"));
        }
        let asks_time = matches!(text, "Utc" | "Local" | "SystemTime") && next(1) == "::" && next(2) == "now";
        if asks_time && path != "clock.rs" {
            say(token.line, format!("{text}::now: time comes from a Clock"));
        }
        if IMPURE.contains(&text) && PURE.iter().any(|room| path.starts_with(room)) {
            say(token.line, format!("{text} in a room that is pure"));
        }
        // What a test orders is for the whole process.
        if text == "static" && previous != "'" && path != "failpoint.rs" {
            say(token.line, "a static".to_owned());
        }
        if text == "allow" && next(1) == "(" && matches!(previous, "[" | ",") {
            say(token.line, "#[allow]: write #[expect(…, reason = \"…\")]".to_owned());
        }
    }
    found
}

fn forbidden(own_room: &str, own: u8, named: &str) -> Option<String> {
    if named == own_room {
        return None;
    }
    match layer(named) {
        // A macro, a type of the crate's root: there are none.
        None => Some(format!("crate::{named} is no room of DESIGN.md")),
        Some(other) if other > own => Some(format!("{own_room} (layer {own}) imports {named} (layer {other})")),
        Some(other) if other == own && matches!(own, 2 | 3) => {
            Some(format!("{own_room} imports {named}, which is beside it in layer {own}"))
        }
        Some(_) => None,
    }
}

/// Every Rust file below a directory of the repository, with its path below it.
fn files(below: &str) -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(below);
    let mut directories = vec![root.clone()];
    let mut files: Vec<PathBuf> = Vec::new();
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).expect("directories can be read") {
            let path = entry.expect("directories can be read").path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    let named = files.into_iter().map(|path| {
        let name = path
            .strip_prefix(&root)
            .expect("it was found there")
            .display()
            .to_string();
        (name, fs::read_to_string(&path).expect("sources are texts"))
    });
    named.collect()
}

#[test]
fn imports_point_down_and_each_library_stays_in_its_room() {
    let files = files("src");
    assert!(files.len() > 30, "the sources were not found");
    let found: Vec<String> = files
        .iter()
        .flat_map(|(path, source)| violations(path, source))
        .collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn no_text_from_outside_stands_in_a_statement() {
    let files = files("src").into_iter().filter(|(path, _)| {
        let is_tests = path.split('/').any(|part| part.starts_with("test"));
        path.starts_with("store/") && !is_tests
    });
    let found: Vec<String> = files
        .flat_map(|(path, source)| statements::foreign(&path, &source))
        .collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn files_are_short() {
    let mut found = Vec::new();
    for below in ["src", "tests"] {
        for (path, source) in files(below) {
            let lines = source.lines().count();
            if lines > LINES {
                found.push(format!("{below}/{path}: {lines} lines"));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// Path, source, and what must be said of it (a part of the text); empty: nothing.
const PLANTED: [(&str, &str, &str); 29] = [
    (
        "app/mod.rs",
        "use crate::simulation;",
        "app (layer 5) imports simulation (layer 6)",
    ),
    (
        "store/facts.rs",
        "use crate::ingest::Batch;",
        "store (layer 2) imports ingest (layer 3)",
    ),
    (
        "store/facts.rs",
        "use crate::{domain::Event, backend::Award};",
        "store imports backend",
    ),
    (
        "store/facts.rs",
        "use crate::{\n    domain::{self, award},\n    kafka,\n};",
        "src/store/facts.rs:3: store imports kafka",
    ),
    (
        "store/facts.rs",
        "fn f() { crate::kafka::send() }",
        "store imports kafka",
    ),
    ("store/facts.rs", "use super::super::kafka;", "store imports kafka"),
    ("store/mod.rs", "use super::kafka;", "store imports kafka"),
    (
        "store/mod.rs",
        "mod inner { use super::super::kafka; }",
        "store imports kafka",
    ),
    (
        "store/mod.rs",
        "mod facts; use self::facts::x; mod inner { use super::kafka; }",
        "",
    ),
    ("store/facts.rs", "use super::{kafka, Tx}; use crate::store::Store;", ""),
    ("ingest/mod.rs", "use crate::issue::Wake;", "ingest imports issue"),
    (
        "ingest/mod.rs",
        "use crate::{store::Store, kafka, domain, telemetry};",
        "",
    ),
    (
        "wire/mod.rs",
        "use crate::store;",
        "wire (layer 1) imports store (layer 2)",
    ),
    ("domain/mod.rs", "use crate::telemetry::Metrics; use crate::retry;", ""),
    ("domain/mod.rs", "pub async fn f() {}", "async in a room that is pure"),
    ("drawer/mod.rs", "", "drawer is no room"),
    ("ingest/mod.rs", "use crate::util::x;", "crate::util is no room"),
    ("ingest/mod.rs", "use rdkafka::message::Message;", "rdkafka belongs"),
    (
        "ingest/mod.rs",
        "#[derive(diesel::Queryable)] struct X;",
        "diesel belongs",
    ),
    ("issue/mod.rs", "fn f() { println!(\"x\") }", "println belongs"),
    (
        "issue/mod.rs",
        "// println!\n/* axum:: /* reqwest */ diesel */ const A: &str = r#\"crate::http \"axum\"#;",
        "",
    ),
    (
        "issue/mod.rs",
        "fn f(c: char, s: &'static str) -> bool { c == '\"' || c == '\\'' } // crate::http",
        "",
    ),
    (
        "issue/mod.rs",
        "const A: char = '\"'; use crate::http::x; const B: char = '\"';",
        "issue imports http",
    ),
    ("issue/mod.rs", "fn f() { chrono::Utc::now() }", "Utc::now"),
    (
        "issue/mod.rs",
        "#[cfg(test)]\nmod tests { fn f() { Utc::now() } }\nfn g() { Utc::now() }",
        "src/issue/mod.rs:3: Utc::now",
    ),
    ("clock.rs", "fn f() { chrono::Utc::now() }", ""),
    ("issue/mod.rs", "static X: u8 = 1;", "a static"),
    ("failpoint.rs", "static X: u8 = 1;", ""),
    ("issue/mod.rs", "#[allow(dead_code)] fn f() {}", "#[allow]"),
];

#[test]
fn planted_violations_are_found_and_nothing_else_is() {
    for (path, source, expected) in PLANTED {
        let found = violations(path, source);
        let is_right = match expected {
            "" => found.is_empty(),
            expected => found.len() == 1 && found[0].contains(expected),
        };
        assert!(is_right, "{path}: {source}\nexpected: {expected}\nfound: {found:?}");
    }
}
