//! No setting shows its value, however wrong it is and wherever it stands.

use super::*;

const CANARY: &str = "canary7331";
/// The same as a number.
const NUMBER: &str = "7331733173317331";

/// The settings whose values are secrets.
const SECRETS: [&str; 9] = [
    "SECRET_KEY",
    "JWT_SECRET_KEY",
    "JWT_PUBLIC_SIGNING_JWK_SET",
    "BADGR_PASSWORD",
    "BACKEND_TOKEN",
    "ADMIN_PASSWORD_HASH",
    "KAFKA_SASL_PASSWORD",
    "KAFKA_SSL_KEY_PASSWORD",
    "KAFKA_SSL_KEY_PEM",
];

/// Librdkafka properties of each type.
const PROPERTIES: [&str; 9] = [
    "KAFKA_SASL_PASSWORD",
    "KAFKA_SASL_MECHANISM",
    "KAFKA_SECURITY_PROTOCOL",
    "KAFKA_SSL_KEY_PASSWORD",
    "KAFKA_SSL_KEY_PEM",
    "KAFKA_SESSION_TIMEOUT_MS",
    "KAFKA_ENABLE_SSL_CERTIFICATE_VERIFICATION",
    "KAFKA_NO_SUCH_PROPERTY",
    "KAFKA_ENABLE_AUTO_COMMIT",
];

/// A secret as it stands in the wrong setting, or in the right one with something missing.
fn shapes() -> Vec<String> {
    let keys = [
        r#"{"keys": ["CANARY"]}"#,
        r#"{"keys": [{"kty": "oct", "k": "CANARY"}]}"#,
        r#"{"keys": [{"kty": "RSA", "n": "CANARY", "e": "AQAB", "alg": "CANARY"}]}"#,
        r#"{"keys": "CANARY"#,
    ];
    let others = [
        "CANARY",
        " CANARY ",
        "CANARY\nCANARY",
        "CANARY%zz",
        "CANARY://host",
        "https://ada:CANARY@host",
        "https://ada:CANARY@host/?CANARY#CANARY",
        "https://ada:CANARY@[host/",
        "postgres://ada:CANARY@host:port/badges",
        "postgres://ada:CANARY@host/badges?sslmode=CANARY",
        "postgres://ada:CANARY%zz@host/badges",
        "sqlite://CANARY?mode=CANARY",
        "mysql://ada:CANARY@host/badges",
        "CANARY:9092,CANARY",
        "127.0.0.1:CANARY",
        "-----BEGIN PRIVATE KEY-----\nCANARY\n",
        "$argon2id$v=19$CANARY",
        "{CANARY}",
        "{certificate_uuid}{CANARY",
        "NUMBER",
        "-NUMBER",
    ];
    let shapes = keys.iter().chain(&others);
    shapes
        .map(|shape| shape.replace("CANARY", CANARY).replace("NUMBER", NUMBER))
        .collect()
}

fn has_canary(text: &str) -> bool {
    text.contains(CANARY) || text.contains(NUMBER)
}

fn names() -> impl Iterator<Item = &'static str> {
    NAMES.into_iter().chain(PROPERTIES)
}

/// Fails where errors, warnings, or the `Debug` of a panic show what is secret.
fn check(name: &str, shape: &str, read: &Result<Settings, Vec<String>>) {
    let said = match read {
        Ok(settings) if SECRETS.contains(&name) => format!("{settings:?}"),
        Ok(settings) => settings.warnings.join("\n"),
        Err(errors) => errors.join("\n"),
    };
    assert!(!has_canary(&said), "{name} = {shape}: {said}");
}

#[test]
fn no_wrong_setting_shows_its_value() {
    let backends = [
        ("BADGING_BACKEND", "badgr"),
        ("BADGR_BASE_URL", "https://badgr.example"),
    ];
    let mut refused = 0;
    for name in names() {
        for shape in shapes() {
            for backend in ["badgr", "http", "builtin"] {
                let with = [("BADGING_BACKEND", backend), backends[1]];
                let others = with.iter().filter(|(other, _)| *other != name).copied();
                let all: Vec<(&str, &str)> = others.chain([(name, shape.as_str())]).collect();
                let read = from_environment(&all);
                refused += usize::from(read.is_err());
                check(name, &shape, &read);
            }
        }
    }
    assert!(refused > 1000, "{refused}");
}

#[test]
fn no_line_of_a_file_shows_its_value() {
    for name in names().chain(["NO_SUCH_SETTING"]) {
        for line in [
            "CANARY",
            "'CANARY",
            "'CANARY'",
            "'https://ada:CANARY@['",
            "['CANARY']",
            "{ CANARY = 'CANARY' }",
            "'CANARY' 'CANARY'",
            "NUMBER",
            "NUMBERNUMBER",
            "NUMBER.5",
            "1979-05-27",
            "'CANARY'\nNAME = 'CANARY'",
            "'x'\n[table]\nname = 'CANARY'",
        ] {
            let line = line
                .replace("CANARY", CANARY)
                .replace("NUMBER", NUMBER)
                .replace("NAME", name);
            let read = from_file(&format!("{name} = {line}\n"));
            check(name, &line, &read);
        }
    }
}

#[test]
fn a_panic_with_all_settings_in_hand_shows_no_secret() {
    let mut pairs: Vec<(&str, &str)> = SECRETS.iter().map(|name| (*name, CANARY)).collect();
    pairs.retain(|(name, _)| *name != "JWT_PUBLIC_SIGNING_JWK_SET" && *name != "KAFKA_SSL_KEY_PEM");
    let url = format!("postgres://ada:{CANARY}@host/badges");
    pairs.extend([
        ("DATABASE_URL", url.as_str()),
        ("ADMIN_USERNAME", "ada"),
        ("BADGING_BACKEND", "badgr"),
        ("BADGR_BASE_URL", "https://badgr.example"),
        ("BADGR_USERNAME", "ada"),
        ("BADGR_ISSUER_SLUG", "issuer"),
    ]);
    for backend in ["badgr", "http"] {
        pairs.retain(|(name, _)| *name != "BADGING_BACKEND");
        pairs.extend([("BADGING_BACKEND", backend), ("BACKEND_URL", "https://backend.example")]);
        let settings = from_environment(&pairs).expect("valid");
        let panic = std::panic::catch_unwind(|| panic!("not expected: {settings:?}")).expect_err("it panics");
        let said = panic.downcast::<String>().expect("a message");
        assert!(said.contains("***") && !has_canary(&said), "{said}");
    }
}
