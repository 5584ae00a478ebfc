//! The errors that any route may answer.

use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use crate::http::problem;

/// Status, name among the components, what it means, and an example of what it says.
const ERRORS: [(u16, &str, &str, &str); 7] = [
    (
        400,
        "WrongInput",
        "Something in the request is wrong; `detail` says what, `field` names it.",
        "slug: needed",
    ),
    (
        401,
        "NoToken",
        "There is no token, or none that is valid here.",
        "This needs a token: send the header Authorization: JWT TOKEN, or Bearer TOKEN.",
    ),
    (
        403,
        "NotAllowed",
        "The caller may not do this, or not see it; whether it is there is not told.",
        "Only administrators may do this: the token needs the claim administrator with the value true.",
    ),
    (
        413,
        "TooLarge",
        "The body is longer than 1 MiB.",
        "The body is too large: at most 1 MiB is taken.",
    ),
    (
        415,
        "WrongMediaType",
        "The body is of a media type that is not taken.",
        "Send JSON, with the header Content-Type: application/json.",
    ),
    (
        500,
        "Failed",
        "Something went wrong in the service.",
        "Something went wrong in this service. Its log says what; whoever runs it can help.",
    ),
    (
        503,
        "Unavailable",
        "The database does not answer, or the answer took too long. Ask again after `Retry-After` seconds.",
        "The database does not answer at the moment. Nothing is lost: ask again in a few seconds.",
    ),
];

/// All of them, for the components.
pub(super) fn responses() -> Value {
    let all = ERRORS.map(|(status, name, about, detail)| {
        let mut response = json!({"description": about, "content": content(status, detail)});
        if let Some(headers) = headers(status) {
            response["headers"] = headers;
        }
        (name.to_owned(), response)
    });
    Value::Object(all.into_iter().collect())
}

/// A reference to the answer of this status.
pub(super) fn reference(status: u16) -> Option<Value> {
    let (_, name, ..) = ERRORS.iter().find(|(known, ..)| *known == status)?;
    Some(json!({"$ref": format!("#/components/responses/{name}")}))
}

/// A problem document of this status that says this.
pub(super) fn content(status: u16, detail: &str) -> Value {
    let title = StatusCode::from_u16(status)
        .ok()
        .and_then(|status| status.canonical_reason());
    let mut example = json!({"type": "about:blank", "title": title, "status": status, "detail": detail});
    if status == 400 {
        example["field"] = json!("slug");
        example["errors"] = json!([{"field": "slug", "problem": "needed"}]);
    }
    let schema = json!({"$ref": "#/components/schemas/Problem"});
    let media = json!({"schema": schema, "example": example});
    Value::Object(Map::from_iter([(problem::MEDIA_TYPE.to_owned(), media)]))
}

fn headers(status: u16) -> Option<Value> {
    match status {
        401 => Some(json!({"WWW-Authenticate": {
            "description": "The schemes that are taken, each in a header of its own.",
            "required": true, "schema": {"type": "string"}, "example": "JWT realm=\"accolade\""}})),
        503 => Some(json!({"Retry-After": {
            "description": "Seconds.", "schema": {"type": "integer", "minimum": 0}, "example": 5}})),
        _ => None,
    }
}
