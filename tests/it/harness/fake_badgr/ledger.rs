//! What the server holds, written to a JSON-lines file before it is answered.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A badge class as it was made.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BadgeClass {
    /// Badgr's slug of it.
    pub entity_id: String,
    /// Not unique.
    pub name: String,
    /// As sent, trimmed.
    pub description: String,
    /// As sent.
    pub criteria_url: String,
    /// The image's bytes, as base64.
    pub image: String,
    /// `image/png` or `image/svg+xml`.
    pub image_type: String,
    /// When.
    pub created: DateTime<Utc>,
}

/// An assertion as it was made.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Assertion {
    /// Badgr's id of it.
    pub entity_id: String,
    /// The entity id of its badge class.
    pub badge_class: String,
    /// The recipient, in lower case.
    pub email: String,
    /// What the recipient's hash is salted with.
    pub salt: String,
    /// The first evidence's URL.
    pub evidence_url: Option<String>,
    /// The narrative of the assertion.
    pub narrative: Option<String>,
    /// Whether the learner was to be mailed.
    pub notify: bool,
    /// When.
    pub issued_on: DateTime<Utc>,
    /// When it runs out.
    pub expires: Option<DateTime<Utc>>,
    /// The reason of its revocation.
    pub revoked: Option<String>,
    /// The account that made it.
    pub created_by: String,
}

/// A request as it came, and what became of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RequestRecord {
    /// When it came.
    pub time: DateTime<Utc>,
    /// In capitals.
    pub method: String,
    /// Without the query.
    pub path: String,
    /// Without the question mark; empty without a query.
    pub query: String,
    /// What was done: `made ID`, `revoked ID`, `nothing: 400`, `nothing: HangBefore`, `granted password`, …
    pub did: String,
}

/// A pair of tokens as it was granted.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Grant {
    pub access: String,
    pub refresh: String,
    pub expires: DateTime<Utc>,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "entry", rename_all = "snake_case")]
enum Entry {
    Request(RequestRecord),
    BadgeClass(BadgeClass),
    Assertion(Assertion),
    Revocation {
        time: DateTime<Utc>,
        entity_id: String,
        reason: String,
    },
    Loss {
        entity_id: String,
    },
    Grant(Grant),
    Refreshed {
        refresh: String,
    },
}

/// Everything, in memory and in the file.
pub struct Ledger(Mutex<Held>);

#[derive(Default)]
struct Held {
    file: Option<File>,
    requests: Vec<RequestRecord>,
    badge_classes: Vec<BadgeClass>,
    assertions: Vec<Assertion>,
}

impl Ledger {
    /// Reads what an earlier server wrote, and the grants that are still good. A last line that a kill
    /// cut short is dropped: it was never answered.
    pub fn open(path: Option<PathBuf>) -> (Self, Vec<Grant>) {
        let mut held = Held::default();
        let mut grants = Vec::new();
        if let Some(path) = path {
            let bytes = std::fs::read(&path).unwrap_or_default();
            let whole = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
            for line in bytes[..whole].split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
                let entry = serde_json::from_slice(line).expect("a whole line of the ledger is an entry");
                held.replay(entry, &mut grants);
            }
            let file = OpenOptions::new()
                .create(true)
                .truncate(false)
                .write(true)
                .open(&path)
                .expect("the ledger can be opened");
            file.set_len(whole as u64).expect("the ledger can be cut");
            drop(file);
            let file = OpenOptions::new()
                .append(true)
                .open(&path)
                .expect("the ledger can be appended to");
            held.file = Some(file);
        }
        (Self(Mutex::new(held)), grants)
    }

    pub fn add_request(&self, request: RequestRecord) {
        let mut held = self.held();
        held.write(&Entry::Request(request.clone()));
        held.requests.push(request);
    }

    pub fn add_badge_class(&self, badge_class: BadgeClass) {
        let mut held = self.held();
        held.write(&Entry::BadgeClass(badge_class.clone()));
        held.badge_classes.push(badge_class);
    }

    pub fn add_assertion(&self, assertion: Assertion) {
        let mut held = self.held();
        held.write(&Entry::Assertion(assertion.clone()));
        held.assertions.push(assertion);
    }

    /// Revokes once; `None` if it already was, or is not there.
    pub fn revoke(&self, entity_id: &str, reason: &str) -> Option<Assertion> {
        let mut held = self.held();
        let at = held
            .assertions
            .iter()
            .position(|a| a.entity_id == entity_id && a.revoked.is_none())?;
        held.write(&Entry::Revocation {
            time: Utc::now(),
            entity_id: entity_id.to_owned(),
            reason: reason.to_owned(),
        });
        held.assertions[at].revoked = Some(reason.to_owned());
        Some(held.assertions[at].clone())
    }

    /// Forgets an assertion, as a deletion in the database does.
    pub fn lose(&self, entity_id: &str) {
        let mut held = self.held();
        held.write(&Entry::Loss {
            entity_id: entity_id.to_owned(),
        });
        held.assertions.retain(|assertion| assertion.entity_id != entity_id);
    }

    pub fn add_grant(&self, grant: &Grant, instead_of: Option<&str>) {
        let mut held = self.held();
        if let Some(refresh) = instead_of {
            held.write(&Entry::Refreshed {
                refresh: refresh.to_owned(),
            });
        }
        held.write(&Entry::Grant(grant.clone()));
    }

    pub fn requests(&self) -> Vec<RequestRecord> {
        self.held().requests.clone()
    }

    pub fn badge_classes(&self) -> Vec<BadgeClass> {
        self.held().badge_classes.clone()
    }

    pub fn assertions(&self) -> Vec<Assertion> {
        self.assertions_where(|_| true)
    }

    /// Those of which this holds, without a copy of the others: there may be many.
    pub fn assertions_where(&self, holds: impl Fn(&Assertion) -> bool) -> Vec<Assertion> {
        let held = self.held();
        held.assertions
            .iter()
            .filter(|assertion| holds(assertion))
            .cloned()
            .collect()
    }

    pub fn assertion(&self, entity_id: &str) -> Option<Assertion> {
        self.assertions_where(|assertion| assertion.entity_id == entity_id)
            .pop()
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().expect("no one panics with the ledger in hand")
    }
}

impl Held {
    fn write(&mut self, entry: &Entry) {
        if let Some(file) = &mut self.file {
            let mut line = serde_json::to_vec(entry).expect("entries are JSON");
            line.push(b'\n');
            file.write_all(&line).expect("the ledger can be written");
            file.flush().expect("the ledger can be flushed");
        }
    }

    fn replay(&mut self, entry: Entry, grants: &mut Vec<Grant>) {
        match entry {
            Entry::Request(request) => self.requests.push(request),
            Entry::BadgeClass(badge_class) => self.badge_classes.push(badge_class),
            Entry::Assertion(assertion) => self.assertions.push(assertion),
            Entry::Revocation { entity_id, reason, .. } => {
                for assertion in self.assertions.iter_mut().filter(|a| a.entity_id == entity_id) {
                    assertion.revoked = Some(reason.clone());
                }
            }
            Entry::Loss { entity_id } => self.assertions.retain(|assertion| assertion.entity_id != entity_id),
            Entry::Grant(grant) => grants.push(grant),
            Entry::Refreshed { refresh } => grants.retain(|grant| grant.refresh != refresh),
        }
    }
}

/// An id of Badgr's form: 22 characters.
pub fn new_entity_id() -> String {
    use base64::Engine;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(Uuid::new_v4().as_bytes())
}
