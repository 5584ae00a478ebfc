mod hostile;

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use chrono::TimeDelta;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::json;

use super::*;
use crate::http::testing::{SECRET, Site};

// Made for tests and used nowhere else.
const RSA_KEY: &str = include_str!("../../../tests/fixtures/test_rsa_key.b64");
const RSA_MODULUS: &str = include_str!("../../../tests/fixtures/test_rsa_modulus.b64");
const EC_KEY: &str = include_str!("../../../tests/fixtures/test_ec_key.b64");
const EC_X: &str = "M7kimaORWiBQpWet7rDFVLukXmib3C4JoYACuOJ10m4";
const EC_Y: &str = "zimJpr-pie8s_qc0ae2gwWHarhd7p5s3hGlxa7pEnQo";

fn der(base64: &str) -> Vec<u8> {
    STANDARD
        .decode(base64.split_whitespace().collect::<String>())
        .expect("base64")
}

/// A token of the secret; the user `staff` is an administrator.
pub(in crate::http) fn token_of(username: &str) -> String {
    let claims = json!({
        "preferred_username": username, "administrator": username == "staff", "exp": Utc::now().timestamp() + 3600,
    });
    hs256(&claims, SECRET)
}

fn hs256(claims: &Value, secret: &str) -> String {
    let key = EncodingKey::from_secret(secret.as_bytes());
    encode(&Header::new(Algorithm::HS256), claims, &key).expect("a token")
}

fn rsa(claims: &Value, algorithm: Algorithm, kid: Option<&str>) -> String {
    let mut header = Header::new(algorithm);
    header.kid = kid.map(str::to_owned);
    encode(&header, claims, &EncodingKey::from_rsa_der(&der(RSA_KEY))).expect("a token")
}

fn ec(claims: &Value, kid: Option<&str>) -> String {
    let mut header = Header::new(Algorithm::ES256);
    header.kid = kid.map(str::to_owned);
    encode(&header, claims, &EncodingKey::from_ec_der(&der(EC_KEY))).expect("a token")
}

fn rsa_jwk(kid: &str) -> Value {
    json!({"kty": "RSA", "kid": kid, "n": RSA_MODULUS.trim(), "e": "AQAB"})
}

fn ec_jwk(kid: &str) -> Value {
    json!({"kty": "EC", "crv": "P-256", "kid": kid, "x": EC_X, "y": EC_Y})
}

fn with_keys(keys: &Value) -> JwtSettings {
    let set = Secret::new(json!({"keys": keys}).to_string());
    JwtSettings::parse(None, None, None, Some(&set)).expect("keys")
}

fn with_secret(issuer: Option<&str>, audience: Option<&str>) -> JwtSettings {
    JwtSettings::parse(issuer, audience, Some(&Secret::new(SECRET)), None).expect("a key")
}

