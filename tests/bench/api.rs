//! How fast the service answers while it does nothing else, beside a steady stream of events, and beside a backlog that it
//! reads as fast as it can: the learners' own assertions, and the public pages of awards. The service has one core.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::harness::binary::{BinaryApp, program};
use crate::harness::kafka::RealKafka;
use crate::harness::process::wait_until;
use crate::harness::tokens::Token;
use crate::harness::topics::Topics;
use crate::harness::world::World;
use crate::load::{self, Request};
use crate::support::{READ, Random, TOPIC, enrolments, event, make_topic, number, plan_on, publish, runtime, topic_of};
use crate::usage::{cpu, postgres_cpu};

/// Each has one award.
const LEARNERS: u64 = 1_000;
const CONNECTIONS: u64 = 32;
const SECONDS: u64 = 10;
const EVENTS: u64 = 1_000_000;
/// Of the steady stream, a second.
const STEADY: u64 = 1_000;
const THRESHOLD: u64 = 3;

/// `ACCOLADE_BENCH_CONNECTIONS` and `ACCOLADE_BENCH_SECONDS` say how much, `ACCOLADE_BENCH_EVENTS` how long the backlog is.
pub fn run() -> Result<()> {
    let kafka = RealKafka::start_for(true);
    let mut plan = plan_on(&kafka);
    let directory = tempfile::tempdir()?;
    plan.program = on_one_core(directory.path())?;
    make_topic(&kafka.bootstrap(), &topic_of(&plan));
    let mut app = BinaryApp::start(plan);
    app.activate(&format!("{THRESHOLD},three"), "", "");
    let events = (0..LEARNERS * THRESHOLD).map(|id| event(id, id / THRESHOLD + 1, id % THRESHOLD + 1, true, 0));
    publish(&app.topics, events);
    wait_until("each learner has an award", Duration::from_secs(60), || {
        app.database.count("award", "state = 'published'") as u64 == LEARNERS
    });
    let requests = requests(&app);
    println!(
        "{:<24} connections  requests/s  p50 ms  p99 ms  service CPU  database CPU",
        "the service on one core"
    );
    measure(&app, &requests, "idle")?;

    let over = AtomicBool::new(false);
    std::thread::scope(|threads| {
        threads.spawn(|| stream(&kafka.bootstrap(), &app.settings["TOPIC_PREFIX"], &over));
        let measured = measure(&app, &requests, &format!("{STEADY} events/s"));
        over.store(true, Ordering::SeqCst);
        measured
    })?;

    assert_eq!(app.terminate(), Some(0));
    publish(&app.topics, enrolments(number("ACCOLADE_BENCH_EVENTS", EVENTS)));
    app.start_again();
    let start = Instant::now();
    let before = read(&app);
    measure(&app, &requests, "backlog")?;
    let after = read(&app);
    let speed = (after - before) as f64 / start.elapsed().as_secs_f64();
    ensure!(
        after < app.topics.count(TOPIC) as u64,
        "the backlog was read before the end; ACCOLADE_BENCH_EVENTS makes it longer"
    );
    println!("read meanwhile from the backlog: {speed:.0} events/s");
    assert_eq!(app.terminate(), Some(0));
    Ok(())
}

/// A program that is the service, but never leaves the first core.
fn on_one_core(directory: &Path) -> Result<String> {
    let path = directory.join("accolade");
    std::fs::write(&path, format!("#!/bin/sh\nexec taskset -c 0 {} \"$@\"\n", program()))?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?;
    Ok(path.display().to_string())
}

/// What is asked, by its name; each is answered rightly.
fn requests(world: &World) -> [(&'static str, Vec<Request>); 2] {
    let assertions = (1..=LEARNERS).map(|learner| {
        let username = format!("user{learner}");
        Request {
            authorization: format!("JWT {}", Token::of(&username).hs256()),
            ..Request::get(format!("/api/badges/v1/assertions/user/{username}/"))
        }
    });
    let pages = world.database.lines("SELECT id AS line FROM assertion ORDER BY id");
    let pages = pages.into_iter().map(|id| Request::get(format!("/badges/{id}")));
    let all = [
        ("assertions", assertions.collect()),
        ("page", pages.collect::<Vec<_>>()),
    ];
    runtime().block_on(async {
        let (status, own) = world.get(&all[0].1[0].path, Some(&Token::of("user1"))).await;
        assert_eq!((status, &own["count"]), (200, &1.into()), "{own}");
        assert_eq!(own["results"][0]["badge_class"]["slug"], "three");
        let page = world.text(&all[1].1[0].path).await;
        assert!(page.contains("Badge three"), "{page}");
    });
    all
}

/// Prints a line for each kind of request.
fn measure(app: &BinaryApp, requests: &[(&str, Vec<Request>)], beside: &str) -> Result<()> {
    let connections = number("ACCOLADE_BENCH_CONNECTIONS", CONNECTIONS);
    let seconds = number("ACCOLADE_BENCH_SECONDS", SECONDS);
    for (what, requests) in requests {
        let (start, before) = (Instant::now(), [cpu(app.pid()), postgres_cpu()]);
        let answers = load::measure(&app.http, requests, connections, seconds)?;
        let share = |now: f64, before: f64| (now - before) / start.elapsed().as_secs_f64() * 100.0;
        println!(
            "{:<24} {:>11} {:>11.0} {:>7.1} {:>7.1} {:>9.0} % {:>10.0} %",
            format!("{what}, {beside}"),
            connections,
            answers.per_second,
            answers.p50_ms,
            answers.p99_ms,
            share(cpu(app.pid()), before[0]),
            share(postgres_cpu(), before[1]),
        );
    }
    Ok(())
}

/// So many events each second, until it is over.
fn stream(bootstrap: &str, prefix: &str, over: &AtomicBool) {
    const TICK: Duration = Duration::from_millis(10);
    let topics = Topics::new(bootstrap, Some(prefix));
    let mut random = Random(13);
    let mut due = Instant::now();
    let mut ids = 100_000_000..;
    while !over.load(Ordering::SeqCst) {
        let part = ids.by_ref().take(usize::try_from(STEADY / 100).expect("small"));
        publish(
            &topics,
            part.map(|id| event(id, random.below(500_000) + 1, random.below(2_000) + 1, true, 0)),
        );
        due += TICK;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
    }
}

fn read(world: &World) -> u64 {
    world.database.lines(READ)[0].parse().expect("a number")
}
