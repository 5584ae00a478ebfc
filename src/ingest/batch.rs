//! One batch, one transaction.
//!
//! Locks are taken in one order, by everybody: lane, fence, courses by key, learners ascending, their facts, badge classes by
//! key, awards, dead letters, positions. A replay holds its one dead letter first: a batch only adds some.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::Instant,
};

use chrono::TimeDelta;

use super::{
    BatchOutcome, Content, Item, Outcome, Settings, decide,
    fold::Fold,
    item::next_offsets,
    judged::{Judged, tally},
    lanes::Held,
    memory::{Learnt, Memory, Overlay},
    requests::{Request, request_of, requested},
};
use crate::{
    domain::{
        Event, EventBody, LearnerId,
        facts::{CertificateFact, EnrollmentFact},
    },
    failpoint::{Place, hit},
    store::{
        Lane, Store, StoreError, TRIES_LAST, Tx,
        awards::{self, AwardKey, IssuedAtOnce},
        courses::CourseId,
        dead_letters::{self, NewDeadLetter},
        event_badges::{self, RulesCache, Standing},
        facts, learners, losses,
        outbox::{ClaimedEvent, LEASE, Room},
        positions::{self, NextOffset},
        retirement,
    },
};

/// Of no more awards at once are the events handed to the relay of this process: many take their time anyway, and would
/// wait in memory.
const HANDED_OVER: usize = 100;

/// Writes batches into the store. One a consumer: it remembers what others never delete.
pub struct Batch {
    store: Arc<Store>,
    rules: Arc<RulesCache>,
    settings: Settings,
    memory: Memory,
    /// What was stored last of each partition that is held.
    last: BTreeMap<(String, i32), i64>,
}

impl Batch {
    /// A writer that remembers nothing yet.
    pub fn new(store: Arc<Store>, rules: Arc<RulesCache>, settings: Settings) -> Self {
        Self {
            store,
            rules,
            settings,
            memory: Memory::default(),
            last: BTreeMap::new(),
        }
    }

    /// Does all that these records ask for: facts, decisions, dead letters, positions. In one transaction, or in a few
    /// when there are many records; then the last one holds dead letters and positions.
    ///
    /// The records of a partition come in the order of their offsets. The same records again change nothing but the
    /// positions, and keep their dead letters once more. After an error some facts and decisions may be kept already.
    pub fn apply(&mut self, items: &[Item]) -> Result<BatchOutcome, StoreError> {
        hit(Place::Polled)?;
        let lanes = Arc::clone(&self.settings.lanes);
        let mut shares = lanes.split(items);
        let mut whole = BatchOutcome::of(items.len());
        let begun = Instant::now();
        loop {
            if begun.elapsed() >= TRIES_LAST {
                shares.join();
            }
            let held = (!shares.lanes.is_empty()).then(|| lanes.hold(&shares.lanes));
            let mut places = held
                .as_ref()
                .and_then(|held| shares.lanes.remove(&held.number))
                .unwrap_or_default();
            // What must not be kept twice when a later one fails, dead letters and positions, belongs to the last one.
            let is_last = shares.lanes.is_empty();
            if is_last {
                places.append(&mut shares.rest);
                places.sort_unstable();
            }
            let share: Vec<&Item> = places.iter().map(|place| &items[*place]).collect();
            let next = if is_last { next_offsets(items) } else { Vec::new() };
            let lane = held.as_ref().and_then(Held::lane);
            whole.add(self.write(&share, &next, lane, begun)?, &places);
            if is_last {
                return Ok(whole);
            }
        }
    }

    /// What was stored last of each partition. As long as it is remembered, nothing is written to a database that knows
    /// less: [`StoreError::WentBack`].
    pub(super) fn last_positions(&self) -> impl Iterator<Item = ((&str, i32), i64)> {
        self.last
            .iter()
            .map(|((topic, partition), offset)| ((topic.as_str(), *partition), *offset))
    }

    /// Forgets the positions of all partitions but these: others may read the rest again.
    pub(super) fn keep_positions(&mut self, held: &[(String, i32)]) {
        self.last.retain(|partition, _| held.contains(partition));
    }

