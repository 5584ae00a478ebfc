//! The table `outbox`: what is to be announced, claimed, sent, marked.

use uuid::Uuid;

use super::{database::Database, schedule::At};
use crate::domain::{
    LearnerId,
    award::{AwardId, AwardState},
};

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

impl Database {
    /// Writes the event that tells of an award. Returns it if it is claimed.
    pub(super) fn announce(
        &mut self,
        now: At,
        award: AwardId,
        learner: LearnerId,
        lease_until: Option<At>,
    ) -> Option<Outgoing> {
        let seq = self.next_seq.entry(learner).or_insert(1);
        let row = Outgoing {
            learner,
            seq: *seq,
            event: award.event_id("badge.awarded"),
            award,
            created: now,
            published: false,
            lease_until,
            token: u64::from(lease_until.is_some()),
            parked: false,
        };
        *seq += 1;
        self.outbox.push(row.clone());
        lease_until.map(|_| row)
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
            row.token += 1;
        }
    }

    /// `outbox::renew`
    pub(super) fn renew(&mut self, now: At, claimed: &Outgoing, lease: u64) {
        if let Some(row) = self.held(claimed) {
            row.lease_until = Some(now + lease);
        }
    }

    /// `outbox::park`
    pub(super) fn park(&mut self, claimed: &Outgoing) {
        if let Some(row) = self.held(claimed) {
            row.parked = true;
            row.token += 1;
            row.lease_until = None;
        }
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
