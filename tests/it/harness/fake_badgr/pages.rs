//! What Badgr shows of things: in its API, and to the public as Open Badges 2.0.

use axum::http::header;
use base64::Engine;
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::ISSUER_SLUG;
use super::api::{LD_JSON, not_found};
use super::ledger::{Assertion, BadgeClass};
use super::server::{Answer, Shared};

const CONTEXT: &str = "https://w3id.org/openbadges/v2";

fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Micros, true)
}

fn identity(assertion: &Assertion) -> String {
    let digest = Sha256::digest(format!("{}{}", assertion.email, assertion.salt));
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256${hex}")
}

/// The issuer, in the API.
pub fn issuer(shared: &Shared) -> Value {
    json!({
        "entityType": "Issuer", "entityId": ISSUER_SLUG,
        "openBadgeId": format!("{}/public/issuers/{ISSUER_SLUG}", shared.origin),
        "name": "Example Academy", "image": null, "email": super::USERNAME,
        "description": "Issues badges", "url": "https://academy.example.com",
    })
}

/// A badge class, in the API.
pub fn badge_class(shared: &Shared, class: &BadgeClass) -> Value {
    let origin = &shared.origin;
    json!({
        "entityType": "BadgeClass", "entityId": class.entity_id,
        "openBadgeId": format!("{origin}/public/badges/{}", class.entity_id),
        "createdAt": time(class.created), "createdBy": super::ACCOUNT, "issuer": ISSUER_SLUG,
        "issuerOpenBadgeId": format!("{origin}/public/issuers/{ISSUER_SLUG}"),
        "name": class.name, "description": class.description,
        "image": format!("{origin}/media/uploads/badges/{}", class.entity_id),
        "criteriaUrl": class.criteria_url, "criteriaNarrative": null,
        "alignments": [], "tags": [], "expires": {"amount": null, "duration": null}, "extensions": {},
    })
}

/// An assertion, in the API.
pub fn assertion(shared: &Shared, assertion: &Assertion) -> Value {
    let origin = &shared.origin;
    let id = &assertion.entity_id;
    let image = assertion
        .revoked
        .is_none()
        .then(|| format!("{origin}/media/uploads/assertions/{id}"));
    let evidence: Vec<Value> = assertion
        .evidence_url
        .iter()
        .map(|url| json!({"url": url, "narrative": null}))
        .collect();
    json!({
        "entityType": "Assertion", "entityId": id,
        "openBadgeId": format!("{origin}/public/assertions/{id}"),
        "createdAt": time(assertion.issued_on), "createdBy": assertion.created_by,
        "badgeclass": assertion.badge_class,
        "badgeclassOpenBadgeId": format!("{origin}/public/badges/{}", assertion.badge_class),
        "issuer": ISSUER_SLUG, "issuerOpenBadgeId": format!("{origin}/public/issuers/{ISSUER_SLUG}"),
        "image": image,
        "recipient": {
            "identity": identity(assertion), "hashed": true, "type": "email",
            "plaintextIdentity": assertion.email, "salt": assertion.salt,
        },
        "issuedOn": time(assertion.issued_on), "narrative": assertion.narrative, "evidence": evidence,
        "revoked": assertion.revoked.is_some(), "revocationReason": assertion.revoked,
        "acceptance": "Unaccepted", "expires": assertion.expires.map(time), "extensions": {},
    })
}

/// What is below `/public` and `/media`.
pub fn public(shared: &Shared, kind: &str, id: &str, image: bool) -> Answer {
    let origin = &shared.origin;
    let class_of = |id: &str| shared.ledger.badge_classes().into_iter().find(|c| c.entity_id == id);
    let assertion = shared.ledger.assertion(id);
    let class = match (kind, &assertion) {
        ("badges", _) => class_of(id),
        ("assertions", Some(assertion)) => class_of(&assertion.badge_class),
        _ => None,
    };
    if image {
        let live = kind == "badges" || assertion.is_some_and(|a| a.revoked.is_none());
        return class.filter(|_| live).map_or_else(not_found, |class| {
            let bytes = base64::engine::general_purpose::STANDARD
                .decode(&class.image)
                .expect("the ledger holds images as base64");
            Answer::new(200, &class.image_type, bytes)
        });
    }
    let document = match (kind, assertion, class) {
        ("issuers", _, _) if id == ISSUER_SLUG => json!({
            "@context": CONTEXT, "type": "Issuer", "id": format!("{origin}/public/issuers/{id}"),
            "name": "Example Academy", "url": "https://academy.example.com", "email": super::USERNAME,
        }),
        ("badges", _, Some(class)) => json!({
            "@context": CONTEXT, "type": "BadgeClass", "id": format!("{origin}/public/badges/{id}"),
            "name": class.name, "description": class.description,
            "image": format!("{origin}/public/badges/{id}/image"),
            "criteria": class.criteria_url, "issuer": format!("{origin}/public/issuers/{ISSUER_SLUG}"),
        }),
        ("assertions", Some(assertion), _) => public_assertion(origin, &assertion),
        _ => return not_found(),
    };
    Answer::json(200, LD_JSON, &document)
}

fn public_assertion(origin: &str, assertion: &Assertion) -> Value {
    let id = &assertion.entity_id;
    let url = format!("{origin}/public/assertions/{id}");
    if let Some(reason) = &assertion.revoked {
        return json!({
            "@context": CONTEXT, "type": "Assertion", "id": url, "revoked": true, "revocationReason": reason,
        });
    }
    let mut document = json!({
        "@context": CONTEXT, "type": "Assertion", "id": url,
        "recipient": {"type": "email", "hashed": true, "salt": assertion.salt, "identity": identity(assertion)},
        "badge": format!("{origin}/public/badges/{}", assertion.badge_class),
        "verification": {"type": "HostedBadge"},
        "issuedOn": time(assertion.issued_on), "image": format!("{url}/image"),
    });
    if let Some(evidence) = &assertion.evidence_url {
        document["evidence"] = json!([{"type": "Evidence", "id": evidence}]);
    }
    document
}

/// Where `/public/…/image` leads.
pub fn to_media(shared: &Shared, kind: &str, id: &str) -> Answer {
    let found = public(shared, kind, id, true);
    if found.status != 200 {
        return found;
    }
    let mut answer = Answer::new(302, "text/html", "");
    answer
        .headers
        .push((header::LOCATION, format!("{}/media/uploads/{kind}/{id}", shared.origin)));
    answer
}
