//! Records that could not be processed, from the first look to the end.

use serde_json::{Value, json};

use crate::harness::app::TestApp;
use crate::harness::events::{Event, Learner};
use crate::harness::tokens::Token;
use crate::harness::topics::Outgoing;
use crate::harness::world::{PATIENCE, World, badge_class, eventually};
use crate::requested::post;

const PATH: &str = "/api/badges/v1/dead-letters/";

/// The dead letter of this reason, as the command lists it.
fn listed(world: &World, reason: &str) -> Value {
    let letters = world.cli(&["dead-letters", "list", "--reason", reason, "--json"]);
    let letters: Vec<Value> = serde_json::from_str(&letters).expect("JSON");
    assert_eq!(letters.len(), 1, "{letters:?}");
    letters.into_iter().next().expect("one")
}

#[tokio::test]
async fn a_request_is_replayed_when_its_badge_class_is_there_and_a_bad_record_stays() {
    let app = TestApp::builder().dead_letters(2).start();
    let request = Event::badge_requested(&Learner::new(1), "first_post", "forum", "");
    app.topics.publish_events(&[request]);
    app.topics
        .publish(&[Outgoing::raw("enrollment.created", "2", b"{\"user\":")]);
    eventually("both are kept and sent", PATIENCE, async || {
        app.database.count("dead_letter", "published_at IS NOT NULL") == 2
    })
    .await;

    let wanted = listed(&app, "unknown_badge_class");
    let wanted = wanted["id"].to_string();
    let shown = app.cli(&["dead-letters", "show", &wanted]);
    for part in [
        "no badge class has this slug",
        "first_post",
        "learner1@example.com",
        "waiting",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let too_early = app.cli_fails(&["dead-letters", "replay", &wanted]);
    assert!(too_early.contains("failed again (unknown_badge_class)"), "{too_early}");

    let class = badge_class("first_post", "forum", 7);
    assert_eq!(post(&app, "/api/badges/v1/badge-classes/", &class).await.0, 201);
    let said = app.cli(&["dead-letters", "replay", "--all", "--reason", "unknown_badge_class"]);
    assert!(said.contains("replayed: applied, new awards: 1"), "{said}");
    app.expect_announced(&[("1".to_owned(), "first_post".to_owned())]).await;

    let again = app.cli_fails(&["dead-letters", "replay", &wanted]);
    assert!(again.contains("replayed already"), "{again}");
    let (status, problem) = post(&app, &format!("{PATH}{wanted}/replay/"), &json!({})).await;
    assert_eq!(status, 409, "{problem}");
    assert!(app.cli_fails(&["dead-letters", "replay", "99"]).contains("99"));

    let bad = listed(&app, "not_json")["id"].to_string();
    let (status, problem) = post(&app, &format!("{PATH}{bad}/replay/"), &json!({})).await;
    assert_eq!(status, 409);
    assert!(
        problem["detail"]
            .as_str()
            .is_some_and(|detail| detail.contains("not_json")),
        "{problem}"
    );
    let staff = Token::of_administrator("staff");
    let (_, waiting) = app.get(&format!("{PATH}?state=waiting"), Some(&staff)).await;
    let left = &waiting["results"][0];
    assert_eq!(
        (
            &waiting["count"],
            &left["reason"],
            &left["replays"],
            left["id"].to_string()
        ),
        (&json!(1), &json!("not_json"), &json!(1), bad)
    );
    assert_eq!(app.database.count("dead_letter", "1 = 1"), 2, "no second dead letter");
    assert_eq!(app.topics.read("badges.dead-letters").len(), 2, "nothing sent again");

    let said = app.cli(&["dead-letters", "drop", "--all"]);
    assert!(said.contains("dropped"), "{said}");
    assert_eq!(app.database.count("dead_letter", "record_value IS NULL"), 1);
    assert_eq!(
        app.cli(&["dead-letters", "replay", "--all"]).trim(),
        "no such dead letters"
    );
    let of_it = format!("/api/badges/v1/audit/?target={wanted}&action=dead_letter.replay");
    let (_, log) = app.get(&of_it, Some(&staff)).await;
    assert_eq!(log["count"], 2, "{log}");
    let log = app.cli(&["audit", "--action", "dead_letter.replay", "--json"]);
    let log: Vec<Value> = serde_json::from_str(&log).expect("JSON");
    let who: Vec<_> = log
        .iter()
        .map(|entry| (&entry["via"], &entry["details"]["outcome"]))
        .collect();
    let (api, command) = (json!("api"), json!("command line"));
    let (failed, applied) = (json!("failed"), json!("applied"));
    assert_eq!(who, [(&api, &failed), (&command, &applied), (&command, &failed)]);
}

#[tokio::test]
async fn a_flood_over_all_partitions_stops_before_it_and_passes_once_when_it_is_let_pass() {
    const FLOOD: usize = 300;
    // All consumers of a process count together.
    let app = TestApp::builder()
        .setting("INGEST_CONSUMERS", "2")
        .dead_letters(2 * FLOOD)
        .start();
    let letters = || app.database.count("dead_letter", "1 = 1");
    let is_paused = async || {
        let metrics = app.text("/metrics").await;
        metrics.contains("accolade_consumer_paused{reason=\"dead_letters\"} 1")
    };
    for flood in 1..=2 {
        // As it was, and with no good record before it.
        let records: Vec<Outgoing> = (0..FLOOD)
            .map(|key| Outgoing::raw("enrollment.created", &key.to_string(), b"{"))
            .collect();
        app.topics.publish(&records);
        eventually("it stops", PATIENCE, is_paused).await;
        assert!(letters() < flood * FLOOD, "{} passed", letters());
        app.cli(&["dead-letters", "resume"]);
        eventually("all pass", PATIENCE, async || letters() == flood * FLOOD).await;
        eventually("it goes on", PATIENCE, async || !is_paused().await).await;
    }
}
