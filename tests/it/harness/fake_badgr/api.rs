//! The v2 API: what a request is checked for, and what is then done.

use axum::http::header;
use serde_json::{Map, Value, json};

use super::checks::{check_award, check_badge_class, check_revocation, is_expired};
use super::faults::Operation;
use super::ledger::{Assertion, BadgeClass};
use super::server::{Answer, Call, Shared};
use super::{ISSUER_SLUG, pages};

/// What the API calls its JSON.
pub const LD_JSON: &str = "application/ld+json";

/// Where a request goes.
pub enum Route {
    Token,
    Issuer(String),
    MakeBadgeClass(String),
    ListBadgeClasses(String),
    BadgeClass(String),
    Award(String),
    AssertionsOf {
        issuer: Option<String>,
        badge_class: Option<String>,
    },
    Assertion(String),
    Revoke(String),
    Public {
        kind: String,
        id: String,
        image: bool,
    },
    Media {
        kind: String,
        id: String,
    },
    Nowhere,
}

impl Route {
    pub fn of(call: &Call) -> Self {
        let parts: Vec<&str> = call.path.split('/').skip(1).collect();
        let own = |part: &str| part.to_owned();
        match (call.method.as_str(), parts.as_slice()) {
            ("POST", ["o", "token"]) => Self::Token,
            ("GET", ["v2", "issuers", id]) => Self::Issuer(own(id)),
            ("POST", ["v2", "issuers", id, "badgeclasses"]) => Self::MakeBadgeClass(own(id)),
            ("GET", ["v2", "issuers", id, "badgeclasses"]) => Self::ListBadgeClasses(own(id)),
            ("GET", ["v2", "issuers", id, "assertions"]) => Self::AssertionsOf {
                issuer: Some(own(id)),
                badge_class: None,
            },
            ("GET", ["v2", "badgeclasses", id]) => Self::BadgeClass(own(id)),
            ("POST", ["v2", "badgeclasses", id, "assertions"]) => Self::Award(own(id)),
            ("GET", ["v2", "badgeclasses", id, "assertions"]) => Self::AssertionsOf {
                issuer: None,
                badge_class: Some(own(id)),
            },
            ("GET", ["v2", "assertions", id]) => Self::Assertion(own(id)),
            ("DELETE", ["v2", "assertions", id]) => Self::Revoke(own(id)),
            ("GET", ["public", kind, id]) => Self::Public {
                kind: own(kind),
                id: own(id),
                image: false,
            },
            ("GET", ["public", kind, id, "image"]) => Self::Public {
                kind: own(kind),
                id: own(id),
                image: true,
            },
            ("GET", ["media", "uploads", kind, id]) => Self::Media {
                kind: own(kind),
                id: own(id),
            },
            _ => Self::Nowhere,
        }
    }

    pub fn operation(&self) -> Operation {
        match self {
            Self::Token => Operation::Token,
            Self::MakeBadgeClass(_) => Operation::MakeBadgeClass,
            Self::ListBadgeClasses(_) => Operation::ListBadgeClasses,
            Self::Award(_) => Operation::Award,
            Self::AssertionsOf { .. } | Self::Assertion(_) => Operation::LookUp,
            Self::Revoke(_) => Operation::Revoke,
            _ => Operation::Other,
        }
    }
}

/// What a request that passed the checks will do.
pub enum Work {
    Grant,
    Make(BadgeClass),
    Award(Assertion),
    Revoke { id: String, reason: String },
    Read(Route),
}

pub fn unauthorized() -> Answer {
    failure(401, "no valid auth token found", &json!({}), &json!([]))
}

pub fn not_found() -> Answer {
    failure(
        404,
        "entity not found or insufficient privileges",
        &json!({}),
        &json!([]),
    )
}

pub fn field_errors(errors: Map<String, Value>) -> Answer {
    failure(400, "bad request", &Value::Object(errors), &json!([]))
}

pub fn validation_error(message: &str) -> Answer {
    failure(400, "bad request", &json!({}), &json!([message]))
}

pub fn failure(status: u16, description: &str, fields: &Value, validation: &Value) -> Answer {
    let body = json!({
        "status": {"success": false, "description": description},
        "result": [], "fieldErrors": fields, "validationErrors": validation,
    });
    Answer::json(status, LD_JSON, &body)
}

fn success(status: u16, result: Vec<Value>) -> Answer {
    let body = json!({"status": {"success": true, "description": "ok"}, "result": result});
    Answer::json(status, LD_JSON, &body)
}

/// Everything that is looked at before anything is done. A duplicate is looked for here, without a
/// lock: requests at the same time all pass, as they do at the real one.
pub fn check(shared: &Shared, call: &Call, route: Route) -> Result<Work, Answer> {
    match route {
        Route::Token if !call.query.is_empty() => {
            let text = "Token grant parameters must be sent in post body, not query parameters";
            return Err(Answer::json(400, "application/json", &json!({"error": text})));
        }
        Route::Token => return Ok(Work::Grant),
        Route::Nowhere => {
            return Err(Answer::new(
                404,
                "text/html",
                "<!doctype html><title>Not Found</title><h1>Not Found</h1>",
            ));
        }
        Route::Public { .. } | Route::Media { .. } => return Ok(Work::Read(route)),
        _ => {}
    }
    if !shared.tokens.admits(call.header(header::AUTHORIZATION)) {
        return Err(unauthorized());
    }
    match route {
        Route::MakeBadgeClass(issuer) if issuer == ISSUER_SLUG => check_badge_class(shared, call).map(Work::Make),
        Route::Award(id) if shared.ledger.badge_classes().iter().any(|c| c.entity_id == id) => {
            check_award(shared, call, id).map(Work::Award)
        }
        Route::MakeBadgeClass(_) | Route::Award(_) => Err(not_found()),
        Route::Revoke(id) => check_revocation(shared, call, id),
        read => Ok(Work::Read(read)),
    }
}

