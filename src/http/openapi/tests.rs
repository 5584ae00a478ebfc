use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use axum::{
    body::Body,
    http::{Method, header},
};

use super::*;
use crate::{
    http::testing::{Site, badge_class},
    store::testing::seed,
    wire::schemas::kind,
};

const ASSERTION: &str = "0d9c4f1e-6f1b-4f0e-9d52-5b0f6d5f0c11";

/// A path whose parameters are filled in with their examples.
fn filled_in(path: &str, operation: &Value) -> String {
    let parameters = operation["parameters"].as_array().into_iter().flatten();
    let in_path = parameters.filter(|parameter| parameter["in"] == "path");
    in_path.fold(path.to_owned(), |path, parameter| {
        let name = parameter["name"].as_str().expect("a name");
        let example = match &parameter["example"] {
            Value::String(text) => text.replace('/', "%2F"),
            other => other.to_string(),
        };
        path.replace(&format!("{{{name}}}"), &example)
    })
}

fn each_operation(document: &Value) -> Vec<(String, String, Value)> {
    let paths = document["paths"].as_object().expect("paths").iter();
    let operations = paths.flat_map(|(path, item)| {
        let methods = item.as_object().expect("methods").iter();
        methods.map(|(method, operation)| (path.clone(), method.to_uppercase(), operation.clone()))
    });
    operations.collect()
}

#[tokio::test]
async fn a_path_takes_the_methods_of_the_document_and_no_others() {
    let site = Site::new();
    let document = document("/");
    let mut methods: BTreeMap<String, (String, BTreeSet<String>)> = BTreeMap::new();
    for (path, method, operation) in each_operation(&document) {
        let address = filled_in(&path, &operation);
        let known = &mut methods.entry(path).or_insert((address, BTreeSet::new())).1;
        if method == "GET" {
            known.insert("HEAD".to_owned());
        }
        known.insert(method);
    }
    assert!(methods.len() > 25, "{methods:?}");
    for (path, (address, mut expected)) in methods {
        let refused = site.send(Method::TRACE, &address, &[], Body::empty()).await;
        assert_eq!(refused.problem().0, 405, "{path}");
        let allowed: BTreeSet<String> = refused.header(header::ALLOW).split(',').map(str::to_owned).collect();
        // The preflight of CORS is no operation.
        if allowed.contains("OPTIONS") {
            expected.insert("OPTIONS".to_owned());
        }
        assert_eq!(allowed, expected, "{path}");
        if let Some(short) = address.strip_suffix('/').filter(|short| !short.is_empty()) {
            let refused = site.send(Method::TRACE, short, &[], Body::empty()).await;
            assert_eq!(refused.problem().0, 405, "{short}");
        }
    }
}

#[tokio::test]
async fn every_answer_tells_browsers_to_be_careful() {
    let site = Site::new();
    let operations = each_operation(&document("/")).into_iter();
    let mut asked: Vec<_> = operations
        .map(|(path, method, operation)| (method, filled_in(&path, &operation)))
        .collect();
    asked.push(("GET".to_owned(), "/nowhere".to_owned()));
    asked.push(("TRACE".to_owned(), "/livez".to_owned()));
    for (method, path) in asked {
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        for accepted in ["text/html", "application/json"] {
            let reply = site
                .send(method.clone(), &path, &[("accept", accepted)], Body::empty())
                .await;
            for (name, expected) in [
                ("x-content-type-options", "nosniff"),
                ("referrer-policy", "strict-origin-when-cross-origin"),
            ] {
                assert_eq!(reply.header(name), expected, "{method} {path}: {name}");
            }
            let policy = reply.header(header::CONTENT_SECURITY_POLICY);
            for part in [
                "default-src 'none'; ",
                "style-src 'self' https://badges.example.com/static/; ",
                "img-src 'self' https://badges.example.com/; ",
                "base-uri 'none'; ",
                "form-action 'none'; ",
                "frame-ancestors 'none'",
            ] {
                assert!(policy.contains(part), "{method} {path}: {policy}");
            }
        }
    }
}

