//! A preview and a backfill at full size: 1,000,000 learners with 10,000,000 facts in PostgreSQL, beside a running
//! service.
//!
//! `ACCOLADE_BENCH_LEARNERS` makes it smaller. Facts lie in no order of learners, as events come; few courses are popular
//! and most are not; a fifth of the enrolments has a certificate. Everything shares the machine.

use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::binary::{BinaryApp, program};
use crate::harness::database::Database;
use crate::harness::kafka::RealKafka;
use crate::harness::process::{self, Process};
use crate::harness::tokens::Token;
use crate::harness::world::{Plan, World, badge_class};
use crate::seed;
use crate::support::number;

const LEARNERS: u64 = 1_000_000;
const RUNS: usize = 3;
const ENROLLED: i64 = 27;
const COMPLETED: i64 = 7;
const GROUP: [i64; 2] = [1, 2];
const SLUGS: [&str; 3] = ["enrolled", "completed", "group"];

/// Ten facts a learner, and the counters that follow from them.
fn seed(world: &World, learners: u64) {
    let start = Instant::now();
    let share = "CREATE FUNCTION share(bigint, bigint) RETURNS float8 LANGUAGE sql IMMUTABLE AS \
                 'SELECT (hashint8extended($1, $2) & 1048575)::float8 / 1048576'";
    let pairs = format!(
        "SELECT DISTINCT l * 1000 + 1 + floor(300 * share(l * 1000 + n, 1) ^ 2)::bigint AS k \
         FROM generate_series(1, {learners}) l, \
         LATERAL generate_series(1, 1 + floor(-13 * ln(1 - share(l, 0) * 0.999))::int) n"
    );
    let facts = format!(
        "SELECT k, share(k, 2) < 0.95 AS e, CASE WHEN share(k, 3) < 0.2 THEN share(k, 4) < 0.97 END AS p, \
         timestamp '2026-01-01' + hashint8(k) % 1000000 * interval '10 s' AS t FROM ({pairs}) pairs \
         ORDER BY hashint8(k) LIMIT {}",
        10 * learners
    );
    world.database.change(share);
    seed::postgres(&world.database, 300, learners, &facts);
    let facts = world.database.count("learner_course", "true");
    println!(
        "seeded {learners} learners with {facts} facts in {:.0} s",
        start.elapsed().as_secs_f64()
    );
}

/// How many learners have earned each badge, and how many of the wrong ones were awarded: from the facts alone.
fn truth(world: &World) -> Vec<(i64, i64, i64)> {
    let numbers = GROUP.map(|course| format!("'course-v1:edX+C{course}+2026'")).join(", ");
    let earned = [
        format!("SELECT learner_id FROM learner_course WHERE enrolled GROUP BY 1 HAVING count(*) >= {ENROLLED}"),
        format!("SELECT learner_id FROM learner_course WHERE passed GROUP BY 1 HAVING count(*) >= {COMPLETED}"),
        format!(
            "SELECT learner_id FROM learner_course JOIN course c ON c.id = course_id WHERE passed \
             AND course_key IN ({numbers}) GROUP BY 1 HAVING count(*) = {}",
            GROUP.len()
        ),
    ];
    let of = |(slug, earned): (&str, &String)| {
        let line = world.database.lines(&format!(
            "WITH earned AS ({earned}), awarded AS (SELECT learner_id FROM award a JOIN badge_class b \
             ON b.id = a.badge_class_id WHERE b.slug = '{slug}') \
             SELECT (SELECT count(*) FROM earned) || ' ' || (SELECT count(*) FROM awarded) || ' ' \
             || (SELECT count(*) FROM awarded a WHERE NOT EXISTS (SELECT FROM earned e WHERE e.learner_id = a.learner_id)) AS line"
        ));
        let numbers: Vec<i64> = line[0].split(' ').map(|text| text.parse().expect("a number")).collect();
        (numbers[0], numbers[1], numbers[2])
    };
    SLUGS.into_iter().zip(&earned).map(of).collect()
}

/// Of each badge: decided and had, as the command tells it.
fn told(text: &str) -> Vec<(i64, i64)> {
    let value: Value = serde_json::from_str(text).expect("JSON");
    let number = |value: &Value| value.as_i64().expect("a number");
    let badges = value["badges"].as_array().expect("a list").iter();
    badges
        .map(|badge| (number(&badge["decided"]), number(&badge["had"])))
        .collect()
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, f64) {
    let start = Instant::now();
    let done = work();
    (done, start.elapsed().as_secs_f64())
}

fn median(mut seconds: Vec<f64>) -> String {
    seconds.sort_by(f64::total_cmp);
    let all: Vec<String> = seconds.iter().map(|s| format!("{s:.2}")).collect();
    format!("{} s (median {:.2} s)", all.join(" / "), seconds[seconds.len() / 2])
}

/// Asks the service again and again until it is over, and says how long it took to answer.
fn answering(world: &World, path: &str, over: &AtomicBool) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let token = Token::of_administrator("bench").hs256();
    // A client of its own: connections die with their runtime.
    let client = reqwest::Client::new();
    let mut took = Vec::new();
    while !over.load(Ordering::SeqCst) {
        let start = Instant::now();
        let request = client.get(format!("{}{path}", world.http));
        let asked = runtime.block_on(request.header("Authorization", format!("JWT {token}")).send());
        let status = asked.expect("the service answers").status();
        took.push(start.elapsed().as_secs_f64() * 1_000.0);
        assert_eq!(status, 200, "{path}");
        std::thread::sleep(Duration::from_millis(20));
    }
    took.sort_by(f64::total_cmp);
    let at = |share: usize| took[took.len() * share / 100];
    let most = took[took.len() - 1];
    format!(
        "{path}: {} answers, p50 {:.1} ms, p99 {:.1} ms, max {most:.1} ms",
        took.len(),
        at(50),
        at(99)
    )
}

