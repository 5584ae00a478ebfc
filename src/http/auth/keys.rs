//! The keys that tokens are checked with: a shared secret and a JWK set (RFC 7517).

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::{Deserialize, de::IgnoredAny};

/// A key and what it may be used for.
#[derive(Debug, Clone)]
pub(super) struct Key {
    /// `kid`
    pub(super) id: Option<String>,
    pub(super) algorithms: Vec<Algorithm>,
    pub(super) verifier: DecodingKey,
}

/// Why the settings of tokens cannot be used. Quotes no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidJwtSettings {
    /// Not a JWK set.
    #[error("expected a JWK set, {{\"keys\": [...]}}, as JSON (line {line}, column {column})")]
    NotASet {
        /// Where the text stops to be one, from 1.
        line: usize,
        /// Where the text stops to be one, from 1.
        column: usize,
    },
    /// A key of the set cannot be used.
    #[error("key {position}: {reason}")]
    UnusableKey {
        /// Which one, from 1.
        position: usize,
        /// Why.
        reason: &'static str,
    },
}

impl Key {
    /// A secret that signer and verifier share: HS256 only.
    pub(super) fn shared(secret: &str) -> Self {
        Self {
            id: None,
            algorithms: vec![Algorithm::HS256],
            verifier: DecodingKey::from_secret(secret.as_bytes()),
        }
    }
}

#[derive(Deserialize)]
struct JwkSet {
    keys: Vec<Jwk>,
}

/// A JSON Web Key; parameters that are not needed to check signatures are not read.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    n: Option<String>,
    e: Option<String>,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
    d: Option<IgnoredAny>,
    p: Option<IgnoredAny>,
}

/// The signing keys of a JWK set; keys for encryption are passed over.
pub(super) fn from_jwk_set(text: &str) -> Result<Vec<Key>, InvalidJwtSettings> {
    let set: JwkSet = serde_json::from_str(text).map_err(|error| InvalidJwtSettings::NotASet {
        line: error.line(),
        column: error.column(),
    })?;
    let signing = (1..)
        .zip(&set.keys)
        .filter(|(_, jwk)| jwk.usage.as_deref() != Some("enc"));
    signing
        .map(|(position, jwk)| {
            jwk.key()
                .map_err(|reason| InvalidJwtSettings::UnusableKey { position, reason })
        })
        .collect()
}

impl Jwk {
    fn key(&self) -> Result<Key, &'static str> {
        if matches!(self.kty.as_str(), "RSA" | "EC") && (self.d.is_some() || self.p.is_some()) {
            return Err("it is a private key; give the public one alone, and take that one out of use");
        }
        let (possible, verifier) = match self.kty.as_str() {
            "RSA" => (vec![Algorithm::RS256, Algorithm::RS512], self.rsa()?),
            "EC" => (vec![Algorithm::ES256], self.p256()?),
            _ => return Err("expected kty RSA or EC; a shared secret belongs into JWT_SECRET_KEY"),
        };
        let algorithms = match self.alg.as_deref() {
            None => possible,
            Some(name) => possible
                .into_iter()
                .filter(|algorithm| name.parse() == Ok(*algorithm))
                .collect(),
        };
        if algorithms.is_empty() {
            return Err("expected alg RS256 or RS512 with kty RSA, ES256 with kty EC, or none");
        }
        Ok(Key {
            id: self.kid.clone(),
            algorithms,
            verifier,
        })
    }

    fn rsa(&self) -> Result<DecodingKey, &'static str> {
        let n = parameter(self.n.as_deref()).ok_or("expected n and e of an RSA key as base64url")?;
        let e = parameter(self.e.as_deref()).ok_or("expected n and e of an RSA key as base64url")?;
        match bits(&n) {
            0..2048 => return Err("it is too short to be safe; expected an RSA key of at least 2048 bits"),
            2048..=4096 => {}
            _ => return Err("it is too long to be used; expected an RSA key of at most 4096 bits"),
        }
        // An even number, or 1, makes signatures that anybody can make.
        if bits(&e) < 2 || e.last().is_none_or(|last| last % 2 == 0) {
            return Err("its exponent e is no safe one; expected an odd number of at least 3, such as AQAB");
        }
        Ok(DecodingKey::from_rsa_raw_components(&n, &e))
    }

    fn p256(&self) -> Result<DecodingKey, &'static str> {
        if self.crv.as_deref() != Some("P-256") {
            return Err("expected the curve P-256");
        }
        let is_coordinate = |text: Option<&str>| parameter(text).is_some_and(|bytes| bytes.len() == 32);
        match (&self.x, &self.y) {
            (Some(x), Some(y)) if is_coordinate(Some(x)) && is_coordinate(Some(y)) => {
                DecodingKey::from_ec_components(x, y).map_err(|_| "expected x and y as base64url")
            }
            _ => Err("expected x and y of 32 bytes each as base64url"),
        }
    }
}

/// The length of a number, most significant byte first.
fn bits(number: &[u8]) -> usize {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    let number = &number[zeros..];
    number.first().map_or(0, |first| {
        8 * number.len() - usize::try_from(first.leading_zeros()).unwrap_or_default()
    })
}

fn parameter(text: Option<&str>) -> Option<Vec<u8>> {
    let bytes = URL_SAFE_NO_PAD.decode(text?.trim_end_matches('=')).ok()?;
    (!bytes.is_empty()).then_some(bytes)
}
