//! The AsyncAPI 3.0 document of the topics: every event in and out, with its JSON Schema and an example.
//!
//! The schemas come from the types that are read and written; the examples of the events out are records that the code
//! made.

mod incoming;
mod outgoing;
mod samples;
pub mod topics;

use serde_json::{Map, Value, json};
use utoipa::openapi::{RefOr, schema::Schema};

use super::{EventType, badge_event::BadgeEvent, event_data, schemas};

/// What a message can be told by.
const CONTENT_TYPE: &str = "application/json";
const CONTENT_TYPE_STRUCTURED: &str = "application/cloudevents+json";

const ABOUT: &str = "\
Accolade reads what learners do, decides which badges they have earned, and says so.

Names of topics are the defaults. The settings `TOPICS_ENROLLMENT` and `TOPICS_CERTIFICATE` (lists), `TOPICS_EXTRA`, \
`TOPIC_BADGE_AWARDED`, `TOPIC_BADGE_REVOKED` and `TOPIC_DEAD_LETTERS` change them; `TOPIC_PREFIX` is put before each, \
with a `-`: with the prefix `prod`, `badge.awarded` is `prod-badge.awarded`.

Events may come in any order and any number of times: the newest by `time`, then by `id`, counts. What an event is \
follows from its `type`; without one, from its topic. Unknown types and unknown fields are ignored, and null is the same \
as a field that is not there. What cannot be processed goes, whole, to the topic of dead letters.";

/// The document.
pub fn document() -> Value {
    let schemas = schemas();
    let mut messages = incoming::messages(&schemas);
    messages.extend(outgoing::messages());
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Accolade: topics",
            "version": env!("CARGO_PKG_VERSION"),
            "description": ABOUT,
            "license": {"name": env!("CARGO_PKG_LICENSE"), "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": CONTENT_TYPE,
        "servers": {"kafka": {
            "host": "{servers}",
            "protocol": "kafka",
            "description": "The setting KAFKA_BOOTSTRAP_SERVERS.",
            "variables": {"servers": {"default": "localhost:9092", "description": "Kafka's bootstrap servers"}},
        }},
        "channels": topics::channels(),
        "operations": topics::operations(),
        "components": {"messages": messages, "schemas": schemas},
    })
}

/// Every schema that the messages refer to, by name.
fn schemas() -> Map<String, Value> {
    let mut found: Vec<(String, RefOr<Schema>)> = Vec::new();
    schemas::collect::<event_data::Enrollment>(&mut found);
    schemas::collect::<event_data::Certificate>(&mut found);
    schemas::collect::<event_data::CourseUpdate>(&mut found);
    schemas::collect::<event_data::Learner>(&mut found);
    schemas::collect::<event_data::Retirement>(&mut found);
    schemas::collect::<event_data::Request>(&mut found);
    schemas::collect::<BadgeEvent<'_>>(&mut found);
    let found = found.into_iter().map(|(name, schema)| {
        let schema = serde_json::to_value(schema).expect("a schema is JSON");
        (name, schema)
    });
    let mut all: Map<String, Value> = found.collect();
    all.insert("BadgeRevocation".to_owned(), outgoing::revocation());
    for event_type in EventType::ALL {
        all.insert(incoming::event_name(event_type), incoming::event(event_type));
    }
    all
}

/// A name for a schema or a message: `enrollment.created` is `EnrollmentCreated`.
fn camel(name: &str) -> String {
    let words = name.split(['.', '-', '_']).map(|word| {
        let mut letters = word.chars();
        let first = letters.next().map(|letter| letter.to_ascii_uppercase());
        first.into_iter().chain(letters).collect::<String>()
    });
    words.collect()
}

#[cfg(test)]
mod tests;
