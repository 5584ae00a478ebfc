//! What an operation does not say of itself.

use serde_json::{Map, Value, json};

use super::errors;
use crate::wire::schemas::{example, kind};

type Object = Map<String, Value>;

/// Below this a token is needed.
const WITH_TOKEN: &str = "/api/badges/";

/// Adds who may ask, the errors of its kind, and examples.
pub(super) fn operation(operation: &mut Object, path: &str, schemas: &Object) {
    let needs_token = path.starts_with(WITH_TOKEN);
    if needs_token {
        operation.insert("security".to_owned(), json!([{"jwt": []}, {"bearer": []}]));
    }
    for parameter in list(operation, "parameters") {
        complete_parameter(parameter, schemas);
    }
    let has_body = operation.contains_key("requestBody");
    if let Some(body) = operation.get_mut("requestBody") {
        body["required"] = json!(true);
        add_examples(&mut body["content"], schemas);
    }
    let takes_something = has_body || list(operation, "parameters").next().is_some();
    let responses = operation.entry("responses").or_insert_with(|| json!({}));
    let Some(responses) = responses.as_object_mut() else {
        return;
    };
    let is_cached = responses.contains_key("304");
    for (status, response) in responses.iter_mut() {
        complete_response(status, response, is_cached, schemas);
    }
    let mut errors = vec![500, 503];
    if needs_token {
        errors.extend([401, 403]);
    }
    if needs_token && takes_something {
        errors.push(400);
    }
    if has_body {
        errors.extend([413, 415]);
    }
    for status in errors {
        if let Some(reference) = errors::reference(status) {
            responses.entry(status.to_string()).or_insert(reference);
        }
    }
}

fn list<'a>(operation: &'a mut Object, name: &str) -> impl Iterator<Item = &'a mut Value> {
    operation
        .get_mut(name)
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
}

/// A parameter has one value or is not there: it is never null.
fn complete_parameter(parameter: &mut Value, schemas: &Object) {
    let schema = &mut parameter["schema"];
    if let Some(choices) = schema.get_mut("oneOf").and_then(Value::as_array_mut) {
        choices.retain(|choice| choice["type"] != "null");
        if let [only] = choices.as_slice() {
            *schema = only.clone();
        }
    }
    if schema["type"].is_array() {
        schema["type"] = json!(kind(schema));
    }
    if parameter["in"] == "query" && parameter["required"] != true {
        parameter["allowEmptyValue"] = json!(true);
    }
    if parameter.get("example").is_none() {
        parameter["example"] = example(&parameter["schema"], schemas);
    }
}

fn complete_response(status: &str, response: &mut Value, is_cached: bool, schemas: &Object) {
    let number: u16 = status.parse().unwrap_or_default();
    let detail = response["description"].as_str().unwrap_or_default().to_owned();
    let is_problem = number >= 400 && response.get("content").is_none();
    if is_problem {
        response["content"] = errors::content(number, &detail);
    } else if number >= 400 && number != 410 {
        let problem = errors::content(number, &detail);
        if let (Some(content), Value::Object(problem)) = (response["content"].as_object_mut(), problem) {
            content.extend(problem);
        }
    }
    if let Some(content) = response.get_mut("content") {
        add_examples(content, schemas);
    }
    match number {
        200 | 304 | 410 if is_cached => {
            response["headers"] = json!({"ETag": {
                "description": "Tells this version apart; send it as `If-None-Match`.",
                "schema": {"type": "string"}, "example": "\"9f86d081884c7d659a2feaa0c55ad015\""}});
        }
        307 => {
            response["headers"] = json!({"Location": {
                "required": true, "schema": {"type": "string", "format": "uri"},
                "example": "https://badgr.example.com/public/assertions/kx1EmsvQ"}});
        }
        _ => {}
    }
}

fn add_examples(content: &mut Value, schemas: &Object) {
    for (media_type, media) in content.as_object_mut().into_iter().flatten() {
        // A form with a file in it cannot be shown as JSON.
        if media_type.starts_with("application/") && media.get("example").is_none() && media.get("examples").is_none() {
            media["example"] = example(&media["schema"], schemas);
        }
    }
}
