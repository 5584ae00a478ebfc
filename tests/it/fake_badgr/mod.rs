//! The fake Badgr against the conversations that were measured at a real one.

mod awards;
mod badge_classes;
mod faults;
mod reading;
mod tokens;

use reqwest::{Client, RequestBuilder, Response};
use serde_json::{Value, json};

use crate::harness::fake_badgr::{FakeBadgr, ISSUER_SLUG, PASSWORD, USERNAME};
use crate::harness::images;

/// A client with a token.
struct Caller {
    http: Client,
    url: String,
    token: String,
}

impl Caller {
    async fn new(badgr: &FakeBadgr) -> Self {
        let http = Client::new();
        let grant = json_of(password_grant(&http, &badgr.url(), PASSWORD)).await.1;
        let token = grant["access_token"].as_str().expect("a token was granted").to_owned();
        Self {
            http,
            url: badgr.url(),
            token,
        }
    }

    fn get(&self, path: &str) -> RequestBuilder {
        self.http.get(format!("{}{path}", self.url)).bearer_auth(&self.token)
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
    request.send().await.expect("an answer comes").status().as_u16()
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
