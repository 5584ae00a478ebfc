//! Shapes of a load in which others were slow: one partition and a hundred, half of all events of one learner or in one
//! course, several processes. Each is checked against what the events say.

use std::collections::HashMap;
use std::thread;

use anyhow::Result;

use crate::harness::binary::BinaryApp;
use crate::harness::kafka::RealKafka;
use crate::harness::topics::Topics;
use crate::harness::world::Plan;
use crate::ingest::THRESHOLD;
use crate::support::{
    COURSES, LEARNERS, Outcome, PARTITIONS, READ, Random, event, make_topic_of, median, number, plan_on, publish, rate,
    topic_of,
};

const EVENTS: u64 = 400_000;
const ROUNDS: u64 = 3;

#[derive(Clone, Copy)]
struct Shape {
    name: &'static str,
    partitions: i32,
    processes: usize,
    hot_learner: bool,
    hot_course: bool,
}

const USUAL: Shape = Shape {
    name: "8 partitions, 1 process",
    partitions: PARTITIONS,
    processes: 1,
    hot_learner: false,
    hot_course: false,
};

const SHAPES: [Shape; 7] = [
    USUAL,
    Shape {
        name: "1 partition",
        partitions: 1,
        ..USUAL
    },
    Shape {
        name: "100 partitions",
        partitions: 100,
        ..USUAL
    },
    Shape {
        name: "half of one learner",
        hot_learner: true,
        ..USUAL
    },
    Shape {
        name: "half in one course",
        hot_course: true,
        ..USUAL
    },
    Shape {
        name: "2 processes",
        processes: 2,
        ..USUAL
    },
    Shape {
        name: "4 processes",
        processes: 4,
        ..USUAL
    },
];

/// What the newest event of each learner and course says.
#[derive(Default)]
struct Expected {
    newest: HashMap<(u64, u64), (u64, u64, bool)>,
}

impl Expected {
    fn take(&mut self, key: (u64, u64), time: u64, id: u64, is_active: bool) {
        let fact = self.newest.entry(key).or_insert((time, id, is_active));
        if (time, id) > (fact.0, fact.1) {
            *fact = (time, id, is_active);
        }
    }

    /// Facts, enrolments, and the learners who have as many as bring a badge.
    fn sums(&self) -> (usize, usize, usize) {
        let mut enrolled: HashMap<u64, u64> = HashMap::new();
        for ((learner, _), _) in self.newest.iter().filter(|(_, fact)| fact.2) {
            *enrolled.entry(*learner).or_default() += 1;
        }
        let total: u64 = enrolled.values().sum();
        let awarded = enrolled.values().filter(|count| **count >= THRESHOLD).count();
        (self.newest.len(), usize::try_from(total).expect("small"), awarded)
    }
}

fn events(shape: Shape, number: u64) -> (Vec<Vec<u8>>, Expected) {
    let mut random = Random(11);
    let mut expected = Expected::default();
    let all = (0..number).map(|id| {
        let hot = random.below(2) == 0;
        let learner = random.below(LEARNERS) + 1;
        let course = random.below(COURSES) + 1;
        let learner = if hot && shape.hot_learner { 1 } else { learner };
        let course = if hot && shape.hot_course { 1 } else { course };
        let (is_active, late) = (random.below(50) != 0, random.below(5_000));
        // As `event` reckons it, never below zero.
        expected.take((learner, course), id * 2 + 5_000 - late, id, is_active);
        event(id, learner, course, is_active, late)
    });
    (all.collect(), expected)
}

/// Events a second. Panics if what was stored is not what the events say.
fn measure(kafka: &RealKafka, shape: Shape, number: u64) -> Result<f64> {
    let plan = plan_on(kafka);
    make_topic_of(&kafka.bootstrap(), &topic_of(&plan), shape.partitions);
    let topics = Topics::new(&kafka.bootstrap(), Some(&plan.settings["TOPIC_PREFIX"]));
    let (events, expected) = events(shape, number);
    publish(&topics, events.into_iter());
    let mut app = BinaryApp::with_roles(plan, "http");
    app.activate(&format!("{THRESHOLD},three"), "", "");
    assert_eq!(app.terminate(), Some(0));
    let database = app.database.clone();
    // Those that come later do so while the first read.
    let (speed, others) = thread::scope(|scope| {
        let measured = scope.spawn(|| rate(&database, shape.name, READ, number));
        app.start_again_as("ingest,http");
        let others: Vec<BinaryApp> = (1..shape.processes)
            .map(|_| BinaryApp::with_roles(Plan::also(&app), "ingest,http"))
            .collect();
        (measured.join().expect("it does not panic"), others)
    });
    for process in others.iter().chain([&app]) {
        assert_eq!(process.terminate(), Some(0), "{}", process.log());
    }
    let outcome = Outcome::of(&app.database, "learner_course");
    let (facts, enrolled, awarded) = expected.sums();
    assert_eq!((outcome.facts, outcome.enrolled), (facts, enrolled.to_string()));
    // Who lost an enrolment again may have got the badge before.
    assert!(outcome.awards >= awarded, "{} of {awarded} awards", outcome.awards);
    speed
}

/// `ACCOLADE_BENCH_EVENTS` and `ACCOLADE_BENCH_ROUNDS` say how much.
pub fn run() -> Result<()> {
    let events = number("ACCOLADE_BENCH_EVENTS", EVENTS);
    let rounds = number("ACCOLADE_BENCH_ROUNDS", ROUNDS);
    let kafka = RealKafka::start_for(true);
    // A broker is slow at first.
    measure(&kafka, USUAL, events)?;
    let mut speeds = vec![Vec::new(); SHAPES.len()];
    for _ in 0..rounds {
        for (shape, speeds) in SHAPES.iter().zip(&mut speeds) {
            speeds.push(measure(&kafka, *shape, events)?);
        }
    }
    let usual = median(&speeds[0]);
    println!("{:<24}  events/s  to the first", "medians");
    for (shape, speeds) in SHAPES.iter().zip(&speeds) {
        let speed = median(speeds);
        println!("{:<24}  {speed:>8.0}  {:.2}", shape.name, speed / usual);
    }
    Ok(())
}
