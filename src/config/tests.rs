//! What the settings take and what they refuse.

mod canaries;

use std::io::Write;

use super::*;

fn environment(pairs: &[(&str, &str)]) -> HashMap<String, String> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

fn from_environment(pairs: &[(&str, &str)]) -> Result<Settings, Vec<String>> {
    let path = Path::new("/nonexistent-accolade-test.toml");
    assert!(!path.exists());
    let mut errors = Vec::new();
    let source = Source::read(None, &environment(pairs), &mut errors);
    Settings::check(source, errors).map_err(|errors| errors.iter().map(ToString::to_string).collect())
}

fn from_file(text: &str) -> Result<Settings, Vec<String>> {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(text.as_bytes()).expect("written");
    let name = file.path().display().to_string();
    Settings::load(Some(file.path()), &HashMap::new()).map_err(|errors| {
        errors
            .iter()
            .map(|error| error.to_string().replace(&name, "FILE"))
            .collect()
    })
}

#[test]
fn the_sample_names_every_setting_and_is_valid_when_uncommented() {
    let uncommented: String = SAMPLE
        .lines()
        .filter_map(|line| line.strip_prefix("# "))
        .filter(|line| {
            line.split_once(" = ")
                .is_some_and(|(name, _)| !name.contains([' ', ':']))
        })
        .filter(|line| !line.ends_with("\"\"") && !line.starts_with("ISSUER_IMAGE"))
        .map(|line| format!("{line}\n"))
        .collect();
    for name in NAMES {
        assert!(SAMPLE.contains(&format!("# {name} = ")), "{name} is not in the sample");
    }
    let text = format!("{uncommented}BADGR_PASSWORD = 'x'\nSECRET_KEY = 'x'\n");
    let settings = from_file(&text).expect("the sample is valid");
    assert_eq!(settings.topics.enrollment, ["prod-enrollment.created"]);
    assert!(from_file(SAMPLE).is_ok(), "as it is, it sets nothing");
}

#[test]
fn defaults_are_those_of_the_contract() {
    let settings = from_environment(&[]).expect("nothing is needed");
    assert!(matches!(settings.backend, Backend::Builtin));
    assert_eq!(settings.database_url.to_string(), "sqlite://accolade.db");
    assert_eq!(settings.http_listen.to_string(), "127.0.0.1:8080");
    assert_eq!((settings.ingest_consumers, settings.backend_concurrency), (2, 16));
    assert_eq!(settings.topics.dead_letters, "badges.dead-letters");
    assert!(settings.kafka_bootstrap_servers.is_none() && settings.warnings.is_empty());
}

#[test]
fn a_file_is_read_strictly_and_every_error_has_its_line_and_no_value() {
    let errors =
        from_file("SECRET_KEY = 7331\n\nBADGR_TIMEOUTS = 3\nINGEST_CONSUMERS = \"hunter2\"\n").expect_err("wrong");
    assert_eq!(
        errors,
        [
            "FILE line 3: BADGR_TIMEOUTS: no such setting; see `src/config.default.toml` for all of them",
            "FILE line 1: SECRET_KEY: expected a text in quotes",
            "FILE line 4: INGEST_CONSUMERS: expected an integer from 1 to 64",
        ]
    );
    let errors = from_file("HTTP_LISTEN = \"127.0.0.1:1\"\nSECRET_KEY = hunter2\n").expect_err("no TOML");
    assert_eq!(errors.len(), 1);
    assert!(errors[0].starts_with("FILE line 2: this is not TOML") && !errors[0].contains("hunter2"));
}

#[test]
fn settings_that_need_each_other_are_checked_together() {
    let errors = from_environment(&[
        ("BADGR_BASE_URL", "http://b.example/"),
        ("DATABASE_URL", "postgres://h/d"),
    ]);
    assert_eq!(
        errors.expect_err("four are missing"),
        [
            "SECRET_KEY: needed with a postgres:// database; set it to a long random text",
            "BADGR_USERNAME: needed for the badgr backend",
            "BADGR_PASSWORD: needed for the badgr backend",
            "BADGR_ISSUER_SLUG: needed for the badgr backend",
        ]
    );
    let errors = from_environment(&[("BADGING_BACKEND", "http")]).expect_err("no URL");
    assert_eq!(errors, ["BACKEND_URL: needed for the http backend"]);
}

