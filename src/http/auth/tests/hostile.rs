//! Tokens and keys as an attacker, or a careless platform, makes them.

use super::*;

/// A token with this header and these claims, as they are written, signed by the secret with HS256.
fn written(header: &str, claims: &str) -> String {
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    let signature = jsonwebtoken::crypto::sign(signed.as_bytes(), &key, Algorithm::HS256).expect("a signature");
    format!("{signed}.{signature}")
}

#[test]
fn what_the_header_says_beside_the_algorithm_is_refused_or_changes_nothing() {
    let (settings, now) = (with_secret(None, None), Utc::now());
    let claims = claims().to_string();
    let long = "k".repeat(64 * 1024);
    let own_key = json!({"kty": "oct", "k": URL_SAFE_NO_PAD.encode("their own")});
    for (more, expected) in [
        (json!({"crit": null}), None),
        (json!({"crit": []}), None),
        (json!({"crit": ["exp"]}), None),
        (json!({"crit": ["b64"], "b64": false}), None),
        (json!({"kid": 5}), None),
        (json!({"kid": long}), None),
        (json!({"kid": ""}), ada()),
        (json!({"kid": "unknown"}), ada()),
        (json!({"kid": "../../dev/null"}), ada()),
        (json!({"kid": "' OR 1=1 --"}), ada()),
        (json!({"b64": false}), ada()),
        (json!({"typ": "at+jwt", "cty": "x"}), ada()),
        (json!({"jwk": own_key, "jku": "https://evil.example/keys"}), ada()),
    ] {
        let mut header = more;
        header["alg"] = json!("HS256");
        let found = settings.verify(&written(&header.to_string(), &claims), now);
        assert_eq!(found, expected, "{:.80}", header.to_string());
    }
    let twice = written("{\"alg\": \"HS256\", \"alg\": \"HS256\"}", &claims);
    assert_eq!(settings.verify(&twice, now), None);
}

#[test]
fn a_token_does_not_bring_its_own_key() {
    let (settings, now) = (with_secret(None, None), Utc::now());
    let mut header = Header::new(Algorithm::HS256);
    header.jwk = serde_json::from_value(json!({"kty": "oct", "k": URL_SAFE_NO_PAD.encode("their own")})).ok();
    assert!(header.jwk.is_some());
    let token = encode(&header, &claims(), &EncodingKey::from_secret(b"their own")).expect("a token");
    assert_eq!(settings.verify(&token, now), None);
}

#[test]
fn each_claim_is_there_once_and_a_time_is_a_number() {
    let (settings, now) = (with_secret(None, None), Utc::now());
    let (header, later) = ("{\"alg\": \"HS256\"}", now.timestamp() + 60);
    let whole = format!("\"preferred_username\": \"ada\", \"exp\": {later}");
    for claims in [
        format!("{{{whole}, \"exp\": {later}}}"),
        format!("{{{whole}, \"administrator\": false, \"administrator\": true}}"),
        format!("{{{whole}, \"preferred_username\": \"ada\"}}"),
        "{\"preferred_username\": \"ada\", \"exp\": -1}".to_owned(),
        "{\"preferred_username\": \"ada\", \"exp\": 1e308}".to_owned(),
        "{\"preferred_username\": \"ada\", \"exp\": 1e400}".to_owned(),
        format!("{{\"preferred_username\": \"ada\", \"exp\": \"{later}\"}}"),
        format!("{{\"preferred_username\": \"ada\", \"exp\": [{later}]}}"),
        format!("{{{whole}, \"nbf\": {}.5}}", now.timestamp() + 2),
        format!("[{later}]"),
        "null".to_owned(),
        String::new(),
    ] {
        assert_eq!(settings.verify(&written(header, &claims), now), None, "{claims}");
    }
    assert_eq!(settings.verify(&written(header, &format!("{{{whole}}}")), now), ada());
}

#[test]
fn a_token_is_three_parts_in_their_only_spelling() {
    let (settings, now) = (with_secret(None, None), Utc::now());
    let good = hs256(&claims(), SECRET);
    let (signed, signature) = good.rsplit_once('.').expect("three parts");
    let last = signature.chars().next_back().expect("a signature");
    // 32 bytes leave two bits of the last character without a meaning.
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let place = alphabet.find(last).expect("base64url");
    let other = &alphabet[place + 1..place + 2];
    for token in [
        signed.to_owned(),
        format!("{signed}."),
        format!("{good}.x"),
        format!("{good}.x.y"),
        format!("{good}="),
        format!("{signed}.{}{other}", &signature[..signature.len() - 1]),
        format!("{signed}.{}", "A".repeat(43)),
        good.replace('.', ". "),
        String::new(),
        "..".to_owned(),
    ] {
        assert_eq!(settings.verify(&token, now), None, "{token}");
    }
    assert_eq!(settings.verify(&good, now), ada());
}

