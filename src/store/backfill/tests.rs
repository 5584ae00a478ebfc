use super::*;
use crate::{
    domain::{
        CourseKey,
        badge_class::{BadgeClassKey, COURSE_EVENTS_COMPONENT, NewBadgeClass},
        event_badges::ConfigurationTexts,
    },
    store::{
        api_reads::Window,
        audit::{self, Actor, Via},
        badge_classes, courses,
        event_badges::NewConfiguration,
        preview,
        schema::{learner::dsl, learner_course},
        testing,
    },
};

const LEASE: TimeDelta = TimeDelta::minutes(2);

/// Activates one rule of each kind.
fn configure(tx: &mut Tx<'_>) -> Result<(), StoreError> {
    for slug in ["two", "done", "both"] {
        let new = NewBadgeClass {
            key: BadgeClassKey {
                slug: slug.to_owned(),
                issuing_component: COURSE_EVENTS_COMPONENT.to_owned(),
                course_id: String::new(),
            },
            mode: String::new(),
            display_name: slug.to_owned(),
            description: String::new(),
            criteria: String::new(),
            image: vec![1],
        };
        badge_classes::get_or_create(tx, &new)?;
    }
    let new = NewConfiguration {
        texts: ConfigurationTexts {
            courses_enrolled: "2,two".to_owned(),
            courses_completed: "1,done".to_owned(),
            course_groups: "both,edX/A/1,edX/B/1".to_owned(),
        },
        enabled: true,
        changed_by: String::new(),
    };
    event_badges::insert(tx, &new).map(drop)
}

/// A learner with this many enrolments who passed these courses.
fn learner(tx: &mut Tx<'_>, id: i64, enrolled: i32, passed: &[&str]) -> Result<(), StoreError> {
    let completed = i32::try_from(passed.len()).expect("a few");
    diesel::insert_into(dsl::learner)
        .values((
            dsl::learner_id.eq(id),
            dsl::enrolled.eq(enrolled),
            dsl::completed.eq(completed),
        ))
        .execute(tx.conn)?;
    let keys: Vec<CourseKey> = passed.iter().map(|key| key.parse().expect("a key")).collect();
    for course in courses::intern(tx, &keys.iter().collect::<Vec<_>>())? {
        diesel::insert_into(learner_course::table)
            .values((
                learner_course::learner_id.eq(id),
                learner_course::course_id.eq(course.id.0),
                learner_course::passed.eq(true),
            ))
            .execute(tx.conn)?;
    }
    Ok(())
}

fn slugs(decisions: &[Decision]) -> Vec<(i64, String)> {
    let mut slugs: Vec<(i64, String)> = decisions
        .iter()
        .map(|decision| (decision.learner.0, decision.badge_class_key.slug.clone()))
        .collect();
    slugs.sort();
    slugs
}

fn actor() -> Actor {
    Actor {
        name: "ada".to_owned(),
        via: Via::CommandLine,
    }
}

/// Of each rule: learners, and of them awarded before.
fn reach(tx: &mut Tx<'_>, rules: &Rules) -> Result<Vec<(i64, i64)>, StoreError> {
    let reach = preview::reach(tx, rules)?;
    Ok(reach.iter().map(|rule| (rule.learners, rule.awarded)).collect())
}

/// Of each rule: awards decided, and awarded before.
fn told(tally: &Tally, rules: &Rules) -> Vec<(i64, i64)> {
    let badges = rules.rules.iter().map(|rule| tally.of(rule.badge_class));
    badges.map(|badge| (badge.decided, badge.had)).collect()
}

/// Five learners: one who has nothing, two who have earned something, one who did and retired, one of later.
fn populate(tx: &mut Tx<'_>) -> Result<(), StoreError> {
    learner(tx, -5, 1, &[])?;
    learner(tx, 3, 7, &["edX/A/1", "edX/C/1"])?;
    learner(tx, 4, 1, &["edX/A/1", "edX/B/1"])?;
    learner(tx, 9, 3, &["edX/A/1"])?;
    diesel::update(dsl::learner.find(9))
        .set(dsl::retired_at.eq(tx.now()?))
        .execute(tx.conn)?;
    Ok(())
}

