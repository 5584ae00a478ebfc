//! What must hold when all is done: the invariants of a run, from what the world saw and not from what the code says.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::{batch::passed, plan::Content, world::World};
use crate::domain::{
    LearnerId,
    award::AwardState,
    evaluate::{Condition, Progress},
};

/// What the seed came to, where nothing is wrong.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) steps: u64,
    pub(super) awards: usize,
    /// Badges that are there twice, each for a reason that no protocol can exclude.
    pub(super) excused: usize,
}

/// Looks at a run that has ended.
pub(super) fn check(world: &World) -> Result<Seen, String> {
    if let Some(violation) = &world.violation {
        return Err(violation.clone());
    }
    facts(world)?;
    letters(world)?;
    awards(world)?;
    announcements(world)?;
    Ok(Seen {
        steps: world.steps,
        awards: world.database.awards.len(),
        excused: assertions(world)?,
    })
}

/// The facts are those of the newest events, and the counters count them.
fn facts(world: &World) -> Result<(), String> {
    let mut counts: BTreeMap<LearnerId, Progress> = BTreeMap::new();
    for ((pair, is_certificate), (stamp, holds)) in &world.plan.newest {
        let facts = world.database.facts.get(pair).cloned().unwrap_or_default();
        let known = match is_certificate {
            true => facts.certificate.map(|fact| (fact.stamp, fact.passed)),
            false => facts.enrollment.map(|fact| (fact.stamp, fact.active)),
        };
        if known.as_ref() != Some(&(stamp.clone(), *holds)) {
            return Err(format!(
                "of {pair:?} is known {known:?}, and the newest is {stamp:?}, {holds}"
            ));
        }
        let count = counts.entry(pair.0).or_default();
        match is_certificate {
            true => count.completed += i32::from(*holds),
            false => count.enrolled += i32::from(*holds),
        }
    }
    for (learner, count) in counts {
        let known = world.database.learners.get(&learner).map(|row| row.progress);
        if known != Some(count) {
            return Err(format!(
                "learner {} has {count:?}, and is known to have {known:?}",
                learner.0
            ));
        }
    }
    Ok(())
}

/// What cannot be processed is kept.
fn letters(world: &World) -> Result<(), String> {
    let kept: BTreeSet<(usize, i64)> = world.database.letters.iter().copied().collect();
    for (partition, records) in world.broker.records.iter().enumerate() {
        for (offset, content) in (0..).zip(records) {
            if matches!(content, Content::Bad) != kept.contains(&(partition, offset)) {
                return Err(format!(
                    "offset {offset} of partition {partition} is no dead letter, or wrongly one"
                ));
            }
        }
    }
    Ok(())
}

/// Who qualifies has the badge once, and nobody has one that no configuration could have brought.
fn awards(world: &World) -> Result<(), String> {
    let database = &world.database;
    let mut keys = BTreeSet::new();
    for award in &database.awards {
        if !keys.insert((award.learner, award.class.0)) {
            return Err(format!("learner {} has badge {} twice", award.learner.0, award.class.0));
        }
        if award.state != AwardState::Published {
            return Err(format!("award {award:?} is not published"));
        }
        let could = |condition: &Condition| holds(world, award.learner, condition, true);
        let rules = database.configurations.iter().flat_map(|one| &one.rules.rules);
        if !rules
            .filter(|rule| rule.badge_class == award.class)
            .any(|rule| could(&rule.condition))
        {
            return Err(format!("award {award:?} is for nothing"));
        }
    }
    let Some(active) = database.active() else { return Ok(()) };
    for learner in database.learners.keys() {
        for rule in &active.rules.rules {
            if holds(world, *learner, &rule.condition, false) && !keys.contains(&(*learner, rule.badge_class.0)) {
                return Err(format!(
                    "learner {} qualifies for badge {} and lacks it",
                    learner.0, rule.badge_class.0
                ));
            }
        }
    }
    Ok(())
}