#[test]
fn no_route_is_added_without_its_description() {
    let mut directories = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http")];
    let mut adding = Vec::new();
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).expect("directories can be read") {
            let path = entry.expect("an entry").path();
            let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
            if path.is_dir() {
                directories.push(path);
            } else if name != "tests" && path.extension().is_some_and(|extension| extension == "rs") {
                let source = std::fs::read_to_string(&path).expect("sources are texts");
                if [".route(", ".route_service(", ".nest("]
                    .iter()
                    .any(|word| source.contains(word))
                {
                    adding.push(name.to_owned());
                }
            }
        }
    }
    assert_eq!(adding, ["described"], "routes are added by Routes::add alone");
}

#[test]
fn one_name_is_one_schema() {
    let mut seen: BTreeMap<String, Value> = BTreeMap::new();
    for (name, schema) in routes().schemas {
        let schema = serde_json::to_value(schema).expect("JSON");
        let known = seen.entry(name.clone()).or_insert_with(|| schema.clone());
        assert_eq!(*known, schema, "two types are described as {name}");
    }
}

#[test]
fn every_reference_leads_somewhere() {
    let document = document("/");
    let mut rest = vec![&document];
    let mut seen = 0;
    while let Some(value) = rest.pop() {
        if let Some(path) = value["$ref"].as_str() {
            assert!(document.pointer(&path[1..]).is_some(), "{path} leads nowhere");
            seen += 1;
        }
        rest.extend(value.as_object().into_iter().flatten().map(|(_, member)| member));
        rest.extend(value.as_array().into_iter().flatten());
    }
    assert!(seen > 100, "only {seen} references were found");
}

#[test]
fn every_operation_is_told_apart_grouped_and_has_examples() {
    let document = document("/");
    let tags: BTreeSet<&str> = TAGS.iter().map(|(name, _)| *name).collect();
    let mut ids = BTreeSet::new();
    for (path, method, operation) in each_operation(&document) {
        let id = operation["operationId"].as_str().expect("an id").to_owned();
        assert!(ids.insert(id.clone()), "{id} is there twice");
        assert!(
            operation["summary"].as_str().is_some_and(|text| text.ends_with('.')),
            "{id}"
        );
        assert!(
            operation["tags"][0].as_str().is_some_and(|tag| tags.contains(tag)),
            "{id}"
        );
        let is_protected = path.starts_with("/api/badges/");
        assert_eq!(operation.get("security").is_some(), is_protected, "{method} {path}");
        let mut contents = vec![&operation["requestBody"]["content"]];
        for (status, response) in operation["responses"].as_object().expect("answers") {
            contents.push(&response["content"]);
            assert!(
                response.get("$ref").is_some() || response["description"].is_string(),
                "{id} {status}"
            );
        }
        for (media_type, media) in contents.into_iter().filter_map(Value::as_object).flatten() {
            let is_shown = media.get("example").is_some_and(|example| !example.is_null());
            assert!(
                is_shown || ["image/png", "multipart/form-data"].contains(&media_type.as_str()),
                "{id}: no example of {media_type}"
            );
        }
    }
}

/// Everything that the examples name.
fn site() -> Site {
    let site = Site::new();
    let store = site.store();
    seed::learner(&store, 42, "ada", 1);
    for slug in ["enrolled_three", "enrolled_five", "prereq_cs"] {
        badge_class(&site, slug, "openedx__course", "");
    }
    for number in 4..=7 {
        badge_class(&site, &format!("number-{number}"), "", "");
    }
    let class = badge_class(&site, "number-7", "", "");
    seed::assertion(&store, 42, ASSERTION, &class, 1);
    seed::revoke(&store, ASSERTION, "Issued in error");
    site
}

async fn status_of(site: &Site, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let method = method.parse().expect("a method");
    let reply = site.send_as("staff", method, path, body).await;
    (reply.status.as_u16(), reply.json())
}

