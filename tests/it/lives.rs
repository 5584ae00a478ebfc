//! Random lives of learners, and what they demand: the record of what was sent.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use serde_json::json;

use crate::harness::events::{Event, Learner, course};
use crate::harness::topics::{Outgoing, Topics};
use crate::harness::world::{World, badge_class};

/// Courses there are.
const COURSES: u32 = 8;
/// From the first to the last copy of a record at most.
const SPREAD: Duration = Duration::from_secs(8);
/// From one learner's beginning to the next one's, in a short run.
const BETWEEN_LEARNERS: Duration = Duration::from_millis(160);
/// The same in a long one: what Badgr's outages leave undone is done between them, and does not pile up.
const BETWEEN_LEARNERS_OF_MANY: Duration = Duration::from_millis(400);
/// Records that are no events, for each learner: one record in a hundred or two.
const POISON: f64 = 0.15;

/// The texts of one configuration.
pub struct Rules {
    pub enrolled: &'static [(&'static str, usize)],
    pub completed: &'static [(&'static str, usize)],
    pub groups: &'static [(&'static str, &'static [u32])],
}

/// The configurations that take turns.
pub const RULES: [Rules; 2] = [
    Rules {
        enrolled: &[("e1", 1), ("e3", 3), ("e5", 5)],
        completed: &[("c1", 1), ("c3", 3)],
        groups: &[("pair", &[1, 2])],
    },
    Rules {
        enrolled: &[("e2", 2), ("e3", 3)],
        completed: &[("c2", 2)],
        groups: &[("trio", &[1, 2, 3])],
    },
];

impl Rules {
    /// The three texts as a configuration carries them.
    pub fn texts(&self) -> (String, String, String) {
        let lines = |list: &[(&str, usize)]| {
            let lines: Vec<String> = list.iter().map(|(slug, n)| format!("{n},{slug}")).collect();
            lines.join("\n")
        };
        let group = |(slug, courses): &(&str, &[u32])| {
            let keys: Vec<String> = courses.iter().map(|number| course(*number)).collect();
            format!("{slug},{}", keys.join(","))
        };
        let groups: Vec<String> = self.groups.iter().map(group).collect();
        (lines(self.enrolled), lines(self.completed), groups.join("\n"))
    }

    /// What these courses earn by these rules; a completion badge goes by its course's key.
    fn badges(&self, enrolled: &BTreeSet<u32>, passed: &BTreeSet<u32>) -> BTreeSet<String> {
        let reached = |list: &'static [(&'static str, usize)], count: usize| {
            list.iter()
                .filter(move |(_, least)| count >= *least)
                .map(|(slug, _)| (*slug).to_owned())
        };
        let complete = self
            .groups
            .iter()
            .filter(|(_, courses)| courses.iter().all(|number| passed.contains(number)));
        reached(self.enrolled, enrolled.len())
            .chain(reached(self.completed, passed.len()))
            .chain(complete.map(|(slug, _)| (*slug).to_owned()))
            .chain(passed.iter().map(|number| course(*number)))
            .collect()
    }
}

/// What became of one learner.
pub struct Life {
    pub learner: Learner,
    /// Whether some event brought an address.
    pub has_address: bool,
    enrolled: BTreeSet<u32>,
    passed: BTreeSet<u32>,
    ever_enrolled: BTreeSet<u32>,
    ever_passed: BTreeSet<u32>,
}

impl Life {
    /// Active enrolments and passed courses in the end.
    pub fn counters(&self) -> String {
        format!("{} {}", self.enrolled.len(), self.passed.len())
    }

    /// What has to have been awarded by whichever way, where these rules are the last ones.
    pub fn demanded(&self, last: &Rules) -> BTreeSet<String> {
        last.badges(&self.enrolled, &self.passed)
    }

    /// What some order of events and rules may bring.
    pub fn possible(&self) -> BTreeSet<String> {
        let each = RULES
            .iter()
            .map(|rules| rules.badges(&self.ever_enrolled, &self.ever_passed));
        each.flatten().collect()
    }

