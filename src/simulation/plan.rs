//! What a run consists of, drawn from its seed: the size of the world, the events, what goes wrong and when.

use std::{collections::BTreeMap, rc::Rc};

use super::{
    chance::Chance,
    schedule::{At, wall},
};
use crate::{
    domain::{
        CourseKey, LearnerId,
        badge_class::{BadgeClassId, BadgeClassKey},
        evaluate::{Condition, Rule, Rules},
        event::Stamp,
        facts::{CertificateFact, EnrollmentFact},
    },
    store::{courses::CourseId, facts::Pair},
};

/// A mistake that is made on purpose, to see it found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Defect {
    /// What may have been sent is sent again without a look-up.
    NoLookUp,
    /// A request goes out however old the lease is.
    NoGuard,
    /// What a worker brings is written though its lease has passed to another.
    NoFencing,
    /// The brokers hear of offsets before the database holds the work, and are believed.
    OffsetsFirst,
    /// An event counts as published before the brokers acknowledge it.
    MarkFirst,
    /// Events go out whether or not their learner's earlier ones did.
    AnyOrder,
    /// An activation does not wait for the batches that read the rules before it.
    NoFence,
    /// Facts are read without holding the learner's row.
    NoLock,
    /// An event is claimed as it is written, though an earlier one of its learner is not published yet.
    ClaimedOutOfTurn,
    /// A server that fails again and again is asked all the same.
    NoBreaker,
    /// A server that asks for time is not given it.
    NoRetryAfter,
    /// The newest event to arrive counts, not the newest event.
    NoMerge,
    /// Everyone asks for tokens who wants some.
    NoTokenLease,
    /// Others are not told that the token endpoint asked for a pause.
    NoTokenPause,
}

impl Defect {
    pub(super) const ALL: [Self; 14] = [
        Self::NoLookUp,
        Self::NoGuard,
        Self::NoFencing,
        Self::OffsetsFirst,
        Self::MarkFirst,
        Self::AnyOrder,
        Self::NoFence,
        Self::NoLock,
        Self::ClaimedOutOfTurn,
        Self::NoBreaker,
        Self::NoRetryAfter,
        Self::NoMerge,
        Self::NoTokenLease,
        Self::NoTokenPause,
    ];
}

/// What every run has in common.
pub(super) struct Catalogue {
    pub(super) courses: Vec<CourseKey>,
    pub(super) rules: Vec<Rc<Rules>>,
}

impl Catalogue {
    pub(super) fn new() -> Self {
        let courses: Vec<CourseKey> = ["A", "B", "C", "D"]
            .iter()
            .map(|name| format!("edX/{name}/1").parse().expect("a course key"))
            .collect();
        let group = |places: &[usize]| Condition::Group(places.iter().map(|n| courses[*n].clone()).collect());
        let texts = [
            vec![
                (1, Condition::Enrolled(2)),
                (2, Condition::Completed(2)),
                (3, group(&[0, 1])),
            ],
            vec![
                (1, Condition::Enrolled(1)),
                (2, Condition::Completed(1)),
                (4, group(&[1, 2])),
            ],
            vec![
                (1, Condition::Completed(1)),
                (1, Condition::Enrolled(3)),
                (5, Condition::Enrolled(2)),
            ],
            vec![
                (6, Condition::Enrolled(1)),
                (2, Condition::Completed(3)),
                (3, group(&[2])),
            ],
        ];
        let rule = |(id, condition): (i32, Condition)| Rule {
            badge_class: BadgeClassId(id),
            badge_class_key: BadgeClassKey {
                slug: format!("badge{id}"),
                issuing_component: "openedx__course".to_owned(),
                course_id: String::new(),
            },
            condition,
        };
        let rules = (1..).zip(texts).map(|(configuration_id, rules)| {
            Rc::new(Rules {
                configuration_id,
                rules: rules.into_iter().map(rule).collect(),
            })
        });
        let rules = rules.collect();
        Self { courses, rules }
    }
}

/// What a record of the input holds.
#[derive(Debug, Clone)]
pub(super) enum Content {
    Enrollment(Pair, EnrollmentFact),
    Certificate(Pair, CertificateFact),
    /// Cannot be processed.
    Bad,
}

/// What goes wrong, each so often in ten thousand where nothing else is said. All of it ends at `heal_at`.
#[derive(Debug, Default)]
pub(super) struct Faults {
    /// A process dies before a step.
    pub(super) crash: u64,
    /// A process, or one task of it, stops for a while before a step.
    pub(super) stall: u64,
    /// A transaction fails, or its success is not heard of.
    pub(super) database: u64,
    pub(super) database_down: (At, At),
    /// The badge server fails in one of its many ways.
    pub(super) badgr: u64,
    pub(super) badgr_down: (At, At),
    /// It carries requests out later than it may.
    pub(super) too_late: bool,
    /// The token endpoint refuses, throttles or fails.
    pub(super) tokens: u64,
    /// The brokers take a record or not, and say what they like.
    pub(super) kafka: u64,
    pub(super) kafka_down: (At, At),
    /// Partitions change hands.
    pub(super) rebalances: bool,
}

