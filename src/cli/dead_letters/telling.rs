//! What is said of dead letters.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::{
    cli::{
        CliError,
        output::{print, print_json, table},
    },
    store::dead_letters::{DeadLetter, Dropped, Replay, Replayed},
    wire::{readable::ReadableRecord, record::Record},
};

/// What was done, or why not.
pub(super) type Told = Result<String, String>;

pub(super) fn after_replay(replay: Replay) -> Told {
    let Replayed { outcome, awards, .. } = replay.map_err(|refusal| refusal.to_string())?;
    Ok(match (outcome, awards) {
        (outcome, 1..) => format!("replayed: {outcome}, new awards: {awards}"),
        ("stale", _) => "replayed: stale, what it says was known or is outdated".to_owned(),
        (outcome, _) => format!("replayed: {outcome}"),
    })
}

pub(super) fn after_drop(dropped: &Dropped) -> Told {
    Ok(match (dropped.changed, dropped.letter.sent_at) {
        (false, _) => "was dropped before",
        (true, Some(_)) => "dropped",
        (true, None) => "dropped; its content is erased as soon as it was sent to the topic of the dead letters",
    }
    .to_owned())
}

pub(super) fn print_list(letters: &[DeadLetter], as_json: bool) -> Result<(), CliError> {
    if as_json {
        return print_json(&letters.iter().map(in_json).collect::<Vec<_>>());
    }
    if letters.is_empty() {
        return print("no such dead letters");
    }
    let titles = ["ID", "TIME", "RECORD", "STATE", "REPLAYS", "REASON", "MESSAGE"];
    let row = |letter: &DeadLetter| {
        vec![
            letter.id.to_string(),
            letter.created.format("%F %T").to_string(),
            place(letter),
            letter.state().as_str().to_owned(),
            letter.replays.to_string(),
            letter.reason.clone(),
            letter.message.clone(),
        ]
    };
    let titles = titles.map(str::to_owned).to_vec();
    let rows: Vec<_> = [titles].into_iter().chain(letters.iter().map(row)).collect();
    print(&table(&rows))
}

pub(super) fn print_letter(letter: &DeadLetter, record: Record, as_json: bool) -> Result<(), CliError> {
    let content = ReadableRecord::from(record);
    if as_json {
        let content = serde_json::to_value(content).map_err(|error| CliError::failed(format!("JSON: {error}")))?;
        let mut whole = in_json(letter);
        if let (Value::Object(whole), Value::Object(content)) = (&mut whole, content) {
            whole.extend(content);
        }
        return print_json(&whole);
    }
    print(&text(letter, &content))
}

/// Topic, partition and offset, as Kafka's own tools name a record.
fn place(letter: &DeadLetter) -> String {
    format!("{}-{}@{}", letter.topic, letter.partition, letter.offset)
}

fn in_json(letter: &DeadLetter) -> Value {
    json!({
        "id": letter.id, "state": letter.state().as_str(), "reason": letter.reason, "message": letter.message,
        "topic": letter.topic, "partition": letter.partition, "offset": letter.offset, "time": letter.time,
        "created": letter.created, "sent_at": letter.sent_at, "replays": letter.replays,
        "replayed_at": letter.replayed_at, "dropped_at": letter.dropped_at,
        "erased_at": letter.erased_at,
    })
}

/// The letter for a terminal: what is wrong, what became of it, what it holds.
fn text(letter: &DeadLetter, content: &ReadableRecord) -> String {
    let moment = |at: Option<DateTime<Utc>>| at.map_or_else(|| "-".to_owned(), |at| at.format("%F %T UTC").to_string());
    let mut lines = vec![
        ("id", letter.id.to_string()),
        ("state", letter.state().as_str().to_owned()),
        ("reason", letter.reason.clone()),
        ("message", letter.message.clone()),
        ("record", place(letter)),
        ("record's time", moment(letter.time)),
        ("kept", moment(Some(letter.created))),
        ("sent", moment(letter.sent_at)),
        ("replays", letter.replays.to_string()),
        ("replayed", moment(letter.replayed_at)),
        ("dropped", moment(letter.dropped_at)),
        ("erased", moment(letter.erased_at)),
        ("key", shown(content.key.as_ref(), content.key_base64.as_ref())),
    ];
    for header in &content.headers {
        let value = shown(header.value.as_ref(), header.value_base64.as_ref());
        lines.push(("header", format!("{}: {value}", visible(&header.name))));
    }
    let lines: Vec<_> = lines
        .into_iter()
        .map(|(name, value)| vec![name.to_owned(), value])
        .collect();
    let value = shown(content.value.as_ref(), content.value_base64.as_ref());
    format!("{}\n\n{value}", table(&lines))
}

fn shown(text: Option<&String>, base64: Option<&String>) -> String {
    match (text, base64) {
        (Some(text), _) => visible(text),
        (None, Some(base64)) => format!("(base64) {base64}"),
        (None, None) => "-".to_owned(),
    }
}

/// A stranger's text must not steer the terminal.
fn visible(text: &str) -> String {
    let steers = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
    text.chars()
        .map(|c| {
            if steers(c) {
                c.escape_unicode().to_string()
            } else {
                c.to_string()
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::record::Header;

    #[test]
    fn a_letter_is_readable_and_does_not_steer_the_terminal() {
        let record = Record {
            topic: "t".into(),
            partition: 3,
            offset: 9,
            timestamp: None,
            key: Some(vec![0xff]),
            value: Some(b"{\"a\":\n1}\x1b[2J".to_vec()),
            headers: vec![Header::text("ce_type", "x\u{7}")],
        };
        let letter = DeadLetter {
            id: 7,
            topic: "t".to_owned(),
            partition: 3,
            offset: 9,
            time: None,
            reason: "schema".to_owned(),
            message: "user.id: missing".to_owned(),
            created: DateTime::UNIX_EPOCH,
            sent_at: None,
            replays: 2,
            replayed_at: None,
            dropped_at: None,
            erased_at: None,
        };
        let said = text(&letter, &record.into());
        for part in [
            "t-3@9",
            "waiting",
            "user.id: missing",
            "(base64) /w==",
            "ce_type: x\\u{7}",
            "{\"a\":\n1}\\u{1b}[2J",
        ] {
            assert!(said.contains(part), "{part}: {said}");
        }
        assert!(!said.contains('\u{1b}'), "{said}");
    }
}
