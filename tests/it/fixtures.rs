//! The fixtures that need nothing else are what they say they are.

use serde_json::{Value, json};

use crate::harness::events::{self, Encoded, Event, Learner};
use crate::harness::{images, tokens};

fn header<'a>(encoded: &'a Encoded, name: &str) -> Option<&'a str> {
    encoded
        .headers
        .iter()
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.as_str())
}

fn body(encoded: &Encoded) -> Value {
    serde_json::from_slice(&encoded.body).expect("bodies are JSON")
}

#[test]
fn an_event_carries_the_same_data_in_all_its_shapes() {
    let ada = Learner::new(42).without_email();
    let course = events::course(1);
    for event in [
        Event::enrollment_created(&ada, &course),
        Event::enrollment_deactivated(&ada, &course),
        Event::certificate_generated(&ada, &course),
        Event::certificate_revoked(&ada, &course),
        Event::course_updated(&course, false),
        Event::learner_updated(&ada),
        Event::learner_retired(&ada),
        Event::badge_requested(&ada, "helper", "xblock", ""),
    ] {
        let event = event.id("e1").at("2026-11-01T12:00:00Z").with("/extra", json!(1));
        let (structured, binary, bare) = (event.structured(), event.binary(), event.bare());
        assert_eq!(body(&structured), event.json());
        assert_eq!(&body(&structured)["data"], event.data());
        assert_eq!(&body(&binary), event.data());
        assert_eq!(&body(&bare), event.data());
        assert_eq!(header(&binary, "ce_type"), Some(event.kind()));
        assert_eq!(
            (header(&binary, "ce_id"), header(&binary, "ce_time")),
            (Some("e1"), Some("2026-11-01T12:00:00Z"))
        );
        assert!(bare.headers.is_empty());
        let is_certificate = event.kind().starts_with("certificate");
        assert_eq!(event.topic() == "certificate.generated", is_certificate);
        let expected = if event.kind() == "course.updated" {
            course.as_str()
        } else {
            "42"
        };
        assert_eq!(event.key(), expected);
    }
    let event = Event::enrollment_created(&ada, &course).with("/mode", Value::Null);
    assert!(event.data().get("mode").is_none() && event.data()["user"].get("email").is_none());
    assert_eq!(Learner::new(7).email.as_deref(), Some("learner7@example.com"));
}

#[test]
fn images_are_good_or_bad_as_they_say() {
    let size = |bytes: &[u8]| {
        let reader = png::Decoder::new(std::io::Cursor::new(bytes.to_vec()))
            .read_info()
            .expect("a good header");
        reader.info().size()
    };
    let decodes = |bytes: &[u8]| {
        let mut reader = png::Decoder::new(std::io::Cursor::new(bytes.to_vec()))
            .read_info()
            .expect("a good header");
        let mut buffer = vec![0; reader.output_buffer_size().expect("a small image")];
        reader.next_frame(&mut buffer).is_ok()
    };
    assert_eq!(images::square(40, 3), images::square(40, 3));
    assert_ne!(images::square(40, 3), images::square(40, 4));
    assert_eq!(
        (size(&images::square(40, 3)), size(&images::rectangle(40, 20, 3))),
        ((40, 40), (40, 20))
    );
    let large = images::too_large();
    assert!(large.len() > images::LIMIT && decodes(&large) && size(&large).0 == size(&large).1);
    assert!(decodes(&images::square(40, 3)) && !decodes(&images::corrupted()));
    assert!(images::data_uri(b"x").starts_with("data:image/png;base64,"));
}

#[test]
fn tokens_hold_against_the_keys_that_are_published() {
    use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, jwk::JwkSet};

    let set: JwkSet = serde_json::from_str(&tokens::jwk_set()).expect("the key set is one");
    let key = DecodingKey::from_jwk(set.find(tokens::KEY_ID).expect("the key is there")).expect("the key is RSA");
    let token = tokens::Token::of_administrator("ada").claim("aud", json!(null));
    for kid in [None, Some(tokens::KEY_ID)] {
        let decoded = decode::<Value>(token.rs256(kid), &key, &Validation::new(Algorithm::RS256)).expect("it holds");
        assert_eq!(decoded.header.kid.as_deref(), kid);
        assert_eq!(
            (&decoded.claims["preferred_username"], &decoded.claims["administrator"]),
            (&json!("ada"), &json!(true))
        );
    }
    let secret = DecodingKey::from_secret(tokens::SECRET.as_bytes());
    let validation = Validation::new(Algorithm::HS256);
    assert!(decode::<Value>(token.hs256(), &secret, &validation).is_ok());
    assert!(decode::<Value>(token.hs256_with("another secret"), &secret, &validation).is_err());
    assert!(decode::<Value>(tokens::Token::of("ada").expired().hs256(), &secret, &validation).is_err());
}
