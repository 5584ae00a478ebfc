//! The floor of PERFORMANCE.md, section 6: the fastest correct way known from Kafka to facts, counters and awards.
//!
//! It learns no names, keeps no dead letters, no positions and no configuration fence, and an award says no reason: what
//! the service takes beyond it is the price of these, and what could be saved.

use std::collections::{BTreeMap, HashMap};
use std::io::Write as _;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use chrono::DateTime;
use diesel::connection::SimpleConnection;
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::serialize::{self, IsNull, Output, ToSql};
use diesel::sql_types::{Array, BigInt, Bool, Integer, SmallInt, Text, Uuid as SqlUuid};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::message::Message;
use serde::Deserialize;
use uuid::Uuid;

use crate::support::{configuration, course_keys, from_the_beginning};

/// Each with a connection of its own.
const WORKERS: usize = 2;
/// Records of one transaction, about.
const BATCH: usize = 1_000;
const ENROLLED: i16 = 0;

const TABLES: &str = "
CREATE TABLE course (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, key text NOT NULL UNIQUE);
CREATE TABLE fact (learner bigint, course int, kind smallint, active bool NOT NULL, prev bool NOT NULL DEFAULT false,
  at bigint NOT NULL, eid uuid NOT NULL, PRIMARY KEY (learner, course, kind));
CREATE TABLE learner (id bigint PRIMARY KEY, enrolled int NOT NULL DEFAULT 0, completed int NOT NULL DEFAULT 0)
  WITH (fillfactor = 80);
CREATE TABLE rule (id int PRIMARY KEY, kind smallint NOT NULL, n int NOT NULL);
CREATE TABLE award (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, learner bigint NOT NULL, rule int NOT NULL,
  state smallint NOT NULL DEFAULT 0, UNIQUE (learner, rule));
";

/// Facts, counters and awards in one statement without a lock beforehand; without the groups, which the data do not have.
const MERGE: &str = "
WITH m AS (INSERT INTO fact AS f (learner, course, kind, active, at, eid)
  SELECT * FROM unnest({rows})
  ON CONFLICT (learner, course, kind) DO UPDATE SET prev = f.active, active = excluded.active, at = excluded.at, eid = excluded.eid
  WHERE (excluded.at, excluded.eid) > (f.at, f.eid)
  RETURNING learner, course, kind, active::int - prev::int AS d),
d AS (SELECT learner, coalesce(sum(d) FILTER (WHERE kind = 0), 0)::int AS de, coalesce(sum(d) FILTER (WHERE kind = 1), 0)::int AS dc
  FROM m WHERE d <> 0 GROUP BY learner ORDER BY learner),
u AS (INSERT INTO learner AS l (id, enrolled, completed) SELECT learner, de, dc FROM d
  ON CONFLICT (id) DO UPDATE SET enrolled = l.enrolled + excluded.enrolled, completed = l.completed + excluded.completed
  RETURNING id, enrolled, completed),
x AS (SELECT u.id AS learner, r.id AS rule FROM u JOIN d ON d.learner = u.id JOIN rule r ON
    CASE r.kind WHEN 0 THEN u.enrolled >= r.n AND u.enrolled - d.de < r.n ELSE u.completed >= r.n AND u.completed - d.dc < r.n END)
INSERT INTO award (learner, rule) SELECT learner, rule FROM x ORDER BY 1, 2 ON CONFLICT DO NOTHING";

#[derive(Deserialize)]
struct Event<'a> {
    id: &'a str,
    time: &'a str,
    data: Data<'a>,
}

#[derive(Deserialize)]
struct Data<'a> {
    user: User,
    #[serde(borrow)]
    course: Course<'a>,
    is_active: bool,
}

#[derive(Deserialize)]
struct User {
    id: i64,
}

#[derive(Deserialize)]
struct Course<'a> {
    id: &'a str,
}

/// What names a fact: learner, course, kind.
type Key = (i64, i32, i16);
/// Time in microseconds, event, whether it holds.
type Fact = (i64, Uuid, bool);

/// [`MERGE`] over these rows. The connection prepares it once, by its text.
#[derive(Default)]
struct Merge {
    learners: Vec<i64>,
    courses: Vec<i32>,
    kinds: Vec<i16>,
    active: Vec<bool>,
    times: Vec<i64>,
    events: Uuids,
}

/// Diesel would need its feature for this alone.
#[derive(Debug, Default)]
struct Uuids(Vec<Uuid>);

impl ToSql<Array<SqlUuid>, Pg> for Uuids {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        /// Of `uuid` in `pg_type`.
        const UUID: i32 = 2950;
        let length = i32::try_from(self.0.len())?;
        for number in [1, 0, UUID, length, 1] {
            out.write_all(&number.to_be_bytes())?;
        }
        for uuid in &self.0 {
            out.write_all(&16_i32.to_be_bytes())?;
            out.write_all(uuid.as_bytes())?;
        }
        Ok(IsNull::No)
    }
}

impl QueryId for Merge {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl Query for Merge {
    type SqlType = ();
}

impl RunQueryDsl<PgConnection> for Merge {}

impl QueryFragment<Pg> for Merge {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let (before, after) = MERGE.split_once("{rows}").expect("a place for the rows");
        out.push_sql(before);
        out.push_bind_param::<Array<BigInt>, _>(&self.learners)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Integer>, _>(&self.courses)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<SmallInt>, _>(&self.kinds)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Bool>, _>(&self.active)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<BigInt>, _>(&self.times)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<SqlUuid>, _>(&self.events)?;
        out.push_sql(after);
        Ok(())
    }
}

