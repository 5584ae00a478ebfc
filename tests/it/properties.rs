//! Random histories, from bytes to awards, against a model: order, repetition and the cut into batches change nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use accolade::clock::SystemClock;
use accolade::domain::badge_class::{BadgeClassKey, NewBadgeClass};
use accolade::ingest::{Batch, Item, Settings as Ingest};
use accolade::store::{self, Store, badge_classes, completion_images};
use accolade::telemetry::Metrics;
use accolade::wire::decode::TopicTypes;
use accolade::wire::record::{Header, Record};
use chrono::{DateTime, TimeDelta};
use diesel::prelude::*;
use proptest::prelude::*;
use serde_json::json;

use crate::harness::database::Database;
use crate::harness::events::{self, Encoded, Event, Learner};
use crate::harness::images;

const ENROLLED: [i32; 3] = [1, 2, 4];
const COMPLETED: [i32; 2] = [1, 3];
const GROUP: [u32; 2] = [1, 2];

/// What one event says.
#[derive(Clone, Debug)]
struct Told {
    learner: i64,
    course: u32,
    certificate: bool,
    holds: bool,
    /// Seconds; some events have the same.
    time: i64,
    shape: Shape,
    /// How often it is sent.
    times: usize,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Shape {
    Structured,
    Binary,
    Bare,
    /// Of no use.
    Poison,
}

fn told() -> impl Strategy<Value = Told> {
    let shape = prop_oneof![
        4 => Just(Shape::Structured), 2 => Just(Shape::Binary), 1 => Just(Shape::Bare), 1 => Just(Shape::Poison),
    ];
    let holds = prop_oneof![3 => Just(true), 1 => Just(false)];
    (1i64..4, 1u32..5, any::<bool>(), holds, 0i64..8, shape, 1usize..3).prop_map(
        |(learner, course, certificate, holds, time, shape, times)| Told {
            learner,
            course,
            certificate,
            holds,
            time,
            shape,
            times,
        },
    )
}

/// A history, the order in which its records come, and the sizes of the batches.
fn deliveries() -> impl Strategy<Value = (Vec<Told>, Vec<usize>, Vec<usize>)> {
    proptest::collection::vec(told(), 1..30).prop_flat_map(|history| {
        let order = history
            .iter()
            .enumerate()
            .flat_map(|(n, told)| std::iter::repeat_n(n, told.times));
        let order: Vec<usize> = order.collect();
        let sizes = proptest::collection::vec(1usize..9, order.len());
        (Just(history), Just(order).prop_shuffle(), sizes)
    })
}

impl Told {
    /// Bare events have no id and their record's time: theirs is one that no other has.
    fn time_of(&self, n: usize) -> DateTime<chrono::Utc> {
        let start = DateTime::from_timestamp(1_793_534_400, 0).expect("a time");
        let bare = TimeDelta::minutes(i64::try_from(n).expect("small") + 1);
        start
            + if self.shape == Shape::Bare {
                bare
            } else {
                TimeDelta::seconds(self.time)
            }
    }

