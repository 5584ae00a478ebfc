//! The fake Badgr against the conversations that were measured at a real one.

use std::time::Duration;

use reqwest::{Client, RequestBuilder, Response};
use serde_json::{Value, json};

use crate::harness::fake_badgr::{FakeBadgr, Fault, ISSUER_SLUG, Operation, PASSWORD, USERNAME};
use crate::harness::images;

const DUPLICATE: &str = "A previous award of this badge already exists for this recipient.";

/// A client with a token.
struct Caller {
    http: Client,
    url: String,
    token: String,
}

impl Caller {
    async fn new(badgr: &FakeBadgr) -> Self {
        let http = Client::new();
        let grant = json_of(password_grant(&http, &badgr.url(), PASSWORD))
            .await
            .1;
        let token = grant["access_token"]
            .as_str()
            .expect("a token was granted")
            .to_owned();
        Self {
            http,
            url: badgr.url(),
            token,
        }
    }

    fn get(&self, path: &str) -> RequestBuilder {
        self.http
            .get(format!("{}{path}", self.url))
            .bearer_auth(&self.token)
    }

    fn post(&self, path: &str, body: &Value) -> RequestBuilder {
        self.http
            .post(format!("{}{path}", self.url))
            .bearer_auth(&self.token)
            .json(body)
    }

    fn make(&self, body: &Value) -> RequestBuilder {
        self.post(&format!("/v2/issuers/{ISSUER_SLUG}/badgeclasses"), body)
    }

    async fn made(&self) -> String {
        let (status, body) = json_of(self.make(&badge_class())).await;
        assert_eq!(status, 201, "{body}");
        id_of(&body)
    }

    fn award(&self, class: &str, body: &Value) -> RequestBuilder {
        self.post(&format!("/v2/badgeclasses/{class}/assertions"), body)
    }

    fn revoke(&self, id: &str, body: &Value) -> RequestBuilder {
        self.http
            .delete(format!("{}/v2/assertions/{id}", self.url))
            .bearer_auth(&self.token)
            .json(body)
    }
}

fn badge_class() -> Value {
    json!({
        "name": "Three courses", "description": "Enrolled in three courses",
        "criteriaUrl": "https://lms.example.com/criteria", "image": images::data_uri(&images::square(40, 1)),
    })
}

fn with(mut body: Value, name: &str, value: Value) -> Value {
    body[name] = value;
    body
}

fn award_to(email: &str) -> Value {
    json!({"recipient": {"identity": email, "type": "email"}, "notify": false})
}

fn password_grant(http: &Client, url: &str, password: &str) -> RequestBuilder {
    http.post(format!("{url}/o/token"))
        .form(&[("username", USERNAME), ("password", password)])
}

fn refresh_grant(http: &Client, url: &str, token: &str) -> RequestBuilder {
    http.post(format!("{url}/o/token"))
        .form(&[("grant_type", "refresh_token"), ("refresh_token", token)])
}

async fn json_of(request: RequestBuilder) -> (u16, Value) {
    let response = request.send().await.expect("an answer comes");
    let status = response.status().as_u16();
    (status, response.json().await.expect("the answer is JSON"))
}

async fn status_of(request: RequestBuilder) -> u16 {
    request
        .send()
        .await
        .expect("an answer comes")
        .status()
        .as_u16()
}

fn id_of(body: &Value) -> String {
    body["result"][0]["entityId"]
        .as_str()
        .expect("the result has an id")
        .to_owned()
}

fn content_type(response: &Response) -> &str {
    response.headers()["content-type"]
        .to_str()
        .expect("content types are ASCII")
}

#[tokio::test]
async fn every_password_grant_is_a_new_token_and_the_older_stays_good() {
    let badgr = FakeBadgr::start().await;
    let first = Caller::new(&badgr).await;
    let second = Caller::new(&badgr).await;
    assert_ne!(first.token, second.token);
    for caller in [first, second] {
        assert_eq!(status_of(caller.get("/v2/issuers/issuer1")).await, 200);
    }
    assert_eq!(badgr.token_requests().len(), 2);
}

