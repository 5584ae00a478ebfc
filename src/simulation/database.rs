//! The database as a value: its tables, and each statement's effect on them, as the SQL of [`crate::store`] has it.
//!
//! A transaction is one step: what it writes is there whole, or not at all. Where transactions hold locks over several
//! steps (the configuration's fence, the learners' rows), these are here too.

use std::{
    collections::{BTreeMap, HashMap},
    rc::Rc,
};

use uuid::Uuid;

use super::schedule::At;
use crate::{
    backend::badgr::renewal::Pair as TokenPair,
    domain::{
        LearnerId,
        award::{AwardId, AwardState, Decision},
        badge_class::BadgeClassId,
        evaluate::Rules,
        facts::CourseFacts,
        next_step::Step,
    },
    store::{facts::Pair, learners::Learner},
};

/// A row of `award`.
#[derive(Debug, Clone)]
pub(super) struct Award {
    pub(super) id: AwardId,
    pub(super) learner: LearnerId,
    pub(super) class: BadgeClassId,
    pub(super) state: AwardState,
    pub(super) reason: Option<&'static str>,
    /// When it is due; while it is issuing, when its lease ends.
    pub(super) due: At,
    pub(super) attempts: u32,
    pub(super) token: u64,
    pub(super) posted: bool,
    pub(super) first_at: Option<At>,
    pub(super) updated: At,
    /// The assertion that is stored.
    pub(super) assertion: Option<usize>,
}

/// What a claim tells of an award.
#[derive(Debug, Clone)]
pub(super) struct Claimed {
    pub(super) id: AwardId,
    pub(super) learner: LearnerId,
    pub(super) class: BadgeClassId,
    pub(super) token: u64,
    pub(super) attempts: u32,
    pub(super) first_at: At,
    pub(super) claimed_at: At,
    pub(super) lease_until: At,
    pub(super) posted: bool,
    pub(super) must_look_up: bool,
}

/// A row of `outbox`.
#[derive(Debug, Clone)]
pub(super) struct Outgoing {
    pub(super) learner: LearnerId,
    pub(super) seq: u64,
    pub(super) event: Uuid,
    pub(super) award: AwardId,
    pub(super) created: At,
    pub(super) published: bool,
    pub(super) lease_until: Option<At>,
    pub(super) token: u64,
    pub(super) parked: bool,
}

/// A configuration that is or was active.
#[derive(Debug, Clone)]
pub(super) struct Configuration {
    pub(super) rules: Rc<Rules>,
    pub(super) cursor: i64,
    pub(super) done: bool,
    pub(super) until: At,
    pub(super) token: u64,
}

/// The one row of `token_cache`.
#[derive(Clone, Default)]
pub(super) struct TokenRow {
    pub(super) pair: Option<TokenPair>,
    pub(super) not_before: At,
    pub(super) lease: u64,
    pub(super) lease_until: At,
}

#[derive(Default)]
pub(super) struct Database {
    pub(super) learners: BTreeMap<LearnerId, Learner>,
    pub(super) next_seq: BTreeMap<LearnerId, u64>,
    pub(super) facts: HashMap<Pair, CourseFacts>,
    pub(super) awards: Vec<Award>,
    pub(super) outbox: Vec<Outgoing>,
    pub(super) positions: Vec<i64>,
    /// Partition and offset of what could not be processed.
    pub(super) letters: Vec<(usize, i64)>,
    /// In the order of their activation: the last is active.
    pub(super) configurations: Vec<Configuration>,
    pub(super) tokens: TokenRow,
    /// How often consumers were let go on, and whether one stopped since.
    pub(super) resumed: u64,
    pub(super) paused: bool,
    /// The open transactions that share the configuration's fence, and since when.
    pub(super) fence: Vec<(u64, At)>,
    /// An activation waits: nobody else comes in.
    pub(super) fence_wanted: bool,
    /// The learners whose rows open transactions hold.
    pub(super) locks: BTreeMap<LearnerId, u64>,
}

impl Database {
    pub(super) fn active(&self) -> Option<&Configuration> {
        self.configurations.last()
    }