#[test]
fn what_is_not_used_is_of_its_type_all_the_same() {
    let errors = from_file(
        "BADGING_BACKEND = \"builtin\"\nBADGR_TIMEOUT = \"hunter2\"\nBADGR_ENABLE_NOTIFICATIONS = \"perhaps\"\n\
         BACKEND_URL = 7\nBADGR_ISSUER_SLUG = 12\nRUST_LOG = \"[[[=\"\n",
    );
    let mut errors = errors.expect_err("wrong");
    errors.sort();
    assert_eq!(
        errors,
        [
            "FILE line 2: BADGR_TIMEOUT: expected an integer from 1 to 600",
            "FILE line 3: BADGR_ENABLE_NOTIFICATIONS: expected true or false",
            "FILE line 4: BACKEND_URL: expected a text in quotes",
            "FILE line 5: BADGR_ISSUER_SLUG: expected a text in quotes",
            "FILE line 6: RUST_LOG: expected a filter such as info or accolade=debug,warn",
        ]
    );
}

#[test]
fn a_topic_has_one_place() {
    for (name, value) in [
        ("TOPICS_CERTIFICATE", "enrollment.created"),
        ("TOPICS_ENROLLMENT", "a,b,a"),
        ("TOPICS_EXTRA", "x,certificate.generated"),
        ("TOPIC_BADGE_AWARDED", "enrollment.created"),
        ("TOPIC_DEAD_LETTERS", "certificate.generated"),
    ] {
        let errors = from_environment(&[(name, value), ("TOPIC_PREFIX", "p")]).expect_err("refused");
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert!(errors[0].starts_with(&format!("environment: {name}: ")), "{errors:?}");
    }
}

#[test]
fn an_empty_value_counts_as_not_set() {
    let settings = from_file("BADGR_BASE_URL = \"\"\nKAFKA_SASL_PASSWORD = \"\"\n").expect("nothing is set");
    assert!(matches!(settings.backend, Backend::Builtin));
    assert!(settings.kafka_properties.is_empty());
    let errors = from_file(
        "BADGING_BACKEND = \"badgr\"\nBADGR_BASE_URL = \"\"\nBADGR_USERNAME = \"\"\nBADGR_PASSWORD = \"\"\nBADGR_ISSUER_SLUG = \"\"\n",
    );
    assert_eq!(
        errors.expect_err("all four are missing"),
        [
            "FILE line 2: BADGR_BASE_URL: needed for the badgr backend",
            "FILE line 3: BADGR_USERNAME: needed for the badgr backend",
            "FILE line 4: BADGR_PASSWORD: needed for the badgr backend",
            "FILE line 5: BADGR_ISSUER_SLUG: needed for the badgr backend",
        ]
    );
    let empty = tempfile::NamedTempFile::new().expect("a file");
    let path = empty.path().display().to_string();
    let errors = from_environment(&[
        ("BADGR_BASE_URL", "https://badgr.example"),
        ("BADGR_USERNAME", ""),
        ("BADGR_PASSWORD_FILE", &path),
        ("BADGR_ISSUER_SLUG_FILE", &path),
        ("BADGR_TIMEOUT_FILE", &path),
    ]);
    assert_eq!(
        errors.expect_err("three are missing"),
        [
            "BADGR_USERNAME: needed for the badgr backend",
            "BADGR_PASSWORD: needed for the badgr backend",
            "BADGR_ISSUER_SLUG: needed for the badgr backend",
        ]
    );
    let errors = from_file("BADGING_BACKEND = \"http\"\nBACKEND_URL = \"\"\n").expect_err("no URL");
    assert_eq!(errors, ["FILE line 2: BACKEND_URL: needed for the http backend"]);
}

#[test]
fn a_url_with_credentials_is_refused_and_not_quoted() {
    for (name, others, instead) in [
        ("BACKEND_URL", &[("BADGING_BACKEND", "http")][..], "BACKEND_TOKEN"),
        ("BADGR_BASE_URL", &[][..], "BADGR_USERNAME and BADGR_PASSWORD"),
        ("PUBLIC_URL", &[][..], "is published"),
        ("ISSUER_URL", &[][..], "is published"),
        ("EVIDENCE_URL_TEMPLATE", &[][..], "is published"),
        ("COURSE_ABOUT_URL_TEMPLATE", &[][..], "is published"),
        (
            "KAFKA_BOOTSTRAP_SERVERS",
            &[][..],
            "KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD",
        ),
    ] {
        for url in [
            "https://root:hunter2@host.example",
            "https://hunter2@host.example/{course_id}",
            "https://:hunter2@host.example/x",
        ] {
            let pairs = [&[(name, url)], others].concat();
            let errors = from_environment(&pairs).expect_err("refused");
            let of_it: Vec<_> = errors
                .iter()
                .filter(|error| error.contains(&format!(": {name}: ")))
                .collect();
            assert!(of_it.iter().any(|error| error.contains(instead)), "{name}: {errors:?}");
            assert!(!errors.iter().any(|error| error.contains("hunter2")), "{errors:?}");
        }
    }
    let plain = from_environment(&[("PUBLIC_URL", "https://host.example/@accolade")]);
    assert!(plain.is_ok(), "an @ in a path is none");
}