#[tokio::test]
async fn a_refresh_token_works_once_and_ends_the_old_access_token() {
    let badgr = FakeBadgr::start().await;
    let http = Client::new();
    let (_, old) = json_of(password_grant(&http, &badgr.url(), PASSWORD)).await;
    let refresh = old["refresh_token"]
        .as_str()
        .expect("a refresh token was granted");
    let (status, new) = json_of(refresh_grant(&http, &badgr.url(), refresh)).await;
    assert_eq!((status, new["expires_in"].as_u64()), (200, Some(86_400)));
    let issuer = format!("{}/v2/issuers/issuer1", badgr.url());
    let with_token = |grant: &Value| {
        http.get(&issuer)
            .bearer_auth(grant["access_token"].as_str().unwrap_or_default())
    };
    assert_eq!(status_of(with_token(&old)).await, 401);
    assert_eq!(status_of(with_token(&new)).await, 200);
    let (status, body) = json_of(refresh_grant(&http, &badgr.url(), refresh)).await;
    assert_eq!((status, body), (400, json!({"error": "invalid_grant"})));
}

#[tokio::test]
async fn a_failed_grant_throttles_its_own_key_only() {
    let badgr = FakeBadgr::start().await;
    let http = Client::new();
    let (status, body) = json_of(password_grant(&http, &badgr.url(), "wrong")).await;
    assert_eq!(
        (status, body["error"].as_str()),
        (400, Some("invalid_grant"))
    );
    assert_eq!(body["error_description"], "Invalid credentials given.");

    let throttled = password_grant(&http, &badgr.url(), PASSWORD)
        .send()
        .await
        .expect("an answer comes");
    assert_eq!(
        (throttled.status().as_u16(), content_type(&throttled)),
        (429, "text/html")
    );
    assert!(!throttled.headers().contains_key("retry-after"));
    let body: Value = throttled.json().await.expect("the answer is JSON");
    assert_eq!(
        (&body["error"], &body["expires"]),
        (&json!("login attempts throttled"), &json!(2))
    );

    let (status, _) = json_of(refresh_grant(&http, &badgr.url(), "unknown")).await;
    assert_eq!(status, 400, "a refresh has a key of its own");
    let (status, _) = json_of(refresh_grant(&http, &badgr.url(), "unknown")).await;
    assert_eq!(status, 429);
}

#[tokio::test]
async fn grants_come_in_the_body_as_a_form() {
    let badgr = FakeBadgr::start().await;
    let http = Client::new();
    let token = format!("{}/o/token", badgr.url());
    let (status, body) = json_of(http.post(format!("{token}?username=a&password=b"))).await;
    assert_eq!(status, 400);
    assert_eq!(
        body["error"],
        "Token grant parameters must be sent in post body, not query parameters"
    );
    let (status, body) = json_of(
        http.post(token)
            .json(&json!({"username": USERNAME, "password": PASSWORD})),
    )
    .await;
    assert_eq!((status, &body["error"]), (400, &json!("invalid_request")));
}

#[tokio::test]
async fn without_a_good_token_nothing_is_read() {
    let badgr = FakeBadgr::builder().expires_in(3_600).start().await;
    let caller = Caller::new(&badgr).await;
    assert_eq!(status_of(caller.get("/v2/issuers/issuer1")).await, 200);
    badgr.expire_tokens();
    let (status, body) = json_of(caller.get("/v2/issuers/issuer1")).await;
    assert_eq!(status, 401);
    assert_eq!(
        body,
        json!({
            "status": {"success": false, "description": "no valid auth token found"},
            "result": [], "fieldErrors": {}, "validationErrors": [],
        })
    );
    assert_eq!(
        status_of(Client::new().get(format!("{}/v2/issuers/issuer1", badgr.url()))).await,
        401
    );
}

