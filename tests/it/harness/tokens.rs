//! API tokens as the platform signs them, and the keys to check them with.

use base64::Engine;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

/// The secret of the HS256 tokens.
pub const SECRET: &str = "canary-jwt-secret-for-the-tests-of-32-bytes";
/// The id of the RSA key in [`jwk_set`].
pub const KEY_ID: &str = "test-key";

/// Made for these tests and used nowhere else.
const RSA_KEY: &str = include_str!("../../fixtures/test_rsa_key.b64");
const RSA_MODULUS: &str = include_str!("../../fixtures/test_rsa_modulus.b64");

/// A token on its way: what it claims.
pub struct Token {
    claims: Value,
}

impl Token {
    /// A learner's token that runs for an hour.
    pub fn of(username: &str) -> Self {
        let now = chrono::Utc::now().timestamp();
        let claims = json!({"preferred_username": username, "iat": now, "exp": now + 3_600});
        Self { claims }
    }

    /// The same for an administrator.
    pub fn of_administrator(username: &str) -> Self {
        Self::of(username).claim("administrator", json!(true))
    }

    /// Sets any claim; null takes it away.
    pub fn claim(mut self, name: &str, value: Value) -> Self {
        if value.is_null() {
            self.claims.as_object_mut().expect("claims are an object").remove(name);
        } else {
            self.claims[name] = value;
        }
        self
    }

    /// Ran out an hour ago.
    pub fn expired(self) -> Self {
        let past = chrono::Utc::now().timestamp() - 3_600;
        self.claim("exp", json!(past))
    }

    /// Signed with [`SECRET`].
    pub fn hs256(&self) -> String {
        self.hs256_with(SECRET)
    }

    /// Signed with another secret.
    pub fn hs256_with(&self, secret: &str) -> String {
        let key = EncodingKey::from_secret(secret.as_bytes());
        encode(&Header::new(Algorithm::HS256), &self.claims, &key).expect("claims can be signed")
    }

    /// Signed with the RSA key of [`jwk_set`], naming it or, as the platform's default is, not.
    pub fn rs256(&self, key_id: Option<&str>) -> String {
        let der = base64::engine::general_purpose::STANDARD
            .decode(RSA_KEY.trim())
            .expect("the key is base64");
        let mut header = Header::new(Algorithm::RS256);
        header.kid = key_id.map(str::to_owned);
        encode(&header, &self.claims, &EncodingKey::from_rsa_der(&der)).expect("claims can be signed")
    }
}

/// `JWT_PUBLIC_SIGNING_JWK_SET` for the RS256 tokens.
pub fn jwk_set() -> String {
    let key = json!({"kty": "RSA", "kid": KEY_ID, "alg": "RS256", "use": "sig", "n": RSA_MODULUS, "e": "AQAB"});
    json!({"keys": [key]}).to_string()
}
