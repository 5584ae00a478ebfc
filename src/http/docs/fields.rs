//! A JSON Schema as rows: a field each, those of objects inside with the names on the way to them.

use serde_json::{Map, Value};

use super::words::{self, Text};
use crate::wire::schemas::kind;

/// Deeper fields are left out.
const DEPTH: usize = 5;

/// A field, a parameter or a header.
pub(super) struct Field {
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) is_required: bool,
    pub(super) about: Text,
}

/// The schemas that others refer to.
pub(super) struct Schemas<'a>(&'a Map<String, Value>);

impl<'a> Schemas<'a> {
    /// Those of this document; one without any has none.
    pub(super) fn of(document: &'a Value, none: &'a Map<String, Value>) -> Self {
        Self(document["components"]["schemas"].as_object().unwrap_or(none))
    }

    /// A field of this schema.
    pub(super) fn field(&self, name: &str, schema: &Value, is_required: bool, about: Option<&Value>) -> Field {
        let (target, or_null) = self.target(schema);
        let own = about
            .or_else(|| schema.get("description"))
            .unwrap_or(&target["description"]);
        let mut kind = self.words(target);
        if or_null && kind != "null" {
            kind.push_str(" or null");
        }
        Field {
            name: name.to_owned(),
            kind,
            is_required,
            about: words::description(own),
        }
    }

    /// The fields of an object, or of the objects of an array; none for other values.
    pub(super) fn rows(&self, schema: &Value) -> Vec<Field> {
        let mut rows = Vec::new();
        self.add_rows(schema, "", 0, &mut rows);
        rows
    }

    fn add_rows(&self, schema: &Value, prefix: &str, depth: usize, rows: &mut Vec<Field>) {
        let (target, _) = self.target(schema);
        for part in target["allOf"].as_array().into_iter().flatten() {
            self.add_rows(part, prefix, depth, rows);
        }
        if kind(target) == "array" {
            return self.add_rows(&target["items"], &format!("{prefix}[]"), depth, rows);
        }
        let required: Vec<&str> = target["required"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        for (name, member) in target["properties"].as_object().into_iter().flatten() {
            let name = if prefix.is_empty() {
                name.clone()
            } else {
                format!("{prefix}.{name}")
            };
            let last = name.rsplit('.').next().unwrap_or_default();
            rows.push(self.field(&name, member, required.contains(&last), None));
            if depth < DEPTH {
                self.add_rows(member, &name, depth + 1, rows);
            }
        }
    }

    /// What a schema refers to in the end, and whether null may stand for it.
    fn target<'b>(&'b self, mut schema: &'b Value) -> (&'b Value, bool) {
        let mut or_null = false;
        loop {
            or_null |= schema["type"]
                .as_array()
                .is_some_and(|types| types.iter().any(|name| name == "null"));
            if let Some(name) = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next()) {
                match self.0.get(name) {
                    Some(found) => schema = found,
                    None => return (schema, or_null),
                }
            } else if let Some([one, other]) = schema["oneOf"].as_array().map(Vec::as_slice)
                && let Some(inner) = [(one, other), (other, one)]
                    .into_iter()
                    .find(|(null, _)| null["type"] == "null")
            {
                or_null = true;
                schema = inner.1;
            } else {
                return (schema, or_null);
            }
        }
    }

    /// The kind of a value in words.
    fn words(&self, schema: &Value) -> String {
        if let Some(values) = schema["enum"].as_array() {
            let values: Vec<String> = values
                .iter()
                .map(|value| match value.as_str() {
                    Some("") => "nothing".to_owned(),
                    _ => words::indented(value),
                })
                .collect();
            return match values.as_slice() {
                [only] => only.clone(),
                several => format!("one of {}", several.join(", ")),
            };
        }
        if let Some(value) = schema.get("const") {
            return words::indented(value);
        }
        if let Some(choices) = schema["oneOf"].as_array() {
            let choices: Vec<String> = choices.iter().map(|choice| self.words(self.target(choice).0)).collect();
            return choices.join(" or ");
        }
        let number = |name: &str| schema.get(name).map(ToString::to_string);
        match kind(schema) {
            "array" => format!("list of {}", self.words(self.target(&schema["items"]).0)),
            "object" => "object".to_owned(),
            "boolean" => "true or false".to_owned(),
            name @ ("integer" | "number") => {
                let word = if name == "integer" { "whole number" } else { "number" };
                match (number("minimum"), number("maximum")) {
                    (Some(least), Some(most)) => format!("{word}, {least} to {most}"),
                    (Some(least), None) => format!("{word}, at least {least}"),
                    (None, Some(most)) => format!("{word}, at most {most}"),
                    (None, None) => word.to_owned(),
                }
            }
            "string" => {
                let word = match schema["format"].as_str() {
                    Some("date-time") => "time",
                    Some("uri" | "uri-reference") => "URL",
                    Some("uuid") => "UUID",
                    Some("binary") => "file",
                    _ => "text",
                };
                match number("maxLength") {
                    Some(most) => format!("{word}, at most {most} characters"),
                    None => word.to_owned(),
                }
            }
            _ if schema.get("allOf").is_some() => "object".to_owned(),
            _ => "any value".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_of_objects_inside_have_the_names_on_the_way_to_them() {
        let document = json!({"components": {"schemas": {
            "Name": {"type": "string", "maxLength": 3, "description": "A name."},
            "User": {"type": "object", "required": ["name"], "properties": {"name": {"$ref": "#/x/Name"}}},
            "Page": {"type": "object", "properties": {
                "all": {"type": "array", "items": {"oneOf": [{"type": "null"}, {"$ref": "#/x/User"}]}},
                "state": {"enum": ["a", "b"]}, "time": {"type": ["string", "null"], "format": "date-time"}}}}}});
        let none = Map::new();
        let rows = Schemas::of(&document, &none).rows(&json!({"$ref": "#/x/Page"}));
        let told: Vec<(&str, &str, bool)> = rows
            .iter()
            .map(|field| (&*field.name, &*field.kind, field.is_required))
            .collect();
        let expected = [
            ("all", "list of object", false),
            ("all[].name", "text, at most 3 characters", true),
            ("state", "one of a, b", false),
            ("time", "time or null", false),
        ];
        assert_eq!(told, expected);
        assert_eq!(rows[1].about, words::text("A name."));
    }
}