    /// Remembers nothing any more: nobody knows how far a batch came.
    pub(super) fn forget(&mut self) {
        self.memory.forget();
    }

    fn write(
        &mut self,
        items: &[&Item],
        next: &[NextOffset],
        lane: Option<Lane>,
        begun: Instant,
    ) -> Result<BatchOutcome, StoreError> {
        let Self {
            store,
            rules,
            settings,
            memory,
            last,
            ..
        } = self;
        let known: Vec<NextOffset> = last
            .iter()
            .map(|((topic, partition), offset)| NextOffset {
                topic: topic.clone(),
                partition: *partition,
                offset: *offset,
            })
            .collect();
        // Reserved before, so that whatever is claimed can be handed over.
        let room = Room::with(settings.relay.as_ref());
        let lease = room.as_ref().map(|_| LEASE);
        let written = store.batch_transaction("ingest", begun, items.len(), lane, |tx| {
            hit(Place::Begun)?;
            let standing = event_badges::standing(tx, rules, &known)?;
            let done = work(tx, items, standing, settings, memory, lease, dead_letters::insert)?;
            positions::store(tx, next)?;
            hit(Place::BeforeCommit)?;
            Ok(done)
        });
        match written.and_then(|written| Ok(hit(Place::AfterCommit).map(|()| written)?)) {
            Ok(Worked {
                outcome,
                learnt,
                claimed,
            }) => {
                memory.keep(learnt);
                if let Some(room) = room {
                    room.hand_over(claimed);
                }
                let stored = next
                    .iter()
                    .map(|next| ((next.topic.clone(), next.partition), next.offset));
                last.extend(stored);
                Ok(outcome)
            }
            Err(error) => {
                memory.forget();
                Err(error)
            }
        }
    }
}

/// What was done in a transaction.
pub(super) struct Worked {
    pub(super) outcome: BatchOutcome,
    learnt: Learnt,
    /// Events that are claimed for the relay of this process.
    claimed: Vec<ClaimedEvent>,
}

/// Does in this transaction all that these records ask for: facts, decisions, and to `keep` those that cannot be
/// processed. With a `lease` the events of what is issued at once are claimed.
pub(super) fn work(
    tx: &mut Tx<'_>,
    items: &[&Item],
    standing: Standing,
    settings: &Settings,
    memory: &Memory,
    lease: Option<TimeDelta>,
    keep: impl FnOnce(&mut Tx<'_>, &[NewDeadLetter<'_>]) -> Result<(), StoreError>,
) -> Result<Worked, StoreError> {
    let mut known = Overlay::new(memory);
    let rules = standing.rules.filter(|_| settings.award);
    known.courses(tx, items, standing.by_hand)?;
    let (mut fold, mut outcomes) = fold(tx, items, &known, settings)?;
    hit(Place::Locked)?;
    fold.count();
    facts::write(tx, &fold.changes())?;
    hit(Place::FactsWritten)?;

    let mut decisions = Vec::new();
    let mut requests = BTreeMap::new();
    if settings.award {
        if settings.revoke_on_loss {
            let lost = decide::losses(tx, rules.as_deref(), &fold, &known)?;
            losses::apply(tx, &lost)?;
        }
        if let Some(rules) = &rules {
            decisions.extend(decide::by_rules(tx, rules, &fold, &known)?);
        }
        decisions.extend(decide::completions(tx, &fold, &mut known)?);
        requests = requested(tx, items, &fold, &mut known, &mut decisions, &mut outcomes)?;
    }
    let new = awards::insert_decisions(tx, &decisions)?;
    let mut at_once = IssuedAtOnce::default();
    if let Some(issue) = &settings.issue_at_once {
        let keys: Vec<AwardKey> = new.iter().map(awards::key_of).collect();
        let lease = lease.filter(|_| keys.len() <= HANDED_OVER);
        at_once = awards::issue_at_once(tx, &keys, issue.as_ref(), lease)?;
    }
    hit(Place::Decided)?;
    let unblocked = awards::unblock_no_email(tx, &fold.newly_reachable())?;
    let issued: HashSet<Request> = new.iter().map(request_of).collect();
    for (n, request) in requests {
        if issued.contains(&request) {
            outcomes[n] = Judged::Outcome(Outcome::Applied);
        }
    }

    let letters: Vec<NewDeadLetter<'_>> = items
        .iter()
        .zip(&outcomes)
        .filter_map(|(item, judged)| judged.letter(item))
        .collect();
    let retired = fold.newly_retired();
    retirement::fence(tx, &retired)?;
    keep(tx, &letters)?;
    retirement::erase(tx, &retired)?;
    let outcome = BatchOutcome {
        to_announce: at_once.awards - at_once.claimed.len(),
        to_issue: new.len() - at_once.awards + unblocked,
        ..tally(items, &outcomes, &new)
    };
    Ok(Worked {
        outcome,
        learnt: known.learnt(),
        claimed: at_once.claimed,
    })
}

