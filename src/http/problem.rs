//! Errors as problem documents (RFC 9457), also those that axum and its layers answer by themselves.

use axum::{
    Json,
    body::{Body, to_bytes},
    extract::Request,
    http::{HeaderName, HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{store::StoreError, wire::fields::FieldProblem};

/// The media type of a problem document.
pub(super) const MEDIA_TYPE: &str = "application/problem+json";

/// Answers are this long at most before they become a `detail`.
const DETAIL_BYTES: usize = 8 * 1024;

/// What went wrong, and what a person can do about it.
#[derive(Debug, Clone)]
pub struct Problem {
    status: StatusCode,
    detail: String,
    field: Option<String>,
    errors: Vec<FieldProblem>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// What went wrong, and what a person can do about it (RFC 9457).
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub(super) struct Document<'a> {
    /// Always `about:blank`: `title` is the status in words.
    #[schema(value_type = String, example = "about:blank")]
    r#type: &'static str,
    /// The status in words.
    #[schema(value_type = String, example = "Bad Request")]
    title: &'static str,
    /// The status.
    #[schema(minimum = 400, maximum = 599, example = 400)]
    status: u16,
    /// What went wrong, and what to do about it.
    #[schema(value_type = String, example = "slug: needed")]
    detail: &'a str,
    /// The field, or the parameter, that is wrong; of several the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, nullable = false, example = "slug")]
    field: Option<&'a str>,
    /// Every field that is wrong.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    #[schema(value_type = Vec<FieldProblem>, required = false)]
    errors: &'a [FieldProblem],
}

impl Problem {
    /// A problem of this status.
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            status,
            detail: detail.into(),
            field: None,
            errors: Vec::new(),
            headers: Vec::new(),
        }
    }

    /// 400: the field and what is expected of it.
    pub fn field(field: &str, expected: impl std::fmt::Display) -> Self {
        let mut problem = Self::new(StatusCode::BAD_REQUEST, format!("{field}: {expected}"));
        problem.field = Some(field.to_owned());
        problem
    }

    /// 400: every field that is wrong, and why.
    pub fn fields(errors: Vec<FieldProblem>) -> Self {
        let lines = errors.iter().map(|error| format!("{}: {}", error.field, error.problem));
        let detail = lines.collect::<Vec<_>>().join("; ");
        let mut problem = Self::new(StatusCode::BAD_REQUEST, detail);
        problem.field = errors.first().map(|error| error.field.clone());
        problem.errors = errors;
        problem
    }

    /// 404: what there is not.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    /// 503: others are being answered.
    pub fn busy() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "More requests are being worked on than the database takes at once. Nothing was done: ask again in a moment.",
        )
        .with_header(header::RETRY_AFTER, HeaderValue::from_static("1"))
    }

    /// The same with a further header.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// What a person can do about it.
    pub fn detail(&self) -> &str {
        &self.detail
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let document = Document {
            r#type: "about:blank",
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            detail: &self.detail,
            field: self.field.as_deref(),
            errors: &self.errors,
        };
        let mut response = (self.status, Json(document)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        for (name, value) in self.headers {
            headers.append(name, value);
        }
        response
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        if error.is_not_found() {
            return Self::not_found("There is nothing of this id.");
        }
        tracing::error!(error.code = error.code(), "a request failed: {error}");
        match error.disposition() {
            crate::store::Disposition::Retry => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "The database does not answer at the moment. Nothing is lost: ask again in a few seconds.",
            )
            .with_header(header::RETRY_AFTER, HeaderValue::from_static("5")),
            crate::store::Disposition::DeadLetter | crate::store::Disposition::Stop => Self::internal(),
        }
    }
}

impl Problem {
    /// 500: whoever runs the service must look into its log.
    pub fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "Something went wrong in this service. Its log says what; whoever runs it can help.",
        )
    }
}

/// An address that leads nowhere.
pub(super) async fn unknown_route() -> Problem {
    Problem::not_found("There is nothing at this address. The API is described at /api/openapi.json.")
}

/// A method that this address does not know; the header `Allow` says which it does.
pub(super) async fn wrong_method() -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "This address does not take this method. The header Allow says which it takes.",
    )
}

/// Turns errors that come as plain text, from axum's extractors and layers, into problem documents.
pub(super) async fn document_errors(request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    let status = response.status();
    if !(status.is_client_error() || status.is_server_error()) || !is_plain(&response) {
        return response;
    }
    let (parts, body) = response.into_parts();
    let text = to_bytes(body, DETAIL_BYTES).await.unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let mut problem = Problem::new(status, detail(status, text.trim())).into_response();
    for name in [
        header::ALLOW,
        header::RETRY_AFTER,
        header::WWW_AUTHENTICATE,
        header::CONNECTION,
    ] {
        for value in parts.headers.get_all(&name) {
            problem.headers_mut().append(&name, value.clone());
        }
    }
    problem
}

fn detail(status: StatusCode, text: &str) -> String {
    match text {
        "" => status.canonical_reason().unwrap_or("Error").to_owned(),
        _ => text.to_owned(),
    }
}

fn is_plain(response: &Response<Body>) -> bool {
    let content_type = response.headers().get(header::CONTENT_TYPE);
    content_type.is_none_or(|value| value.as_bytes().starts_with(b"text/plain"))
}