#[tokio::test]
async fn a_badge_class_is_made_from_json_and_from_a_form_and_its_name_is_not_unique() {
    let badgr = FakeBadgr::start().await;
    let caller = Caller::new(&badgr).await;
    let response = caller
        .make(&badge_class())
        .send()
        .await
        .expect("an answer comes");
    assert_eq!(
        (response.status().as_u16(), content_type(&response)),
        (201, "application/ld+json")
    );
    let form = reqwest::multipart::Form::new()
        .text("name", "Three courses")
        .text("criteriaUrl", "https://lms.example.com/criteria")
        .text("description", "Enrolled in three courses")
        .part(
            "image",
            reqwest::multipart::Part::bytes(images::square(40, 1)).file_name("image.png"),
        );
    let url = format!("{}/v2/issuers/issuer1/badgeclasses", badgr.url());
    let (status, body) = json_of(
        caller
            .http
            .post(url)
            .bearer_auth(&caller.token)
            .multipart(form),
    )
    .await;
    assert_eq!(
        (status, &body["result"][0]["name"]),
        (201, &json!("Three courses"))
    );

    let (_, listed) = json_of(caller.get("/v2/issuers/issuer1/badgeclasses")).await;
    let ids: Vec<&Value> = listed["result"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|c| &c["entityId"])
        .collect();
    let made = badgr.badge_classes();
    assert_eq!(ids, made.iter().map(|c| &c.entity_id).collect::<Vec<_>>());
    assert_eq!(made[0].image, made[1].image);
    let read = caller.get(&format!("/v2/badgeclasses/{}", made[1].entity_id));
    assert_eq!(
        json_of(read).await.1["result"][0]["criteriaUrl"],
        made[1].criteria_url
    );
    assert_eq!(made[0].image_type, "image/png");
}

#[tokio::test]
async fn a_badge_class_is_refused_with_the_fields_named() {
    let badgr = FakeBadgr::start().await;
    let caller = Caller::new(&badgr).await;
    let (status, body) = json_of(caller.make(&json!({}))).await;
    assert_eq!(status, 400);
    let errors = &body["fieldErrors"];
    assert_eq!(errors["image"], "Valid image file or data URI required.");
    assert!(
        errors["name"].is_array() && errors["description"].is_array(),
        "{errors}"
    );
    let png = images::square(40, 1);
    for (image, message) in [
        (
            "nonsense".to_owned(),
            "The submitted data was not a file. Check the encoding type on the form.",
        ),
        (images::data_uri(b"\xff\xd8\xff\xe0jpeg"), "Invalid PNG"),
        (images::data_uri(b"garbage"), "Invalid image."),
        (images::data_uri(&png[..png.len() / 2]), "Invalid image."),
        (images::data_uri(&images::corrupted()), "Invalid image."),
    ] {
        let (status, body) =
            json_of(caller.make(&with(badge_class(), "image", json!(image)))).await;
        assert_eq!(
            (status, &body["fieldErrors"]["image"]),
            (400, &json!([message]))
        );
    }
    for (url, taken) in [
        ("http://accolade:8080/x", false),
        ("nonsense", false),
        ("ftp:x", false),
        ("http://127.0.0.1:8080/x", true),
        ("https://lms.example.com/x", true),
    ] {
        let status = status_of(caller.make(&with(badge_class(), "criteriaUrl", json!(url)))).await;
        assert_eq!(status, if taken { 201 } else { 400 }, "{url}");
    }
    assert_eq!(badgr.badge_classes().len(), 2);
}

#[tokio::test]
async fn hosts_without_a_dot_are_taken_where_hosts_are_not_checked() {
    let badgr = FakeBadgr::builder().check_url_hosts(false).start().await;
    let caller = Caller::new(&badgr).await;
    let body = with(
        badge_class(),
        "criteriaUrl",
        json!("http://accolade:8080/x"),
    );
    assert_eq!(status_of(caller.make(&body)).await, 201);
}

