//! Open Badges 2.0 documents, hosted: built from plain parts, without a look at time or chance.
//!
//! The shapes are those of the Open Badges 2.0 specification; each `id` is the URL at which the document is served.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::wire::redact;

/// Open Badges 2.0's JSON-LD context.
pub const CONTEXT: &str = "https://w3id.org/openbadges/v2";

/// The addresses of the documents below `PUBLIC_URL`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Urls {
    base: String,
}

impl Urls {
    /// Below this URL; a slash at its end does no harm.
    pub fn new(public_url: &str) -> Self {
        Self {
            base: public_url.trim_end_matches('/').to_owned(),
        }
    }

    /// The issuer.
    pub fn issuer(&self) -> String {
        format!("{}/ob2/issuer", self.base)
    }

    /// The issuer's image.
    pub fn issuer_image(&self) -> String {
        format!("{}/ob2/issuer/image.png", self.base)
    }

    /// A badge class, by its public id.
    pub fn badge_class(&self, public_id: &str) -> String {
        format!("{}/ob2/badges/{public_id}", self.base)
    }

    /// A badge class's image.
    pub fn badge_class_image(&self, public_id: &str) -> String {
        format!("{}/image.png", self.badge_class(public_id))
    }

    /// The page of a badge class's criteria.
    pub fn criteria(&self, public_id: &str) -> String {
        format!("{}/criteria", self.badge_class(public_id))
    }

    /// An assertion, by its public id.
    pub fn assertion(&self, id: &str) -> String {
        format!("{}/ob2/assertions/{id}", self.base)
    }

    /// An assertion's baked image.
    pub fn assertion_image(&self, id: &str) -> String {
        format!("{}/image.png", self.assertion(id))
    }

    /// The public page of an award.
    pub fn page(&self, assertion_id: &str) -> String {
        format!("{}/badges/{assertion_id}", self.base)
    }
}

/// Who issues.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerProfile {
    /// `ISSUER_NAME`.
    pub name: String,
    /// `ISSUER_URL`, or `PUBLIC_URL`.
    pub url: String,
    /// `ISSUER_EMAIL`: the issuer's own address, which the specification requires.
    pub email: String,
    /// `ISSUER_DESCRIPTION`.
    pub description: Option<String>,
    /// Whether `ISSUER_IMAGE` is set, and so served.
    pub has_image: bool,
}

/// What a badge class's document says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadgeClassParts<'a> {
    /// Its public id.
    pub public_id: &'a str,
    /// Its name.
    pub name: &'a str,
    /// What it stands for.
    pub description: &'a str,
    /// A text, or a URL.
    pub criteria: &'a str,
}

/// What an assertion's document says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AssertionParts<'a> {
    /// Its public id.
    pub id: &'a str,
    /// The public id of its badge class.
    pub badge_class: &'a str,
    /// The salt of the recipient's hash.
    pub salt: &'a str,
    /// `sha256$…` of the recipient, see [`recipient_hash`].
    pub recipient_hash: &'a str,
    /// Evidence; the document holds no e-mail address of it.
    pub evidence_url: Option<&'a str>,
    /// When it was issued.
    pub issued_on: DateTime<Utc>,
}

/// The issuer's profile.
pub fn issuer(urls: &Urls, profile: &IssuerProfile) -> Value {
    let mut document = json!({
        "@context": CONTEXT, "type": "Issuer", "id": urls.issuer(),
        "name": profile.name, "url": profile.url, "email": profile.email,
    });
    if let Some(description) = profile.description.as_deref().filter(|text| !text.is_empty()) {
        document["description"] = json!(description);
    }
    if profile.has_image {
        document["image"] = json!(urls.issuer_image());
    }
    document
}

/// A badge class.
pub fn badge_class(urls: &Urls, parts: &BadgeClassParts<'_>) -> Value {
    let criteria = if is_url(parts.criteria) {
        json!(parts.criteria.trim())
    } else {
        json!({"id": urls.criteria(parts.public_id), "narrative": parts.criteria})
    };
    // The specification requires a description.
    let description = if parts.description.is_empty() {
        parts.name
    } else {
        parts.description
    };
    json!({
        "@context": CONTEXT, "type": "BadgeClass", "id": urls.badge_class(parts.public_id),
        "name": parts.name, "description": description, "image": urls.badge_class_image(parts.public_id),
        "criteria": criteria, "issuer": urls.issuer(),
    })
}

/// An assertion that holds.
pub fn assertion(urls: &Urls, parts: &AssertionParts<'_>) -> Value {
    let mut document = json!({
        "@context": CONTEXT, "type": "Assertion", "id": urls.assertion(parts.id),
        "recipient": {"type": "email", "hashed": true, "salt": parts.salt, "identity": parts.recipient_hash},
        "badge": urls.badge_class(parts.badge_class), "verification": {"type": "hosted"},
        "issuedOn": parts.issued_on.to_rfc3339_opts(SecondsFormat::Secs, true),
        "image": urls.assertion_image(parts.id),
    });
    let evidence = parts.evidence_url.filter(|url| !url.is_empty());
    if let Some(url) = evidence.and_then(|url| redact::url(url, "")) {
        document["evidence"] = json!(url);
    }
    document
}

