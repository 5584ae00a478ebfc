//! `/api/docs`: both descriptions as one page, without a script and without anything from elsewhere.

mod fields;
mod operations;
mod topics;
mod words;

use askama::Template;
use serde_json::Value;

use self::{
    operations::Group,
    topics::{Channel, Message},
    words::Text,
};
use super::public::pages::Frame;

/// The style sheet of this page, beside that of all pages.
pub(super) const STYLE: &str = include_str!("../templates/docs.css");

/// The page.
#[derive(Template)]
#[template(path = "docs.html", config = "src/http/askama.toml")]
pub(super) struct DocsPage {
    frame: Frame,
    version: String,
    about: Vec<Text>,
    groups: Vec<Group>,
    problem: String,
    about_topics: Vec<Text>,
    channels: Vec<Channel>,
    messages: Vec<Message>,
}

/// The page of these documents.
pub(super) fn page(frame: Frame, openapi: &Value, asyncapi: &Value) -> DocsPage {
    let wrong_input = &openapi["components"]["responses"]["WrongInput"]["content"]["application/problem+json"];
    DocsPage {
        frame,
        version: openapi["info"]["version"].as_str().unwrap_or_default().to_owned(),
        about: words::paragraphs(&openapi["info"]["description"]),
        groups: operations::groups(openapi),
        problem: words::indented(&wrong_input["example"]),
        about_topics: words::paragraphs(&asyncapi["info"]["description"]),
        channels: topics::channels(asyncapi),
        messages: topics::messages(asyncapi),
    }
}