#[test]
fn whoever_fulfils_several_rules_of_a_badge_counts_once() {
    for database in testing::databases() {
        let run = |tx: &mut Tx<'_>| {
            configure(tx)?;
            populate(tx)?;
            let reached = |tx: &mut Tx<'_>, enrolled: &str, completed: &str, groups: &str| {
                let texts = ConfigurationTexts {
                    courses_enrolled: enrolled.to_owned(),
                    courses_completed: completed.to_owned(),
                    course_groups: groups.to_owned(),
                };
                let rules = event_badges::check(tx, &texts)?.expect("rules");
                let counts = preview::reach_of_badges(tx, &rules)?;
                Ok::<_, StoreError>(counts.iter().map(|c| (c.learners, c.awarded)).collect::<Vec<_>>())
            };
            // Learner 3 enrolled in two and passed some, learner 4 only passed.
            assert_eq!(reached(tx, "2,two\n9,done", "1,two", "")?, [(2, 0), (0, 0)]);
            assert_eq!(reached(tx, "2,two", "", "two,edX/A/1,edX/B/1")?, [(2, 0)]);
            assert_eq!(reached(tx, "2,two", "1,two", "two,edX/A/1")?, [(2, 0)]);
            assert_eq!(reached(tx, "2,two", "", "two,edX/No/1")?, [(1, 0)]);
            assert_eq!(reached(tx, "", "", "two,edX/No/1")?, [(0, 0)]);
            activate_and_award(tx)?;
            assert_eq!(reached(tx, "2,two", "1,two", "")?, [(2, 1)]);
            assert_eq!(reached(tx, "2,two", "", "two,edX/A/1")?, [(2, 1)]);
            Ok(())
        };
        database.store().transaction("test", run).expect("committed");
    }
}

/// Runs the backfill of [`configure`].
fn activate_and_award(tx: &mut Tx<'_>) -> Result<(), StoreError> {
    let claim = claim_backfill(tx, LEASE)?.expect("it is open");
    let ended = evaluate_chunk(tx, &claim, &RulesCache::default(), CHUNK, LEASE)?;
    assert!(matches!(ended, Chunk::Last(_)));
    Ok(())
}

#[test]
fn a_backfill_reaches_everybody_once_in_chunks() {
    for database in testing::databases() {
        let cache = RulesCache::default();
        let run = |tx: &mut Tx<'_>| {
            assert_eq!(due(tx)?, Due::Nothing);
            configure(tx)?;
            populate(tx)?;
            let rules = event_badges::active_rules(tx, &cache)?.expect("one is active");
            assert_eq!(reach(tx, &rules)?, [(1, 0), (2, 0), (1, 0)]);
            assert_eq!(due(tx)?, Due::Backfill);
            let claim = claim_backfill(tx, LEASE)?.expect("it is open");
            assert_eq!((due(tx)?, claim_backfill(tx, LEASE)?), (Due::Nothing, None));
            let Chunk::More(first) = evaluate_chunk(tx, &claim, &cache, 2, LEASE)? else {
                panic!("there are more");
            };
            assert_eq!(first.learners, 2);
            assert_eq!(slugs(&first.new), [(3, "done".to_owned()), (3, "two".to_owned())]);
            assert!(first.new.iter().all(|decision| decision.reason.by_backfill));
            let halfway = progress(tx, claim.configuration_id)?.expect("it is active");
            assert_eq!((&halfway.tally, halfway.is_done), (&first.tally, false));
            assert_eq!(
                (halfway.tally.learners, count_learners(tx)?, halfway.tally.decided()),
                (2, 4, 2)
            );

            // Another process goes on with it, and the first has lost it.
            release(tx, &claim)?;
            let other = claim_backfill(tx, LEASE)?.expect("it is open");
            assert_eq!(evaluate_chunk(tx, &claim, &cache, 2, LEASE)?, Chunk::Lost);
            let Chunk::More(second) = evaluate_chunk(tx, &other, &cache, 2, LEASE)? else {
                panic!("a full chunk may have more behind it");
            };
            assert_eq!(slugs(&second.new), [(4, "both".to_owned()), (4, "done".to_owned())]);
            let Chunk::Last(last) = evaluate_chunk(tx, &other, &cache, 2, LEASE)? else {
                panic!("nobody is left");
            };
            assert_eq!((last.learners, last.new.len()), (0, 0));
            assert_eq!(
                (last.tally.learners, told(&last.tally, &rules)),
                (4, vec![(1, 0), (2, 0), (1, 0)])
            );
            assert_eq!((due(tx)?, claim_backfill(tx, LEASE)?), (Due::Nothing, None));
            assert!(progress(tx, claim.configuration_id)?.is_some_and(|progress| progress.is_done));
            assert_eq!(reach(tx, &rules)?, [(1, 1), (2, 2), (1, 1)]);
            Ok(())
        };
        database.store().transaction("test", run).expect("committed");
    }
}