#[tokio::test]
async fn texts_beyond_the_columns_break_the_server() {
    let badgr = FakeBadgr::start().await;
    let caller = Caller::new(&badgr).await;
    let url = |length: usize| format!("https://e.org/{}", "x".repeat(length - 14));
    for (field, text, status) in [
        ("name", "n".repeat(255), 201),
        ("name", "n".repeat(256), 500),
        ("name", "n".repeat(1_025), 400),
        ("name", "Party 🎉".to_owned(), 500),
        ("description", "Ünïcödé → fine".to_owned(), 201),
        ("description", "d".repeat(16_385), 400),
        ("description", "🎉".to_owned(), 500),
        ("criteriaUrl", url(254), 201),
        ("criteriaUrl", url(255), 500),
    ] {
        assert_eq!(
            status_of(caller.make(&with(badge_class(), field, json!(text)))).await,
            status,
            "{field}: {text}"
        );
    }
    let body = with(badge_class(), "name", json!(" <b>Bold</b> 1 < 2 "));
    assert_eq!(
        json_of(caller.make(&body)).await.1["result"][0]["name"],
        "Bold 1 < 2"
    );
}

#[tokio::test]
async fn an_award_has_a_hashed_recipient_in_lower_case() {
    let badgr = FakeBadgr::start().await;
    let caller = Caller::new(&badgr).await;
    let class = caller.made().await;
    let body = with(
        award_to("Ada@Example.com"),
        "evidence",
        json!([{"url": "https://lms.example.com/c/1"}]),
    );
    let (status, body) = json_of(caller.award(&class, &body)).await;
    assert_eq!(status, 201, "{body}");
    let result = &body["result"][0];
    let id = id_of(&body);
    assert_eq!(
        result["openBadgeId"],
        format!("{}/public/assertions/{id}", badgr.url())
    );
    assert_eq!(result["recipient"]["plaintextIdentity"], "ada@example.com");
    let identity = result["recipient"]["identity"]
        .as_str()
        .expect("the identity is text");
    assert!(
        identity.starts_with("sha256$") && identity.len() == 71,
        "{identity}"
    );
    assert_eq!(result["evidence"][0]["url"], "https://lms.example.com/c/1");
    assert_eq!(
        json_of(caller.get(&format!("/v2/assertions/{id}"))).await.1["result"][0],
        *result
    );
    let held = badgr.live_assertions_of("ADA@example.com");
    assert_eq!(
        (held.len(), &held[0].entity_id, &held[0].badge_class),
        (1, &id, &class)
    );
    assert_eq!((held[0].notify, &held[0].narrative), (false, &None));
    assert_eq!(
        held[0].evidence_url.as_deref(),
        Some("https://lms.example.com/c/1")
    );
}

#[tokio::test]
async fn an_award_is_refused_as_measured() {
    let badgr = FakeBadgr::start().await;
    let caller = Caller::new(&badgr).await;
    let class = caller.made().await;
    let ada = award_to("ada@example.com");
    for (body, errors) in [
        (
            award_to("nobody"),
            json!({"recipient": {"non_field_errors": ["Enter a valid email address."]}}),
        ),
        (
            award_to("ü@example.com"),
            json!({"recipient": {"non_field_errors": ["Enter a valid email address."]}}),
        ),
        (json!({}), json!({"recipient": ["This field is required"]})),
        (
            with(ada.clone(), "evidence", json!([{"url": null}])),
            json!({"evidence": ["This field may not be null."]}),
        ),
        (
            with(ada.clone(), "evidence", json!([{"url": "x"}])),
            json!({"evidence": [{"url": ["Enter a valid URL."]}]}),
        ),
    ] {
        let (status, answer) = json_of(caller.award(&class, &body)).await;
        assert_eq!((status, &answer["fieldErrors"]), (400, &errors), "{body}");
    }
    for (field, value, status) in [
        ("issuedOn", json!("2099-01-01T00:00:00Z"), 400),
        ("narrative", json!("![x](https://e.org)"), 400),
        ("narrative", json!("🎉"), 500),
        ("extensions", json!({"extensions:x": {}}), 500),
    ] {
        assert_eq!(
            status_of(caller.award(&class, &with(ada.clone(), field, value))).await,
            status,
            "{field}"
        );
    }
    let (status, body) = json_of(caller.award("unknown", &ada)).await;
    assert_eq!(
        (status, &body["status"]["description"]),
        (404, &json!("entity not found or insufficient privileges"))
    );
    let text = caller
        .award(&class, &ada)
        .header("content-type", "text/plain");
    assert!(matches!(status_of(text).await, 400 | 415));
    assert_eq!(
        status_of(caller.award(&class, &award_to("x@localhost"))).await,
        201
    );
    assert_eq!(badgr.assertions().len(), 1);
}

