//! Assertions of the removed app.

use chrono::{DateTime, NaiveDateTime, Utc};
use serde_json::Value;

use super::{Row, key};
use crate::{
    domain::limits::{check_name, check_text, check_url},
    wire::{
        decode::parse_time,
        fields::{FieldProblem, Fields},
        redact,
    },
};

/// Texts within texts: the field holds JSON as a text, and so did what an early migration put into it.
const LAYERS: usize = 3;

/// A user as an assertion names one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum UserRef {
    /// The platform's user id.
    Id(i64),
    /// The user name (`dumpdata --natural-foreign`).
    Name(String),
}

/// An assertion as a row has it.
#[derive(Debug, Clone, PartialEq)]
pub struct DumpedAssertion {
    /// Whose.
    pub user: UserRef,
    /// The key of its badge class in the file.
    pub badge_class: String,
    /// When it was made.
    pub created: DateTime<Utc>,
    /// By which of our backends; the name as it was where it is none of ours.
    pub backend: String,
    /// Its id there, where what the backend said shows it.
    pub backend_id: Option<String>,
    /// Its image.
    pub image_url: String,
    /// Its public URL.
    pub assertion_url: String,
    /// Evidence, where what the backend said shows it.
    pub evidence_url: Option<String>,
    /// The issuer, as the backend named it; `""` where it did not.
    pub issuer: String,
    /// What the backend said, without e-mail addresses.
    pub data: Value,
}

impl Row<'_> {
    /// An assertion.
    pub fn assertion(&self) -> Result<DumpedAssertion, Vec<FieldProblem>> {
        self.read(|fields| {
            let user = user(fields);
            let badge_class = match fields.value("badge_class") {
                Some(value @ (Value::Number(_) | Value::String(_))) => key(value),
                _ => {
                    fields.problem("badge_class", "expected the key of a badges.badgeclass row");
                    String::new()
                }
            };
            let created = time(fields, "created");
            let data = unwrapped(fields.value("data"));
            let backend = backend(&fields.optional("backend", check_name));
            let assertion_url = url(fields, "assertion_url");
            let image_url = match fields.value("image_url").and_then(Value::as_str) {
                // What Badgr itself answers at that address.
                None | Some("") if backend == BADGR && !assertion_url.is_empty() => format!("{assertion_url}/image"),
                _ => url(fields, "image_url"),
            };
            let recipient = data["recipient"]["plaintextIdentity"]
                .as_str()
                .unwrap_or_default()
                .to_owned();
            DumpedAssertion {
                user,
                badge_class,
                created,
                backend_id: (backend == BADGR).then(|| id_at_badgr(&data, &assertion_url)).flatten(),
                backend,
                image_url,
                assertion_url,
                evidence_url: evidence(&data),
                issuer: issuer(&data),
                data: redact::json(data, &recipient),
            }
        })
    }
}

const BADGR: &str = "badgr";

fn user(fields: &mut Fields<'_>) -> UserRef {
    match fields.value("user") {
        Some(Value::Number(id)) if id.is_i64() => UserRef::Id(id.as_i64().unwrap_or_default()),
        Some(Value::Array(natural)) if natural.len() == 1 && natural[0].is_string() => UserRef::Name(key(&natural[0])),
        _ => {
            fields.problem("user", "expected a user id");
            UserRef::Id(0)
        }
    }
}

/// A time; one without a zone is in UTC, as Open edX stores them.
pub(super) fn time(fields: &mut Fields<'_>, name: &str) -> DateTime<Utc> {
    let text = fields.required(name, check_name);
    let naive = || NaiveDateTime::parse_from_str(&text, "%Y-%m-%dT%H:%M:%S%.f").map(|time| time.and_utc());
    let time = parse_time(&text, "").ok().or_else(|| naive().ok());
    if time.is_none() && !text.is_empty() {
        fields.problem(name, "expected a time such as 2016-03-01T12:00:00Z");
    }
    time.unwrap_or_default()
}

/// An address of the web. An empty one is what was left when the answer of Badgr was lost.
fn url(fields: &mut Fields<'_>, name: &str) -> String {
    if fields.value(name).is_none_or(|value| value.as_str() == Some("")) {
        fields.problem(
            name,
            "empty: Open edX never learnt what became of this award; leave it out, and it is awarded when the facts come",
        );
        return String::new();
    }
    fields.required(name, check_url)
}

fn unwrapped(value: Option<&Value>) -> Value {
    let mut value = value.cloned().unwrap_or(Value::Null);
    for _ in 0..LAYERS {
        match value.as_str().map(serde_json::from_str::<Value>) {
            Some(Ok(inner)) => value = inner,
            _ => break,
        }
    }
    value
}

/// The name that our own backend has which speaks to the same server.
fn backend(name: &str) -> String {
    let class = name.rsplit('.').next().unwrap_or(name);
    match class {
        "BadgrBackend" | "" => BADGR.to_owned(),
        // Not to be taken for one of our own.
        "builtin" | "http" => format!("openedx:{class}"),
        other => other.to_owned(),
    }
}

/// Badgr 2 calls it `entityId`, its first API `slug`; the address of an assertion ends with it in both.
fn id_at_badgr(data: &Value, assertion_url: &str) -> Option<String> {
    let said = ["entityId", "slug"].iter().find_map(|name| data[*name].as_str());
    let in_address = || {
        let path = assertion_url.split(['?', '#']).next().unwrap_or_default();
        let (_, id) = path.split_once("/public/assertions/")?;
        Some(id.trim_end_matches('/').trim_end_matches(".json"))
    };
    let id = said.or_else(in_address)?;
    let is_one = !id.is_empty() && !id.contains('/') && check_name(id).is_ok();
    is_one.then(|| id.to_owned())
}

fn evidence(data: &Value) -> Option<String> {
    let places = [
        &data["evidence"][0]["url"],
        &data["evidence"],
        &data["json"]["evidence"],
        &data["evidence_items"][0]["evidence_url"],
    ];
    let urls = places.into_iter().filter_map(Value::as_str);
    urls.map(str::trim)
        .find(|url| check_url(url).is_ok())
        .map(str::to_owned)
}

fn issuer(data: &Value) -> String {
    let named = ["issuerOpenBadgeId", "issuer"]
        .iter()
        .find_map(|name| data[*name].as_str());
    let named = named.filter(|issuer| check_text(issuer).is_ok());
    redact::text(named.unwrap_or_default(), "")
}
