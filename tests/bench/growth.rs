//! What an event costs when there are few facts beforehand and when there are many, on PostgreSQL and on SQLite, in turns,
//! each time on a copy of the same database. The first half of the events meets pages that are not in memory and, since the
//! copy ends with a checkpoint, have to be logged whole; the second half meets fewer of them.
//!
//! Events fall on all learners alike: four of five say again what is known, the fifth tells something new, and about one in
//! twenty-five brings a badge.

use std::collections::HashSet;

use anyhow::Result;

use crate::harness::binary::BinaryApp;
use crate::harness::database::Database;
use crate::harness::kafka::RealKafka;
use crate::harness::topics::Topics;
use crate::seed::{self, is_sqlite};
use crate::support::{Outcome, READ, Random, event, make_topic, median, number, plan_on, publish, rate, topic_of};
use crate::usage::{cpu, postgres_cpu};

const FACTS: [u64; 3] = [10_000, 1_000_000, 10_000_000];
const MOST: u64 = 10_000_000;
const MOST_ON_SQLITE: u64 = 1_000_000;
const EVENTS: u64 = 600_000;
const ROUNDS: u64 = 3;
const COURSES: u64 = 300;

/// Who has which facts beforehand.
#[derive(Clone, Copy)]
struct Size {
    facts: u64,
    learners: u64,
}

impl Size {
    /// Ten facts a learner, but never fewer than 10,000 learners: else the batches themselves would be others.
    fn new(facts: u64) -> Self {
        let learners = 10_000.max(facts / 10);
        Self { facts, learners }
    }

    fn each(self) -> u64 {
        self.facts / self.learners
    }

    /// A quarter of the learners has four more than the others.
    fn of(self, learner: u64) -> u64 {
        if learner.is_multiple_of(4) {
            self.each() + 3
        } else {
            self.each() - 1
        }
    }

    /// So that the quarter lacks one.
    fn threshold(self) -> u64 {
        self.each() + 4
    }

    fn seed(self, database: &Database) {
        let Self { learners, .. } = self;
        let last = self.each() + 2;
        let (numbers, time) = match is_sqlite(database) {
            true => {
                let learners = seed::series("l", 1, learners);
                (
                    format!("{learners}, {}", seed::series("n", 0, last)),
                    "'2026-01-01 00:00:00'",
                )
            }
            false => (
                format!("generate_series(1::bigint, {learners}) l, generate_series(0::bigint, {last}) n"),
                "timestamp '2026-01-01'",
            ),
        };
        // In no order of learners, as events come.
        let facts = format!(
            "SELECT l * 1000 + (l + n * 7) % {COURSES} + 1 AS k, true AS e, CASE WHEN false THEN true END AS p, {time} AS t \
             FROM {numbers} WHERE n < CASE WHEN l % 4 = 0 THEN {} ELSE {} END \
             ORDER BY (l * 2654435761 + n * 40503) % 4294967296",
            self.of(4),
            self.of(1)
        );
        let fill = if is_sqlite(database) {
            seed::sqlite
        } else {
            seed::postgres
        };
        fill(database, COURSES, learners, &facts);
        assert_eq!(database.count("learner_course", "true") as u64, self.facts);
    }

    /// Learners and courses of the events.
    fn events(self, number: u64) -> impl Iterator<Item = (u64, u64)> {
        let mut random = Random(17);
        (0..number).map(move |_| {
            let learner = random.below(self.learners) + 1;
            let course = match self.of(learner) {
                known if known > 0 && random.below(5) > 0 => course(learner, random.below(known)),
                _ => random.below(COURSES) + 1,
            };
            (learner, course)
        })
    }

    /// What is right in the end.
    fn outcome(self, number: u64) -> Outcome {
        let mut new: HashSet<(u64, u64)> = self.events(number).collect();
        new.retain(|(learner, taken)| (0..self.of(*learner)).all(|n| course(*learner, n) != *taken));
        let mut learners: Vec<u64> = new.iter().map(|(learner, _)| *learner).collect();
        learners.sort_unstable();
        let reach = |same: &&[u64]| self.of(same[0]) + same.len() as u64 >= self.threshold();
        let facts = self.facts + new.len() as u64;
        Outcome {
            facts: usize::try_from(facts).expect("small"),
            enrolled: facts.to_string(),
            awards: learners.chunk_by(u64::eq).filter(reach).count(),
        }
    }
}

/// The fact of this number of a learner.
fn course(learner: u64, number: u64) -> u64 {
    (learner + number * 7) % COURSES + 1
}

/// One database with its events.
struct Case {
    size: Size,
    database: Database,
    prefix: String,
    halves: [Half; 2],
}

