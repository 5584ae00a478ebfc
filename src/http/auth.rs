//! Who calls: API tokens (JSON Web Tokens, RFC 7519) as Open edX makes them.
//!
//! The algorithm is fixed by the configured keys, never by the token: a key knows which algorithms it serves, and a
//! token that names another one does not fit the key.

mod keys;

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use jsonwebtoken::{Validation, decode, decode_header};
use serde::Deserialize;
use serde_json::{Map, Value};

pub use self::keys::InvalidJwtSettings;
use self::keys::Key;
use super::{State, limits, problem::Problem};
use crate::{
    secret::Secret,
    store::audit::{Actor, Via},
};

/// Clocks of two machines may differ by this much. In seconds.
const LEEWAY_S: f64 = 1.0;

/// Longer tokens are not looked at. The platform's have one or two KiB.
const TOKEN_BYTES: usize = 8 * 1024;

/// How API tokens are checked. `Debug` shows no key.
#[derive(Debug, Clone, Default)]
pub struct JwtSettings {
    issuer: Option<String>,
    audience: Option<String>,
    keys: Vec<Key>,
}

impl JwtSettings {
    /// Reads `JWT_ISSUER`, `JWT_AUDIENCE`, `JWT_SECRET_KEY` and `JWT_PUBLIC_SIGNING_JWK_SET`.
    ///
    /// An empty text counts as not set. Without a key no token is valid. The error quotes no value.
    pub fn parse(
        issuer: Option<&str>,
        audience: Option<&str>,
        secret_key: Option<&Secret>,
        jwk_set: Option<&Secret>,
    ) -> Result<Self, InvalidJwtSettings> {
        let given = |text: Option<&str>| text.filter(|text| !text.is_empty()).map(str::to_owned);
        let mut keys = Vec::new();
        if let Some(jwk_set) = jwk_set.map(Secret::expose).filter(|text| !text.trim().is_empty()) {
            keys.extend(keys::from_jwk_set(jwk_set)?);
        }
        if let Some(secret) = secret_key.map(Secret::expose).filter(|text| !text.is_empty()) {
            keys.push(Key::shared(secret));
        }
        Ok(Self {
            issuer: given(issuer),
            audience: given(audience),
            keys,
        })
    }

    /// The caller whom this token names, if it is valid at this time.
    pub fn verify(&self, token: &str, now: DateTime<Utc>) -> Option<Caller> {
        if token.len() > TOKEN_BYTES {
            return None;
        }
        let header = decode_header(token).ok()?;
        if has_critical_extensions(token) {
            return None;
        }
        let named = |key: &&Key| key.id.is_some() && key.id == header.kid;
        let by_name = self.keys.iter().any(|key| named(&key));
        self.keys
            .iter()
            .filter(|key| (!by_name || named(key)) && key.algorithms.contains(&header.alg))
            .find_map(|key| {
                let mut validation = Validation::new(header.alg);
                self.require_claims(&mut validation);
                decode::<Claims>(token, &key.verifier, &validation).ok()
            })
            .and_then(|token| token.claims.at(now))
    }

    /// Times are compared by [`Claims::at`], by the service's clock.
    fn require_claims(&self, validation: &mut Validation) {
        let mut required = vec!["exp"];
        validation.validate_exp = false;
        validation.validate_nbf = false;
        validation.validate_aud = self.audience.is_some();
        if let Some(issuer) = &self.issuer {
            validation.set_issuer(&[issuer]);
            required.push("iss");
        }
        if let Some(audience) = &self.audience {
            validation.set_audience(&[audience]);
            required.push("aud");
        }
        validation.set_required_spec_claims(&required);
    }
}

/// Whoever does not understand an extension that is marked as critical must refuse (RFC 7515, 4.1.11); we understand
/// none. An empty list and `null` are refused as well: nobody may write them.
fn has_critical_extensions(token: &str) -> bool {
    let header = token.split('.').next().unwrap_or_default();
    let header = URL_SAFE_NO_PAD.decode(header).unwrap_or_default();
    serde_json::from_slice::<Map<String, Value>>(&header).is_ok_and(|header| header.contains_key("crit"))
}