#[test]
fn a_dotted_path_names_a_backend_by_its_last_part() {
    let settings = from_environment(&[
        ("BADGING_BACKEND", "lms.djangoapps.badges.backends.badgr.BadgrBackend"),
        ("BADGR_BASE_URL", "https://badgr.example/"),
        ("BADGR_USERNAME", "u"),
        ("BADGR_PASSWORD", "p4ssw0rd"),
        ("BADGR_ISSUER_SLUG", "i"),
    ])
    .expect("valid");
    let Backend::Badgr(badgr) = &settings.backend else {
        panic!("badgr")
    };
    assert_eq!(badgr.base_url, "https://badgr.example");
    assert!(!format!("{settings:?}").contains("p4ssw0rd"));
}

#[test]
fn a_variable_may_name_a_file_that_holds_the_value() {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    writeln!(file, "from a file").expect("written");
    let path = file.path().display().to_string();
    let settings = from_environment(&[("SECRET_KEY_FILE", &path)]).expect("valid");
    assert_eq!(settings.secret_key, Some(Secret::new("from a file")));
    let errors = from_environment(&[("SECRET_KEY_FILE", &path), ("SECRET_KEY", "x")]).expect_err("both");
    assert_eq!(
        errors,
        ["environment: SECRET_KEY_FILE: SECRET_KEY is set too; set one of the two"]
    );
    assert!(
        from_environment(&[("CA_FILE", "/ca.pem")])
            .expect("a setting of its own")
            .ca_file
            .is_some()
    );
}

#[test]
fn librdkafka_properties_pass_and_what_it_does_not_know_is_warned_of() {
    let settings = from_environment(&[
        ("KAFKA_SECURITY_PROTOCOL", "ssl"),
        ("KAFKA_PORT", "tcp://10.0.0.1:9092"),
    ]);
    let settings = settings.expect("valid");
    assert_eq!(
        settings.kafka_properties.keys().collect::<Vec<_>>(),
        ["security.protocol"]
    );
    assert_eq!(
        settings.warnings,
        ["environment: KAFKA_PORT is ignored: librdkafka has no property port"]
    );
    // What ends in `_FILE` names the file of a value, is a property itself, or is nobody's.
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    writeln!(file, "hunter2").expect("written");
    let path = file.path().display().to_string();
    let settings = from_environment(&[
        ("KAFKA_SASL_PASSWORD_FILE", &path),
        ("KAFKA_LOG_LEVEL", "3"),
        ("KAFKA_CREDENTIALS_FILE", "/nonexistent/accolade"),
        ("KAFKA_PORT_FILE", &path),
    ]);
    let settings = settings.expect("valid");
    assert_eq!(
        settings.kafka_properties.keys().collect::<Vec<_>>(),
        ["log_level", "sasl.password"]
    );
    assert_eq!(settings.kafka_properties["sasl.password"], Secret::new("hunter2"));
    assert_eq!(
        settings.warnings,
        [
            "environment: KAFKA_CREDENTIALS_FILE is ignored: librdkafka has no property credentials.file",
            "environment: KAFKA_PORT_FILE is ignored: librdkafka has no property port.file",
        ]
    );
    let errors = from_environment(&[("KAFKA_SECURITY_PROTOCOL", "telepathy")]).expect_err("no such protocol");
    assert_eq!(errors.len(), 1);
    assert!(errors[0].starts_with("environment: KAFKA_SECURITY_PROTOCOL: ") && !errors[0].contains("telepathy"));
    assert!(from_file("KAFKA_PORT = \"tcp\"\n").is_err(), "in a file it is an error");
}

#[test]
fn a_jwk_set_that_is_none_is_named_and_not_quoted() {
    let errors = from_environment(&[("JWT_PUBLIC_SIGNING_JWK_SET", "{\"keys\": hunter2}")]).expect_err("no JSON");
    assert_eq!(errors.len(), 1);
    assert!(errors[0].starts_with("environment: JWT_PUBLIC_SIGNING_JWK_SET: ") && !errors[0].contains("hunter2"));
}

#[test]
fn an_issuer_image_that_is_none_is_a_wrong_setting() {
    for (path, problem) in [
        ("/nonexistent/accolade.png", "the file cannot be read"),
        ("Cargo.toml", "PNG"),
    ] {
        let errors = from_environment(&[("ISSUER_IMAGE", path)]).expect_err("wrong");
        assert!(
            matches!(errors.as_slice(), [error] if error.contains("ISSUER_IMAGE") && error.contains(problem) && !error.contains(path)),
            "{errors:?}"
        );
    }
}

