//! The database as a value: its tables, and each statement's effect on them, as the SQL of [`crate::store`] has it.
//!
//! A transaction is one step: what it writes is there whole, or not at all. Where transactions hold locks over several
//! steps (the configuration's fence, the learners' rows), these are here too.

use std::{
    collections::{BTreeMap, HashMap},
    rc::Rc,
};

use super::{outbox::Outgoing, schedule::At};
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
    pub(super) fn insert_decisions(&mut self, now: At, decisions: &[Decision]) -> Vec<AwardId> {
        let mut new = Vec::new();
        for decision in decisions {
            let (learner, class) = (decision.learner, decision.badge_class);
            // The key of the table, without the hash.
            if self.awards.iter().any(|a| a.learner == learner && a.class == class) {
                continue;
            }
            let id = AwardId::of(learner, &decision.badge_class_key, &decision.idempotency_key);
            new.push(id);
            self.awards.push(Award {
                id,
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
        // Without fencing it may be taken back twice.
        award.attempts = award.attempts.saturating_sub(u32::from(!step.counted));
        award.due = now + u64::try_from(step.after.num_milliseconds()).unwrap_or_default();
        award.updated = now;
        true
    }

    /// `awards::complete`
    pub(super) fn complete(&mut self, now: At, claimed: &Claimed, assertion: usize) -> bool {
        let Some(award) = self.fenced(claimed) else {
            return false;
        };
        issue(award, now, assertion);
        let (id, learner) = (award.id, award.learner);
        self.announce(now, id, learner, None);
        true
    }

    /// `awards::issue_at_once`, of awards that were decided in this transaction: `store` keeps the assertion of each.
    /// Returns the events that are claimed: with a lease, the first of each learner if nothing earlier is unpublished.
    pub(super) fn issue_at_once(
        &mut self,
        now: At,
        new: &[AwardId],
        lease: Option<u64>,
        out_of_turn: bool,
        mut store: impl FnMut(&Award) -> usize,
    ) -> Vec<Outgoing> {
        let mut claimed = Vec::new();
        for id in new {
            let Some(award) = self.awards.iter_mut().find(|award| award.id == *id) else {
                continue;
            };
            let assertion = store(award);
            issue(award, now, assertion);
            let learner = award.learner;
            let waits = |row: &Outgoing| row.learner == learner && !row.published;
            let is_first = out_of_turn || !self.outbox.iter().any(waits);
            let lease_until = lease.filter(|_| is_first).map(|lease| now + lease);
            claimed.extend(self.announce(now, *id, learner, lease_until));
        }
        claimed
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
}

fn issue(award: &mut Award, now: At, assertion: usize) {
    award.state = AwardState::Issued;
    award.posted = true;
    award.updated = now;
    award.assertion = Some(assertion);
}