    fn record(&self, n: usize, offset: i64) -> Record {
        let learner = Learner::new(self.learner);
        let course = events::course(self.course);
        let time = self.time_of(n).to_rfc3339();
        let event = match (self.certificate, self.holds) {
            // Of a bare event the topic alone says what it is.
            (false, false) if self.shape == Shape::Bare => {
                Event::enrollment_created(&learner, &course).with("/is_active", json!(false))
            }
            (false, true) => Event::enrollment_created(&learner, &course),
            (false, false) => Event::enrollment_deactivated(&learner, &course),
            (true, true) => Event::certificate_generated(&learner, &course),
            (true, false) => Event::certificate_generated(&learner, &course).with("/status", json!("notpassing")),
        };
        // The same event again is the same to the byte.
        let event = match self.certificate {
            true => event
                .with("/uuid", json!(format!("c{n}")))
                .with("/url", json!(format!("https://lms.example.com/{n}"))),
            false => event,
        };
        let event = event.id(&format!("{n:03}")).at(&time);
        let Encoded { headers, body } = match self.shape {
            Shape::Structured => event.structured(),
            Shape::Binary => event.binary(),
            Shape::Bare => event.bare(),
            Shape::Poison => Encoded {
                headers: Vec::new(),
                body: b"{\"user\":".to_vec(),
            },
        };
        let headers = headers.into_iter().map(|(name, value)| Header {
            name,
            value: Some(value.into_bytes()),
        });
        Record {
            topic: event.topic().into(),
            partition: 0,
            offset,
            timestamp: Some(self.time_of(n)),
            key: Some(event.key().into_bytes()),
            value: Some(body),
            headers: headers.collect(),
        }
    }
}

/// The courses in which a fact of this learner holds: in the end, and at some moment in some order.
fn model(history: &[Told], learner: i64, certificate: bool) -> (BTreeSet<u32>, BTreeSet<u32>) {
    let mut newest = BTreeMap::new();
    let mut ever = BTreeSet::new();
    for (n, told) in history.iter().enumerate() {
        if told.shape != Shape::Poison && told.learner == learner && told.certificate == certificate {
            let known = newest.entry(told.course).or_insert((told.time_of(n), n, told.holds));
            *known = (*known).max((told.time_of(n), n, told.holds));
            if told.holds {
                ever.insert(told.course);
            }
        }
    }
    let last = newest
        .into_iter()
        .filter(|(_, newest)| newest.2)
        .map(|(course, _)| course);
    (last.collect(), ever)
}

/// The badges for these courses: slugs, and the course's key for a completion.
fn badges(enrolled: &BTreeSet<u32>, completed: &BTreeSet<u32>) -> BTreeSet<String> {
    let at_least = |n: i32, courses: &BTreeSet<u32>| courses.len() >= usize::try_from(n).expect("positive");
    let e = ENROLLED
        .iter()
        .filter(|n| at_least(**n, enrolled))
        .map(|n| format!("e{n}"));
    let c = COMPLETED
        .iter()
        .filter(|n| at_least(**n, completed))
        .map(|n| format!("c{n}"));
    let group = GROUP
        .iter()
        .all(|course| completed.contains(course))
        .then(|| "group".to_owned());
    let each = completed.iter().map(|course| events::course(*course));
    e.chain(c).chain(group).chain(each).collect()
}

/// A database with rules, into which batches go.
struct Side {
    database: Database,
    batch: Batch,
    types: TopicTypes,
}

impl Side {
    fn new() -> Self {
        let database = Database::sqlite();
        let settings = store::Settings {
            url: database.url().parse().expect("a URL"),
            pool_size: 2,
        };
        let store = Arc::new(Store::open(&settings, Arc::new(SystemClock), Arc::new(Metrics::new())));
        store.migrate().expect("migrations run");
        let slugs = ENROLLED
            .iter()
            .map(|n| format!("e{n}"))
            .chain(COMPLETED.iter().map(|n| format!("c{n}")));
        let slugs: Vec<String> = slugs.chain(["group".to_owned()]).collect();
        let prepared = store.transaction("prepare", |tx| {
            for slug in &slugs {
                badge_classes::get_or_create(tx, &class(slug))?;
            }
            completion_images::set(tx, "verified", &images::square(8, 1), true)
        });
        prepared.expect("prepared");
        let lines =
            |letter: &str, counts: &[i32]| counts.iter().map(|n| format!("{n},{letter}{n}\n")).collect::<String>();
        let group: String = GROUP
            .iter()
            .map(|course| format!(",{}", events::course(*course)))
            .collect();
        let path = database.url().trim_start_matches("sqlite://");
        let activated = SqliteConnection::establish(path)
            .expect("a database")
            .immediate_transaction(|conn| {
                diesel::sql_query(
                    "INSERT INTO event_badges_configuration \
                 (created_at, courses_enrolled, courses_completed, course_groups, enabled, activated_at) \
                 VALUES ('2026-01-01 00:00:00', ?, ?, ?, 1, '2026-01-01 00:00:00')",
                )
                .bind::<diesel::sql_types::Text, _>(lines("e", &ENROLLED))
                .bind::<diesel::sql_types::Text, _>(lines("c", &COMPLETED))
                .bind::<diesel::sql_types::Text, _>(format!("group{group}"))
                .execute(conn)
            });
        activated.expect("activated");
        let batch = Batch::new(
            store,
            Arc::default(),
            Ingest {
                award: true,
                ..Ingest::default()
            },
        );
        let types = TopicTypes::new(["enrollment.created"], ["certificate.generated"]);
        Self { database, batch, types }
    }