fn claims() -> Value {
    json!({"preferred_username": "ada", "exp": Utc::now().timestamp() + 60})
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

fn ada() -> Option<Caller> {
    Some(Caller {
        username: Some("ada".to_owned()),
        is_administrator: false,
    })
}

#[test]
fn each_kind_of_key_checks_its_own_algorithms() {
    let now = Utc::now();
    let keys = with_keys(&json!([rsa_jwk("r"), ec_jwk("e")]));
    assert_eq!(with_secret(None, None).verify(&hs256(&claims(), SECRET), now), ada());
    assert_eq!(keys.verify(&rsa(&claims(), Algorithm::RS256, None), now), ada());
    assert_eq!(keys.verify(&rsa(&claims(), Algorithm::RS512, Some("r")), now), ada());
    assert_eq!(keys.verify(&ec(&claims(), None), now), ada());
    assert_eq!(keys.verify(&rsa(&claims(), Algorithm::RS384, None), now), None);
    assert_eq!(keys.verify(&hs256(&claims(), SECRET), now), None);
    let mut only_512 = rsa_jwk("r");
    only_512["alg"] = json!("RS512");
    assert_eq!(
        with_keys(&json!([only_512])).verify(&rsa(&claims(), Algorithm::RS256, None), now),
        None
    );
}

#[test]
fn a_key_id_chooses_the_key_where_it_is_known() {
    let now = Utc::now();
    let keys = with_keys(&json!([rsa_jwk("r"), ec_jwk("e")]));
    assert_eq!(
        keys.verify(&rsa(&claims(), Algorithm::RS256, Some("unknown")), now),
        ada()
    );
    assert_eq!(keys.verify(&rsa(&claims(), Algorithm::RS256, Some("e")), now), None);
}

#[test]
fn a_token_does_not_choose_its_algorithm() {
    let now = Utc::now();
    let both = JwtSettings::parse(
        None,
        None,
        Some(&Secret::new(SECRET)),
        Some(&Secret::new(json!({"keys": [rsa_jwk("r")]}).to_string())),
    )
    .expect("keys");
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    for algorithm in ["none", "None", "NONE", "HS256"] {
        let unsigned = format!(
            "{}.{}.",
            part(&json!({"alg": algorithm, "typ": "JWT"})),
            part(&claims())
        );
        assert_eq!(both.verify(&unsigned, now), None, "{algorithm}");
    }
    // What an attacker can take for a secret: the public key, in the forms in which it is published.
    let modulus = URL_SAFE_NO_PAD.decode(RSA_MODULUS.trim()).expect("base64url");
    for public in [
        RSA_MODULUS.trim().as_bytes(),
        &modulus,
        rsa_jwk("r").to_string().as_bytes(),
    ] {
        let key = EncodingKey::from_secret(public);
        let forged = encode(&Header::new(Algorithm::HS256), &claims(), &key).expect("a token");
        assert_eq!(both.verify(&forged, now), None);
        assert_eq!(with_keys(&json!([rsa_jwk("r")])).verify(&forged, now), None);
    }
    assert_eq!(both.verify(&hs256(&claims(), "another secret"), now), None);
    let mut critical = Header::new(Algorithm::HS256);
    critical.crit = Some(vec!["b64".to_owned()]);
    let critical = encode(&critical, &claims(), &EncodingKey::from_secret(SECRET.as_bytes())).expect("a token");
    assert_eq!(both.verify(&critical, now), None);
    let mut altered = hs256(&claims(), SECRET);
    altered.insert(altered.find('.').expect("a dot") + 1, 'A');
    assert_eq!(both.verify(&altered, now), None);
}

#[test]
fn without_keys_no_token_is_valid() {
    let none = JwtSettings::parse(None, None, Some(&Secret::new("")), Some(&Secret::new(""))).expect("settings");
    assert_eq!(none.verify(&hs256(&claims(), SECRET), Utc::now()), None);
    assert_eq!(
        with_keys(&json!([])).verify(&rsa(&claims(), Algorithm::RS256, None), Utc::now()),
        None
    );
}

#[test]
fn a_token_has_its_time() {
    let (settings, now) = (with_secret(None, None), Utc::now());
    let at = |seconds: i64| json!(now.timestamp() + seconds);
    for (claims, valid) in [
        (with("exp", at(-5)), false),
        (with("exp", at(5)), true),
        (with("exp", json!(null)), false),
        (with("exp", json!("tomorrow")), false),
        (json!({"preferred_username": "ada"}), false),
        (with("nbf", at(30)), false),
        (with("nbf", at(-30)), true),
        (with("nbf", json!("yesterday")), false),
    ] {
        assert_eq!(
            settings.verify(&hs256(&claims, SECRET), now).is_some(),
            valid,
            "{claims}"
        );
    }
    let token = hs256(&with("exp", at(5)), SECRET);
    assert_eq!(settings.verify(&token, now + TimeDelta::minutes(1)), None);
}

#[test]
fn issuer_and_audience_are_required_where_configured() {
    let (settings, now) = (with_secret(Some("https://lms/oauth2"), Some("badges")), Utc::now());
    for (issuer, audience, valid) in [
        (json!("https://lms/oauth2"), json!("badges"), true),
        (json!("https://lms/oauth2"), json!(["other", "badges"]), true),
        (json!("https://lms/oauth2"), json!(["other"]), false),
        (json!("https://lms/oauth2"), json!([]), false),
        (json!("https://lms/oauth2"), json!(null), false),
        (json!("https://evil/oauth2"), json!("badges"), false),
        (json!(null), json!("badges"), false),
    ] {
        let mut claims = with("iss", issuer);
        claims["aud"] = audience;
        assert_eq!(
            settings.verify(&hs256(&claims, SECRET), now).is_some(),
            valid,
            "{claims}"
        );
    }
    let anywhere = with("aud", json!("whoever"));
    assert_eq!(with_secret(None, None).verify(&hs256(&anywhere, SECRET), now), ada());
}

#[test]
fn only_the_boolean_makes_an_administrator() {
    let settings = with_secret(None, None);
    for (value, expected) in [
        (json!(true), true),
        (json!(false), false),
        (json!("true"), false),
        (json!(1), false),
        (json!([true]), false),
        (json!(null), false),
    ] {
        let token = hs256(&with("administrator", value.clone()), SECRET);
        let caller = settings.verify(&token, Utc::now()).expect("valid");
        assert_eq!(caller.require_administrator().is_ok(), expected, "{value}");
    }
    let nobody = hs256(&with("preferred_username", json!("")), SECRET);
    let nobody = settings.verify(&nobody, Utc::now()).expect("valid");
    assert!(nobody.require_self_or_administrator("").is_err());
}

#[test]
fn settings_that_cannot_be_used_are_named_without_their_values() {
    let parse = |set: &str| {
        let error = JwtSettings::parse(None, None, None, Some(&Secret::new(set))).expect_err("refused");
        error.to_string()
    };
    let oct = json!({"keys": [rsa_jwk("r"), {"kty": "oct", "k": "hunter2"}]}).to_string();
    let short = json!({"keys": [{"kty": "EC", "crv": "P-256", "x": "hunter2", "y": EC_Y}]}).to_string();
    let rsa = json!({"keys": [{"kty": "RSA", "n": "hunter2!", "e": "AQAB"}]}).to_string();
    let algorithm = json!({"keys": [{"kty": "RSA", "alg": "HS256", "n": RSA_MODULUS.trim(), "e": "AQAB"}]}).to_string();
    for (set, expected) in [
        ("hunter2", "line 1"),
        ("{\"keys\": [{\"kty\": \"hunter2\"}]}", "key 1: expected kty"),
        (&oct, "key 2: expected kty"),
        (&short, "key 1: expected x and y"),
        (&rsa, "key 1: expected n and e"),
        (&algorithm, "key 1: expected alg"),
    ] {
        let error = parse(set);
        assert!(error.contains(expected), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
    assert!(!format!("{:?}", with_secret(None, None)).contains(SECRET));
}

#[tokio::test]
async fn both_schemes_work_and_others_are_told_what_to_send() {
    let site = Site::new();
    let path = "/api/badges/v1/assertions/user/ada/";
    let token = token_of("ada");
    for scheme in ["JWT", "Bearer", "bearer"] {
        let reply = site.get(path, &[("authorization", &format!("{scheme} {token}"))]).await;
        assert_eq!(reply.problem().0, 404, "{scheme}: valid, though no learner");
    }
    let basic = format!("Basic {token}");
    for headers in [
        vec![],
        vec![("authorization", basic.as_str())],
        vec![("authorization", "JWT x.y.z")],
    ] {
        let reply = site.get(path, &headers).await;
        assert_eq!(reply.problem().0, 401, "{headers:?}");
        let challenges: Vec<_> = reply.headers.get_all(header::WWW_AUTHENTICATE).iter().collect();
        assert_eq!(challenges.len(), 2);
        assert!(!reply.text().contains("x.y.z"));
    }
}