const BADGR: [(&str, &str); 3] = [
    ("BADGR_USERNAME", "u"),
    ("BADGR_PASSWORD", "hunter2"),
    ("BADGR_ISSUER_SLUG", "i"),
];
const LONG: &str = "hunter2-hunter2-hunter2-hunter2-";

/// The settings that are warned of; no warning quotes a value.
fn warned_of(pairs: &[(&str, &str)]) -> Vec<String> {
    let settings = from_environment(pairs).unwrap_or_else(|errors| panic!("{pairs:?}: {errors:?}"));
    let quoted = |warning: &&String| warning.contains("hunter2") || warning.contains("example");
    assert_eq!(settings.warnings.iter().find(quoted), None);
    let name = |warning: &String| warning.split_once(": ").expect("a name and a reason").0.to_owned();
    settings.warnings.iter().map(name).collect()
}

#[test]
fn what_is_sent_in_clear_is_warned_of_unless_it_stays_on_this_machine() {
    let badgr = |url| [&BADGR[..], &[("BADGR_BASE_URL", url)]].concat();
    let http = |url| {
        let token = ("BACKEND_TOKEN", "hunter2");
        vec![("BADGING_BACKEND", "http"), ("BACKEND_URL", url), token]
    };
    let database = |url| vec![("DATABASE_URL", url), ("SECRET_KEY", LONG)];
    let kafka = |servers, more: &[(&'static str, &'static str)]| {
        let servers = [("KAFKA_BOOTSTRAP_SERVERS", servers), ("KAFKA_SASL_PASSWORD", "hunter2")];
        [&servers[..], more].concat()
    };
    let sasl = [("KAFKA_SECURITY_PROTOCOL", "SASL_PLAINTEXT")];
    let unchecked = [
        ("KAFKA_SECURITY_PROTOCOL", "sasl_ssl"),
        ("KAFKA_ENABLE_SSL_CERTIFICATE_VERIFICATION", "False"),
        ("KAFKA_SSL_ENDPOINT_IDENTIFICATION_ALGORITHM", "none"),
    ];
    for (pairs, names) in [
        (badgr("http://badgr.example"), &["BADGR_BASE_URL"][..]),
        (badgr("https://badgr.example"), &[]),
        (badgr("http://localhost:8000"), &[]),
        (badgr("http://127.0.0.2:8000"), &[]),
        (http("http://10.0.0.1/x"), &["BACKEND_URL"]),
        (http("https://generator.example"), &[]),
        (http("http://[::1]:8000"), &[]),
        (
            vec![("BADGING_BACKEND", "http"), ("BACKEND_URL", "http://generator.example")],
            &[],
        ),
        (database("postgres://ada:hunter2@db.example/d"), &["DATABASE_URL"]),
        (database("postgres://ada:hunter2@db.example/d?sslmode=verify-full"), &[]),
        (database("postgres://ada:hunter2@db.example/d?sslmode=disable"), &[]),
        (database("postgres://ada:hunter2@127.0.0.1/d"), &[]),
        (kafka("kafka.example:9092", &sasl), &["KAFKA_SECURITY_PROTOCOL"]),
        (
            kafka("127.0.0.1:9092,kafka.example:9092", &sasl),
            &["KAFKA_SECURITY_PROTOCOL"],
        ),
        (kafka("127.0.0.1:9092,[::1]:9092, localhost", &sasl), &[]),
        (
            kafka("kafka.example:9092", &[("KAFKA_SECURITY_PROTOCOL", "SASL_SSL")]),
            &[],
        ),
        (kafka("kafka.example:9092", &[]), &[]),
        (
            kafka("kafka.example:9092", &unchecked),
            &[
                "KAFKA_ENABLE_SSL_CERTIFICATE_VERIFICATION",
                "KAFKA_SSL_ENDPOINT_IDENTIFICATION_ALGORITHM",
            ],
        ),
        (kafka("localhost:9092", &unchecked), &[]),
    ] {
        assert_eq!(warned_of(&pairs), names, "{pairs:?}");
    }
}

#[test]
fn a_key_that_is_short_is_warned_of() {
    let short = &LONG[..31];
    let both = [("SECRET_KEY", short), ("JWT_SECRET_KEY", "hunter2")];
    assert_eq!(warned_of(&both), ["SECRET_KEY", "JWT_SECRET_KEY"]);
    assert!(warned_of(&[("SECRET_KEY", LONG), ("JWT_SECRET_KEY", LONG)]).is_empty());
}
