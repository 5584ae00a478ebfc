//! Answers that may be cached: an `ETag`, and 304 where the client has it already (RFC 9110, 13.1.2).

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use sha2::{Digest, Sha256};

/// Pages, documents and the images that hold one change with a revocation.
pub(in crate::http) const PAGE: &str = "public, max-age=60";
/// The images of badge classes and of the issuer hardly ever change.
pub(in crate::http) const IMAGE: &str = "public, max-age=86400";

/// A body and how long it may be kept.
pub(in crate::http) struct Answer {
    status: StatusCode,
    content_type: &'static str,
    cache_control: &'static str,
    body: Vec<u8>,
    varies: bool,
}

impl Answer {
    pub(in crate::http) fn new(
        status: StatusCode,
        content_type: &'static str,
        cache_control: &'static str,
        body: impl Into<Vec<u8>>,
    ) -> Self {
        Self {
            status,
            content_type,
            cache_control,
            body: body.into(),
            varies: false,
        }
    }

    pub(in crate::http) fn ok(
        content_type: &'static str,
        cache_control: &'static str,
        body: impl Into<Vec<u8>>,
    ) -> Self {
        Self::new(StatusCode::OK, content_type, cache_control, body)
    }

    /// The same address answers in other forms too.
    pub(in crate::http) fn varying(mut self) -> Self {
        self.varies = true;
        self
    }

    /// The response to a request with these headers.
    pub(in crate::http) fn to(self, headers: &HeaderMap) -> Response {
        let tag = tag(self.content_type, &self.body);
        let unchanged = self.status == StatusCode::OK && knows(headers, &tag);
        let mut response = if unchanged {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            let content_type = [(header::CONTENT_TYPE, self.content_type)];
            (self.status, content_type, Body::from(self.body)).into_response()
        };
        let to = response.headers_mut();
        to.insert(
            header::ETAG,
            HeaderValue::try_from(tag).expect("hex digits in quotes are a header value"),
        );
        to.insert(header::CACHE_CONTROL, HeaderValue::from_static(self.cache_control));
        if self.varies {
            to.insert(header::VARY, HeaderValue::from_static("Accept"));
        }
        response
    }
}

/// Of these bytes in this form: each form of an address is an answer of its own (RFC 9110, 8.8.1).
fn tag(content_type: &str, body: &[u8]) -> String {
    let hash = Sha256::new().chain_update(content_type).chain_update(body).finalize();
    let digits: String = hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("\"{digits}\"")
}

/// Compares weakly, as `If-None-Match` demands.
fn knows(headers: &HeaderMap, tag: &str) -> bool {
    let known = headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok());
    known
        .flat_map(|tags| tags.split(','))
        .map(str::trim)
        .any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag)
}