#[tokio::test]
async fn a_duplicate_is_refused_only_on_demand_and_only_while_the_first_lives() {
    let badgr = FakeBadgr::start().await;
    let caller = Caller::new(&badgr).await;
    let class = caller.made().await;
    let ada = award_to("ada@example.com");
    let once = with(
        award_to("ADA@example.com"),
        "allowDuplicateAwards",
        json!(false),
    );
    let first = id_of(&json_of(caller.award(&class, &ada)).await.1);
    let second = id_of(&json_of(caller.award(&class, &ada)).await.1);
    let (status, body) = json_of(caller.award(&class, &once)).await;
    assert_eq!(
        (status, &body["validationErrors"]),
        (400, &json!([DUPLICATE]))
    );
    assert_eq!(
        status_of(caller.award(&caller.made().await, &once)).await,
        201,
        "another badge class"
    );
    for id in [&first, &second] {
        assert_eq!(
            status_of(caller.revoke(id, &json!({"revocation_reason": "Error"}))).await,
            200
        );
    }
    assert_eq!(status_of(caller.award(&class, &once)).await, 201);
    assert_eq!(badgr.live_assertions_of("ada@example.com").len(), 2);
}

#[tokio::test]
async fn duplicates_at_the_same_time_are_not_seen() {
    let badgr = FakeBadgr::start().await;
    let caller = Caller::new(&badgr).await;
    let class = caller.made().await;
    let once = with(
        award_to("ada@example.com"),
        "allowDuplicateAwards",
        json!(false),
    );
    badgr.delay(Duration::from_millis(200));
    let statuses = tokio::join!(
        status_of(caller.award(&class, &once)),
        status_of(caller.award(&class, &once))
    );
    assert_eq!(statuses, (201, 201));
    assert_eq!(badgr.live_assertions_of("ada@example.com").len(), 2);
}

#[tokio::test]
async fn assertions_are_looked_up_by_recipient_and_revoked_ones_on_demand() {
    let badgr = FakeBadgr::start().await;
    let caller = Caller::new(&badgr).await;
    let class = caller.made().await;
    let ada = id_of(
        &json_of(caller.award(&class, &award_to("ada@example.com")))
            .await
            .1,
    );
    assert_eq!(
        status_of(caller.award(&class, &award_to("bob@example.com"))).await,
        201
    );
    let old = with(
        award_to("ada@example.com"),
        "expires",
        json!("2020-01-01T00:00:00Z"),
    );
    assert_eq!(status_of(caller.award(&class, &old)).await, 201);
    assert_eq!(
        status_of(caller.revoke(&ada, &json!({"revocation_reason": "Error"}))).await,
        200
    );
    for (query, count) in [
        ("", 1),
        ("?recipient=ada@example.com", 0),
        ("?recipient=ADA@example.com&include_revoked=1", 1),
        ("?recipient=ada@example.com&include_expired=1", 1),
        (
            "?recipient=ada@example.com&recipient=bob@example.com&include_revoked=1&include_expired=1",
            3,
        ),
    ] {
        for path in [
            format!("/v2/badgeclasses/{class}/assertions"),
            "/v2/issuers/issuer1/assertions".to_owned(),
        ] {
            let (_, body) = json_of(caller.get(&format!("{path}{query}"))).await;
            assert_eq!(
                body["result"].as_array().map(Vec::len),
                Some(count),
                "{path}{query}"
            );
        }
    }
}