    /// Takes the fence and these rows, or nothing of them.
    pub(super) fn lock(&mut self, now: At, transaction: u64, learners: &[LearnerId]) -> bool {
        self.end_idle(now);
        if self.fence_wanted || learners.iter().any(|learner| self.locks.contains_key(learner)) {
            return false;
        }
        self.fence.push((transaction, now));
        self.locks
            .extend(learners.iter().map(|learner| (*learner, transaction)));
        true
    }

    /// Whether this transaction still holds what it took.
    pub(super) fn is_open(&self, transaction: u64) -> bool {
        self.fence.iter().any(|(held, _)| *held == transaction)
    }

    pub(super) fn unlock(&mut self, transaction: u64) {
        self.fence.retain(|(held, _)| *held != transaction);
        self.locks.retain(|_, held| *held != transaction);
    }

    /// Ends transactions in which nothing happened for long: `idle_in_transaction_session_timeout`.
    pub(super) fn end_idle(&mut self, now: At) {
        const IDLE: u64 = 60_000;
        while let Some((stale, _)) = self.fence.iter().find(|(_, since)| since + IDLE < now).copied() {
            self.unlock(stale);
        }
    }

    /// `awards::insert_decisions`
    pub(super) fn insert_decisions(&mut self, now: At, decisions: &[Decision]) -> usize {
        let mut new = 0;
        for decision in decisions {
            let (learner, class) = (decision.learner, decision.badge_class);
            // The key of the table, without the hash.
            if self.awards.iter().any(|a| a.learner == learner && a.class == class) {
                continue;
            }
            new += 1;
            self.awards.push(Award {
                id: AwardId::of(learner, &decision.badge_class_key, &decision.idempotency_key),
                learner,
                class,
                state: AwardState::Pending,
                reason: None,
                due: now,
                attempts: 0,
                token: 0,
                posted: false,
                first_at: None,
                updated: now,
                assertion: None,
            });
        }
        new
    }

    /// `awards::claim`
    pub(super) fn claim(&mut self, now: At, limit: usize, lease: u64, settle: u64) -> (Vec<Claimed>, bool) {
        for award in &mut self.awards {
            if award.state == AwardState::Issuing && award.due < now {
                award.state = AwardState::Uncertain;
                award.posted = true;
                (award.due, award.updated) = (now + settle, now);
            }
        }
        let mut due: Vec<usize> = (0..self.awards.len())
            .filter(|n| {
                let award = &self.awards[*n];
                matches!(award.state, AwardState::Pending | AwardState::Uncertain) && award.due <= now
            })
            .collect();
        due.sort_by_key(|n| (self.awards[*n].state == AwardState::Pending, self.awards[*n].due));
        let more = due.len() >= limit;
        due.truncate(limit);
        let take = |n: usize| {
            let award = &mut self.awards[n];
            let must_look_up = award.posted || award.state == AwardState::Uncertain;
            award.state = AwardState::Issuing;
            award.reason = None;
            award.attempts += 1;
            award.token += 1;
            (award.due, award.updated) = (now + lease, now);
            Claimed {
                id: award.id,
                learner: award.learner,
                class: award.class,
                token: award.token,
                attempts: award.attempts,
                first_at: *award.first_at.get_or_insert(now),
                claimed_at: now,
                lease_until: now + lease,
                posted: award.posted,
                must_look_up,
            }
        };
        (due.into_iter().map(take).collect(), more)
    }

    /// The award of this claim, if its lease still holds.
    fn fenced(&mut self, claimed: &Claimed) -> Option<&mut Award> {
        self.awards
            .iter_mut()
            .find(|award| award.id == claimed.id && award.state == AwardState::Issuing && award.token == claimed.token)
    }

    /// `awards::apply_steps`
    pub(super) fn apply_step(&mut self, now: At, claimed: &Claimed, step: &Step) -> bool {
        let Some(award) = self.fenced(claimed) else {
            return false;
        };
        award.state = step.state;
        award.reason = step.reason;
        award.posted |= step.posted;
        award.attempts -= u32::from(!step.counted);
        award.due = now + u64::try_from(step.after.num_milliseconds()).unwrap_or_default();
        award.updated = now;
        true
    }

