//! Lists, public pages, and what outlives a kill.

use reqwest::Client;
use serde_json::{Value, json};

use super::{Caller, award_to, content_type, id_of, json_of, status_of, with};
use crate::harness::fake_badgr::FakeBadgr;
use crate::harness::images;

#[tokio::test]
async fn assertions_are_looked_up_by_recipient_and_revoked_ones_on_demand() {
    let badgr = FakeBadgr::start().await;
    let caller = Caller::new(&badgr).await;
    let class = caller.made().await;
    let ada = id_of(&json_of(caller.award(&class, &award_to("ada@example.com"))).await.1);
    assert_eq!(status_of(caller.award(&class, &award_to("bob@example.com"))).await, 201);
    let old = with(award_to("ada@example.com"), "expires", json!("2020-01-01T00:00:00Z"));
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
            assert_eq!(body["result"].as_array().map(Vec::len), Some(count), "{path}{query}");
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
    let mut next = Some(format!("{}/v2/badgeclasses/{class}/assertions?num=2", badgr.url()));
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
                .map(|a| a["recipient"]["plaintextIdentity"].as_str().unwrap_or("")[1..2].to_owned())
                .collect::<String>(),
        );
    }
    assert_eq!(pages, ["43", "21", "0"]);
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
    let image = get(&made["result"][0]["image"]).send().await.expect("an answer comes");
    assert_eq!(image.bytes().await.expect("a body"), images::square(40, 1));
    let slash = caller
        .get("/v2/issuers/issuer1/")
        .send()
        .await
        .expect("an answer comes");
    assert_eq!((slash.status().as_u16(), content_type(&slash)), (404, "text/html"));
}

#[tokio::test]
async fn a_server_on_the_same_ledger_and_port_knows_what_it_knew() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let ledger = directory.path().join("ledger");
    let badgr = FakeBadgr::builder().ledger(&ledger).start().await;
    let caller = Caller::new(&badgr).await;
    let class = caller.made().await;
    let id = id_of(&json_of(caller.award(&class, &award_to("ada@example.com"))).await.1);
    assert_eq!(status_of(caller.award(&class, &award_to("bob@example.com"))).await, 201);
    assert_eq!(
        status_of(caller.revoke(&id, &json!({"revocation_reason": "Error"}))).await,
        200
    );
    let port = badgr.port();
    drop(badgr);
    let dead = Client::new().get(&caller.url).send().await.expect_err("nobody answers");
    assert!(dead.is_connect(), "{dead:?}");
    let mut bytes = std::fs::read(&ledger).expect("the ledger can be read");
    bytes.extend_from_slice(b"{\"entry\":\"assert");
    std::fs::write(&ledger, bytes).expect("the ledger can be written");

    let badgr = FakeBadgr::builder().ledger(&ledger).port(port).start().await;
    assert_eq!(badgr.badge_classes()[0].entity_id, class);
    assert_eq!(badgr.assertions().len(), 2);
    assert!(badgr.live_assertions_of("ada@example.com").is_empty());
    assert_eq!(
        status_of(caller.award(&class, &award_to("ada@example.com"))).await,
        201,
        "the token is still good"
    );
    let awards = badgr.requests("post", "/v2/badgeclasses/");
    assert_eq!(awards.iter().filter(|r| r.did.starts_with("made ")).count(), 3);
    assert!(awards.windows(2).all(|pair| pair[0].time <= pair[1].time));
    drop(badgr);
    let badgr = FakeBadgr::builder().ledger(&ledger).start().await;
    assert_eq!(
        badgr.assertions().len(),
        3,
        "the cut line is gone, what came after it is whole"
    );
}