#[tokio::test]
async fn pages_come_newest_first_and_the_next_is_in_the_link_header() {
    let badgr = FakeBadgr::start().await;
    let caller = Caller::new(&badgr).await;
    let class = caller.made().await;
    for n in 0..5 {
        assert_eq!(
            status_of(caller.award(&class, &award_to(&format!("l{n}@example.com")))).await,
            201
        );
    }
    let mut next = Some(format!(
        "{}/v2/badgeclasses/{class}/assertions?num=2",
        badgr.url()
    ));
    let mut pages = Vec::new();
    while let Some(url) = next {
        let response = caller
            .http
            .get(url)
            .bearer_auth(&caller.token)
            .send()
            .await
            .expect("an answer comes");
        let link = response
            .headers()
            .get("link")
            .map(|link| link.to_str().expect("links are ASCII").to_owned());
        next = link.map(|link| {
            let (url, rel) = link.split_once(">; ").expect("a link has a relation");
            assert_eq!(rel, "rel=\"next\"");
            url.trim_start_matches('<').to_owned()
        });
        let body: Value = response.json().await.expect("the answer is JSON");
        let emails = body["result"].as_array().expect("a list").iter();
        pages.push(
            emails
                .map(|a| {
                    a["recipient"]["plaintextIdentity"].as_str().unwrap_or("")[1..2].to_owned()
                })
                .collect::<String>(),
        );
    }
    assert_eq!(pages, ["43", "21", "0"]);
}

#[tokio::test]
async fn a_revocation_needs_a_reason_and_happens_once() {
    let badgr = FakeBadgr::start().await;
    let caller = Caller::new(&badgr).await;
    let class = caller.made().await;
    let (_, made) = json_of(caller.award(&class, &award_to("ada@example.com"))).await;
    let id = id_of(&made);
    let public = made["result"][0]["openBadgeId"]
        .as_str()
        .expect("a public URL")
        .to_owned();
    let (status, body) = json_of(caller.revoke(&id, &json!({}))).await;
    assert_eq!(status, 400);
    assert!(
        body["fieldErrors"]["revocation_reason"].is_array(),
        "{body}"
    );
    assert_eq!(
        status_of(caller.revoke(&id, &json!({"revocation_reason": "r".repeat(256)}))).await,
        500
    );
    let image = |url: &str| caller.http.get(format!("{url}/image"));
    assert_eq!(status_of(image(&public)).await, 200);

    let (status, body) =
        json_of(caller.revoke(&id, &json!({"revocation_reason": "Issued in error"}))).await;
    assert_eq!((status, &body["result"][0]["revoked"]), (200, &json!(true)));
    let (status, body) = json_of(caller.revoke(&id, &json!({"revocation_reason": "Again"}))).await;
    assert_eq!(
        (status, &body["validationErrors"]),
        (400, &json!(["Assertion is already revoked"]))
    );
    assert_eq!(
        status_of(caller.revoke("unknown", &json!({"revocation_reason": "x"}))).await,
        404
    );
    let (status, body) = json_of(caller.http.get(&public)).await;
    assert_eq!(
        (status, &body["revoked"], &body["revocationReason"]),
        (200, &json!(true), &json!("Issued in error"))
    );
    assert_eq!(status_of(image(&public)).await, 404);
    assert_eq!(
        badgr.assertions()[0].revoked.as_deref(),
        Some("Issued in error")
    );
}