    /// `awards::complete`
    pub(super) fn complete(&mut self, now: At, claimed: &Claimed, assertion: usize) -> bool {
        let Some(award) = self.fenced(claimed) else {
            return false;
        };
        award.state = AwardState::Issued;
        award.posted = true;
        award.updated = now;
        award.assertion = Some(assertion);
        let seq = self.next_seq.entry(claimed.learner).or_insert(1);
        self.outbox.push(Outgoing {
            learner: claimed.learner,
            seq: *seq,
            event: claimed.id.event_id("badge.awarded"),
            award: claimed.id,
            created: now,
            published: false,
            lease_until: None,
            token: 0,
            parked: false,
        });
        *seq += 1;
        true
    }

    /// `awards::resume_blocked`, and by hand what failed.
    pub(super) fn resume(&mut self, now: At, settle: u64, limit: usize, which: impl Fn(&Award) -> bool) -> usize {
        let awards = self.awards.iter_mut().filter(|award| which(award)).take(limit);
        let mut resumed = 0;
        for award in awards {
            let wait = award.posted && award.updated + settle > now;
            award.state = match award.posted {
                true => AwardState::Uncertain,
                false => AwardState::Pending,
            };
            award.due = if wait { now + settle } else { now };
            award.updated = now;
            award.reason = None;
            resumed += 1;
        }
        resumed
    }

    /// The rows that are first of their learner, by their places.
    fn first_unpublished(&self) -> Vec<usize> {
        let first = |n: &usize| {
            let row = &self.outbox[*n];
            let before = |other: &Outgoing| other.learner == row.learner && other.seq < row.seq && !other.published;
            !row.published && !self.outbox.iter().any(before)
        };
        (0..self.outbox.len()).filter(first).collect()
    }

    /// `outbox::claim`
    pub(super) fn claim_outbox(&mut self, now: At, limit: usize, lease: u64) -> Vec<Outgoing> {
        let mut free = self.first_unpublished();
        free.retain(|n| {
            let row = &self.outbox[*n];
            !row.parked && row.lease_until.is_none_or(|until| until < now)
        });
        free.sort_by_key(|n| (self.outbox[*n].created, self.outbox[*n].learner, self.outbox[*n].seq));
        free.truncate(limit);
        let take = |n: usize| {
            let row = &mut self.outbox[n];
            row.token += 1;
            row.lease_until = Some(now + lease);
            row.clone()
        };
        free.into_iter().map(take).collect()
    }

    fn held(&mut self, claimed: &Outgoing) -> Option<&mut Outgoing> {
        self.outbox.iter_mut().find(|row| {
            row.learner == claimed.learner && row.seq == claimed.seq && row.token == claimed.token && !row.published
        })
    }

    /// `outbox::mark_published`
    pub(super) fn mark_published(&mut self, now: At, claimed: &Outgoing) {
        let Some(row) = self.held(claimed) else { return };
        row.published = true;
        row.lease_until = None;
        let award = self.awards.iter_mut().find(|award| award.id == claimed.award);
        if let Some(award) = award.filter(|award| award.state == AwardState::Issued) {
            award.state = AwardState::Published;
            award.updated = now;
        }
    }

    /// `outbox::release`
    pub(super) fn release(&mut self, now: At, claimed: &Outgoing, pause: u64) {
        if let Some(row) = self.held(claimed) {
            row.lease_until = Some(now + pause);
        }
    }

    /// `outbox::park`
    pub(super) fn park(&mut self, claimed: &Outgoing) {
        if let Some(row) = self.held(claimed) {
            row.parked = true;
            row.lease_until = None;
        }
    }

    /// When an award is due next.
    pub(super) fn award_due(&self) -> Option<At> {
        let waits = |award: &&Award| {
            matches!(
                award.state,
                AwardState::Pending | AwardState::Uncertain | AwardState::Issuing
            )
        };
        let due = self.awards.iter().filter(waits).map(|award| {
            // A lease has ended after its last moment.
            award.due + u64::from(award.state == AwardState::Issuing)
        });
        due.min()
    }

    /// When an event can be sent next.
    pub(super) fn outbox_due(&self) -> Option<At> {
        if self.outbox.iter().all(|row| row.published) {
            return None;
        }
        let rows = self.first_unpublished();
        let free = rows.iter().map(|n| &self.outbox[*n]).filter(|row| !row.parked);
        free.map(|row| row.lease_until.map_or(0, |until| until + 1)).min()
    }
}