/// An assertion that was revoked: to be answered with 410, and with nothing that it once said. The reason is without
/// e-mail addresses.
pub fn revoked_assertion(urls: &Urls, id: &str, reason: &str) -> Value {
    let mut document = json!({
        "@context": CONTEXT, "type": "Assertion", "id": urls.assertion(id), "revoked": true,
    });
    if !reason.is_empty() {
        document["revocationReason"] = json!(redact::text(reason, ""));
    }
    document
}

/// `sha256$` and the hash of the address, trimmed and in lower case, with the salt after it.
///
/// The salt is public, so a guessed address can be confirmed; it hides from harvesting only.
pub fn recipient_hash(email: &str, salt: &str) -> String {
    let identity = email.trim().to_lowercase();
    format!("sha256${}", hex(&Sha256::digest(format!("{identity}{salt}"))))
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn is_url(text: &str) -> bool {
    let text = text.trim();
    // The parser passes over blanks: a text that only begins with a URL is none.
    let parsed = url::Url::parse(text)
        .ok()
        .filter(|_| !text.contains(char::is_whitespace));
    parsed.is_some_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn urls() -> Urls {
        Urls::new("https://b.example/")
    }

    #[test]
    fn an_issuer_says_what_it_has() {
        let mut profile = IssuerProfile {
            name: "Example Academy".to_owned(),
            url: "https://academy.example".to_owned(),
            email: "badges@academy.example".to_owned(),
            description: None,
            has_image: false,
        };
        let plain = json!({"@context": CONTEXT, "type": "Issuer", "id": "https://b.example/ob2/issuer",
            "name": "Example Academy", "url": "https://academy.example", "email": "badges@academy.example"});
        assert_eq!(issuer(&urls(), &profile), plain);
        profile.has_image = true;
        profile.description = Some("Teaches".to_owned());
        let full = issuer(&urls(), &profile);
        assert_eq!(full["image"], "https://b.example/ob2/issuer/image.png");
        assert_eq!(full["description"], "Teaches");
    }

    #[test]
    fn criteria_are_a_url_or_a_narrative_with_a_page() {
        let mut parts = BadgeClassParts {
            public_id: "p1",
            name: "Course completed",
            description: "",
            criteria: "Complete every graded unit.",
        };
        let expected = json!({"@context": CONTEXT, "type": "BadgeClass", "id": "https://b.example/ob2/badges/p1",
            "name": "Course completed", "description": "Course completed",
            "image": "https://b.example/ob2/badges/p1/image.png",
            "criteria": {"id": "https://b.example/ob2/badges/p1/criteria", "narrative": "Complete every graded unit."},
            "issuer": "https://b.example/ob2/issuer"});
        assert_eq!(badge_class(&urls(), &parts), expected);
        parts.criteria = "https://lms.example.com/criteria";
        assert_eq!(
            badge_class(&urls(), &parts)["criteria"],
            "https://lms.example.com/criteria"
        );
    }

    #[test]
    fn an_assertion_names_its_recipient_by_hash() {
        let hash = recipient_hash(" Learner@Example.org", "b7f3c1");
        assert_eq!(
            hash,
            "sha256$7451efb038de65c5bd6a4fe46f0d90ef3d99d89b33736a36d2dca398f5610063"
        );
        let parts = AssertionParts {
            id: "42",
            badge_class: "p1",
            salt: "b7f3c1",
            recipient_hash: &hash,
            evidence_url: None,
            issued_on: "2026-11-01T12:00:00.123456Z".parse().expect("a time"),
        };
        let expected = json!({"@context": CONTEXT, "type": "Assertion", "id": "https://b.example/ob2/assertions/42",
            "recipient": {"type": "email", "hashed": true, "salt": "b7f3c1", "identity": hash},
            "badge": "https://b.example/ob2/badges/p1", "verification": {"type": "hosted"},
            "issuedOn": "2026-11-01T12:00:00Z", "image": "https://b.example/ob2/assertions/42/image.png"});
        assert_eq!(assertion(&urls(), &parts), expected);
        let evidence = AssertionParts {
            evidence_url: Some("https://lms.example.com/c/1"),
            ..parts
        };
        assert_eq!(assertion(&urls(), &evidence)["evidence"], "https://lms.example.com/c/1");
    }

    #[test]
    fn a_revoked_assertion_says_no_more_than_that() {
        let expected = json!({"@context": CONTEXT, "type": "Assertion", "id": "https://b.example/ob2/assertions/42",
            "revoked": true, "revocationReason": "Issued in error"});
        assert_eq!(revoked_assertion(&urls(), "42", "Issued in error"), expected);
    }
}
