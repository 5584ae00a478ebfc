//! Every learner against a configuration that was activated: what is reached is found by the real [`evaluate`].

use super::{
    batch::passed,
    open::Open,
    schedule::{Idle, Process},
    world::World,
};
use crate::{
    domain::{
        LearnerId,
        evaluate::{LearnerChange, Progress, evaluate},
    },
    retry::Backoff,
};

/// Learners of one transaction.
const CHUNK: usize = 1;
const LEASE: u64 = 10_000;

pub(super) async fn backfill(process: Process) {
    let mut failures = 0;
    loop {
        let claim = process.transaction("claim backfill", claim).await;
        let claim = match claim {
            Ok(Some(claim)) => claim,
            Ok(None) => {
                process.idle(Idle::Backfill, None).await;
                continue;
            }
            Err(_) => {
                failures += 1;
                process
                    .sleep_for(Backoff::DEPENDENCY.delay(failures, process.draw()))
                    .await;
                continue;
            }
        };
        failures = 0;
        while slice(&process, claim).await {}
    }
}

/// The configuration's place and the claim's number.
type Claim = (usize, u64);

fn claim(world: &mut World) -> Option<Claim> {
    let now = world.now;
    let place = world.database.configurations.len().checked_sub(1)?;
    let active = &mut world.database.configurations[place];
    if active.done || active.until > now {
        return None;
    }
    active.until = now + LEASE;
    active.token += 1;
    Some((place, active.token))
}

/// Evaluates the next learners. Says whether there may be more for this claim.
async fn slice(process: &Process, claim: Claim) -> bool {
    let learners = process.with(|world| next(world, claim));
    process.takes(0, 5).await;
    let open = Open::begin(process, &learners).await;
    process.takes(0, 10).await;
    let written = process.transaction("backfill", |world| {
        let more = world.database.is_open(open.number) && write(world, claim, &learners);
        world.database.unlock(open.number);
        world.say(process.replica, || {
            format!("evaluates {learners:?} against configuration {}", claim.0)
        });
        more
    });
    let more = written.await.unwrap_or(false);
    drop(open);
    more
}

/// The learners that are seen now, from the cursor on.
fn next(world: &World, (place, _): Claim) -> Vec<LearnerId> {
    let cursor = world.database.configurations[place].cursor;
    let after = world.database.learners.keys().filter(|learner| learner.0 > cursor);
    after.take(CHUNK).copied().collect()
}

fn write(world: &mut World, (place, token): Claim, learners: &[LearnerId]) -> bool {
    let (now, courses) = (world.now, world.catalogue.courses.clone());
    let database = &mut world.database;
    let is_active = place + 1 == database.configurations.len();
    let active = &database.configurations[place];
    if !is_active || active.token != token || active.done {
        return false;
    }
    let rules = std::rc::Rc::clone(&active.rules);
    let mut decisions = Vec::new();
    for learner in learners {
        let Some(row) = database.learners.get(learner) else {
            continue;
        };
        let passed = passed(database, &courses, *learner);
        let all: Vec<_> = passed.iter().cloned().collect();
        let change = LearnerChange {
            learner: *learner,
            before: Progress::default(),
            after: row.progress,
            newly_passed: &all,
            passed: &passed,
            cause: None,
        };
        decisions.extend(evaluate(&rules, &change));
    }
    database.insert_decisions(now, &decisions);
    let active = &mut database.configurations[place];
    active.cursor = learners.last().map_or(active.cursor, |learner| learner.0);
    active.done = learners.len() < CHUNK;
    active.until = now + LEASE;
    world.touched = true;
    !world.database.configurations[place].done
}