#[tokio::test]
async fn what_is_public_leads_from_the_assertion_to_the_issuer() {
    let badgr = FakeBadgr::start().await;
    let caller = Caller::new(&badgr).await;
    let class = caller.made().await;
    let (_, made) = json_of(caller.award(&class, &award_to("ada@example.com"))).await;
    let get = |url: &Value| caller.http.get(url.as_str().expect("a URL"));
    let (_, assertion) = json_of(get(&made["result"][0]["openBadgeId"])).await;
    assert_eq!(
        (&assertion["type"], &assertion["recipient"]["hashed"]),
        (&json!("Assertion"), &json!(true))
    );
    assert!(!assertion.to_string().contains("ada@example.com"));
    let (_, badge) = json_of(get(&assertion["badge"])).await;
    let (_, issuer) = json_of(get(&badge["issuer"])).await;
    assert_eq!(
        (&badge["type"], &issuer["type"]),
        (&json!("BadgeClass"), &json!("Issuer"))
    );
    let image = get(&made["result"][0]["image"])
        .send()
        .await
        .expect("an answer comes");
    assert_eq!(image.bytes().await.expect("a body"), images::square(40, 1));
    let slash = caller
        .get("/v2/issuers/issuer1/")
        .send()
        .await
        .expect("an answer comes");
    assert_eq!(
        (slash.status().as_u16(), content_type(&slash)),
        (404, "text/html")
    );
}

#[tokio::test]
async fn a_server_on_the_same_ledger_and_port_knows_what_it_knew() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let ledger = directory.path().join("ledger");
    let badgr = FakeBadgr::builder().ledger(&ledger).start().await;
    let caller = Caller::new(&badgr).await;
    let class = caller.made().await;
    let id = id_of(
        &json_of(caller.award(&class, &award_to("ada@example.com")))
            .await
            .1,
    );
    assert_eq!(
        status_of(caller.award(&class, &award_to("bob@example.com"))).await,
        201
    );
    assert_eq!(
        status_of(caller.revoke(&id, &json!({"revocation_reason": "Error"}))).await,
        200
    );
    let port = badgr.port();
    drop(badgr);
    let dead = caller
        .get("/v2/issuers/issuer1")
        .send()
        .await
        .expect_err("nobody answers");
    assert!(dead.is_connect(), "{dead:?}");
    let mut bytes = std::fs::read(&ledger).expect("the ledger can be read");
    bytes.extend_from_slice(b"{\"entry\":\"assert");
    std::fs::write(&ledger, bytes).expect("the ledger can be written");

    let badgr = FakeBadgr::builder()
        .ledger(&ledger)
        .port(port)
        .start()
        .await;
    assert_eq!(badgr.badge_classes()[0].entity_id, class);
    assert_eq!(badgr.assertions().len(), 2);
    assert!(badgr.live_assertions_of("ada@example.com").is_empty());
    assert_eq!(
        status_of(caller.award(&class, &award_to("ada@example.com"))).await,
        201,
        "the token is still good"
    );
    let awards = badgr.requests("post", "/v2/badgeclasses/");
    assert_eq!(
        awards.iter().filter(|r| r.did.starts_with("made ")).count(),
        3
    );
    assert!(awards.windows(2).all(|pair| pair[0].time <= pair[1].time));
    drop(badgr);
    let badgr = FakeBadgr::builder().ledger(&ledger).start().await;
    assert_eq!(
        badgr.assertions().len(),
        3,
        "the cut line is gone, what came after it is whole"
    );
}

/// What the client sees of one award, and how many assertions there are then.
async fn award_with(fault: Fault) -> (Result<(u16, String), reqwest::Error>, usize) {
    let badgr = FakeBadgr::start().await;
    let caller = Caller::new(&badgr).await;
    let class = caller.made().await;
    badgr.order(Operation::Award, fault);
    assert_eq!(badgr.faults_left(), 1);
    let request = caller
        .award(&class, &award_to("ada@example.com"))
        .timeout(Duration::from_millis(500));
    let seen = async {
        let response = request.send().await?;
        Ok((response.status().as_u16(), response.text().await?))
    };
    let seen = seen.await;
    assert_eq!(badgr.faults_left(), 0);
    let made = badgr.assertions().len();
    assert_eq!(badgr.requests("POST", "/v2/badgeclasses/").len(), 1);
    assert_eq!(
        status_of(caller.award(&class, &award_to("bob@example.com"))).await,
        201,
        "only one meets the fault"
    );
    (seen, made)
}

