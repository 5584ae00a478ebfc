use serde_json::json;

use super::*;

const DUMP: &str = include_str!("../../../tests/fixtures/openedx_badges.json");

/// A dump of one assertion, which is the usual one but for this.
fn assertion(change: Value) -> Result<DumpedAssertion, Vec<String>> {
    let mut fields = json!({"user": 41, "badge_class": 1, "created": "2016-03-01T12:00:00.5Z", "backend": "BadgrBackend",
        "data": "{}", "image_url": "https://b.example/i.png", "assertion_url": "https://b.example/public/assertions/e1"});
    for (name, value) in change.as_object().expect("fields") {
        fields[name] = value.clone();
    }
    let text = json!([{"model": "badges.badgeassertion", "pk": 9, "fields": fields}]).to_string();
    let dump = Dump::parse(&text).expect("a dump");
    let said = |problem: FieldProblem| format!("{}: {}", problem.field, problem.problem);
    let read = dump.assertions[0].assertion();
    read.map_err(|problems| problems.into_iter().map(said).collect())
}

#[test]
fn a_dump_of_django_is_read() {
    let dump = Dump::parse(DUMP).expect("a dump");
    let pks = |rows: &[Row<'_>]| rows.iter().map(|row| row.pk.clone()).collect::<Vec<_>>();
    assert_eq!(pks(&dump.badge_classes), ["1", "2", "3"]);
    assert_eq!(pks(&dump.assertions), ["1", "2", "3"]);
    assert_eq!((dump.images.len(), dump.configurations.len(), dump.others), (2, 3, 0));
    let image = include_bytes!("../../../deploy/images/honor.png");
    let (class, at_badgr) = dump.badge_classes[0]
        .badge_class(|path| {
            assert_eq!(path, "badge_classes/sample-enrolled_three.png");
            Ok(image.to_vec())
        })
        .expect("a badge class");
    assert_eq!(
        (class.key.slug.as_str(), class.key.course_id.as_str()),
        ("enrolled_three", "")
    );
    assert_eq!(at_badgr.as_deref(), Some("TC9GNiKxR6iB8jUiQzB9Bw"));
    let oldest = dump.assertions[0].assertion().expect("an assertion");
    assert_eq!(
        oldest.backend_id.as_deref(),
        Some("a91f3c"),
        "from a text within a text"
    );
    assert_eq!(oldest.created.to_rfc3339(), "2016-02-03T04:05:06+00:00");
    let newer = dump.assertions[1].assertion().expect("an assertion");
    assert_eq!((newer.user.clone(), newer.badge_class.as_str()), (UserRef::Id(41), "1"));
    assert_eq!(newer.issuer, "https://badgr.example.com/public/issuers/iss3VbUVRqm2wQ");
    assert_eq!(
        newer.evidence_url.as_deref(),
        Some("https://lms.example.com/evidence/xT5Q2y7mRkW0Zs1o")
    );
    let configuration = dump.configurations[2].configuration().expect("a configuration");
    assert_eq!(configuration.texts.courses_enrolled, "3,enrolled_three\r\n");
    assert_eq!(
        (configuration.enabled, configuration.changed_by),
        (true, Some(UserRef::Id(7)))
    );
    let ada = dump.users.details(LearnerId(41)).expect("an account");
    assert_eq!(
        (ada.username.as_str(), ada.email.as_deref()),
        ("ada", Some("ada@example.com"))
    );
    assert_eq!(dump.users.id_of(&UserRef::Name("bob".to_owned())), Some(LearnerId(42)));
    assert_eq!(dump.users.id_of(&UserRef::Name("eve".to_owned())), None);
}

#[test]
fn what_a_backend_said_is_kept_without_addresses() {
    let said = json!({"entityId": "e9", "recipient": {"identity": "sha256$aa", "plaintextIdentity": "\"a b\"@example.com"},
        "email": "ada@example.com", "note": "to \"a b\"@example.com"});
    let clean = json!({"entityId": "e9", "recipient": {"identity": "sha256$aa"}, "email": "[e-mail]",
        "note": "to [e-mail]"});
    for data in [
        said.clone(),
        json!(said.to_string()),
        json!(json!(said.to_string()).to_string()),
    ] {
        let read = assertion(json!({"data": data})).expect("an assertion");
        assert_eq!((read.data, read.backend_id.as_deref()), (clean.clone(), Some("e9")));
    }
    for data in [
        json!(null),
        json!(""),
        json!("no JSON"),
        json!([1]),
        json!("{\"a\": \"\\u0000\"}"),
    ] {
        let read = assertion(json!({"data": data})).expect("an assertion");
        assert_eq!(
            read.backend_id.as_deref(),
            Some("e1"),
            "the address ends with it: {data}"
        );
    }
}

#[test]
fn a_backend_gets_our_name_for_it() {
    for (name, ours) in [
        ("BadgrBackend", "badgr"),
        ("lms.djangoapps.badges.backends.badgr.BadgrBackend", "badgr"),
        ("DummyBackend", "DummyBackend"),
        ("builtin", "openedx:builtin"),
    ] {
        let read = assertion(json!({"backend": name, "data": {"entityId": "e9"}})).expect("an assertion");
        assert_eq!(read.backend, ours);
        assert_eq!(read.backend_id.is_some(), ours == "badgr");
    }
}

#[test]
fn times_may_lack_their_zone() {
    for (text, expected) in [
        ("2016-03-01T12:00:00", "2016-03-01T12:00:00+00:00"),
        ("2016-03-01T12:00:00.25", "2016-03-01T12:00:00.250+00:00"),
        ("2016-03-01T14:00:00+02:00", "2016-03-01T12:00:00+00:00"),
    ] {
        let read = assertion(json!({"created": text})).expect("an assertion");
        assert_eq!(read.created.to_rfc3339(), expected);
    }
}

#[test]
fn every_wrong_field_is_named_with_the_reason() {
    let problems = assertion(
        json!({"user": null, "badge_class": null, "created": "yesterday", "backend": 7,
        "image_url": "javascript:alert(1)", "assertion_url": "ftp://b.example"}),
    )
    .expect_err("wrong");
    let named: Vec<&str> = problems
        .iter()
        .filter_map(|problem| problem.split(':').next())
        .collect();
    assert_eq!(
        named,
        [
            "user",
            "badge_class",
            "created",
            "backend",
            "assertion_url",
            "image_url"
        ],
        "{problems:?}"
    );
    // Badgr answered, and Open edX could not read it.
    let lost = assertion(json!({"assertion_url": "", "image_url": "", "backend": ""})).expect_err("lost");
    assert!(lost[0].starts_with("assertion_url: empty"), "{lost:?}");
    let no_image = assertion(json!({"image_url": ""})).expect("an assertion");
    assert_eq!(no_image.image_url, "https://b.example/public/assertions/e1/image");
}

#[test]
fn what_is_no_dump_is_told_apart() {
    let no = |text: &str| Dump::parse(text).expect_err(text);
    assert_eq!(no("[\n{]"), NotADump::NotJson { line: 2, column: 2 });
    for text in ["{}", "7", "\"x\"", "null"] {
        assert_eq!(no(text), NotADump::NotAList, "{text}");
    }
    assert!(matches!(no(""), NotADump::NotJson { .. }));
    let dump =
        Dump::parse("[1, {\"model\": \"auth.group\", \"pk\": 1, \"fields\": {}}, {\"model\": 3}]").expect("a list");
    let damaged: Vec<usize> = dump.damaged.iter().map(|one| one.number).collect();
    assert_eq!((damaged, dump.others), (vec![1, 3], 1));
    let odd = r#"[{"model": "badges.badgeassertion", "pk": 1, "fields": []}]"#;
    let problems = Dump::parse(odd).expect("a dump").assertions[0]
        .assertion()
        .expect_err("no fields");
    assert_eq!(problems[0].field, "fields");
}

proptest::proptest! {
    #[test]
    fn any_list_is_read_or_refused(text in ".{0,200}", data in ".{0,80}", url in ".{0,40}") {
        drop(Dump::parse(&text));
        let read = assertion(json!({"data": data, "assertion_url": url, "backend": text}));
        if let Ok(read) = read {
            proptest::prop_assert!(read.assertion_url.starts_with("http"));
        }
    }
}
