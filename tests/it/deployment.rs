//! What is delivered beside the program fits it: compose file, image, samples, documents.

mod compose;
mod documents;
mod samples;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use accolade::config::NAMES;

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(repository().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Whether this is a setting, also one from a file, or a further librdkafka property.
fn is_setting(name: &str) -> bool {
    let name = name.strip_suffix("_FILE").unwrap_or(name);
    NAMES.contains(&name) || name.strip_prefix("KAFKA_").is_some_and(|rest| !rest.is_empty())
}

/// Asks the real program for help on a command; `arguments` end where they are no more the names of commands.
fn is_command(arguments: &[&str]) -> bool {
    let is_name = |word: &&&str| word.chars().all(|c| c.is_ascii_lowercase() || c == '-') && !word.starts_with('-');
    let names: Vec<&str> = arguments.iter().take_while(is_name).copied().collect();
    let status = Command::new(env!("CARGO_BIN_EXE_accolade"))
        .args(&names)
        .arg("--help")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    !names.is_empty() && status.expect("the program runs").success()
}

/// A path without its `.` and `..`.
fn normal(path: &Path) -> PathBuf {
    let mut parts = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::CurDir => {}
            std::path::Component::ParentDir => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts
}

#[test]
fn the_checks_of_names_can_fail() {
    assert!(is_setting("PUBLIC_URL") && is_setting("BADGR_PASSWORD_FILE") && is_setting("KAFKA_SASL_MECHANISM"));
    assert!(!is_setting("PUBLIC_URI") && !is_setting("KAFKA_"));
    assert!(is_command(&["serve"]) && is_command(&["event-badges", "set", "/x.json"]));
    assert!(!is_command(&["juggle"]) && !is_command(&["event-badges", "sett"]) && !is_command(&[]));
    assert_eq!(
        normal(Path::new("/samples/../images/./a.png")),
        Path::new("/images/a.png")
    );
}
