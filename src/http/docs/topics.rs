//! The topics and the messages on them.

use serde_json::{Map, Value};

use super::{
    fields::{Field, Schemas},
    words::{self, Text},
};

/// A topic.
pub(super) struct Channel {
    pub(super) address: String,
    pub(super) is_read: bool,
    pub(super) about: Text,
    /// Names and ids of what is on it.
    pub(super) messages: Vec<(String, String)>,
}

/// An event, or a dead letter.
pub(super) struct Message {
    pub(super) id: String,
    pub(super) title: String,
    pub(super) summary: Text,
    pub(super) about: Text,
    pub(super) content_type: String,
    pub(super) key: Text,
    pub(super) headers: Vec<Field>,
    pub(super) fields: Vec<Field>,
    pub(super) example_headers: String,
    pub(super) example: String,
}

/// The channels: those that are read first.
pub(super) fn channels(document: &Value) -> Vec<Channel> {
    let reads = |name: &str| {
        let path = format!("#/channels/{name}");
        let operations = document["operations"].as_object().into_iter().flatten();
        let mut own = operations.filter(|(_, operation)| operation["channel"]["$ref"] == path.as_str());
        own.any(|(_, operation)| operation["action"] == "receive")
    };
    let channels = document["channels"].as_object().into_iter().flatten();
    let mut channels: Vec<Channel> = channels
        .map(|(name, channel)| Channel {
            address: channel["address"].as_str().unwrap_or("further topics").to_owned(),
            is_read: reads(name),
            about: words::description(&channel["description"]),
            messages: named(document, &channel["messages"]),
        })
        .collect();
    channels.sort_by_key(|channel| !channel.is_read);
    channels
}

fn named(document: &Value, messages: &Value) -> Vec<(String, String)> {
    let messages = messages.as_object().into_iter().flatten();
    let named = messages.map(|(id, _)| {
        let title = &document["components"]["messages"][id]["title"];
        (title.as_str().unwrap_or(id).to_owned(), id.clone())
    });
    named.collect()
}

pub(super) fn messages(document: &Value) -> Vec<Message> {
    let none = Map::new();
    let schemas = Schemas::of(document, &none);
    let messages = document["components"]["messages"].as_object().into_iter().flatten();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let messages = messages.map(|(id, message)| Message {
        id: id.clone(),
        title: text(&message["title"]),
        summary: words::description(&message["summary"]),
        about: words::description(&message["description"]),
        content_type: text(&message["contentType"]),
        key: words::description(&message["bindings"]["kafka"]["key"]["description"]),
        headers: schemas.rows(&message["headers"]),
        fields: schemas.rows(&message["payload"]),
        example_headers: headers(&message["examples"][0]["headers"]),
        example: words::indented(&message["examples"][0]["payload"]),
    });
    messages.collect()
}

/// A header a line.
fn headers(headers: &Value) -> String {
    let headers = headers.as_object().into_iter().flatten();
    let lines = headers.map(|(name, value)| format!("{name}: {}", words::indented(value)));
    lines.collect::<Vec<_>>().join("\n")
}