    fn apply(&mut self, records: impl Iterator<Item = Record>) {
        let items: Vec<Item> = records.map(|record| Item::of(record, &self.types)).collect();
        self.batch.apply(&items).expect("the batch is applied");
    }

    /// Everything that events say, in one order.
    fn facts(&self) -> Vec<String> {
        let mut facts = self.database.lines(
            "SELECT json_array('fact', f.learner_id, c.course_key, c.display_name, f.enrolled, f.enrolled_mode, f.enrolled_at, \
             f.enrolled_event, f.passed, f.passed_mode, f.passed_at, f.passed_event, f.evidence_url) AS line \
             FROM learner_course f JOIN course c ON c.id = f.course_id UNION ALL \
             SELECT json_array('learner', learner_id, username, username_at, email, email_at, full_name, enrolled, completed) \
             FROM learner",
        );
        facts.sort();
        facts
    }

    fn awards(&self, learner: i64) -> BTreeSet<String> {
        let sql = format!(
            "SELECT CASE WHEN b.course_id = '' THEN b.slug ELSE b.course_id END AS line \
             FROM award a JOIN badge_class b ON b.id = a.badge_class_id WHERE a.learner_id = {learner}"
        );
        let lines = self.database.lines(&sql);
        let number = lines.len();
        let set = BTreeSet::from_iter(lines);
        assert_eq!(set.len(), number, "a badge twice");
        set
    }

    fn counters(&self, learner: i64) -> Option<String> {
        let sql = format!("SELECT enrolled || ' ' || completed AS line FROM learner WHERE learner_id = {learner}");
        self.database.lines(&sql).pop()
    }
}

fn class(slug: &str) -> NewBadgeClass {
    NewBadgeClass {
        key: BadgeClassKey {
            slug: slug.to_owned(),
            issuing_component: "openedx__course".to_owned(),
            course_id: String::new(),
        },
        mode: String::new(),
        display_name: slug.to_owned(),
        description: String::new(),
        criteria: String::new(),
        image: images::square(8, 1),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn order_repetition_and_batches_change_neither_facts_nor_awards((history, order, sizes) in deliveries()) {
        let mut straight = Side::new();
        straight.apply(history.iter().zip(0i64..).enumerate().map(|(n, (told, offset))| told.record(n, offset)));

        let mut shuffled = Side::new();
        let mut records = order.iter().zip(0i64..).map(|(n, offset)| history[*n].record(*n, offset)).peekable();
        for size in sizes {
            if records.peek().is_some() {
                shuffled.apply(records.by_ref().take(size));
            }
        }

        prop_assert_eq!(straight.facts(), shuffled.facts());
        for learner in 1..4 {
            let (enrolled, ever_enrolled) = model(&history, learner, false);
            let (completed, ever_completed) = model(&history, learner, true);
            let demanded = badges(&enrolled, &completed);
            let possible = badges(&ever_enrolled, &ever_completed);
            for side in [&straight, &shuffled] {
                let counters = side.counters(learner).unwrap_or_else(|| "0 0".to_owned());
                prop_assert_eq!(counters, format!("{} {}", enrolled.len(), completed.len()));
                let awards = side.awards(learner);
                prop_assert!(demanded.is_subset(&awards), "missing: {:?}", demanded.difference(&awards));
                prop_assert!(awards.is_subset(&possible), "not earned: {:?}", awards.difference(&possible));
            }
            prop_assert_eq!(straight.awards(learner), demanded, "all at once: what holds in the end, and no more");
        }
        let is_poison = |told: &&Told| told.shape == Shape::Poison;
        let poison: usize = history.iter().filter(is_poison).map(|told| told.times).sum();
        prop_assert_eq!(shuffled.database.count("dead_letter", "1 = 1"), poison);
    }
}
