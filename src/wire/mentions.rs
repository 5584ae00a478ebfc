//! Of whom records and texts speak: so that what is kept of a learner is found when the learner retires.
//!
//! A record that names user ids speaks of these learners; their names elsewhere in it say nothing, for a username may be
//! any word. A record that cannot be read that far is searched for names as well.

use std::{borrow::Cow, collections::BTreeSet, ops::Range};

use serde_json::Value;

use super::record::Record;
use crate::domain::LearnerId;

/// What stands in a name's place.
const PLACEHOLDER: &str = "[erased]";

/// A learner and what texts may call them. Personal: not in logs.
#[derive(Clone, PartialEq, Eq)]
pub struct Person {
    /// The platform's user id.
    pub id: LearnerId,
    user_names: BTreeSet<String>,
    /// A full name may be any word, too, and is given by whoever has it.
    full_names: BTreeSet<String>,
    /// E-mail addresses.
    addresses: BTreeSet<String>,
}

impl Person {
    /// A learner of whom nothing but the id is known.
    pub fn new(id: LearnerId) -> Self {
        Self {
            id,
            user_names: BTreeSet::new(),
            full_names: BTreeSet::new(),
            addresses: BTreeSet::new(),
        }
    }

    /// Also known by this user name. One that is an e-mail address is taken for both.
    pub fn add_user_name(&mut self, name: Option<&str>) {
        if let Some(name) = said(name) {
            self.add_if_address(&name);
            self.user_names.insert(name);
        }
    }

    /// Also called by this full name. One that is an e-mail address is taken for both.
    pub fn add_full_name(&mut self, name: Option<&str>) {
        if let Some(name) = said(name) {
            self.add_if_address(&name);
            self.full_names.insert(name);
        }
    }

    /// Also reached at this e-mail address.
    pub fn add_address(&mut self, address: Option<&str>) {
        self.addresses.extend(said(address));
    }

    /// All user names.
    pub fn user_names(&self) -> impl Iterator<Item = &str> {
        self.user_names.iter().map(String::as_str)
    }

    /// Whether a record with these mentions speaks of the learner: by user id; by e-mail address, whoever it is about;
    /// where it names no user id, by user name, or by a full name of more than one word.
    pub fn is_among(&self, mentions: &Mentions) -> bool {
        if mentions.learners.contains(&self.id) {
            return true;
        }
        let is_open = mentions.learners.is_empty();
        let has = |part: &str, whole: bool| {
            let part = folded(part);
            mentions
                .texts
                .iter()
                .any(|text| !occurrences(text, &part, whole).is_empty())
        };
        // An address may be the end of somebody else's, where it is known that the record is about somebody else.
        let by_address = |address: &String| has(address, !is_open) || has(&encoded(address), !is_open);
        let has_words = |name: &&String| name.contains(char::is_whitespace);
        let mut names = self.user_names.iter().chain(self.full_names.iter().filter(has_words));
        self.addresses.iter().any(by_address) || is_open && names.any(|name| has(name, true))
    }

    /// Puts something else in the place of each name and address in the texts of a JSON value, and says whether there was
    /// any. Its other values and the names of its members stay.
    pub fn erased_from_json(&self, json: &mut Value) -> bool {
        match json {
            Value::String(text) => match self.erased_from(text) {
                Some(erased) => {
                    *text = erased;
                    true
                }
                None => false,
            },
            Value::Array(items) => self.erased_from_all(items.iter_mut()),
            Value::Object(members) => self.erased_from_all(members.values_mut()),
            Value::Null | Value::Bool(_) | Value::Number(_) => false,
        }
    }

    fn erased_from_all<'a>(&self, values: impl Iterator<Item = &'a mut Value>) -> bool {
        let mut any = false;
        for value in values {
            any |= self.erased_from_json(value);
        }
        any
    }

    fn add_if_address(&mut self, name: &str) {
        if name.contains('@') {
            self.addresses.insert(name.to_owned());
        }
    }

    /// The text with something else in the place of each name and address; `None` where there is none.
    pub fn erased_from(&self, text: &str) -> Option<String> {
        let form = folded(text);
        let addresses = self.addresses.iter().map(|address| (address, false));
        let in_links: Vec<String> = self.addresses.iter().map(|address| encoded(address)).collect();
        let all = addresses
            .chain(in_links.iter().map(|address| (address, false)))
            .chain(self.user_names.iter().chain(&self.full_names).map(|name| (name, true)));
        let mut found: Vec<Range<usize>> = all
            .flat_map(|(part, whole)| occurrences(&form, &folded(part), whole))
            .collect();
        if found.is_empty() {
            return None;
        }
        found.sort_by_key(|range| range.start);
        let original: Vec<char> = text.chars().collect();
        let mut kept = String::with_capacity(text.len());
        let mut from = 0;
        for range in found {
            if range.start >= from {
                kept.extend(&original[from..range.start]);
                kept.push_str(PLACEHOLDER);
            }
            from = from.max(range.end);
        }
        kept.extend(&original[from..]);
        Some(kept)
    }
}

impl std::fmt::Debug for Person {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Person").field(&self.id.0).finish()
    }
}

