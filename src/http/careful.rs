//! What every answer asks of browsers: to load and run nothing but what the pages need, and to tell others little.

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, header},
    middleware::Next,
    response::Response,
};

/// Pages load their style sheets and images, by `PUBLIC_URL` or by the address that they were asked for; nobody may frame
/// them (Content Security Policy Level 3).
pub(super) fn policy(public_url: &str) -> HeaderValue {
    // These would end a source or a directive.
    let base = Some(public_url).filter(|url| !url.contains([';', ',', ' ']));
    let from = |path: &str| base.map_or_else(String::new, |base| format!(" {base}{path}"));
    let policy = format!(
        "default-src 'none'; style-src 'self'{}; img-src 'self'{}; base-uri 'none'; form-action 'none'; frame-ancestors \
         'none'",
        from("/static/"),
        from("/")
    );
    HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static("default-src 'none'"))
}

/// Adds the headers to an answer; one that a handler gave stays.
pub(super) async fn with_headers(State(policy): State<HeaderValue>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let to = response.headers_mut();
    add(to, header::CONTENT_SECURITY_POLICY, policy);
    add(to, header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    add(
        to,
        header::REFERRER_POLICY,
        HeaderValue::from_static("strict-origin-when-cross-origin"),
    );
    response
}

fn add(to: &mut HeaderMap, name: HeaderName, value: HeaderValue) {
    to.entry(name).or_insert(value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_names_what_is_below_the_public_address() {
        let below = policy("https://example.com/badges");
        let below = below.to_str().expect("a text");
        assert!(
            below.contains("img-src 'self' https://example.com/badges/; "),
            "{below}"
        );
        for strange in ["https://example.com/a;script-src *", "https://example.com/\n"] {
            let careful = policy(strange);
            let careful = careful.to_str().expect("a text");
            assert!(
                careful.starts_with("default-src 'none'") && !careful.contains("example.com"),
                "{careful}"
            );
        }
    }
}