#[test]
fn a_backfill_by_hand_begins_anew_or_goes_on_and_is_noted() {
    for database in testing::databases() {
        let cache = RulesCache::default();
        let noted = |tx: &mut Tx<'_>| -> Result<Vec<String>, StoreError> {
            let entries = audit::list(tx, Window { start: 0, length: 9 })?;
            Ok(entries.into_iter().rev().map(|entry| entry.details).collect())
        };
        let run = |tx: &mut Tx<'_>| {
            assert_eq!(begin(tx, LEASE, &actor())?, None);
            configure(tx)?;
            populate(tx)?;
            let rules = event_badges::active_rules(tx, &cache)?.expect("one is active");
            let begun = begin(tx, LEASE, &actor())?.expect("one is active");
            let claim = begun.claim.expect("nobody else is at it");
            let following = begin(tx, LEASE, &actor())?.expect("one is active");
            assert_eq!(
                (following.claim, noted(tx)?.len()),
                (None, 1),
                "who only follows changes nothing"
            );
            evaluate_chunk(tx, &claim, &cache, 2, LEASE)?;
            release(tx, &claim)?;
            let resumed = begin(tx, LEASE, &actor())?.expect("one is active");
            assert_eq!(resumed.tally.learners, 2);
            let claim = resumed.claim.expect("it was released");
            let Chunk::Last(rest) = evaluate_chunk(tx, &claim, &cache, CHUNK, LEASE)? else {
                panic!("one chunk holds the rest");
            };
            assert_eq!((rest.learners, rest.tally.learners), (2, 4));

            // Once more, everybody has everything, but for what was added without anybody's knowledge.
            learner(tx, 2, 2, &[])?;
            let again = begin(tx, LEASE, &actor())?.expect("one is active");
            assert_eq!(again.tally, Tally::default());
            let claim = again.claim.expect("it is open");
            let Chunk::Last(second) = evaluate_chunk(tx, &claim, &cache, CHUNK, LEASE)? else {
                panic!("one chunk holds all");
            };
            assert_eq!(slugs(&second.new), [(2, "two".to_owned())]);
            assert_eq!(
                (second.tally.learners, told(&second.tally, &rules)),
                (5, vec![(1, 1), (0, 2), (0, 1)])
            );
            assert_eq!(noted(tx)?, [r#"{"from":0}"#, r#"{"from":2}"#, r#"{"from":0}"#]);
            Ok(())
        };
        database.store().transaction("test", run).expect("committed");
    }
}

#[test]
fn a_badge_that_a_component_awarded_under_a_key_is_another_one() {
    for database in testing::databases() {
        let cache = RulesCache::default();
        let run = |tx: &mut Tx<'_>| {
            configure(tx)?;
            learner(tx, 1, 2, &[])?;
            let rules = event_badges::active_rules(tx, &cache)?.expect("one is active");
            let requested = Decision {
                idempotency_key: "k".to_owned(),
                ..reached_by_held(
                    tx,
                    &rules,
                    &[(
                        LearnerId(1),
                        Progress {
                            enrolled: 2,
                            completed: 0,
                        },
                    )],
                )?
                .remove(0)
            };
            awards::insert_decisions(tx, &[requested])?;
            assert_eq!(reach(tx, &rules)?[0], (1, 0));
            let claim = claim_backfill(tx, LEASE)?.expect("it is open");
            let Chunk::Last(evaluated) = evaluate_chunk(tx, &claim, &cache, CHUNK, LEASE)? else {
                panic!("one chunk holds all");
            };
            assert_eq!(told(&evaluated.tally, &rules)[0], (1, 0));
            Ok(())
        };
        database.store().transaction("test", run).expect("committed");
    }
}

#[test]
fn an_activation_ends_the_backfill_before_it() {
    for database in testing::databases() {
        let cache = RulesCache::default();
        let run = |tx: &mut Tx<'_>| {
            configure(tx)?;
            learner(tx, 1, 2, &[])?;
            let claim = claim_backfill(tx, LEASE)?.expect("it is open");
            configure(tx)?;
            assert_eq!(evaluate_chunk(tx, &claim, &cache, CHUNK, LEASE)?, Chunk::Lost);
            let newer = claim_backfill(tx, LEASE)?.expect("it is open");
            assert_ne!(newer.configuration_id, claim.configuration_id);
            Ok(())
        };
        database.store().transaction("test", run).expect("committed");
    }
}

#[test]
fn a_lease_that_ran_out_is_free() {
    let database = testing::sqlite();
    let store = database.store();
    let claim = || {
        store
            .transaction("claim", |tx| claim_backfill(tx, LEASE))
            .expect("committed")
    };
    store.transaction("configure", configure).expect("committed");
    assert!(claim().is_some());
    assert!(claim().is_none());
    database.clock.advance(LEASE);
    assert!(claim().is_some());
}