/// Whom a record may speak of.
pub struct Mentions {
    /// By their user ids: in its data, even if these are not quite JSON, or else as its key.
    pub learners: BTreeSet<LearnerId>,
    /// All its texts, [`folded`].
    texts: Vec<Vec<char>>,
}

impl Mentions {
    /// Reads a record, whatever it is.
    pub fn of(record: &Record) -> Self {
        Self {
            learners: learners_named(record),
            texts: texts(record)
                .flat_map(|text| forms(&text).map(|form| folded(&form)).collect::<Vec<_>>())
                .collect(),
        }
    }
}

/// The learners whom a record names by their user ids: see [`Mentions::learners`].
pub fn learners_named(record: &Record) -> BTreeSet<LearnerId> {
    let value = record.value.as_deref().unwrap_or_default();
    let mut ids: BTreeSet<i64> = match serde_json::from_slice::<Value>(value) {
        Ok(json) => ["/user/id", "/data/user/id"]
            .iter()
            .filter_map(|place| id_in(json.pointer(place)?))
            .collect(),
        Err(_) => forms(&String::from_utf8_lossy(value))
            .flat_map(|form| ids_after_user(&form))
            .collect(),
    };
    if ids.is_empty() {
        let key = record.key.as_deref().and_then(|key| std::str::from_utf8(key).ok());
        ids.extend(key.and_then(|key| key.parse::<i64>().ok()));
    }
    ids.into_iter().map(LearnerId).collect()
}

fn said(text: Option<&str>) -> Option<String> {
    text.map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned)
}

/// An address as it stands in the query of a link.
fn encoded(address: &str) -> String {
    address.replace('@', "%40")
}

fn id_in(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.trim().parse().ok())
}

/// The number after each `"user"` and the next `"id":`.
fn ids_after_user(text: &str) -> Vec<i64> {
    let number = |(at, member): (usize, &str)| {
        let rest = &text[at + member.len()..];
        let (_, value) = rest.split_once("\"id\"")?;
        let value = value.trim_start().strip_prefix(':')?.trim_start();
        let value = value.strip_prefix('"').unwrap_or(value);
        let end = value
            .find(|c: char| !c.is_ascii_digit() && c != '-')
            .unwrap_or(value.len());
        value[..end].parse().ok()
    };
    text.match_indices("\"user\"").filter_map(number).collect()
}

/// Key, value, header names and header values, as text.
fn texts(record: &Record) -> impl Iterator<Item = Cow<'_, str>> {
    let names = record.headers.iter().map(|header| header.name.as_bytes());
    let values = record.headers.iter().filter_map(|header| header.value.as_deref());
    let bytes = record.value.as_deref().into_iter().chain(record.key.as_deref());
    bytes.chain(names).chain(values).map(String::from_utf8_lossy)
}

/// A text as it is, and what it says where JSON wrote it with escapes.
fn forms<'a>(text: &'a str) -> impl Iterator<Item = Cow<'a, str>> {
    let plain = text.contains('\\').then(|| Cow::Owned(without_escapes(text)));
    std::iter::once(Cow::Borrowed(text)).chain(plain)
}

fn without_escapes(text: &str) -> String {
    let mut units: Vec<u16> = Vec::with_capacity(text.len());
    let mut rest = text;
    let mut buffer = [0; 2];
    while let Some(c) = rest.chars().next() {
        let escape = rest
            .strip_prefix("\\u")
            .and_then(|code| u16::from_str_radix(code.get(..4)?, 16).ok());
        let length = match escape {
            Some(unit) => {
                units.push(unit);
                6
            }
            // Which character a backslash stands before matters to nobody who looks for names.
            None if c == '\\' => 1,
            None => {
                units.extend_from_slice(c.encode_utf16(&mut buffer));
                c.len_utf8()
            }
        };
        rest = &rest[length..];
    }
    String::from_utf16_lossy(&units)
}

/// Without the difference of capitals, a character for each.
fn folded(text: &str) -> Vec<char> {
    text.chars().map(|c| c.to_lowercase().next().unwrap_or(c)).collect()
}

/// Where the part is in the text; if whole, as a word of its own and not as the name of a JSON member.
fn occurrences(text: &[char], part: &[char], whole: bool) -> Vec<Range<usize>> {
    let Some(first) = part.first() else {
        return Vec::new();
    };
    let is_word = |c: Option<&char>| c.is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | '-'));
    let starts = text.iter().enumerate().filter(|(_, c)| *c == first).map(|(at, _)| at);
    let ranges = starts.map(|at| at..at + part.len());
    let found = ranges.filter(|range| text.get(range.clone()).is_some_and(|found| found == part));
    let found = found.filter(|range| {
        let before = range.start.checked_sub(1).and_then(|at| text.get(at));
        !whole || !(is_word(before) || is_word(text.get(range.end)) || is_member(text, range.end))
    });
    found.collect()
}

/// Whether what ends here is followed by `":`.
fn is_member(text: &[char], end: usize) -> bool {
    let mut rest = text[end..].iter();
    rest.next() == Some(&'"') && rest.find(|c| !c.is_whitespace()) == Some(&':')
}

#[cfg(test)]
mod tests;
