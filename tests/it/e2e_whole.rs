//! The whole house on real Kafka, real PostgreSQL and a Badgr: any order, everything twice, poison, crashes; every
//! badge that the facts demand, no other, once at Badgr, under one id.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::json;

use crate::harness::app::TestApp;
use crate::harness::binary::BinaryApp;
use crate::harness::database::Database;
use crate::harness::events::{Event, Learner, course};
use crate::harness::fake_badgr::FakeBadgr;
use crate::harness::kafka::RealKafka;
use crate::harness::topics::Outgoing;
use crate::harness::world::{Plan, World, eventually, once_each, seed, shuffle};

const LEARNERS: i64 = 120;
const POISON: usize = 15;
/// For all of it, on a machine that others use too.
const LONG: Duration = Duration::from_secs(240);

const ENROLLED: &str = "1,e1\n3,e3\n5,e5";
const COMPLETED: &str = "1,c1\n3,c3";

fn group() -> String {
    format!("pair,{},{}", course(1), course(2))
}

/// What happens to one learner; it all follows from the number.
struct Life {
    learner: Learner,
    enrols: Vec<u32>,
    leaves: Option<u32>,
    passes: Vec<u32>,
    fails: Option<u32>,
}

impl Life {
    fn of(id: i64) -> Self {
        let n = u32::try_from(id).expect("small");
        // Everybody begins elsewhere, and goes on from there.
        let courses = |count: u32| (0..count).map(|step| (n / 3 + step) % 6 + 1).collect::<Vec<u32>>();
        let (enrols, passes) = (courses(n % 5 + 1), courses((n % 3 + 1).min(n % 5 + 1)));
        Self {
            learner: Learner::new(id),
            leaves: (n % 4 == 0).then(|| enrols[0]),
            fails: (n % 7 == 0).then(|| passes[0]),
            enrols,
            passes,
        }
    }

    fn events(&self) -> Vec<Event> {
        let mut second = 0;
        let mut at = |event: Event| {
            second += 1;
            event.at(&format!("2026-11-01T12:00:{second:02}Z"))
        };
        let who = &self.learner;
        let mut events: Vec<Event> = self
            .enrols
            .iter()
            .map(|number| at(Event::enrollment_created(who, &course(*number))))
            .collect();
        events.extend(
            self.leaves
                .map(|number| at(Event::enrollment_deactivated(who, &course(number)))),
        );
        events.extend(
            self.passes
                .iter()
                .map(|number| at(Event::certificate_generated(who, &course(*number)))),
        );
        events.extend(
            self.fails.map(|number| {
                at(Event::certificate_generated(who, &course(number)).with("/status", json!("notpassing")))
            }),
        );
        events
    }

    /// What the facts demand in the end, and what some order may bring besides: (slug, or the course's key).
    fn badges(&self) -> (BTreeSet<String>, BTreeSet<String>) {
        let earned = |enrolled: &[u32], passed: &[u32]| {
            let e = [1, 3, 5]
                .into_iter()
                .filter(|n| enrolled.len() >= *n)
                .map(|n| format!("e{n}"));
            let c = [1, 3]
                .into_iter()
                .filter(|n| passed.len() >= *n)
                .map(|n| format!("c{n}"));
            let pair = [1, 2]
                .iter()
                .all(|number| passed.contains(number))
                .then(|| "pair".to_owned());
            e.chain(c)
                .chain(pair)
                .chain(passed.iter().map(|number| course(*number)))
                .collect::<BTreeSet<String>>()
        };
        let without =
            |all: &[u32], one: Option<u32>| all.iter().copied().filter(|n| Some(*n) != one).collect::<Vec<_>>();
        let (enrolled, passed) = (without(&self.enrols, self.leaves), without(&self.passes, self.fails));
        (earned(&enrolled, &passed), earned(&self.enrols, &self.passes))
    }
}

/// All records, everything twice, shuffled; the first share of them is sent before the rules are there.
fn records() -> Vec<Outgoing> {
    let events: Vec<Event> = (1..=LEARNERS).flat_map(|id| Life::of(id).events()).collect();
    let mut records: Vec<Outgoing> = Vec::new();
    for (n, event) in events.iter().enumerate() {
        let mut record = Outgoing::of(event);
        if n % 2 == 0 {
            record.value = event.binary();
        }
        // Open edX keys by course: one learner's events lie on several partitions.
        record.key = Some(event.data()["course"]["id"].to_string());
        records.extend([record.clone(), record]);
    }
    let poison =
        (0..POISON).map(|n| Outgoing::raw("certificate.generated", "x", format!("{{\"poison\": {n}").as_bytes()));
    records.extend(poison);
    shuffle(&mut records, seed());
    records
}

/// Waits until all is done, and checks every side of it.
async fn check(world: &World, badgr: &FakeBadgr, records: usize) {
    eventually("all records were read", LONG, async || {
        let sql = "SELECT CAST(coalesce(sum(next_offset), 0) AS text) AS line FROM consumer_position";
        world.database.lines(sql)[0] == records.to_string()
    })
    .await;
    eventually("the backfill is through", LONG, async || {
        world
            .database
            .count("event_badges_configuration", "enabled AND backfill_done_at IS NULL")
            == 0
    })
    .await;
    let lives: Vec<Life> = (1..=LEARNERS).map(Life::of).collect();
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
    let letters = world
        .database
        .lines("SELECT DISTINCT record_partition || ' ' || record_offset AS line FROM dead_letter");
    assert_eq!(letters.len(), POISON, "{letters:?}");
    let distinct: BTreeSet<Vec<u8>> = world
        .topics
        .read("badges.dead-letters")
        .into_iter()
        .map(|l| l.body)
        .collect();
    assert_eq!(distinct.len(), POISON, "every poisoned record is passed on");
}

/// First appearances follow the learner's sequence.
fn check_order(records: &[crate::harness::topics::Incoming]) {
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
    check(&app, &badgr, records.len()).await;
    assert_eq!(app.terminate(), Some(0), "{}", app.log());
}