/// What one worker writes in one transaction.
type Share = BTreeMap<Key, Fact>;

struct Worker {
    shares: mpsc::SyncSender<Share>,
    done: mpsc::Receiver<()>,
}

impl Worker {
    fn start(url: &str) -> Self {
        let (shares, work) = mpsc::sync_channel::<Share>(1);
        let (say_done, done) = mpsc::sync_channel(1);
        let mut conn = PgConnection::establish(url).expect("PostgreSQL answers");
        // Plans are made for the arrays at hand, and none is worth compiling: each runs once. Guesses of the sizes inside the
        // statement are poor, and sorting its parts for a merge costs more than hashing them.
        conn.batch_execute("SET plan_cache_mode = force_custom_plan; SET jit = off; SET enable_mergejoin = off")
            .expect("set");
        std::thread::spawn(move || {
            for share in work {
                let mut merge = Merge::default();
                for ((learner, course, kind), (time, event, active)) in share {
                    merge.learners.push(learner);
                    merge.courses.push(course);
                    merge.kinds.push(kind);
                    merge.active.push(active);
                    merge.times.push(time);
                    merge.events.0.push(event);
                }
                merge.execute(&mut conn).expect("merged and committed");
                if say_done.send(()).is_err() {
                    break;
                }
            }
        });
        Self { shares, done }
    }
}

/// Reads so many events of this topic into a new database, and says how many a second from the first commit on.
pub fn run(bootstrap: &str, topic: &str, url: &str, events: u64, threshold: u64) -> f64 {
    let mut conn = PgConnection::establish(url).expect("PostgreSQL answers");
    conn.batch_execute(TABLES).expect("tables");
    diesel::sql_query("INSERT INTO rule VALUES (1, 0, $1)")
        .bind::<Integer, _>(i32::try_from(threshold).expect("small"))
        .execute(&mut conn)
        .expect("a rule");
    conn.batch_execute("ANALYZE rule").expect("analyzed");
    let consumer: BaseConsumer = configuration(bootstrap)
        .set("group.id", "floor")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("fetch.queue.backoff.ms", "10")
        .set("queued.min.messages", "20000")
        .set("queued.max.messages.kbytes", "16384")
        .create()
        .expect("a consumer");
    consumer.assign(&from_the_beginning(topic)).expect("assigned");
    let workers: Vec<Worker> = (0..WORKERS).map(|_| Worker::start(url)).collect();
    let courses = courses(&mut conn);
    let (mut read, mut written, mut first) = (0, 0, None);
    let mut under_way: Option<Round> = None;
    while written < events {
        let mut shares: Vec<Share> = (0..WORKERS).map(|_| Share::new()).collect();
        let mut round = Round {
            read: events.min(read + (WORKERS * BATCH) as u64),
            next: HashMap::new(),
        };
        while read < round.read {
            let message = consumer.poll(Duration::from_secs(30)).expect("there are events");
            let message = message.expect("the topic can be read");
            let event: Event<'_> = serde_json::from_slice(message.payload().unwrap_or_default()).expect("an event");
            let course = courses[event.data.course.id];
            let time = DateTime::parse_from_rfc3339(event.time)
                .expect("a time")
                .timestamp_micros();
            let fact = (time, Uuid::parse_str(event.id).expect("an id"), event.data.is_active);
            let learner = event.data.user.id;
            let worker = usize::try_from(learner).expect("positive") % WORKERS;
            let known = shares[worker].entry((learner, course, ENROLLED)).or_insert(fact);
            if (fact.0, fact.1) > (known.0, known.1) {
                *known = fact;
            }
            round.next.insert(message.partition(), message.offset() + 1);
            read += 1;
        }
        // While one round is written the next one is read.
        if let Some(before) = under_way.take() {
            before.end(&workers, &consumer, topic);
            written = before.read;
            first.get_or_insert((Instant::now(), written));
        }
        if round.read > written {
            for (worker, share) in workers.iter().zip(shares) {
                worker.shares.send(share).expect("it lives");
            }
            under_way = Some(round);
        }
    }
    let (begun, before) = first.expect("a first round");
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    return (written - before) as f64 / begun.elapsed().as_secs_f64();
}

/// What is written at once, by all workers.
struct Round {
    /// So many events were read when it was complete.
    read: u64,
    /// The next offset of each partition.
    next: HashMap<i32, i64>,
}

impl Round {
    /// Waits until every worker has committed; only then the group may go on.
    fn end(&self, workers: &[Worker], consumer: &BaseConsumer, topic: &str) {
        for worker in workers {
            worker.done.recv().expect("it lives");
        }
        for (partition, next) in &self.next {
            consumer.store_offset(topic, *partition, next - 1).expect("stored");
        }
        consumer.commit_consumer_state(CommitMode::Async).expect("sent");
    }
}

#[derive(QueryableByName)]
struct CourseRow {
    #[diesel(sql_type = Integer)]
    id: i32,
    #[diesel(sql_type = Text)]
    key: String,
}

/// The courses are few, and known from the beginning.
fn courses(conn: &mut PgConnection) -> HashMap<String, i32> {
    let made = diesel::sql_query("INSERT INTO course (key) SELECT * FROM unnest($1) RETURNING id, key")
        .bind::<Array<Text>, _>(course_keys())
        .load::<CourseRow>(conn);
    let made = made.expect("courses").into_iter();
    made.map(|course| (course.key, course.id)).collect()
}