#[derive(Deserialize)]
struct Claims {
    exp: f64,
    nbf: Option<f64>,
    preferred_username: Option<Value>,
    administrator: Option<Value>,
}

impl Claims {
    fn at(self, now: DateTime<Utc>) -> Option<Caller> {
        #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 are far below 2^53")]
        let now_s = now.timestamp_millis() as f64 / 1000.0;
        let expired = self.exp <= now_s - LEEWAY_S;
        let too_early = self.nbf.is_some_and(|nbf| nbf > now_s + LEEWAY_S);
        (!expired && !too_early).then(|| Caller {
            username: match self.preferred_username {
                Some(Value::String(name)) if !name.is_empty() => Some(name),
                _ => None,
            },
            is_administrator: self.administrator == Some(Value::Bool(true)),
        })
    }
}

/// Who calls, by a valid token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    username: Option<String>,
    is_administrator: bool,
}

impl Caller {
    /// Who is recorded with a change.
    pub fn actor(&self) -> Actor {
        Actor {
            name: self.username().to_owned(),
            via: Via::Api,
        }
    }

    /// The name by which changes are recorded.
    pub fn username(&self) -> &str {
        self.username.as_deref().unwrap_or_default()
    }

    /// Goes on for administrators only.
    pub fn require_administrator(&self) -> Result<(), Problem> {
        if self.is_administrator {
            return Ok(());
        }
        Err(Problem::new(
            StatusCode::FORBIDDEN,
            "Only administrators may do this: the token needs the claim administrator with the value true.",
        ))
    }

    /// Goes on for the learner of this name and for administrators. Does not tell whether there is such a learner.
    pub fn require_self_or_administrator(&self, username: &str) -> Result<(), Problem> {
        if self.is_administrator || self.username.as_deref() == Some(username) {
            return Ok(());
        }
        Err(Problem::new(
            StatusCode::FORBIDDEN,
            "A learner may only see what is their own. Ask with a token of this learner or of an administrator.",
        ))
    }
}

impl FromRequestParts<State> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, Problem> {
        let Some(token) = token(&parts.headers) else {
            return Err(unauthorized(
                "This needs a token: send the header Authorization: JWT TOKEN, or Bearer TOKEN, once.",
                "Bearer realm=\"accolade\"",
            ));
        };
        state.jwt().verify(token, state.now()).ok_or_else(|| {
            unauthorized(
                "The token is not valid here, or no longer. Get a new one from the platform; if that does not help, \
                 compare its keys, issuer and audience with the JWT_ settings of this service.",
                "Bearer realm=\"accolade\", error=\"invalid_token\"",
            )
        })
    }
}

/// An administrator who calls, by a valid token. Nobody else gets as far as the body of the request: the token is looked
/// at before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Administrator(Caller);

impl Administrator {
    /// Who is recorded with a change.
    pub fn actor(&self) -> Actor {
        self.0.actor()
    }
}

impl FromRequestParts<State> for Administrator {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, Problem> {
        let caller = Caller::from_request_parts(parts, state).await?;
        caller.require_administrator()?;
        limits::check_length(&parts.headers)?;
        Ok(Self(caller))
    }
}

/// The token of the one `Authorization` header in the scheme `JWT` or `Bearer`. Of several, whatever is in front of this
/// service may have looked at another one.
fn token(headers: &HeaderMap) -> Option<&str> {
    let mut all = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(header), None) = (all.next(), all.next()) else {
        return None;
    };
    let (scheme, token) = header.to_str().ok()?.trim().split_once(' ')?;
    let known = ["JWT", "Bearer"].iter().any(|known| scheme.eq_ignore_ascii_case(known));
    Some(token.trim()).filter(|token| known && !token.is_empty())
}

fn unauthorized(detail: &str, bearer: &'static str) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, detail)
        .with_header(
            header::WWW_AUTHENTICATE,
            HeaderValue::from_static("JWT realm=\"accolade\""),
        )
        .with_header(header::WWW_AUTHENTICATE, HeaderValue::from_static(bearer))
}

#[cfg(test)]
pub(super) mod tests;