/// What was measured of one half of the events.
#[derive(Default)]
struct Half {
    events_a_second: Vec<f64>,
    /// Microseconds of the service and of PostgreSQL an event.
    costs: [Vec<f64>; 2],
}

impl Half {
    fn speed(&self) -> f64 {
        median(&self.events_a_second)
    }

    fn cost(&self) -> f64 {
        self.costs.iter().map(|costs| median(costs)).sum()
    }
}

impl Case {
    fn new(kafka: &RealKafka, size: Size, database: Database, events: u64) -> Self {
        let mut plan = plan_on(kafka);
        plan.database(database.clone());
        let prefix = plan.settings["TOPIC_PREFIX"].clone();
        make_topic(&kafka.bootstrap(), &topic_of(&plan));
        let topics = Topics::new(&kafka.bootstrap(), Some(&prefix));
        let bodies = (0..).zip(size.events(events));
        publish(
            &topics,
            bodies.map(|(id, (learner, course))| event(id, learner, course, true, 0)),
        );
        let app = BinaryApp::with_roles(plan, "http");
        app.activate(&format!("{},badge", size.threshold()), "", "");
        assert_eq!(app.terminate(), Some(0));
        size.seed(&database);
        Self {
            size,
            database,
            prefix,
            halves: Default::default(),
        }
    }

    fn name(&self) -> &str {
        if is_sqlite(&self.database) {
            "SQLite"
        } else {
            "PostgreSQL"
        }
    }

    /// Reads the events into a copy.
    fn run(&mut self, kafka: &RealKafka, events: u64) -> Result<()> {
        let mut plan = plan_on(kafka);
        plan.database(seed::copy(&self.database));
        plan.set("TOPIC_PREFIX", &self.prefix);
        let mut before = [0.0, postgres_cpu()];
        let app = BinaryApp::with_roles(plan, "ingest,http");
        for (half, until) in self.halves.iter_mut().zip([events / 2, events]) {
            half.events_a_second.push(rate(&app.database, "growth", READ, until)?);
            let after = [cpu(app.pid()), postgres_cpu()];
            for ((costs, before), after) in half.costs.iter_mut().zip(before).zip(after) {
                costs.push((after - before) / (events / 2) as f64 * 1e6);
            }
            before = after;
        }
        assert_eq!(app.terminate(), Some(0));
        assert_eq!(Outcome::of(&app.database, "learner_course"), self.size.outcome(events));
        Ok(())
    }
}

/// `ACCOLADE_BENCH_FACTS` and `ACCOLADE_BENCH_SQLITE_FACTS` say how many facts at most.
pub fn run() -> Result<()> {
    let most = number("ACCOLADE_BENCH_FACTS", MOST);
    let most_on_sqlite = number("ACCOLADE_BENCH_SQLITE_FACTS", MOST_ON_SQLITE);
    let events = number("ACCOLADE_BENCH_EVENTS", EVENTS);
    let kafka = RealKafka::start_for(true);
    let case = |facts: u64, database: Database| Case::new(&kafka, Size::new(facts), database, events);
    let up_to = |most: u64| FACTS.into_iter().filter(move |facts| *facts <= most);
    let mut cases: Vec<Case> = up_to(most).map(|facts| case(facts, Database::postgres())).collect();
    cases.extend(up_to(most_on_sqlite.min(most)).map(|facts| case(facts, Database::sqlite())));
    for _ in 0..number("ACCOLADE_BENCH_ROUNDS", ROUNDS) {
        for case in &mut cases {
            case.run(&kafka, events)?;
        }
    }
    table(&cases);
    Ok(())
}

fn table(cases: &[Case]) {
    println!(
        "{:<11} {:>9} {:<7} {:>9} {:>11} {:>13} {:>11} {:>9} {:>7}",
        "", "facts", "half", "events/s", "to fewest", "to PostgreSQL", "service µs", "db µs", "cost"
    );
    for case in cases {
        let same = |other: &&Case| other.name() == case.name();
        let fewest = cases.iter().find(same).expect("the case itself");
        let beside = cases.iter().find(|other| other.size.facts == case.size.facts);
        let beside = beside.expect("the case itself");
        for (n, name) in ["first", "second"].into_iter().enumerate() {
            let half = &case.halves[n];
            println!(
                "{:<11} {:>9} {name:<7} {:>9.0} {:>11.2} {:>13.2} {:>11.1} {:>9.1} {:>7.2}",
                case.name(),
                case.size.facts,
                half.speed(),
                half.speed() / fewest.halves[n].speed(),
                half.speed() / beside.halves[n].speed(),
                median(&half.costs[0]),
                median(&half.costs[1]),
                half.cost() / fewest.halves[n].cost()
            );
        }
    }
}
