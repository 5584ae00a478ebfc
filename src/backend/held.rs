//! What a backend says that it holds.

use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};

/// An assertion as the backend holds it, issued by whomever.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Its id there: [`Issued::backend_id`](super::Issued::backend_id) of what we issued.
    pub backend_id: String,
    /// Its public URL.
    pub assertion_url: String,
    /// Whom it is for.
    pub recipient: Recipient,
    /// Which account there made it, where that is said.
    pub made_by: Option<String>,
    /// When it was made, by the backend's clock, where that is said.
    pub made_at: Option<DateTime<Utc>>,
    /// Why it holds no more; `None` while it does. Empty where no reason is said.
    pub revoked: Option<String>,
}

/// Some of what a backend holds of a badge class.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HeldPage {
    /// These.
    pub assertions: Vec<Held>,
    /// What asks for the next page; `None` at the end.
    pub next: Option<String>,
}

/// Whom an assertion is for, as the backend says it.
#[derive(Clone, PartialEq, Eq)]
pub enum Recipient {
    /// By an e-mail address, in lower case.
    Address(String),
    /// By the hash of an address and a salt: `sha256$…`, without that prefix, in lower case.
    Hash {
        /// SHA-256 of address and salt, in hexadecimal digits.
        hash: String,
        /// What is hashed after the address.
        salt: String,
    },
}

impl Recipient {
    /// Of a text that is an address or `sha256$` and a hash.
    pub fn parse(identity: &str, salt: &str) -> Self {
        match identity.strip_prefix("sha256$") {
            Some(hash) => Self::Hash {
                hash: hash.to_ascii_lowercase(),
                salt: salt.to_owned(),
            },
            None => Self::Address(address(identity)),
        }
    }

    /// Whether it is the one with this e-mail address.
    pub fn is(&self, recipient: &str) -> bool {
        let wanted = address(recipient);
        match self {
            Self::Address(own) => !wanted.is_empty() && *own == wanted,
            // Badgr hashes what it was sent; newer versions send it in lower case first.
            Self::Hash { hash, salt } => [&wanted, recipient.trim()]
                .iter()
                .any(|identity| hex(&Sha256::digest(format!("{identity}{salt}"))) == *hash),
        }
    }
}

/// Nobody's address gets into a log.
impl std::fmt::Debug for Recipient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Recipient")
    }
}

/// An e-mail address as two are compared.
pub(crate) fn address(text: &str) -> String {
    text.trim().to_lowercase()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
