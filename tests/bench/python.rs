//! How fast a plain consumer in Python is (`plain_consumer.py`), and the service beside it, in turns: each on a topic of its
//! own, with as many events for each learner.

use std::collections::{BTreeMap, HashMap};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::harness::database::Database;
use crate::harness::kafka::RealKafka;
use crate::harness::topics::Topics;
use crate::ingest::{THRESHOLD, service};
use crate::support::{Outcome, enrolments_of, make_topic, median, number, plan_on, publish, topic_of};

/// Read by Python.
const EVENTS: u64 = 20_000;
/// The service reads so many times more, to be at it for as long.
const TIMES: u64 = 15;
const ROUNDS: u64 = 3;

/// A topic, and what is right when it was read.
struct Topic {
    prefix: String,
    name: String,
    events: u64,
    expected: Expected,
}

impl Topic {
    fn filled(kafka: &RealKafka, events: u64) -> Self {
        let plan = plan_on(kafka);
        let prefix = plan.settings["TOPIC_PREFIX"].clone();
        make_topic(&kafka.bootstrap(), &topic_of(&plan));
        let enrolments = || enrolments_of(events, events * 5 / 4);
        publish(&Topics::new(&kafka.bootstrap(), Some(&prefix)), enrolments());
        Self {
            prefix,
            name: topic_of(&plan),
            events,
            expected: Expected::of(enrolments()),
        }
    }
}

/// What follows from events. Who had reached the threshold for a moment only may or may not have an award.
#[derive(Debug)]
struct Expected {
    facts: usize,
    enrolled: usize,
    fewest_awards: usize,
    most_awards: usize,
}

impl Expected {
    fn of(events: impl Iterator<Item = Vec<u8>>) -> Self {
        let mut facts: HashMap<(u64, String), (String, String, bool)> = HashMap::new();
        let mut ever: HashMap<(u64, String), bool> = HashMap::new();
        for body in events {
            let event: Value = serde_json::from_slice(&body).expect("an event");
            let text = |value: &Value| value.as_str().expect("a text").to_owned();
            let data = &event["data"];
            let key = (data["user"]["id"].as_u64().expect("an id"), text(&data["course"]["id"]));
            let active = data["is_active"].as_bool().expect("it says so");
            let fact = (text(&event["time"]), text(&event["id"]), active);
            *ever.entry(key.clone()).or_default() |= active;
            let known = facts.entry(key).or_insert_with(|| fact.clone());
            if fact > *known {
                *known = fact;
            }
        }
        let awards = |holding: &mut dyn Iterator<Item = u64>| {
            let mut counts: BTreeMap<u64, u64> = BTreeMap::new();
            holding.for_each(|learner| *counts.entry(learner).or_default() += 1);
            counts.values().filter(|count| **count >= THRESHOLD).count()
        };
        let active = facts
            .iter()
            .filter(|(_, fact)| fact.2)
            .map(|((learner, _), _)| *learner);
        Self {
            facts: facts.len(),
            enrolled: active.clone().count(),
            fewest_awards: awards(&mut active.clone()),
            most_awards: awards(&mut ever.iter().filter(|(_, ever)| **ever).map(|((learner, _), _)| *learner)),
        }
    }

    fn check(&self, outcome: &Outcome) {
        assert_eq!(
            (self.facts, self.enrolled.to_string()),
            (outcome.facts, outcome.enrolled.clone())
        );
        let possible = self.fewest_awards..=self.most_awards;
        assert!(possible.contains(&outcome.awards), "{outcome:?} is not {self:?}");
    }
}

/// Events a second of the plain consumer.
fn plain(kafka: &RealKafka, topic: &Topic) -> Result<f64> {
    let python = std::env::var("ACCOLADE_BENCH_PYTHON")
        .context("ACCOLADE_BENCH_PYTHON names no Python (tests/bench/run does)")?;
    let database = Database::postgres();
    let output = Command::new(python)
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/bench/plain_consumer.py"))
        .args([
            &kafka.bootstrap(),
            &topic.name,
            database.url(),
            &topic.events.to_string(),
            &THRESHOLD.to_string(),
        ])
        .output()
        .context("Python does not start")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    topic.expected.check(&Outcome::of(&database, "fact"));
    let speed = String::from_utf8_lossy(&output.stdout).trim().parse()?;
    ensure!(
        speed > 0.0,
        "Python: all {} were there at once; it takes more of them to measure",
        topic.events
    );
    Ok(speed)
}

/// `ACCOLADE_BENCH_EVENTS` and `ACCOLADE_BENCH_ROUNDS` say how much.
pub fn run() -> Result<()> {
    let events = number("ACCOLADE_BENCH_EVENTS", EVENTS);
    let kafka = RealKafka::start_for(true);
    let [few, many] = [events, events * TIMES].map(|events| Topic::filled(&kafka, events));
    let (mut plains, mut services) = (Vec::new(), Vec::new());
    for round in 1..=number("ACCOLADE_BENCH_ROUNDS", ROUNDS) {
        let plain = plain(&kafka, &few)?;
        let (service, _, outcome) = service(&kafka, &many.prefix, many.events)?;
        many.expected.check(&outcome);
        println!(
            "round {round}: plain Python {plain:>6.0} events/s   service {service:>8.0} events/s   ratio {:.1}",
            service / plain
        );
        plains.push(plain);
        services.push(service);
    }
    let (plain, service) = (median(&plains), median(&services));
    println!(
        "medians of {} and {} events: plain Python {plain:.0}, service {service:.0} events/s, ratio {:.1}",
        few.events,
        many.events,
        service / plain
    );
    Ok(())
}
