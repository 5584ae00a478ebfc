use super::*;
use crate::wire::record::Header;

fn record(value: &str) -> Record {
    Record {
        topic: "t".into(),
        partition: 0,
        offset: 0,
        timestamp: None,
        key: Some(b"course-v1:edX+A+1".to_vec()),
        value: Some(value.as_bytes().to_vec()),
        headers: Vec::new(),
    }
}

fn ada() -> Person {
    let mut ada = Person::new(LearnerId(42));
    ada.add_user_name(Some("ada"));
    ada.add_full_name(Some("Zoë Lovelace"));
    ada.add_full_name(Some(" "));
    ada.add_address(Some("ada@example.com"));
    ada
}

fn speaks_of_ada(record: &Record) -> bool {
    ada().is_among(&Mentions::of(record))
}

#[test]
fn a_record_speaks_of_the_learner_whose_id_it_names() {
    for (value, ids) in [
        (r#"{"user": {"id": 42}}"#, vec![42]),
        (r#"{"data": {"user": {"id": "42"}}}"#, vec![42]),
        (r#"{"user": {"name": "x", "id" : 42, "course"#, vec![42]),
        (r#"{"user": {"id": 42}} {"user": {"id": 7}}"#, vec![7, 42]),
        (r#""{\"user\": {\"id\": -42"#, vec![-42]),
        (r#"{"user": {"id": null}, "course": {"id": 7}}"#, vec![]),
        (r#"{"user": {"id": 42"#, vec![42]),
        ("\u{1}{", vec![]),
    ] {
        let expected: BTreeSet<LearnerId> = ids.into_iter().map(LearnerId).collect();
        assert_eq!(learners_named(&record(value)), expected, "{value}");
    }
    let mut keyed = record("not JSON");
    keyed.key = Some(b"42".to_vec());
    assert_eq!(learners_named(&keyed), [LearnerId(42)].into());
    keyed.value = Some(br#"{"user": {"id": 7}}"#.to_vec());
    assert_eq!(
        learners_named(&keyed),
        [LearnerId(7)].into(),
        "a key may be the id of anything"
    );
}

#[test]
fn a_record_that_names_no_id_is_searched_for_names() {
    for (value, expected) in [
        ("learner ada, mode honor", true),
        ("ADA", true),
        (r#"{"user": {"username": "ada"}}"#, true),
        (r#"{"user": "Zo\u00eb Lovelace"#, true),
        ("to=ada%40example.com", true),
        ("\u{2}\"ada@example.com", true),
        ("Xada@example.com", true),
        (r#"{"ada": 1}"#, false),
        (r#"{"ada" : 1"#, false),
        ("adam, ada_b, b-ada", false),
        ("Lovelace", false),
        // About somebody else.
        (r#"{"user": {"id": 7, "username": "ada"}}"#, false),
        (r#"{"user": {"id": 7, "email": "xada@example.com"}}"#, false),
        (r#"{"user": {"id": 7, "email": "Ada@example.com"}}"#, true),
    ] {
        assert_eq!(speaks_of_ada(&record(value)), expected, "{value}");
    }
    let mut of_headers = record("{");
    of_headers.headers.push(Header::text("ce_subject", "ada"));
    assert!(speaks_of_ada(&of_headers));
    of_headers.headers = vec![Header::text("ada", "x")];
    assert!(speaks_of_ada(&of_headers));
    of_headers.headers = vec![Header::text("x", "y")];
    assert!(!speaks_of_ada(&of_headers));
    of_headers.key = Some(b"ada".to_vec());
    assert!(speaks_of_ada(&of_headers));
}

#[test]
fn a_full_name_of_one_word_is_any_word() {
    let mut mode = Person::new(LearnerId(1));
    mode.add_full_name(Some("Honor"));
    let open = Mentions::of(&record("mode honor"));
    assert!(!mode.is_among(&open));
    assert_eq!(mode.user_names().count(), 0, "nobody acts under a full name");
    mode.add_user_name(Some("honor"));
    assert!(mode.is_among(&open));
}

#[test]
fn names_are_taken_out_of_the_texts_of_json_alone() {
    let mut odd = Person::new(LearnerId(1));
    odd.add_user_name(Some("42"));
    odd.add_user_name(Some("null"));
    odd.add_full_name(Some("Zo\"e \\ Q"));
    let mut json = serde_json::json!({"42": 42, "of": null, "why": ["of Zo\"e \\ Q", {"is": "null"}]});
    assert!(odd.erased_from_json(&mut json));
    let expected = serde_json::json!({"42": 42, "of": null, "why": ["of [erased]", {"is": "[erased]"}]});
    assert_eq!(json, expected);
    assert!(!odd.erased_from_json(&mut json));
}

#[test]
fn names_are_taken_out_of_texts() {
    for (text, expected) in [
        ("ada cheated", Some("[erased] cheated")),
        (
            "mail ADA@example.com, or zoë lovelace.",
            Some("mail [erased], or [erased]."),
        ),
        (
            "https://lms/u/ada/1?to=ada%40example.com",
            Some("https://lms/u/[erased]/1?to=[erased]"),
        ),
        ("İada ada", Some("İada [erased]")),
        ("a mistake of Adam", None),
        ("", None),
    ] {
        assert_eq!(ada().erased_from(text).as_deref(), expected, "{text}");
    }
    let mut odd = Person::new(LearnerId(1));
    odd.add_user_name(Some("odd@example.com"));
    assert_eq!(odd.erased_from("to xodd@example.com").as_deref(), Some("to x[erased]"));
    assert_eq!(format!("{odd:?}"), "Person(1)");
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_searched(value in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..64), text in ".*") {
        let mut any = record("");
        any.value = Some(value);
        let _ = speaks_of_ada(&any);
        let erased = ada().erased_from(&format!("{text} ada@example.com"));
        proptest::prop_assert!(erased.is_some_and(|erased| !erased.contains("ada@example.com")));
    }
}