/// Does it, and says what it did.
pub fn carry_out(shared: &Shared, call: &Call, work: Work) -> (Answer, String) {
    let (mut answer, did) = match work {
        Work::Grant => return shared.tokens.grant(&call.form(), &shared.ledger),
        Work::Make(class) => {
            let answer = success(201, vec![pages::badge_class(shared, &class)]);
            let did = format!("made {}", class.entity_id);
            shared.ledger.add_badge_class(class);
            (answer, did)
        }
        Work::Award(assertion) => {
            let answer = success(201, vec![pages::assertion(shared, &assertion)]);
            let did = format!("made {}", assertion.entity_id);
            shared.ledger.add_assertion(assertion);
            (answer, did)
        }
        Work::Revoke { id, reason } => match shared.ledger.revoke(&id, &reason) {
            Some(revoked) => (
                success(200, vec![pages::assertion(shared, &revoked)]),
                format!("revoked {id}"),
            ),
            None => (
                validation_error("Assertion is already revoked"),
                "nothing: 400".to_owned(),
            ),
        },
        Work::Read(route) => {
            let answer = read(shared, call, route);
            let did = if answer.status < 400 {
                "read".to_owned()
            } else {
                format!("nothing: {}", answer.status)
            };
            (answer, did)
        }
    };
    if answer.content_type == LD_JSON && call.header(header::ACCEPT) == Some("application/json") {
        answer.content_type = "application/json".to_owned();
    }
    (answer, did)
}

fn read(shared: &Shared, call: &Call, route: Route) -> Answer {
    let classes = || shared.ledger.badge_classes();
    let one = |found: Option<Value>| found.map_or_else(not_found, |value| success(200, vec![value]));
    match route {
        Route::Issuer(id) => one((id == ISSUER_SLUG).then(|| pages::issuer(shared))),
        Route::BadgeClass(id) => {
            let found = classes().into_iter().find(|c| c.entity_id == id);
            one(found.map(|class| pages::badge_class(shared, &class)))
        }
        Route::Assertion(id) => {
            let found = shared.ledger.assertion(&id);
            one(found.map(|assertion| pages::assertion(shared, &assertion)))
        }
        Route::ListBadgeClasses(issuer) if issuer == ISSUER_SLUG => {
            let all = classes()
                .iter()
                .map(|class| pages::badge_class(shared, class))
                .collect();
            page(shared, call, all)
        }
        Route::AssertionsOf { issuer, badge_class } => {
            let known = issuer.as_ref().is_none_or(|issuer| issuer == ISSUER_SLUG)
                && badge_class
                    .as_ref()
                    .is_none_or(|id| classes().iter().any(|c| c.entity_id == *id));
            if !known {
                return not_found();
            }
            page(shared, call, assertions(shared, call, badge_class.as_deref()))
        }
        Route::Public { kind, id, image: true } => pages::to_media(shared, &kind, &id),
        Route::Public { kind, id, image: false } => pages::public(shared, &kind, &id, false),
        Route::Media { kind, id } => pages::public(shared, &kind, &id, true),
        _ => not_found(),
    }
}

fn assertions(shared: &Shared, call: &Call, badge_class: Option<&str>) -> Vec<Value> {
    let recipients = call.query_values("recipient");
    let is_set = |name: &str| call.query_values(name).iter().any(|v| v == "1" || v == "true");
    let (revoked, expired) = (is_set("include_revoked"), is_set("include_expired"));
    let recipients: Vec<String> = recipients.iter().map(|recipient| recipient.to_lowercase()).collect();
    let found = shared.ledger.assertions_where(|a| {
        badge_class.is_none_or(|id| a.badge_class == id)
            && (recipients.is_empty() || recipients.contains(&a.email))
            && (revoked || a.revoked.is_none())
            && (expired || !is_expired(a))
    });
    found.iter().map(|a| pages::assertion(shared, a)).collect()
}

/// Everything, oldest first; with `num`, so many a page, newest first, the next in the `Link` header.
fn page(shared: &Shared, call: &Call, mut all: Vec<Value>) -> Answer {
    let number = |name: &str| {
        call.query_values(name)
            .first()
            .and_then(|value| value.parse::<usize>().ok())
    };
    let Some(num) = number("num").filter(|num| *num > 0) else {
        return success(200, all);
    };
    all.reverse();
    let start = number("cursor").unwrap_or(0).min(all.len());
    let end = (start + num).min(all.len());
    let mut answer = success(200, all[start..end].to_vec());
    if end < all.len() {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        for (name, value) in url::form_urlencoded::parse(call.query.as_bytes()).filter(|(n, _)| n != "cursor") {
            query.append_pair(&name, &value);
        }
        let query = query.append_pair("cursor", &end.to_string()).finish();
        answer.headers.push((
            header::LINK,
            format!("<{}{}?{query}>; rel=\"next\"", shared.origin, call.path),
        ));
    }
    answer
}
