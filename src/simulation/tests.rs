//! Seeds: new ones in each run, and those by which something was found.

use std::{cell::RefCell, env, rc::Rc, time::Instant};

use super::{
    broker,
    check::{Seen, check},
    people,
    plan::{Catalogue, Defect},
    replica,
    schedule::{OUTSIDE, Process, Scheduler},
    world::World,
};

/// How many seeds are run when nothing is said of it: some seconds without optimization.
const SEEDS: u64 = 600;
/// Lines of the history that are shown of a seed at which something is wrong.
const SHOWN: usize = 400;

/// Runs one seed to its end.
fn run(
    seed: u64,
    defect: Option<Defect>,
    catalogue: &Rc<Catalogue>,
    with_history: bool,
) -> (Result<Seen, String>, Vec<String>) {
    let world = Rc::new(RefCell::new(World::new(seed, defect, catalogue, with_history)));
    let outside = Process {
        world: Rc::clone(&world),
        replica: OUTSIDE,
    };
    outside.spawn(broker::platform(outside.clone()));
    outside.spawn(people::activate(outside.clone()));
    outside.spawn(people::help(outside.clone()));
    for replica in 0..outside.with(|world| world.plan.replicas) {
        replica::start(&outside, replica);
    }
    outside.spawn(broker::coordinator(outside.clone()));
    Scheduler::new(Rc::clone(&world)).run();
    let mut world = world.borrow_mut();
    let seen = check(&world);
    (seen, world.history.take().unwrap_or_default())
}

/// Panics with what happened if something is wrong with this seed.
fn holds(seed: u64, catalogue: &Rc<Catalogue>) -> Seen {
    match run(seed, None, catalogue, false).0 {
        Ok(seen) => seen,
        Err(_) => {
            let (again, history) = run(seed, None, catalogue, true);
            let shown = &history[history.len().saturating_sub(SHOWN)..];
            let wrong = again.err().unwrap_or_else(|| "it does not happen again".to_owned());
            panic!(
                "seed {seed}: {wrong}\n{}\nACCOLADE_TEST_SEED={seed} runs it again",
                shown.join("\n")
            );
        }
    }
}

fn number(variable: &str) -> Option<u64> {
    let text = env::var(variable).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{variable} is no number: {text}")),
    )
}

#[test]
fn whatever_happens_each_badge_is_there_once_and_told_of_once() {
    let catalogue = Rc::new(Catalogue::new());
    if let Some(seed) = number("ACCOLADE_TEST_SEED") {
        let (seen, history) = run(seed, None, &catalogue, true);
        println!("{}\nseed {seed}: {seen:?}", history.join("\n"));
        seen.unwrap_or_else(|wrong| panic!("seed {seed}: {wrong}"));
        return;
    }
    let base = u64::from(rand::random::<u32>()) << 20;
    let seeds = number("ACCOLADE_SIMULATION_SEEDS").unwrap_or(SEEDS);
    println!("simulation: {seeds} seeds from {base}");
    let begun = Instant::now();
    let mut all = Seen::default();
    for seed in base..base + seeds {
        let seen = holds(seed, &catalogue);
        all.steps += seen.steps;
        all.awards += seen.awards;
        all.excused += seen.excused;
    }
    let took = begun.elapsed().as_secs_f64();
    println!(
        "{all:?} in {took:.1} s: {:.0} seeds a minute",
        seeds as f64 * 60.0 / took
    );
    assert!(all.awards as u64 > seeds / 2, "hardly anything was awarded");
}

/// What was wrong in the service, and a seed by which it was found.
const FOUND: [(u64, &str); 1] = [(
    8,
    "a request that was under way when Badgr asked for time closed the breaker again, or hid a longer time",
)];

#[test]
fn seeds_by_which_something_was_found_are_right_now() {
    let catalogue = Rc::new(Catalogue::new());
    for (seed, what) in FOUND {
        println!("seed {seed}: {what}");
        holds(seed, &catalogue);
    }
}

#[test]
fn the_same_seed_takes_the_same_steps() {
    let catalogue = Rc::new(Catalogue::new());
    for seed in 0..20 {
        assert_eq!(run(seed, None, &catalogue, true), run(seed, None, &catalogue, true));
    }
}

/// What is said of a run with this mistake.
fn said_of(defect: Defect) -> &'static str {
    match defect {
        Defect::NoLookUp | Defect::NoGuard => "assertions of",
        Defect::NoFencing => "award",
        Defect::OffsetsFirst | Defect::NoMerge => "and the newest is",
        Defect::MarkFirst => "announced under 0 numbers",
        Defect::AnyOrder | Defect::ClaimedOutOfTurn => "came number",
        Defect::NoFence => "qualifies for",
        Defect::NoLock => "is known to have",
        Defect::NoBreaker => "though Badgr fails",
        Defect::NoRetryAfter => "though Badgr asked it for time",
        Defect::NoTokenLease => "asked by two at once",
        Defect::NoTokenPause => "wants a pause",
    }
}

#[test]
fn each_defect_is_found() {
    let catalogue = Rc::new(Catalogue::new());
    let missed: Vec<Defect> = Defect::ALL
        .into_iter()
        .filter(|defect| {
            let found = |seed: &u64| {
                let wrong = run(*seed, Some(*defect), &catalogue, false).0.err();
                wrong.is_some_and(|wrong| wrong.contains(said_of(*defect)))
            };
            let seed = (0..2_000).find(found);
            println!("{defect:?}: {seed:?}");
            seed.is_none()
        })
        .collect();
    assert!(missed.is_empty(), "not found: {missed:?}");
}
