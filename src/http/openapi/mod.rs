//! The OpenAPI 3.1 document of the HTTP API: made from the routes, and from the types that are read and written.
//!
//! What the routes say of themselves stands beside each handler. What holds for all of them is added here: who may ask,
//! the errors that any route of a kind answers, an example for each body, answer and parameter.

mod complete;
mod errors;

use serde_json::{Map, Value, json};
use utoipa::openapi::{Components, Info, License, OpenApi};

use super::{problem, routes};
use crate::wire::schemas;

const ABOUT: &str = "\
Badges of Open edX: who has which, who gets one, and what there is to be earned.

Routes below `/api/badges/v1/` need a token, a JWT of the platform: `Authorization: JWT …` or `Authorization: Bearer …`. \
Its `preferred_username` names the caller; with `administrator: true` the caller may see and do everything. A learner \
reads the own assertions and progress; everything else needs an administrator.

Errors are problem documents (RFC 9457) whose `detail` says what to do. A body is at most 1 MiB long. A POST that is \
repeated does no harm, unless its description says that it adds something each time. Unknown fields and parameters are \
ignored; a parameter that is empty counts as not given. A last slash of a path may be left out.";

/// The groups of operations, in the order of the document.
const TAGS: [(&str, &str); 12] = [
    ("Assertions", "Badges that learners hold."),
    ("Progress", "How far learners are from badges."),
    ("Badge classes", "What can be awarded, and awards on request."),
    ("Event badges", "Which badges enrolments and certificates bring."),
    ("Completion images", "The images of the course completion badges."),
    ("Courses", "Names, days, and the switch for course completion badges."),
    ("Awards", "Badges on their way, and why they wait."),
    ("Dead letters", "Records that could not be processed."),
    ("Learners", "Learners who leave."),
    ("Audit log", "Who changed what by hand."),
    ("Public pages", "Pages and Open Badges documents for everybody."),
    ("Operations", "Health, metrics and descriptions."),
];

/// The document; `server` is where the service is found, `PUBLIC_URL` or `/`.
pub fn document(server: &str) -> Value {
    let mut routes = routes();
    schemas::collect::<problem::Document<'_>>(&mut routes.schemas);
    // Parameters refer to schemas that no body has.
    let mut components = Components::new();
    components.schemas.extend(schemas::every());
    components.schemas.extend(routes.schemas);
    let mut info = Info::new("Accolade", env!("CARGO_PKG_VERSION"));
    info.description = Some(ABOUT.to_owned());
    let mut license = License::new(env!("CARGO_PKG_LICENSE"));
    license.identifier = Some(env!("CARGO_PKG_LICENSE").to_owned());
    info.license = Some(license);
    let mut openapi = OpenApi::new(info, routes.paths);
    openapi.components = Some(components);
    let mut document = serde_json::to_value(openapi).expect("a description is JSON");
    document["servers"] = json!([{"url": server}]);
    document["tags"] = TAGS
        .map(|(name, about)| json!({"name": name, "description": about}))
        .into();
    document["components"]["responses"] = errors::responses();
    document["components"]["securitySchemes"] = json!({
        "jwt": {"type": "apiKey", "in": "header", "name": "Authorization",
            "description": "`Authorization: JWT TOKEN`, as Open edX sends it."},
        "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
    });
    leave_out_unused(&mut document);
    let schemas = document["components"]["schemas"]
        .as_object()
        .cloned()
        .unwrap_or_default();
    for (path, operation) in operations(&mut document) {
        complete::operation(operation, &path, &schemas);
    }
    document
}

/// Leaves out the schemas that nothing refers to.
fn leave_out_unused(document: &mut Value) {
    let text = document.to_string();
    if let Some(schemas) = document["components"]["schemas"].as_object_mut() {
        schemas.retain(|name, _| text.contains(&format!("\"#/components/schemas/{name}\"")));
    }
}

/// Every operation, with its path.
fn operations(document: &mut Value) -> impl Iterator<Item = (String, &mut Map<String, Value>)> {
    let paths = document["paths"].as_object_mut().into_iter().flatten();
    paths.flat_map(|(path, item)| {
        let methods = item.as_object_mut().into_iter().flatten();
        let operations = methods.filter_map(|(_, operation)| operation.as_object_mut());
        operations.map(|operation| (path.clone(), operation))
    })
}

#[cfg(test)]
mod tests;
