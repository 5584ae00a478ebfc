//! The operations of the HTTP API, in their groups.

use serde_json::{Map, Value};

use super::{
    fields::{Field, Schemas},
    words::{self, Text},
};

/// Operations that belong together.
pub(super) struct Group {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) about: Text,
    pub(super) operations: Vec<Operation>,
}

/// A path with a method.
pub(super) struct Operation {
    pub(super) id: String,
    pub(super) method: String,
    pub(super) path: String,
    pub(super) summary: Text,
    pub(super) about: Vec<Text>,
    pub(super) needs_token: bool,
    pub(super) parameters: Vec<Field>,
    pub(super) bodies: Vec<Body>,
    pub(super) answers: Vec<Answer>,
    pub(super) errors: Vec<Answer>,
}

/// A body in one media type.
pub(super) struct Body {
    pub(super) media_type: String,
    pub(super) fields: Vec<Field>,
    pub(super) example: Option<String>,
}

/// What an operation answers with one status.
pub(super) struct Answer {
    pub(super) status: String,
    pub(super) about: Text,
    pub(super) bodies: Vec<Body>,
}

/// Methods in the order of the page.
const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

/// The groups in the order of the document's tags; those without operations are left out.
pub(super) fn groups(document: &Value) -> Vec<Group> {
    let tags = document["tags"].as_array().into_iter().flatten();
    let groups = tags.filter_map(|tag| {
        let name = tag["name"].as_str()?;
        Some(Group {
            id: name.to_lowercase().replace(' ', "-"),
            name: name.to_owned(),
            about: words::description(&tag["description"]),
            operations: operations(document, name),
        })
    });
    groups.filter(|group| !group.operations.is_empty()).collect()
}

fn operations(document: &Value, tag: &str) -> Vec<Operation> {
    let paths = document["paths"].as_object().into_iter().flatten();
    let all = paths.flat_map(|(path, item)| METHODS.map(|method| (path, method, &item[method])));
    let of_tag = all.filter(|(_, _, operation)| operation["tags"][0] == tag);
    of_tag
        .map(|(path, method, said)| operation(document, path, method, said))
        .collect()
}

fn operation(document: &Value, path: &str, method: &str, said: &Value) -> Operation {
    let none = Map::new();
    let schemas = Schemas::of(document, &none);
    let parameters = said["parameters"].as_array().into_iter().flatten().map(|parameter| {
        let name = parameter["name"].as_str().unwrap_or_default();
        let is_required = parameter["required"] == true;
        let mut field = schemas.field(name, &parameter["schema"], is_required, parameter.get("description"));
        if parameter["in"] == "path" {
            field.name = format!("{{{name}}}");
        }
        field
    });
    let responses = said["responses"].as_object().into_iter().flatten();
    let (errors, answers): (Vec<_>, Vec<_>) = responses
        .map(|(status, response)| answer(document, &schemas, status, response))
        .partition(|answer| answer.bodies.iter().all(|body| body.media_type == PROBLEM) && !answer.bodies.is_empty());
    Operation {
        id: said["operationId"].as_str().unwrap_or_default().to_owned(),
        method: method.to_uppercase(),
        path: path.to_owned(),
        summary: words::description(&said["summary"]),
        about: words::paragraphs(&said["description"]),
        needs_token: said.get("security").is_some(),
        parameters: parameters.collect(),
        bodies: bodies(&schemas, &said["requestBody"]["content"]),
        answers,
        errors,
    }
}

const PROBLEM: &str = "application/problem+json";

fn answer(document: &Value, schemas: &Schemas<'_>, status: &str, response: &Value) -> Answer {
    let shared = response["$ref"]
        .as_str()
        .and_then(|path| document.pointer(path.trim_start_matches('#')));
    let response = shared.unwrap_or(response);
    Answer {
        status: status.to_owned(),
        about: words::description(&response["description"]),
        bodies: bodies(schemas, &response["content"]),
    }
}

fn bodies(schemas: &Schemas<'_>, content: &Value) -> Vec<Body> {
    let all = content.as_object().into_iter().flatten();
    let all = all.map(|(media_type, media)| Body {
        media_type: media_type.clone(),
        fields: schemas.rows(&media["schema"]),
        example: media.get("example").map(words::indented),
    });
    all.collect()
}
