//! An hour at full rate on the same million facts: whether vacuum keeps up, and how far tables and indexes grow.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use rdkafka::admin::{NewTopic, TopicReplication};

use crate::harness::binary::BinaryApp;
use crate::harness::database::Database;
use crate::harness::kafka::RealKafka;
use crate::harness::process::wait_until;
use crate::harness::topics::Topics;
use crate::ingest::THRESHOLD;
use crate::support::{PARTITIONS, READ, Random, event, make, median, number, plan_on, publish, rate, topic_of};

const MINUTES: u64 = 60;
const LEARNERS: u64 = 100_000;
const COURSES: u64 = 10;
/// Events that are always there to be read: several seconds' worth.
const AHEAD: u64 = 400_000;
const CHUNK: u64 = 20_000;
/// Of so many minutes at each end the median is taken.
const END: usize = 5;

/// The facts as the last event of each says; all events come in the order of their times.
struct Facts {
    random: Random,
    next: u64,
    enrolled: Vec<bool>,
}

impl Facts {
    fn new() -> Self {
        Self {
            random: Random(13),
            next: 0,
            enrolled: vec![false; usize::try_from(LEARNERS * COURSES).expect("small")],
        }
    }

    /// An event of this fact.
    fn event(&mut self, fact: u64, is_active: bool) -> Vec<u8> {
        self.enrolled[usize::try_from(fact).expect("small")] = is_active;
        let id = self.next;
        self.next += 1;
        event(id, fact / COURSES + 1, fact % COURSES + 1, is_active, 0)
    }

    /// An event of any.
    fn any(&mut self) -> Vec<u8> {
        let fact = self.random.below(LEARNERS * COURSES);
        let is_active = self.random.below(2) == 0;
        self.event(fact, is_active)
    }
}

fn read(database: &Database) -> u64 {
    database.lines(READ)[0].parse().expect("a number")
}

/// MB of the tables that each event writes to, and of their indexes, and how often they were vacuumed.
fn sizes(database: &Database) -> String {
    let sql = "SELECT string_agg(format('%s %s+%s MB, vacuumed %s times', relname, pg_table_size(relid) / 1000000, \
               pg_indexes_size(relid) / 1000000, autovacuum_count), '; ' ORDER BY relname) AS line \
               FROM pg_stat_user_tables WHERE relname IN ('learner', 'learner_course')";
    database.lines(sql)[0].clone()
}

/// `ACCOLADE_BENCH_MINUTES` says how long.
pub fn run() -> Result<()> {
    let minutes = number("ACCOLADE_BENCH_MINUTES", MINUTES);
    let kafka = RealKafka::start_for(true);
    let plan = plan_on(&kafka);
    // It keeps what is read within minutes, and not the whole hour.
    let topic = topic_of(&plan);
    let topic = NewTopic::new(&topic, PARTITIONS, TopicReplication::Fixed(1))
        .set("retention.bytes", "268435456")
        .set("segment.bytes", "67108864");
    make(&kafka.bootstrap(), &topic);
    let topics = Topics::new(&kafka.bootstrap(), Some(&plan.settings["TOPIC_PREFIX"]));
    let mut facts = Facts::new();
    publish(&topics, (0..LEARNERS * COURSES).map(|fact| facts.event(fact, true)));
    let app = BinaryApp::start(plan);
    app.activate(&format!("{THRESHOLD},three"), "", "");
    rate(&app.database, "the first of each fact", READ, LEARNERS * COURSES)?;
    println!("{}", sizes(&app.database));

    let (done, progress) = (AtomicBool::new(false), AtomicU64::new(LEARNERS * COURSES));
    let speeds = thread::scope(|scope| {
        let (facts, topics) = (&mut facts, &topics);
        let (done, progress) = (&done, &progress);
        scope.spawn(move || {
            while !done.load(Ordering::Relaxed) {
                if facts.next > progress.load(Ordering::Relaxed) + AHEAD {
                    thread::park_timeout(Duration::from_millis(100));
                } else {
                    publish(topics, (0..CHUNK).map(|_| facts.any()));
                }
            }
        });
        // Whatever happens here ends that thread.
        let measured = std::panic::catch_unwind(AssertUnwindSafe(|| by_the_minute(&app.database, minutes, progress)));
        done.store(true, Ordering::Relaxed);
        measured
    });
    let speeds = speeds.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    wait_until("the rest is read", Duration::from_secs(120), || {
        read(&app.database) == facts.next
    });
    let enrolled = facts.enrolled.iter().filter(|is_active| **is_active).count();
    assert_eq!(app.database.count("learner_course", "enrolled"), enrolled);
    let counted = app
        .database
        .lines("SELECT CAST(sum(enrolled) AS text) AS line FROM learner");
    assert_eq!(counted, [enrolled.to_string()]);
    let end = END.min(speeds.len() / 2).max(1);
    let (first, last) = (median(&speeds[..end]), median(&speeds[speeds.len() - end..]));
    println!(
        "{} events in {minutes} minutes; medians of the first and the last {end} minutes: {first:.0} and {last:.0} \
         events/s, ratio {:.2}",
        facts.next - LEARNERS * COURSES,
        last / first,
    );
    Ok(())
}

/// Events a second of each minute.
fn by_the_minute(database: &Database, minutes: u64, progress: &AtomicU64) -> Vec<f64> {
    let mut speeds = Vec::new();
    let (mut begun, mut before) = (Instant::now(), read(database));
    while speeds.len() < usize::try_from(minutes).expect("small") {
        thread::sleep(Duration::from_secs(1));
        let (now, count) = (Instant::now(), read(database));
        progress.store(count, Ordering::Relaxed);
        let passed = now.duration_since(begun);
        if passed >= Duration::from_secs(60) {
            #[expect(clippy::cast_precision_loss, reason = "small numbers")]
            let speed = (count - before) as f64 / passed.as_secs_f64();
            speeds.push(speed);
            println!("minute {:>3}: {speed:>6.0} events/s; {}", speeds.len(), sizes(database));
            (begun, before) = (now, count);
        }
    }
    speeds
}
