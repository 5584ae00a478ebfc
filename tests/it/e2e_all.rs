//! The whole house on real Kafka, real PostgreSQL and a Badgr: any order, everything twice, poison, crashes; every
//! badge that the facts demand, no other, once at Badgr, under one id.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::harness::app::TestApp;
use crate::harness::binary::BinaryApp;
use crate::harness::database::Database;
use crate::harness::fake_badgr::FakeBadgr;
use crate::harness::kafka::RealKafka;
use crate::harness::topics::Incoming;
use crate::harness::world::{PATIENCE, Plan, World, eventually, once_each};
use crate::model::{COMPLETED, ENROLLED, LEARNERS, Life, POISON, group, records};

/// For all of it, on a machine that others use too.
const LONG: Duration = Duration::from_secs(240);

async fn all_read(world: &World, records: usize) {
    eventually("all records were read", LONG, async || {
        let sql = "SELECT CAST(coalesce(sum(next_offset), 0) AS text) AS line FROM consumer_position";
        world.database.lines(sql)[0] == records.to_string()
    })
    .await;
}

/// Waits until all is done, and checks every side of it.
async fn check(world: &World, badgr: &FakeBadgr, records: usize) {
    all_read(world, records).await;
    eventually("the backfill is through", LONG, async || {
        world
            .database
            .count("event_badges_configuration", "enabled AND backfill_done_at IS NULL")
            == 0
    })
    .await;
    let lives: Vec<Life> = (1..=LEARNERS).map(Life::of).collect();
    let sql =
        "SELECT CAST(enrolled AS text) || ' ' || CAST(completed AS text) AS line FROM learner ORDER BY learner_id";
    let counters: Vec<String> = lives.iter().map(Life::counters).collect();
    assert_eq!(world.database.lines(sql), counters, "the newest facts count");
    let demanded: usize = lives.iter().map(|life| life.badges().0.len()).sum();
    eventually("every award is published", LONG, async || {
        world.database.count("award", "state <> 'published'") == 0
            && world.database.count("award", "state = 'published'") >= demanded
    })
    .await;

    let mut announced: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let (mut ids, mut urls) = (BTreeMap::new(), BTreeMap::new());
    let all = world.topics.awarded();
    for record in &all {
        let body = record.json();
        let class = &body["badge_class"];
        let badge = class["course_id"]
            .as_str()
            .unwrap_or_else(|| class["slug"].as_str().expect("a slug"))
            .to_owned();
        let id = record.header("ce_id").expect("an id");
        let url = body["assertion"]["assertion_url"].as_str().expect("a URL").to_owned();
        let key = (record.key(), badge.clone());
        assert_eq!(
            ids.entry(key.clone()).or_insert_with(|| id.clone()),
            &id,
            "{key:?} has two ids"
        );
        assert_eq!(
            urls.entry(key.clone()).or_insert_with(|| url.clone()),
            &url,
            "{key:?} has two assertions"
        );
        announced.entry(record.key()).or_default().insert(badge);
    }
    let mut total = 0;
    for life in &lives {
        let (demanded, possible) = life.badges();
        let found = announced.remove(&life.learner.id.to_string()).unwrap_or_default();
        let who = life.learner.id;
        assert!(
            demanded.is_subset(&found),
            "{who} lacks {:?}",
            demanded.difference(&found)
        );
        assert!(
            found.is_subset(&possible),
            "{who} did not earn {:?}",
            found.difference(&possible)
        );
        let email = life.learner.email.as_deref().expect("an address");
        assert_eq!(badgr.live_assertions_of(email).len(), found.len(), "at Badgr: {who}");
        total += found.len();
    }
    assert!(announced.is_empty(), "{announced:?}");
    assert_eq!(once_each(&all).len(), total, "one id for each");
    let live = badgr
        .assertions()
        .iter()
        .filter(|assertion| assertion.revoked.is_none())
        .count();
    assert_eq!(live, total, "Badgr holds what was announced");
    let classes: BTreeSet<String> = badgr.badge_classes().into_iter().map(|class| class.name).collect();
    assert_eq!(badgr.badge_classes().len(), classes.len(), "each badge class once");
    check_order(&all);
    let letters = world.letters();
    assert_eq!(letters.len(), POISON, "{letters:?}");
    eventually("every poisoned record is passed on", PATIENCE, async || {
        let letters = world.topics.read("badges.dead-letters").into_iter();
        letters.map(|letter| letter.body).collect::<BTreeSet<Vec<u8>>>().len() == POISON
    })
    .await;
}