    fn new(id: i64, rng: &mut StdRng) -> (Self, Vec<Event>) {
        let learner = Learner::new(id);
        let shy = learner.clone().without_email();
        let mut life = Self {
            learner: learner.clone(),
            has_address: true,
            enrolled: BTreeSet::new(),
            passed: BTreeSet::new(),
            ever_enrolled: BTreeSet::new(),
            ever_passed: BTreeSet::new(),
        };
        // One in five tells the address later, or never.
        let (speaker, tells) = match rng.random_range(0..20) {
            0..3 => (&shy, true),
            3 => (&shy, false),
            _ => (&learner, false),
        };
        life.has_address = speaker.email.is_some() || tells;
        let mut events = Vec::new();
        for _ in 0..rng.random_range(1..=10) {
            let number = rng.random_range(1..=COURSES);
            let course = course(number);
            events.push(match rng.random_range(0..10) {
                0..5 => {
                    life.enrolled.insert(number);
                    life.ever_enrolled.insert(number);
                    Event::enrollment_created(speaker, &course)
                }
                5 => {
                    life.enrolled.remove(&number);
                    Event::enrollment_deactivated(speaker, &course)
                }
                6..9 => {
                    life.passed.insert(number);
                    life.ever_passed.insert(number);
                    Event::certificate_generated(speaker, &course)
                }
                _ if rng.random_bool(0.5) => {
                    life.passed.remove(&number);
                    Event::certificate_revoked(speaker, &course)
                }
                _ => {
                    life.passed.remove(&number);
                    Event::certificate_generated(speaker, &course).with("/status", json!("notpassing"))
                }
            });
        }
        if tells {
            events.push(Event::learner_updated(&learner));
        }
        let timed = (0..)
            .zip(events)
            .map(|(second, event)| event.at(&format!("2026-11-01T12:00:{second:02}Z")));
        let events = timed.collect();
        (life, events)
    }
}

/// Everything that is sent, and when.
#[derive(Default)]
pub struct Script {
    pub lives: BTreeMap<i64, Life>,
    /// Events, each once.
    pub events: usize,
    /// Each copy of an event, and the poison, in the order of their times since the start.
    pub records: Vec<(Duration, Outgoing)>,
    /// Values of records that are no events.
    pub poison: BTreeSet<Vec<u8>>,
}

impl Script {
    /// Lives that begin within this time: each event up to three times, all in disorder, some keyed by course, poison
    /// among them.
    pub fn new(duration: Duration, seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut script = Self::default();
        let mut start = Duration::ZERO;
        let is_long = duration > Duration::from_secs(300);
        let between = if is_long {
            BETWEEN_LEARNERS_OF_MANY
        } else {
            BETWEEN_LEARNERS
        };
        while start < duration {
            let id = i64::try_from(script.lives.len()).expect("few learners") + 1;
            let (life, events) = Life::new(id, &mut rng);
            script.lives.insert(id, life);
            let mut at = |rng: &mut StdRng, record| script.records.push((start + SPREAD.mul_f64(rng.random()), record));
            for event in events {
                script.events += 1;
                let record = outgoing(&event, &mut rng);
                for _ in 0..rng.random_range(1..=3) {
                    at(&mut rng, record.clone());
                }
            }
            if rng.random_bool(POISON) {
                let body = format!("{{\"poison\": {}", script.poison.len()).into_bytes();
                let topic = ["certificate.generated", "enrollment.created"].choose(&mut rng);
                at(&mut rng, Outgoing::raw(topic.expect("topics"), "x", &body));
                script.poison.insert(body);
            }
            start += between;
        }
        script.records.sort_by_key(|(time, _)| *time);
        script
    }

    /// Sends everything in its time.
    pub fn play(&self, topics: &Topics) {
        let start = Instant::now();
        for (time, record) in &self.records {
            std::thread::sleep(time.saturating_sub(start.elapsed()));
            topics.queue(record);
        }
        topics.flush();
    }
}

fn outgoing(event: &Event, rng: &mut StdRng) -> Outgoing {
    let mut record = Outgoing::of(event);
    if rng.random_bool(0.5) {
        record.value = event.binary();
    }
    // Open edX keys by course: one learner's events lie on several partitions.
    if rng.random_bool(0.7)
        && let Some(course) = event.data()["course"]["id"].as_str()
    {
        record.key = Some(course.to_owned());
    }
    record
}

/// The badge classes of all rules.
pub fn import_badge_classes(world: &World) {
    let thresholds = RULES
        .iter()
        .flat_map(|rules| rules.enrolled.iter().chain(rules.completed));
    let groups = RULES.iter().flat_map(|rules| rules.groups).map(|(slug, _)| slug);
    let slugs: BTreeSet<&str> = thresholds.map(|(slug, _)| *slug).chain(groups.copied()).collect();
    let classes = (0..)
        .zip(slugs)
        .map(|(seed, slug)| badge_class(slug, "openedx__course", seed));
    let classes = json!({"badge_classes": classes.collect::<Vec<_>>()});
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("classes.json");
    std::fs::write(&path, classes.to_string()).expect("the file can be written");
    world.cli(&["badge-class", "import", &path.display().to_string()]);
}

/// Activates these rules by the real command.
pub fn set_rules(world: &World, number: usize) {
    let (enrolled, completed, groups) = RULES[number].texts();
    let configuration = json!({
        "enabled": true, "courses_enrolled": enrolled, "courses_completed": completed, "course_groups": groups,
    });
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("configuration.json");
    std::fs::write(&path, configuration.to_string()).expect("the file can be written");
    world.cli(&["event-badges", "set", &path.display().to_string()]);
}
