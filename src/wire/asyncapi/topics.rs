//! The channels and what the service does with them.

use serde_json::{Map, Value, json};

use super::{camel, incoming};
use crate::wire::{
    EventType,
    badge_event::{BADGE_AWARDED, BADGE_REVOKED},
};

/// Default of `TOPICS_ENROLLMENT`.
pub const ENROLLMENT: &str = "enrollment.created";
/// Default of `TOPICS_CERTIFICATE`.
pub const CERTIFICATE: &str = "certificate.generated";
/// Default of `TOPIC_BADGE_AWARDED`.
pub const AWARDED: &str = "badge.awarded";
/// Default of `TOPIC_BADGE_REVOKED`.
pub const REVOKED: &str = "badge.revoked";
/// Default of `TOPIC_DEAD_LETTERS`.
pub const DEAD_LETTERS: &str = "badges.dead-letters";

pub(super) const DEAD_LETTER: &str = "DeadLetter";

/// Key, address, what it is for. Topics to be read take every event.
const READ: [(&str, Option<&str>, &str); 3] = [
    (
        "enrollments",
        Some(ENROLLMENT),
        "Enrolments (`TOPICS_ENROLLMENT`): an event without a type is `enrollment.created`.",
    ),
    (
        "certificates",
        Some(CERTIFICATE),
        "Certificates (`TOPICS_CERTIFICATE`): an event without a type is `certificate.generated`.",
    ),
    (
        "extra",
        None,
        "Further topics to read (`TOPICS_EXTRA`): none by default, and every event needs a type.",
    ),
];

const WRITTEN: [(&str, &str, &str, &str); 3] = [
    (
        "awarded",
        AWARDED,
        BADGE_AWARDED,
        "Badges that were awarded: at least once, always with the same id, in order for each learner.",
    ),
    (
        "revoked",
        REVOKED,
        BADGE_REVOKED,
        "Badges that were revoked: at least once, always with the same id, in order for each learner.",
    ),
    (
        "deadLetters",
        DEAD_LETTERS,
        DEAD_LETTER,
        "Records that could not be processed, whole, and why.",
    ),
];

pub(super) fn channels() -> Map<String, Value> {
    let every_event = || EventType::ALL.into_iter().flat_map(incoming::message_names);
    let read = READ
        .into_iter()
        .map(|(key, address, description)| (key.to_owned(), channel(address, description, every_event())));
    let written = WRITTEN.into_iter().map(|(key, address, message, description)| {
        (key.to_owned(), channel(Some(address), description, [camel(message)]))
    });
    read.chain(written).collect()
}

fn channel(address: Option<&str>, description: &str, messages: impl IntoIterator<Item = String>) -> Value {
    let messages = messages.into_iter().map(|name| {
        let message = json!({"$ref": format!("#/components/messages/{name}")});
        (name, message)
    });
    json!({
        "address": address,
        "description": description,
        "servers": [{"$ref": "#/servers/kafka"}],
        "messages": messages.collect::<Map<_, _>>(),
    })
}

pub(super) fn operations() -> Map<String, Value> {
    let read = READ.into_iter().map(|(key, ..)| {
        let summary = "Reads facts about learners and courses, and requests for badges.";
        let description = "As a member of the consumer group of the setting `KAFKA_GROUP_ID`; each event may come on \
                           any of the topics that are read.";
        let mut operation = operation("receive", key, summary, description);
        operation["bindings"] = json!({"kafka": {
            "groupId": {"type": "string", "default": "accolade"}, "bindingVersion": "0.5.0"}});
        (format!("read{}", camel(key)), operation)
    });
    let written = [
        (
            "tellOfAward",
            "awarded",
            "Tells of a badge that was awarded.",
            "Once the badge backend has issued it.",
        ),
        (
            "tellOfRevocation",
            "revoked",
            "Tells of a badge that was revoked.",
            "Once it is revoked at the badge backend.",
        ),
        (
            "keepDeadLetter",
            "deadLetters",
            "Passes on a record that could not be processed.",
            "`accolade dead-letters` lists them and replays them. A record that the broker refuses for its size stays \
             whole in the database; its dead letter has the first KiB, the length and the SHA-256.",
        ),
    ];
    let written = written
        .map(|(name, key, summary, description)| (name.to_owned(), operation("send", key, summary, description)));
    read.chain(written).collect()
}

fn operation(action: &str, channel: &str, summary: &str, description: &str) -> Value {
    json!({
        "action": action,
        "channel": {"$ref": format!("#/channels/{channel}")},
        "summary": summary,
        "description": description,
    })
}