fn beside<T>(world: &World, work: impl FnOnce() -> T) -> T {
    let over = AtomicBool::new(false);
    std::thread::scope(|threads| {
        let paths = ["/readyz", "/api/badges/v1/assertions/user/user7/"];
        let asking = paths.map(|path| threads.spawn(|| answering(world, path, &over)));
        let done = work();
        over.store(true, Ordering::SeqCst);
        for asking in asking {
            println!("  meanwhile {}", asking.join().expect("it answers"));
        }
        done
    })
}

/// Nobody has any badge, and the backfill is open.
fn forget(world: &World) {
    world.database.change(
        "TRUNCATE award; UPDATE event_badges_configuration SET backfill_done_at = NULL, backfill_cursor = NULL, \
         backfill_tally = NULL, backfill_until = NULL",
    );
}

fn kill_in_the_middle(world: &World, learners: u64) {
    let log = process::directory("backfill", None).join("log");
    let mut arguments = vec!["-i".to_owned()];
    arguments.extend(world.settings.iter().map(|(name, value)| format!("{name}={value}")));
    arguments.extend([program(), "backfill".to_owned()]);
    let running = Process::spawn(None, "KILL", "env", &arguments, &log);
    let middle = format!("backfill_cursor > {}", learners / 3);
    process::wait_until("it is in the middle", Duration::from_secs(600), || {
        world.database.count("event_badges_configuration", &middle) == 1
    });
    running.end("KILL");
    let left = world.database.lines("SELECT backfill_cursor || ' ' || (SELECT count(*) FROM award) AS line FROM event_badges_configuration WHERE enabled");
    println!("killed; cursor and awards: {left:?}");
}

/// Previews, backfills, kills one in the middle; and each outcome has to be the one that follows from the facts.
pub fn run() {
    let kafka = RealKafka::start_for(true);
    let mut plan = Plan::new();
    plan.database(Database::postgres());
    plan.kafka(&kafka);
    plan.set("RUST_LOG", "warn");
    // Without the award role, which would begin the backfill by itself.
    let app = BinaryApp::with_roles(plan, "ingest,http");
    let learners = number("ACCOLADE_BENCH_LEARNERS", LEARNERS);
    seed(&app, learners);
    let directory = tempfile::tempdir().expect("a temporary directory");
    let write = |name: &str, value: Value| {
        let path = directory.path().join(name);
        std::fs::write(&path, value.to_string()).expect("the file can be written");
        path.display().to_string()
    };
    let classes: Vec<Value> = SLUGS
        .iter()
        .map(|slug| badge_class(slug, "openedx__course", 1))
        .collect();
    app.cli(&[
        "badge-class",
        "import",
        &write("classes.json", json!({"badge_classes": classes})),
    ]);
    let group: Vec<String> = GROUP
        .iter()
        .map(|course| format!("course-v1:edX+C{course}+2026"))
        .collect();
    let texts = write(
        "texts.json",
        json!({"enabled": true, "courses_enrolled": format!("{ENROLLED},enrolled"),
            "courses_completed": format!("{COMPLETED},completed"), "course_groups": format!("group,{}", group.join(","))}),
    );
    let earned: Vec<i64> = truth(&app).iter().map(|(earned, ..)| *earned).collect();
    println!("learners who have earned each badge: {earned:?}");

    let previews: Vec<f64> = (0..RUNS)
        .map(|_| {
            let (text, seconds) = timed(|| app.cli(&["event-badges", "preview", &texts, "--json"]));
            let reach: Value = serde_json::from_str(&text).expect("JSON");
            let reach = reach.as_array().expect("a list").iter();
            assert_eq!(
                reach
                    .map(|badge| badge["learners"].as_i64().expect("a number"))
                    .collect::<Vec<_>>(),
                earned
            );
            seconds
        })
        .collect();
    println!("preview: {}", median(previews));

    app.cli(&["event-badges", "set", &texts]);
    let right = |told: Vec<(i64, i64)>| {
        assert_eq!(
            told.iter().map(|(decided, had)| decided + had).collect::<Vec<_>>(),
            earned
        );
        for (earned, awarded, wrong) in truth(&app) {
            assert_eq!((awarded, wrong), (earned, 0));
        }
    };
    let mut seconds = Vec::new();
    for _ in 0..RUNS {
        forget(&app);
        let (text, took) = beside(&app, || timed(|| app.cli(&["backfill", "--json"])));
        right(told(&text));
        seconds.push(took);
    }
    println!(
        "backfill that decides {}: {}",
        earned.iter().sum::<i64>(),
        median(seconds)
    );
    let seconds = (0..RUNS).map(|_| {
        let (text, took) = timed(|| app.cli(&["backfill", "--json"]));
        assert!(told(&text).iter().all(|(decided, _)| *decided == 0));
        took
    });
    println!("backfill that decides nothing: {}", median(seconds.collect()));

    forget(&app);
    kill_in_the_middle(&app, learners);
    let (text, took) = timed(|| app.cli(&["backfill", "--json"]));
    right(told(&text));
    println!(
        "gone on with after kill -9, counts exact: {took:.2} s, {:?}",
        told(&text)
    );
    let version = Command::new(program()).arg("--version").output().expect("it runs");
    println!("{}", String::from_utf8_lossy(&version.stdout).trim());
    assert_eq!(app.terminate(), Some(0));
}