/// Holds the learners, reads their facts and folds every event in.
fn fold(
    tx: &mut Tx<'_>,
    items: &[&Item],
    known: &Overlay<'_>,
    settings: &Settings,
) -> Result<(Fold, Vec<Judged>), StoreError> {
    let mut ids = Vec::with_capacity(items.len());
    let mut pairs = Vec::with_capacity(items.len());
    for (place, item) in items.iter().enumerate() {
        if let Some(learner) = item.event().and_then(learner_of) {
            ids.push(learner);
            pairs.extend(known.course_of(place).map(|course| (learner, course)));
        }
    }
    ids.sort_unstable();
    ids.dedup();
    pairs.sort_unstable();
    pairs.dedup();
    let held = learners::hold(tx, &ids)?;
    // Who has no row has no facts.
    let has_row = |learner| held.binary_search_by_key(&learner, |held| held.id).is_ok();
    let known_pairs: Vec<_> = pairs.iter().copied().filter(|(learner, _)| has_row(*learner)).collect();
    let facts = facts::read(tx, &known_pairs)?;
    let mut fold = Fold::new(&ids, held, &pairs, facts);
    let judged = items.iter().enumerate().map(|(n, item)| match &item.content {
        Content::Ignored => Judged::Outcome(Outcome::Ignored),
        Content::Unprocessable { reason, .. } => Judged::Unprocessable(reason),
        Content::Event(event) => {
            let news = take(&mut fold, event, known.course_of(n), settings) || known.updated.contains(&n);
            Judged::Outcome(if news { Outcome::Applied } else { Outcome::Stale })
        }
    });
    let judged = judged.collect();
    Ok((fold, judged))
}

fn learner_of(event: &Event) -> Option<LearnerId> {
    match &event.body {
        EventBody::LearnerRetired(id) => Some(*id),
        body => body.learner().map(|learner| learner.id),
    }
}

/// Folds one event in, of this course where it is of one; says whether its fact was news.
fn take(fold: &mut Fold, event: &Event, course: Option<CourseId>, settings: &Settings) -> bool {
    let stamp = &event.stamp;
    let learnt = event.body.learner().is_some_and(|learner| fold.learn(learner, stamp));
    match &event.body {
        EventBody::Enrollment {
            learner,
            mode,
            is_active,
            ..
        } => {
            let fact = EnrollmentFact {
                active: *is_active,
                mode: mode.clone(),
                stamp: stamp.clone(),
            };
            course.is_some_and(|course| fold.enroll((learner.id, course), fact))
        }
        EventBody::Certificate {
            learner,
            mode,
            passed,
            uuid,
            url,
            ..
        } => {
            let fact = CertificateFact {
                passed: *passed,
                mode: mode.clone(),
                evidence_url: url.clone().or_else(|| settings.evidence_url(uuid.as_deref()?)),
                stamp: stamp.clone(),
            };
            course.is_some_and(|course| fold.certify((learner.id, course), fact))
        }
        EventBody::LearnerUpdated(_) => learnt,
        EventBody::LearnerRetired(learner) => fold.retire(*learner, stamp),
        // What these bring is found elsewhere.
        EventBody::CourseUpdated { .. } | EventBody::BadgeRequested { .. } => false,
    }
}
