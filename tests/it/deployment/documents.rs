//! README.md and the guides below `deploy` name what there is.

use std::collections::BTreeSet;

use accolade::telemetry::Metrics;

use super::{is_command, is_setting, normal, read, repository};

const DOCUMENTS: [&str; 6] = [
    "README.md",
    "deploy/SCALING.md",
    "deploy/operations.md",
    "deploy/openedx.md",
    "deploy/openedx/README.md",
    "deploy/images/README.md",
];

/// The targets of a document's links, but for those into the world.
fn links(text: &str) -> Vec<String> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    targets
        .filter(|target| !target.contains("://") && !target.starts_with('#'))
        .map(str::to_owned)
        .collect()
}

/// What stands between backticks on one line, outside of blocks.
fn quoted(text: &str) -> Vec<String> {
    let mut is_block = false;
    let mut found = Vec::new();
    for line in text.lines() {
        if line.starts_with("```") {
            is_block = !is_block;
        } else if !is_block {
            found.extend(line.split('`').skip(1).step_by(2).map(str::to_owned));
        }
    }
    found
}

/// The words of a text that look like this.
fn words(text: &str, is_part: impl Fn(char) -> bool) -> BTreeSet<String> {
    text.split(|c| !is_part(c))
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

#[test]
fn links_and_paths_lead_somewhere() {
    for document in DOCUMENTS {
        let text = read(document);
        let folder = repository().join(document);
        let folder = folder.parent().expect("a file is in a folder");
        for link in links(&text) {
            assert!(normal(&folder.join(&link)).exists(), "{document}: {link}");
        }
        for path in quoted(&text) {
            let first = path.split('/').next().unwrap_or_default();
            if path.contains('/') && ["src", "tests", "deploy", "migrations", ".ci"].contains(&first) {
                assert!(repository().join(&path).exists(), "{document}: {path}");
            }
        }
    }
}

#[test]
fn commands_are_commands() {
    let mut count = 0;
    for document in DOCUMENTS {
        let text = read(document);
        let lines = text.lines().filter(|line| line.contains("accolade "));
        for call in lines.flat_map(|line| line.split("accolade ").skip(1)) {
            let call = call
                .split(['`', '<', '\'', '#'])
                .next()
                .unwrap_or_default()
                .replace("\\|", "|");
            let words: Vec<&str> = call.split_whitespace().take_while(|word| word.len() > 1).collect();
            let Some((first, rest)) = words.split_first() else {
                continue;
            };
            // `docker compose exec -T accolade accolade publish`, and the group and the database of that name.
            if first.starts_with(['-', '(', ')']) || first.chars().any(char::is_uppercase) || *first == "help" {
                continue;
            }
            let alternatives = rest.first().filter(|word| word.contains('|')).map_or("", |word| word);
            for alternative in alternatives.split('|') {
                let arguments: Vec<&str> = [*first, alternative]
                    .into_iter()
                    .filter(|word| !word.is_empty())
                    .collect();
                let arguments = if alternatives.is_empty() { &words } else { &arguments };
                assert!(is_command(arguments), "{document}: accolade {call}");
                count += 1;
            }
        }
    }
    assert!(count > 15, "only {count} calls were found");
}

#[test]
fn settings_are_settings() {
    for document in DOCUMENTS {
        let text = read(document);
        let is_part = |c: char| c.is_ascii_uppercase() || c == '_' || c.is_ascii_digit();
        for name in words(&text, is_part) {
            let prefixes = [
                "BADGR_",
                "ISSUER_",
                "JWT_",
                "HTTP_",
                "PUBLIC_",
                "DATABASE_",
                "TOPIC",
                "INGEST_",
                "KAFKA_",
                "SECRET_",
            ];
            let is_whole = name.contains('_') && !name.ends_with('_');
            if is_whole && prefixes.iter().any(|prefix| name.starts_with(prefix)) {
                assert!(is_setting(&name), "{document}: {name}");
            }
        }
    }
}

#[test]
fn the_metrics_of_the_guide_are_those_of_the_program() {
    let is_part = |c: char| c.is_ascii_lowercase() || c == '_' || c.is_ascii_digit();
    let named = words(&read("deploy/operations.md"), is_part);
    let named: BTreeSet<&str> = named
        .iter()
        .map(String::as_str)
        .filter(|name| name.starts_with("accolade_"))
        .collect();
    let described = Metrics::described();
    let there: BTreeSet<&str> = described.iter().map(|(name, _)| *name).collect();
    let untold: Vec<_> = there.difference(&named).collect();
    let unknown: Vec<_> = named.difference(&there).collect();
    assert!(
        untold.is_empty() && unknown.is_empty(),
        "not in the guide: {untold:?}; not in the program: {unknown:?}"
    );
    assert!(described.iter().all(|(_, help)| !help.is_empty()));
}

#[test]
fn the_readers_of_documents_find_what_is_there() {
    assert_eq!(links("[a](b/c.md), [d](https://e/f), [g](#h)"), ["b/c.md"]);
    assert_eq!(quoted("a `b/c` d `e`\n```\n`f`\n```\n"), ["b/c", "e"]);
    assert_eq!(
        words("a `B_C=d` E", |c| c.is_ascii_uppercase() || c == '_'),
        ["B_C", "E"].map(str::to_owned).into()
    );
}
