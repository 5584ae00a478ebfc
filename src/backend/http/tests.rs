use super::*;
use crate::backend::testing;

fn answer(status: u16, body: &Value) -> Answer {
    Answer {
        status,
        body: Some(body.to_string().into_bytes()),
        ..Answer::default()
    }
}

fn base() -> Url {
    Url::parse("https://gen.example/accolade").expect("a URL")
}

#[test]
fn each_answer_has_its_meaning() {
    let problem = json!({"detail": "no room for ada@example.com"});
    let cases = [
        (400, "refused"),
        (404, "refused"),
        (422, "refused"),
        (401, "blocked"),
        (403, "blocked"),
        (429, "not_sent"),
        (503, "not_sent"),
        (500, "unknown"),
        (502, "unknown"),
        (301, "unknown"),
        (204, "unknown"),
        (418, "unknown"),
    ];
    for (status, code) in cases {
        let error = issued(&answer(status, &problem), &base(), "ada@example.com").expect_err("an error");
        assert_eq!(error.code(), code, "{status}");
        assert!(!error.to_string().contains('@'), "{error}");
    }
    let refused = refusal(&answer(422, &problem), "");
    assert_eq!(
        refused.to_string(),
        "refused: the backend answers 422: no room for [e-mail]"
    );
    for status in [200, 201, 409] {
        let unreadable = issued(&answer(status, &json!({})), &base(), "").expect_err("no URL");
        assert_eq!(unreadable.code(), "unknown");
    }
}

#[test]
fn an_award_that_was_issued_before_is_taken() {
    let body = json!({"assertion_url": "https://gen.example/1", "image_url": "https://gen.example/1.png",
                      "data": {"to": "Ada@example.com", "issuer": "https://gen.example/issuer"}});
    for status in [200, 201, 409] {
        let issued = issued(&answer(status, &body), &base(), "ada@example.com").expect("issued");
        assert_eq!(issued.assertion_url, "https://gen.example/1");
        assert_eq!(issued.image_url, "https://gen.example/1.png");
        assert_eq!(issued.issuer, "https://gen.example/issuer");
        assert_eq!(issued.data["to"], "[e-mail]");
    }
}

#[test]
fn an_answer_that_is_nested_deeply_cannot_be_read() {
    let nested = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    let body = format!("{{\"assertion_url\": \"https://gen.example/1\", \"data\": {nested}}}");
    for status in [201, 400] {
        let answer = Answer {
            status,
            body: Some(body.clone().into_bytes()),
            ..Answer::default()
        };
        assert!(issued(&answer, &base(), "").is_err(), "{status}");
    }
}

#[test]
fn only_web_addresses_are_taken() {
    let long = format!("https://gen.example/{}", "a".repeat(2048));
    for url in ["javascript:alert(1)", "https://gen.example/\n1", "/1", &long] {
        let body = json!({"assertion_url": url});
        let error = issued(&answer(201, &body), &base(), "").expect_err("no address of the web");
        assert_eq!(error.code(), "unknown", "{url}");
        assert!(error.to_string().contains("assertion_url"), "{error}");
        let body = json!({"assertion_url": "https://gen.example/1", "image_url": url});
        let issued = issued(&answer(201, &body), &base(), "").expect("an image is not needed");
        assert_eq!(issued.image_url, "", "{url}");
    }
}

/// The address of a server that gives this answer to each request.
async fn server(answer: Vec<u8>) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(&answer).await;
        }
    });
    format!("http://{address}")
}

#[tokio::test]
async fn an_answer_that_is_too_long_is_not_read_and_the_limit_is_named() {
    let body = |length: usize| {
        let data = json!({"assertion_url": "https://gen.example/1", "data": {"filling": "x".repeat(length)}});
        let data = data.to_string();
        format!("HTTP/1.1 201 Created\r\nContent-Length: {}\r\n\r\n{data}", data.len()).into_bytes()
    };
    for (length, fits) in [(200 << 10, true), (256 << 10, false)] {
        let settings = Settings {
            url: server(body(length)).await,
            token: None,
            ca_file: None,
        };
        let clock = Arc::new(crate::clock::ManualClock::default());
        let backend = Http::new(settings, clock, Arc::new(Metrics::new())).expect("a client");
        match backend.award(&testing::award_request()).await {
            Ok(_) => assert!(fits, "{length}"),
            Err(error) => {
                assert!(!fits, "{length}: {error}");
                assert_eq!(error.code(), "unknown");
                assert!(error.to_string().contains("262144 bytes"), "{error}");
            }
        }
    }
}

#[test]
fn the_issuer_of_an_award_is_no_address() {
    let body = json!({"assertion_url": "https://gen.example/1", "data": {"issuer": "Ada <ada@example.com>"}});
    let issued = issued(&answer(201, &body), &base(), "").expect("issued");
    assert_eq!(
        (issued.issuer.as_str(), &issued.data["issuer"]),
        ("Ada <[e-mail]>", &json!("Ada <[e-mail]>"))
    );
}

#[test]
fn the_request_says_all_that_a_badge_needs() {
    let request = testing::award_request();
    let body = award_body(&request);
    assert_eq!(body["award_id"], request.award.0.to_string());
    assert_eq!(body["badge_class"]["image"], "data:image/png;base64,cG5n");
    assert_eq!(body["badge_class"]["slug"], "enrolled_three");
    assert_eq!(
        body["recipient"],
        json!({"id": 42, "username": "ada", "email": "ada@example.com", "name": "Ada"})
    );
    assert_eq!(body["reason"]["kind"], "courses_enrolled");
    assert_eq!(body["evidence_url"], Value::Null);
}