#[tokio::test]
async fn faults_before_the_work_leave_nothing_done() {
    for (fault, status) in [
        (Fault::ErrorBefore, 500),
        (Fault::Unauthorized, 401),
        (Fault::NotFound, 404),
        (Fault::RetryAfter(7), 429),
        (Fault::Throttled(8), 429),
        (Fault::BadRequest("{}".to_owned()), 400),
        (Fault::Status(503, "busy".to_owned()), 503),
    ] {
        let (seen, made) = award_with(fault.clone()).await;
        assert_eq!(
            (seen.expect("an answer comes").0, made),
            (status, 0),
            "{fault:?}"
        );
    }
    let (seen, made) = award_with(Fault::HangBefore).await;
    assert!(seen.expect_err("no answer comes").is_timeout());
    assert_eq!(made, 0);
    let (seen, made) = award_with(Fault::ResetBefore).await;
    let error = seen.expect_err("no answer comes");
    assert!(error.is_request() && !error.is_timeout(), "{error:?}");
    assert_eq!(made, 0);
}

#[tokio::test]
async fn faults_after_the_work_lose_only_the_answer() {
    let (seen, made) = award_with(Fault::ErrorAfter).await;
    assert_eq!((seen.expect("an answer comes").0, made), (500, 1));
    let (seen, made) = award_with(Fault::HangAfter).await;
    assert!(seen.expect_err("no answer comes").is_timeout());
    assert_eq!(made, 1);
    let (seen, made) = award_with(Fault::ResetAfter).await;
    let error = seen.expect_err("no answer comes");
    assert!(error.is_request() && !error.is_timeout(), "{error:?}");
    assert_eq!(made, 1);
    let (seen, made) = award_with(Fault::Truncated).await;
    let error = seen.expect_err("the body is cut");
    assert!(
        !error.is_request() && !error.is_timeout(),
        "the headers came: {error:?}"
    );
    assert_eq!(made, 1);
}

#[tokio::test]
async fn a_slow_award_is_made_after_the_client_has_gone() {
    let badgr = FakeBadgr::start().await;
    let caller = Caller::new(&badgr).await;
    let class = caller.made().await;
    badgr.order(Operation::Award, Fault::Slow(Duration::from_millis(400)));
    let request = caller
        .award(&class, &award_to("ada@example.com"))
        .timeout(Duration::from_millis(50));
    assert!(
        request
            .send()
            .await
            .expect_err("no answer in time")
            .is_timeout()
    );
    assert!(badgr.assertions().is_empty());
    crate::harness::process::wait_until("the award is made", Duration::from_secs(5), || {
        !badgr.assertions().is_empty()
    });
}

#[tokio::test]
async fn a_fault_is_for_its_operation_until_it_is_cleared() {
    let badgr = FakeBadgr::start().await;
    let caller = Caller::new(&badgr).await;
    let class = caller.made().await;
    let lookup = format!("/v2/badgeclasses/{class}/assertions");
    for operation in [
        Operation::Token,
        Operation::MakeBadgeClass,
        Operation::ListBadgeClasses,
        Operation::LookUp,
        Operation::Revoke,
        Operation::Other,
    ] {
        badgr.always(operation, Fault::ErrorBefore);
    }
    badgr.order(Operation::LookUp, Fault::NotFound);
    assert_eq!(
        status_of(caller.award(&class, &award_to("ada@example.com"))).await,
        201
    );
    assert_eq!(
        status_of(caller.get(&lookup)).await,
        404,
        "an order comes first"
    );
    for _ in 0..2 {
        assert_eq!(status_of(caller.get(&lookup)).await, 500);
    }
    assert_eq!(
        status_of(caller.get("/v2/issuers/issuer1/badgeclasses")).await,
        500
    );
    assert_eq!(status_of(caller.revoke("x", &json!({}))).await, 500);
    assert_eq!(
        status_of(password_grant(&caller.http, &badgr.url(), PASSWORD)).await,
        500
    );
    badgr.clear_faults();
    assert_eq!(status_of(caller.get(&lookup)).await, 200);
}