/// A run.
pub(super) struct Plan {
    pub(super) replicas: usize,
    pub(super) partitions: usize,
    pub(super) learners: i64,
    pub(super) heal_at: At,
    pub(super) faults: Faults,
    /// By how much each process's wall clock is ahead.
    pub(super) skews: [i64; 3],
    /// What an event brings is issued with the decision, and its announcement handed to the relay of the same process.
    pub(super) at_once: bool,
    /// The server refuses a second award of a badge, as far as it sees the first.
    pub(super) refuses_duplicates: bool,
    /// How long its tokens live.
    pub(super) token_life: u64,
    pub(super) poll: usize,
    /// When, in which partition, what.
    pub(super) records: Vec<(At, usize, Content)>,
    /// When which rules become active.
    pub(super) activations: Vec<(At, usize)>,
    /// What is known in the end: the newest of each.
    pub(super) newest: BTreeMap<(Pair, bool), (Stamp, bool)>,
}

impl Plan {
    pub(super) fn of(seed: u64, chance: &mut Chance) -> Self {
        let heal_at = chance.between(40_000, 240_000);
        let often = |chance: &mut Chance, most: u64| match chance.once_in(2) {
            true => chance.between(1, most),
            false => 0,
        };
        let window = |chance: &mut Chance, once_in: u64| match chance.once_in(once_in) {
            true => {
                let from = chance.below(heal_at);
                (from, from + chance.between(1_000, 150_000))
            }
            false => (0, 0),
        };
        let faults = Faults {
            crash: often(chance, 100),
            stall: often(chance, 150),
            database: often(chance, 1_500),
            database_down: window(chance, 6),
            badgr: often(chance, 5_000),
            badgr_down: window(chance, 6),
            too_late: chance.once_in(8),
            tokens: often(chance, 6_000),
            kafka: often(chance, 4_000),
            kafka_down: window(chance, 6),
            rebalances: chance.once_in(2),
        };
        let skews = [(); 3].map(|()| match chance.once_in(3) {
            true => i64::try_from(chance.below(7_200_000)).unwrap_or_default() - 3_600_000,
            false => 0,
        });
        let mut plan = Self {
            replicas: 2 + chance.index(2),
            partitions: 2,
            learners: 1 + i64::from(chance.once_in(2)),
            heal_at,
            faults,
            skews,
            at_once: seed % 4 == 3,
            refuses_duplicates: chance.once_in(3),
            token_life: [60_000, 300_000, 3_600_000, 86_400_000][chance.index(4)],
            poll: 1 + chance.index(6),
            records: Vec::new(),
            activations: Vec::new(),
            newest: BTreeMap::new(),
        };
        plan.draw_records(chance);
        let configurations = 1 + chance.index(3);
        for n in 0..configurations {
            let at = if n == 0 {
                chance.below(2) * 5_000
            } else {
                chance.below(heal_at)
            };
            plan.activations.push((at, chance.index(4)));
        }
        plan.activations.sort_unstable();
        if seed.is_multiple_of(64) {
            plan.add_flood(chance);
        }
        // The badge server is away for long.
        if seed % 16 == 5 {
            plan.faults.badgr_down = (20_000, 200_000);
            plan.heal_at = plan.heal_at.max(200_000);
        }
        plan.records.sort_by_key(|(at, ..)| *at);
        plan
    }

    fn draw_records(&mut self, chance: &mut Chance) {
        let events = chance.between(3, 14);
        let spread = chance.between(1, self.heal_at / 2);
        for event in 0..events {
            let learner = 1 + i64::try_from(chance.below(self.learners.unsigned_abs())).unwrap_or_default();
            let pair = (
                LearnerId(learner),
                CourseId(i32::try_from(chance.below(4)).unwrap_or_default()),
            );
            let stamp = Stamp {
                // Some come at the same time, and their ids decide.
                time: wall(chance.below(8) * 1_000, 0),
                event_id: format!("e{}", (event * 7) % 16),
            };
            let is_certificate = chance.once_in(2);
            let holds = !chance.once_in(5);
            let newest = self
                .newest
                .entry((pair, is_certificate))
                .or_insert((stamp.clone(), holds));
            if stamp > newest.0 {
                *newest = (stamp.clone(), holds);
            }
            let content = match is_certificate {
                true => Content::Certificate(
                    pair,
                    CertificateFact {
                        passed: holds,
                        mode: String::new(),
                        evidence_url: None,
                        stamp,
                    },
                ),
                false => Content::Enrollment(
                    pair,
                    EnrollmentFact {
                        active: holds,
                        mode: String::new(),
                        stamp,
                    },
                ),
            };
            for _ in 0..=u64::from(chance.once_in(4)) {
                let place = chance.index(self.partitions);
                self.records.push((chance.below(spread), place, content.clone()));
            }
        }
        if chance.once_in(4) {
            let place = chance.index(self.partitions);
            self.records.push((chance.below(spread), place, Content::Bad));
        }
    }

    /// So many records that cannot be processed that reading stops.
    fn add_flood(&mut self, chance: &mut Chance) {
        let (at, place) = (chance.below(self.heal_at), chance.index(self.partitions));
        self.records.extend((0..250).map(|_| (at, place, Content::Bad)));
        self.poll = 300;
    }
}