/// Whether the learner meets this condition; or could have, had all that was ever said been true at once.
fn holds(world: &World, learner: LearnerId, condition: &Condition, ever: bool) -> bool {
    let of = |is_certificate: bool| {
        let mut courses = BTreeSet::new();
        for content in world.broker.records.iter().flatten() {
            match content {
                Content::Enrollment(pair, fact) if !is_certificate && pair.0 == learner && fact.active => {
                    courses.insert(pair.1);
                }
                Content::Certificate(pair, fact) if is_certificate && pair.0 == learner && fact.passed => {
                    courses.insert(pair.1);
                }
                _ => {}
            }
        }
        courses
    };
    let known = world
        .database
        .learners
        .get(&learner)
        .map(|row| row.progress)
        .unwrap_or_default();
    let number = |is_certificate: bool, known: i32| match ever {
        true => i32::try_from(of(is_certificate).len()).unwrap_or(i32::MAX),
        false => known,
    };
    match condition {
        Condition::Enrolled(n) => number(false, known.enrolled) >= *n,
        Condition::Completed(n) => number(true, known.completed) >= *n,
        Condition::Group(courses) => match ever {
            true => {
                let passed: BTreeSet<_> = of(true)
                    .iter()
                    .map(|course| &world.catalogue.courses[usize::try_from(course.0).unwrap_or_default()])
                    .collect();
                courses.iter().all(|course| passed.contains(course))
            }
            false => {
                let passed = passed(&world.database, &world.catalogue.courses, learner);
                courses.iter().all(|course| passed.contains(course))
            }
        },
    }
}

/// Each award has its one assertion at the server. Says how many are there twice that may be.
fn assertions(world: &World) -> Result<usize, String> {
    let mut excused = 0;
    for award in &world.database.awards {
        let of = |made: &&super::badgr::Assertion| made.learner == award.learner && made.class == award.class;
        let made: Vec<_> = world.badgr.assertions.iter().filter(of).collect();
        let without = made.iter().filter(|one| one.excuse.is_none()).count();
        match made.len() {
            0 => return Err(format!("Badgr has no assertion of {award:?}")),
            1 => {}
            more if without > 1 => return Err(format!("Badgr has {more} assertions of {award:?}: {made:?}")),
            more => excused += more - 1,
        }
        let stored = award.assertion.map(|place| &world.badgr.assertions[place]);
        if stored.is_none_or(|stored| stored.award != award.id) {
            return Err(format!("award {award:?} has the assertion of another: {stored:?}"));
        }
    }
    let known = world.database.awards.len();
    let made: BTreeSet<_> = world
        .badgr
        .assertions
        .iter()
        .map(|made| (made.learner, made.class.0))
        .collect();
    match made.len() == known {
        true => Ok(excused),
        false => Err(format!(
            "Badgr has assertions of {} awards, and there are {known}",
            made.len()
        )),
    }
}

/// Each award has its one announcement, and first appearances follow the learner's numbers.
fn announcements(world: &World) -> Result<(), String> {
    let mut seen: BTreeMap<LearnerId, Vec<Uuid>> = BTreeMap::new();
    for event in &world.broker.topic {
        let events = seen.entry(event.learner).or_default();
        match usize::try_from(event.seq - 1).unwrap_or_default() {
            place if place < events.len() => {
                if events[place] != event.event {
                    return Err(format!(
                        "number {} of learner {} is two events",
                        event.seq, event.learner.0
                    ));
                }
            }
            place if place == events.len() => events.push(event.event),
            place => {
                return Err(format!(
                    "of learner {} came number {} after {place} others",
                    event.learner.0, event.seq
                ));
            }
        }
    }
    for award in &world.database.awards {
        let event = award.id.event_id("badge.awarded");
        let times = seen
            .get(&award.learner)
            .into_iter()
            .flatten()
            .filter(|seen| **seen == event)
            .count();
        if times != 1 {
            return Err(format!("award {award:?} was announced under {times} numbers"));
        }
    }
    match seen.values().map(Vec::len).sum::<usize>() == world.database.awards.len() {
        true => Ok(()),
        false => Err("something was announced that is no award".to_owned()),
    }
}