#[test]
fn a_key_checks_no_algorithm_but_its_own() {
    let now = Utc::now();
    let shared = with_secret(None, None);
    for algorithm in [Algorithm::HS384, Algorithm::HS512] {
        let key = EncodingKey::from_secret(SECRET.as_bytes());
        let token = encode(&Header::new(algorithm), &claims(), &key).expect("a token");
        assert_eq!(shared.verify(&token, now), None, "{algorithm:?}");
    }
    let keys = with_keys(&json!([rsa_jwk("r"), ec_jwk("e")]));
    for algorithm in [Algorithm::PS256, Algorithm::PS512] {
        assert_eq!(
            keys.verify(&rsa(&claims(), algorithm, None), now),
            None,
            "{algorithm:?}"
        );
    }
    let good = ec(&claims(), None);
    let (signed, signature) = good.rsplit_once('.').expect("three parts");
    let raw = URL_SAFE_NO_PAD.decode(signature).expect("base64url");
    let der = [&[0x30, 68, 0x02, 32][..], &raw[..32], &[0x02, 32], &raw[32..]].concat();
    for forged in [vec![0; 64], der, raw[..63].to_vec(), [&raw[..], &[0]].concat()] {
        let token = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(forged));
        assert_eq!(keys.verify(&token, now), None);
    }
    let both = with_keys(&json!([rsa_jwk("same"), ec_jwk("same"), {"kty": "oct", "use": "enc"}]));
    assert_eq!(both.verify(&ec(&claims(), Some("same")), now), ada());
    assert_eq!(both.verify(&rsa(&claims(), Algorithm::RS256, Some("same")), now), ada());
}

#[test]
fn a_token_has_its_size() {
    let (settings, now) = (with_secret(None, None), Utc::now());
    let of = |filling: usize| hs256(&with("filling", json!("x".repeat(filling))), SECRET);
    let room = 8 * 1024 - of(0).len();
    let fits = of(room / 4 * 3);
    assert!((8 * 1024 - 4..=8 * 1024).contains(&fits.len()), "{}", fits.len());
    assert_eq!(settings.verify(&fits, now), ada());
    assert_eq!(settings.verify(&of(room / 4 * 3 + 4), now), None);
}

#[tokio::test]
async fn of_two_tokens_none_is_taken() {
    let site = Site::new();
    let path = "/api/badges/v1/assertions/user/ada/";
    let good = format!("JWT {}", token_of("ada"));
    for second in [good.as_str(), "JWT x.y.z", "Basic x"] {
        for headers in [
            [("authorization", good.as_str()), ("authorization", second)],
            [("authorization", second), ("authorization", good.as_str())],
        ] {
            assert_eq!(site.get(path, &headers).await.problem().0, 401, "{second}");
        }
    }
}

#[test]
fn weak_and_private_keys_are_refused_without_their_values() {
    let rsa_of = |bits: usize| {
        let mut modulus = vec![0xff; bits / 8];
        modulus[0] = 0x80;
        json!({"kty": "RSA", "n": URL_SAFE_NO_PAD.encode(modulus), "e": "AQAB"})
    };
    let with = |mut key: Value, name: &str, value: &str| {
        key[name] = json!(value);
        key
    };
    let padded = URL_SAFE_NO_PAD.encode([&[0; 128][..], &[0x80; 128]].concat());
    for (key, expected) in [
        (rsa_of(1024), Some("2048")),
        (rsa_of(2040), Some("2048")),
        (with(rsa_of(2048), "n", &padded), Some("2048")),
        (rsa_of(4104), Some("4096")),
        (rsa_of(8192), Some("4096")),
        (with(rsa_of(2048), "e", "AQ"), Some("exponent")),
        (with(rsa_of(2048), "e", "AQAA"), Some("exponent")),
        (with(rsa_jwk("r"), "d", "hunter2"), Some("private")),
        (with(rsa_jwk("r"), "p", "hunter2"), Some("private")),
        (with(ec_jwk("e"), "d", "hunter2"), Some("private")),
        (rsa_of(2048), None),
        (rsa_of(4096), None),
        (with(rsa_of(2048), "e", "Aw"), None),
    ] {
        let set = Secret::new(json!({"keys": [key]}).to_string());
        let found = JwtSettings::parse(None, None, None, Some(&set));
        match (found, expected) {
            (Ok(_), None) => {}
            (Err(error), Some(expected)) => {
                let error = error.to_string();
                assert!(error.starts_with("key 1: ") && error.contains(expected), "{error}");
                assert!(!error.contains("hunter2"), "{error}");
            }
            (found, expected) => panic!("{key}: {found:?}, not {expected:?}"),
        }
    }
}