fn resolved(schema: &Value, document: &Value) -> (Value, bool) {
    let choices = schema["oneOf"]
        .as_array()
        .cloned()
        .unwrap_or_else(|| vec![schema.clone()]);
    let is_null = |choice: &Value| choice["type"] == "null";
    let types = schema["type"].as_array().cloned().unwrap_or_default();
    let or_null = choices.iter().any(is_null) || types.contains(&json!("null"));
    let choice = choices.into_iter().find(|choice| !is_null(choice)).expect("a choice");
    match choice["$ref"].as_str() {
        Some(path) => (
            document.pointer(&path[1..]).expect("it leads somewhere").clone(),
            or_null,
        ),
        None => (choice, or_null),
    }
}

#[tokio::test]
async fn each_body_is_read_as_it_is_described() {
    let document = document("/");
    let mut seen = BTreeSet::new();
    for (path, method, operation) in each_operation(&document) {
        let media = &operation["requestBody"]["content"]["application/json"];
        if media.is_null() {
            continue;
        }
        let site = site();
        let path = filled_in(&path, &operation);
        let image = json!({"mode": "verified", "icon": schemas::example(&schemas::reference::<schemas::PngDataUri>(),
            document["components"]["schemas"].as_object().expect("schemas"))});
        status_of(&site, "POST", "/api/badges/v1/completion-images/", &image).await;
        let example = &media["example"];
        let (status, said) = status_of(&site, &method, &path, example).await;
        let is_described = operation["responses"].get(status.to_string()).is_some();
        assert!(
            (200..300).contains(&status) && is_described,
            "{method} {path}: {status} {said}"
        );
        let (schema, _) = resolved(&media["schema"], &document);
        let required = schema["required"].as_array().cloned().unwrap_or_default();
        for (name, member) in schema["properties"].as_object().expect("fields") {
            let with = |value: Value| {
                let mut body = example.clone();
                body[name] = value;
                body
            };
            let (member, or_null) = resolved(member, &document);
            let wrong = if kind(&member) == "boolean" {
                json!("yes")
            } else {
                json!(true)
            };
            let (status, said) = status_of(&site, &method, &path, &with(wrong)).await;
            assert_eq!((status, &said["field"]), (400, &json!(name)), "{method} {path}: {said}");
            let mut without = example.clone();
            without.as_object_mut().expect("an object").remove(name);
            let (status, said) = status_of(&site, &method, &path, &without).await;
            assert_eq!(
                status == 400,
                required.contains(&json!(name)),
                "{method} {path} without {name}: {said}"
            );
            let (status, said) = status_of(&site, &method, &path, &with(Value::Null)).await;
            assert_eq!(status == 400, !or_null, "{method} {path} with {name} null: {said}");
            if let Some(most) = member["maxLength"].as_u64() {
                let long = "a".repeat(usize::try_from(most).expect("a length") + 1);
                let (status, said) = status_of(&site, &method, &path, &with(json!(long))).await;
                assert_eq!((status, &said["field"]), (400, &json!(name)), "{method} {path}: {said}");
            }
            seen.insert(format!("{method} {path} {name}"));
        }
        let (status, _) = status_of(&site, &method, &path, &json!([])).await;
        assert_eq!(status, 400, "{method} {path}");
    }
    assert!(seen.len() > 25, "{seen:?}");
}

#[tokio::test]
async fn the_shared_errors_are_those_that_are_answered() {
    let site = Site::new();
    let document = document("/");
    let described = document["components"]["schemas"]["Problem"]["properties"]
        .as_object()
        .expect("fields");
    let list = "/api/badges/v1/badge-classes/";
    let replies = [
        site.get_as("staff", &format!("{list}?page=x")).await,
        site.get(list, &[]).await,
        site.get_as("ada", list).await,
        site.get_as("staff", &format!("{list}99/")).await,
        site.send(
            Method::POST,
            "/api/badges/v1/event-badges/",
            &[("authorization", &token())],
            Body::from("x"),
        )
        .await,
    ];
    for (reply, expected) in replies.iter().zip([400, 401, 403, 404, 415]) {
        assert_eq!(reply.problem().0, expected);
        for name in reply.json().as_object().expect("an object").keys() {
            assert!(described.contains_key(name), "{name} is not described");
        }
    }
}

fn token() -> String {
    format!("JWT {}", crate::http::auth::tests::token_of("staff"))
}
