//! Statements are made of constants and of pieces of the store's own making; what comes from outside is bound.

use std::ops::Range;

/// What may stand in a statement besides constants, whose names are in capitals: the files (below `src`), and how it begins.
const PIECES: [(&str, &[&str]); 11] = [
    // `lock`: how rows are locked in one language, nothing in the other.
    (
        "store/",
        &["unfold::", "connection::now_in_sql(", "now_in_sql(", "lock"],
    ),
    // Constants under a name of their own.
    ("store/awards/", &["state", "of_state(\"", "i64::try_from(limit)"]),
    // The numbers of parameters, and a table's name.
    ("store/awards/at_once.rs", &["now", "token", "lease", "next"]),
    ("store/api_reads/", &["award_columns!()", "badge_class_columns!()"]),
    (
        "store/dead_letters/list.rs",
        &["state", "filter.condition()", "waiting.condition()"],
    ),
    ("store/comparison.rs", &["when"]),
    ("store/connection.rs", &["preamble"]),
    // A number.
    ("store/lane.rs", &["key"]),
    ("store/retention.rs", &["name"]),
    // Numbers, and the numbers of parameters.
    ("store/backfill/slice.rs", &["first", "last", "ids.join("]),
    ("store/unfold.rs", &["parameter", "named.join("]),
];
/// A statement of its own: thresholds, ids and the numbers of badge classes, which are integers.
const PREVIEW: (&str, &[&str]) = (
    "store/preview.rs",
    &[
        "n",
        "badge_class.0",
        "badges.join(",
        "ids.len()",
        "list.join(",
        "reached.join(",
    ],
);

/// What stands in the statements of a file and is no piece of the store's own making.
pub fn foreign(path: &str, source: &str) -> Vec<String> {
    let code = source.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let mut found = Vec::new();
    for (start, opening) in code.match_indices("format!(") {
        let arguments = arguments(&code[start + opening.len()..]);
        let Some((text, pieces)) = arguments.split_first() else {
            continue;
        };
        if !is_statement(text) {
            continue;
        }
        let line = code[..start].matches('\n').count() + 1;
        let named = places(text).into_iter().filter(|name| !name.is_empty());
        for piece in named.chain(pieces.iter().copied()) {
            if !is_own(path, piece) {
                found.push(format!(
                    "src/{path}:{line}: {piece} in a statement: bind it, or name it in statements.rs"
                ));
            }
        }
    }
    found
}

fn is_own(path: &str, piece: &str) -> bool {
    let is_constant = piece
        .chars()
        .all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
    let mut homes = PIECES
        .iter()
        .chain([&PREVIEW])
        .filter(|(home, _)| path.starts_with(home));
    is_constant || homes.any(|(_, own)| own.iter().any(|own| begins(piece, own)))
}

/// Whether it is this name, or begins with this call.
fn begins(piece: &str, own: &str) -> bool {
    let is_name = own.chars().all(|c| c.is_alphanumeric() || c == '_');
    if is_name { piece == own } else { piece.starts_with(own) }
}

fn is_statement(text: &str) -> bool {
    let words = [
        "SELECT ", "UPDATE ", "INSERT ", "DELETE ", "LOCK ", "SET ", "BEGIN ", "FROM ", "WHERE ", "AND ", "VALUES ",
    ];
    words.iter().any(|word| text.contains(word))
}

/// What stands between braces in a format text.
fn places(text: &str) -> Vec<&str> {
    let text_of = |range: Range<usize>| &text[range];
    let opened = text.match_indices('{').map(|(at, _)| at);
    let ended = opened.filter_map(|at| Some(at + 1..at + text[at..].find('}')?));
    ended.map(text_of).map(|place| place.trim_start_matches('{')).collect()
}

/// The arguments of a call, from behind its opening bracket.
fn arguments(code: &str) -> Vec<&str> {
    let mut arguments = Vec::new();
    let (mut depth, mut begun, mut in_text, mut is_escaped) = (1, 0, false, false);
    for (at, c) in code.char_indices() {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' if in_text => is_escaped = true,
            '"' => in_text = !in_text,
            _ if in_text => {}
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            _ => {}
        }
        let is_end = depth == 0;
        if is_end || (c == ',' && depth == 1 && !in_text) {
            arguments.push(code[begun..at].trim());
            begun = at + 1;
        }
        if is_end {
            break;
        }
    }
    arguments.retain(|argument| !argument.is_empty());
    arguments
}

#[test]
fn foreign_texts_in_statements_are_found() {
    for (source, expected) in [
        (
            "format!(\"SELECT {COLUMNS} FROM award WHERE {}\", unfold::rows(c, \"$1\", A))",
            "",
        ),
        (
            "format!(\"SELECT 1 FROM award WHERE slug = '{slug}'\")",
            "slug in a statement",
        ),
        (
            "format!(\"SELECT 1 FROM award\\n WHERE x = {}\", request.text())",
            "request.text() in a statement",
        ),
        ("format!(\"{slug} is unknown\")", ""),
        (
            "#[cfg(test)]\nmod tests {\n format!(\"SELECT {slug} FROM award\") }",
            "",
        ),
    ] {
        let found = foreign("store/facts.rs", source);
        let is_right = match expected {
            "" => found.is_empty(),
            expected => found.len() == 1 && found[0].contains(expected),
        };
        assert!(is_right, "{source}: {found:?}");
    }
}
