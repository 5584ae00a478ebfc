//! Bodies of requests: JSON objects.

use axum::{
    body::Bytes,
    extract::{FromRequest, Request},
    http::{HeaderMap, StatusCode, header},
};
use serde_json::{Map, Value};

use crate::{
    http::{limits, problem::Problem},
    wire::fields::{FieldProblem, Fields},
};

/// The body of a request: an object, in `application/json`.
#[derive(Debug, Default)]
pub(super) struct Object(pub(super) Map<String, Value>);

impl Object {
    /// Reads the fields of this object; 400 with all that is wrong.
    pub(super) fn read<T>(&self, read: impl FnOnce(&mut Fields<'_>) -> T) -> Result<T, Problem> {
        let mut fields = Fields::new(&self.0);
        let value = read(&mut fields);
        fields.finish().map_err(Problem::fields)?;
        Ok(value)
    }

    /// The same aside, where nobody waits for it but the caller: what decodes an image takes a tenth of a second.
    pub(super) async fn read_aside<T: Send + 'static>(
        self,
        read: impl FnOnce(&mut Fields<'_>) -> T + Send + 'static,
    ) -> Result<T, Problem> {
        tokio::task::spawn_blocking(move || self.read(read))
            .await
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
    }

    fn parse(bytes: &[u8]) -> Result<Self, Problem> {
        match serde_json::from_slice(bytes) {
            Ok(Value::Object(object)) => Ok(Self(object)),
            Ok(_) => Err(Problem::fields(vec![FieldProblem {
                field: "body".to_owned(),
                problem: "expected a JSON object".to_owned(),
            }])),
            Err(error) => Err(Problem::fields(vec![FieldProblem {
                field: "body".to_owned(),
                problem: format!("not JSON at line {} column {}", error.line(), error.column()),
            }])),
        }
    }
}

impl<S: Send + Sync> FromRequest<S> for Object {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if media_type(request.headers()).as_deref() != Some("application/json") {
            return Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "Send JSON, with the header Content-Type: application/json.",
            ));
        }
        let bytes = whole(request, state).await?;
        Self::parse(&bytes)
    }
}

/// The whole body, as far as the service takes it.
pub(super) async fn whole<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Problem> {
    Bytes::from_request(request, state)
        .await
        .map_err(|rejection| match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => limits::too_long(),
            status => Problem::new(status, "The body did not arrive whole. Send it again."),
        })
}

/// The media type of a body without its parameters, in lower case.
pub(super) fn media_type(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    Some(text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}
