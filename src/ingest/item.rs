//! One record of a batch, and what it was understood to be.

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
};

use crate::{
    domain::Event,
    store::positions::NextOffset,
    wire::{
        decode::{Decoded, TopicTypes, decode},
        record::Record,
    },
};

/// A record and its content.
#[derive(Debug, Clone)]
pub struct Item {
    /// The record, whole.
    pub record: Record,
    /// What it says.
    pub content: Content,
}

/// What a record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// An event that concerns us.
    Event(Box<Event>),
    /// A tombstone, or an event of a type that does not concern us.
    Ignored,
    /// Nothing that can be processed: a dead letter.
    Unprocessable {
        /// A stable short code: a metric's label.
        reason: &'static str,
        /// What is wrong and where, never the content.
        message: String,
    },
}

impl Item {
    /// Decodes a record. A decoder that panics makes a dead letter, not a crash.
    pub fn of(record: Record, types: &TopicTypes) -> Self {
        let decoded = catch_unwind(AssertUnwindSafe(|| decode(&record, types)));
        let content = match decoded {
            Ok(Ok(Decoded::Event(event))) => Content::Event(Box::new(event)),
            Ok(Ok(Decoded::Ignored(_))) => Content::Ignored,
            Ok(Err(error)) => Content::Unprocessable {
                reason: error.reason(),
                message: error.to_string(),
            },
            Err(_) => Content::Unprocessable {
                reason: "panic",
                message: "the decoder panicked".to_owned(),
            },
        };
        Self { record, content }
    }

    /// The same record, which the database refuses: a dead letter.
    pub(super) fn refuse(&mut self) {
        self.content = Content::Unprocessable {
            reason: "database_data",
            message: "the database refuses what this record says".to_owned(),
        };
    }

    /// The same record, whose processing panicked: a dead letter.
    pub(super) fn give_up(&mut self) {
        self.content = Content::Unprocessable {
            reason: "panic",
            message: "processing this record panicked".to_owned(),
        };
    }

    /// Whether this record goes to the dead letters.
    pub fn is_unprocessable(&self) -> bool {
        matches!(self.content, Content::Unprocessable { .. })
    }

    /// The event, where there is one.
    pub fn event(&self) -> Option<&Event> {
        match &self.content {
            Content::Event(event) => Some(event),
            Content::Ignored | Content::Unprocessable { .. } => None,
        }
    }
}

/// One past the last record of each partition.
pub(super) fn next_offsets(items: &[Item]) -> Vec<NextOffset> {
    let mut next: BTreeMap<(&str, i32), i64> = BTreeMap::new();
    // Records of a partition come in runs.
    for run in items.chunk_by(|a, b| (a.record.partition, &a.record.topic) == (b.record.partition, &b.record.topic)) {
        let Record { topic, partition, .. } = &run[0].record;
        let offset = next.entry((topic, *partition)).or_default();
        *offset = run.iter().map(|item| item.record.offset + 1).fold(*offset, i64::max);
    }
    next.into_iter()
        .map(|((topic, partition), offset)| NextOffset {
            topic: topic.to_owned(),
            partition,
            offset,
        })
        .collect()
}
