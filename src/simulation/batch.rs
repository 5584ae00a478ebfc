//! What a batch reads and writes, as `ingest::batch` does it: folding and evaluating are the real ones.

use std::{
    collections::{BTreeSet, HashSet},
    rc::Rc,
};

use super::{
    badgr::Assertion,
    database::Database,
    outbox::Outgoing,
    plan::{Content, Defect},
    relaying::millis,
    schedule::wall,
    world::World,
};
use crate::{
    domain::{
        CourseKey, LearnerId,
        award::Decision,
        evaluate::{LearnerChange, Rules, evaluate},
        event::Stamp,
    },
    ingest::fold::Fold,
    store::{courses::CourseId, facts::Pair, outbox::LEASE},
};

/// A record in hand.
#[derive(Clone)]
pub(super) struct Record {
    pub(super) partition: usize,
    pub(super) offset: i64,
    pub(super) content: Content,
}

/// What a batch has read, and is about to write.
pub(super) struct Read {
    fold: Fold,
    rules: Option<Rc<Rules>>,
}

pub(super) fn pair_of(record: &Record) -> Option<Pair> {
    match &record.content {
        Content::Enrollment(pair, _) | Content::Certificate(pair, _) => Some(*pair),
        Content::Bad => None,
    }
}

/// `None`: the database knows less than this consumer wrote `last`.
pub(super) fn read(
    world: &World,
    records: &[Record],
    learners: &BTreeSet<LearnerId>,
    last: &[Option<i64>],
) -> Option<Read> {
    let database = &world.database;
    let kept = |(partition, last): (usize, &Option<i64>)| last.is_none_or(|last| database.positions[partition] >= last);
    if !last.iter().enumerate().all(kept) {
        return None;
    }
    let rows = learners
        .iter()
        .filter_map(|learner| database.learners.get(learner))
        .cloned()
        .collect();
    let pairs: BTreeSet<Pair> = records.iter().filter_map(pair_of).collect();
    let pairs: Vec<Pair> = pairs.into_iter().collect();
    let known: Vec<_> = pairs
        .iter()
        .filter_map(|pair| Some((*pair, database.facts.get(pair)?.clone())))
        .collect();
    let learners: Vec<LearnerId> = learners.iter().copied().collect();
    let mut fold = Fold::new(&learners, rows, &pairs, known);
    let arrival = |stamp: &Stamp, record: &Record| match world.has(Defect::NoMerge) {
        // What comes last is the newest.
        true => Stamp {
            time: wall(
                1_000_000 + world.now * 8 + u64::try_from(record.offset % 8).unwrap_or_default(),
                0,
            ),
            ..stamp.clone()
        },
        false => stamp.clone(),
    };
    for record in records {
        match record.content.clone() {
            Content::Enrollment(pair, mut fact) => {
                fact.stamp = arrival(&fact.stamp, record);
                fold.enroll(pair, fact);
            }
            Content::Certificate(pair, mut fact) => {
                fact.stamp = arrival(&fact.stamp, record);
                fold.certify(pair, fact);
            }
            Content::Bad => {}
        }
    }
    fold.count();
    let rules = database.active().map(|active| Rc::clone(&active.rules));
    Some(Read { fold, rules })
}

/// Facts, decisions, what is issued at once, dead letters, positions. Returns the events that are claimed for the relay of
/// this process.
pub(super) fn write(world: &mut World, records: &[Record], read: Read, may_hand_over: bool) -> (String, Vec<Outgoing>) {
    let Read { fold, rules } = read;
    let courses = &world.catalogue.courses;
    let key = |course: &CourseId| courses[usize::try_from(course.0).unwrap_or_default()].clone();
    let database = &mut world.database;
    for (pair, facts) in fold.new_facts().into_iter().chain(fold.changed_facts()) {
        database.facts.insert(pair, facts.clone());
    }
    for learner in fold.new_learners().into_iter().chain(fold.changed_learners()) {
        database.learners.insert(learner.id, learner.clone());
    }
    let mut decisions: Vec<Decision> = Vec::new();
    if let Some(rules) = &rules {
        for held in fold.gaining() {
            let newly: Vec<CourseKey> = held.newly_passed.iter().map(key).collect();
            let change = LearnerChange {
                learner: held.learner.id,
                before: held.before,
                after: held.learner.progress,
                newly_passed: &newly,
                passed: &passed(database, courses, held.learner.id),
                cause: held.cause.as_ref(),
            };
            decisions.extend(evaluate(rules, &change));
        }
    }
    let new = database.insert_decisions(world.now, &decisions);
    let mut claimed = Vec::new();
    if world.plan.at_once {
        let lease = may_hand_over.then(|| millis(LEASE));
        let out_of_turn = world.defect == Some(Defect::ClaimedOutOfTurn);
        let ledger = &mut world.badgr.assertions;
        claimed = database.issue_at_once(world.now, &new, lease, out_of_turn, |award| {
            ledger.push(Assertion {
                award: award.id,
                learner: award.learner,
                class: award.class,
                excuse: None,
            });
            ledger.len() - 1
        });
    }
    for record in records {
        if let Content::Bad = record.content {
            database.letters.push((record.partition, record.offset));
        }
        database.positions[record.partition] = record.offset + 1;
    }
    if !new.is_empty() {
        world.touched = true;
    }
    let (number, positions) = (records.len(), &database.positions);
    let what = format!(
        "has written {number} records, up to {positions:?}; {} of {} decisions are new, {} events handed over",
        new.len(),
        decisions.len(),
        claimed.len()
    );
    (what, claimed)
}

/// `facts::passed_courses`
pub(super) fn passed(database: &Database, courses: &[CourseKey], learner: LearnerId) -> HashSet<CourseKey> {
    let is_passed = |(course, _): &(usize, &CourseKey)| {
        let course = CourseId(i32::try_from(*course).unwrap_or_default());
        database
            .facts
            .get(&(learner, course))
            .is_some_and(|facts| facts.is_passed())
    };
    let passed = courses.iter().enumerate().filter(is_passed);
    passed.map(|(_, key)| key.clone()).collect()
}
