//! A badge class as a form: text fields, and the image as a file.

use axum::{
    extract::{FromRequest as _, Multipart, Request, multipart::MultipartError},
    http::StatusCode,
};
use serde_json::{Map, Value};

use crate::{
    domain::badge_class::NewBadgeClass,
    http::{State, api::body::Object, limits, problem::Problem},
    wire::badge_class,
};

/// Reads the form; 400 with all that is wrong.
pub(super) async fn badge_class(request: Request, state: &State) -> Result<NewBadgeClass, Problem> {
    let Form { texts, file } = form(request, state, "image").await?;
    Object(texts)
        .read_aside(|fields| badge_class::read(fields, |_| file.ok_or_else(|| "expected a file".to_owned())))
        .await
}

/// A form with one file.
pub(in crate::http::api) struct Form {
    /// The texts by their names. Where there is a file, its name is among them.
    pub(in crate::http::api) texts: Map<String, Value>,
    /// What the file holds.
    pub(in crate::http::api) file: Option<Vec<u8>>,
}

/// Takes the form apart; the file is the field of this name. 400 for what is no form, or no text; 413 for what is too long.
pub(in crate::http::api) async fn form(request: Request, state: &State, file: &str) -> Result<Form, Problem> {
    let wrong = |error: MultipartError| match error.status() {
        StatusCode::PAYLOAD_TOO_LARGE => limits::too_long(),
        _ => Problem::field("body", "expected a form as multipart/form-data makes it, whole"),
    };
    let mut form = Multipart::from_request(request, state).await.map_err(|_| {
        Problem::field(
            "body",
            "expected a form as multipart/form-data makes it, with a boundary",
        )
    })?;
    let (mut texts, mut content) = (Map::new(), None);
    while let Some(field) = form.next_field().await.map_err(wrong)? {
        let name = field.name().unwrap_or_default().to_owned();
        let is_file = field.file_name().is_some();
        let bytes = field.bytes().await.map_err(wrong)?;
        if name == file && is_file {
            content = Some(bytes.to_vec());
            continue;
        }
        let text = String::from_utf8(bytes.to_vec()).map_err(|_| Problem::field(&name, "expected a text in UTF-8"))?;
        texts.insert(name, Value::String(text));
    }
    if content.is_some() {
        texts.insert(file.to_owned(), Value::String("the file".to_owned()));
    }
    Ok(Form { texts, file: content })
}