/// First appearances follow the learner's sequence.
fn check_order(records: &[Incoming]) {
    let mut last: BTreeMap<String, u64> = BTreeMap::new();
    for record in once_each(records) {
        let sequence: u64 = record
            .header("ce_sequence")
            .and_then(|text| text.parse().ok())
            .expect("a number");
        let before = last.insert(record.key(), sequence);
        assert!(
            before.is_none_or(|before| before < sequence),
            "{} {before:?} {sequence}",
            record.key()
        );
    }
}

fn plan(badgr: &FakeBadgr) -> Plan {
    let mut plan = Plan::new();
    plan.database(Database::postgres());
    plan.badgr(badgr);
    plan.kafka(RealKafka::shared());
    // Leases are as long as a request may take, and more; those of a killed process have to run out.
    plan.set("BADGR_TIMEOUT", "2");
    // A killed member keeps its partitions, and others from joining, for that long.
    plan.set("KAFKA_SESSION_TIMEOUT_MS", "6000");
    plan.dead_letters = POISON;
    plan
}

#[tokio::test]
async fn in_this_process() {
    let badgr = FakeBadgr::start().await;
    let app = TestApp::builder()
        .database(Database::postgres())
        .badgr(&badgr)
        .kafka(RealKafka::shared())
        .dead_letters(POISON)
        .start();
    let records = records();
    let (early, late) = records.split_at(records.len() / 3);
    app.topics.publish(early);
    app.activate(ENROLLED, COMPLETED, &group());
    app.topics.publish(late);
    check(&app, &badgr, records.len()).await;
}

#[tokio::test]
async fn as_the_real_program() {
    let badgr = FakeBadgr::start().await;
    let app = BinaryApp::start(plan(&badgr));
    let records = records();
    let (early, late) = records.split_at(records.len() / 3);
    app.topics.publish(early);
    app.activate(ENROLLED, COMPLETED, &group());
    app.topics.publish(late);
    check(&app, &badgr, records.len()).await;
    assert!(app.peak_memory_kib() < 256 * 1_024, "{} KiB", app.peak_memory_kib());
    assert_eq!(app.terminate(), Some(0), "{}", app.log());
}

#[tokio::test]
async fn as_the_real_program_killed_in_the_middle_of_it() {
    let badgr = FakeBadgr::start().await;
    let mut app = BinaryApp::start(plan(&badgr));
    // Requests are under way when it dies.
    badgr.delay(Duration::from_millis(20));
    app.activate(ENROLLED, COMPLETED, &group());
    let records = records();
    let (early, late) = records.split_at(records.len() / 2);
    app.topics.publish(early);
    for share in [30, 90] {
        eventually("some awards are at Badgr", LONG, async || {
            badgr.assertions().len() >= share
        })
        .await;
        app.kill();
        if share == 30 {
            app.topics.publish(late);
        }
        app.start_again();
    }
    badgr.delay(Duration::ZERO);
    all_read(&app, records.len()).await;
    eventually("Badgr has answered for each award", LONG, async || {
        app.hurry();
        app.database
            .count("award", "state IN ('pending', 'issuing', 'uncertain')")
            == 0
    })
    .await;
    check(&app, &badgr, records.len()).await;
    assert_eq!(app.terminate(), Some(0), "{}", app.log());
}
