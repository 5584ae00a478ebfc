//! Folds events into what is known of learners and courses: pure.

use crate::{
    domain::{
        LearnerId,
        evaluate::Progress,
        event::{LearnerDetails, Stamp},
        facts::{CertificateFact, CourseFacts, EnrollmentFact},
    },
    store::{
        courses::CourseId,
        facts::{Changes, Pair},
        learners::Learner,
    },
    wire::mentions::Person,
};

/// What was known before a batch, and what is known after it.
#[derive(Debug, Default)]
pub(crate) struct Fold {
    /// In ascending order.
    learners: Vec<HeldLearner>,
    /// In the order of their pairs.
    facts: Vec<HeldFacts>,
}

/// A learner whose row is held.
#[derive(Debug)]
pub(crate) struct HeldLearner {
    pub(crate) learner: Learner,
    pub(crate) before: Progress,
    /// Has no row yet.
    is_new: bool,
    had_email: bool,
    /// As the learner was known, if this batch retires them.
    retired: Option<Person>,
    changed: bool,
    /// The newest event that changed a fact.
    pub(crate) cause: Option<Stamp>,
    /// Courses newly passed.
    pub(crate) newly_passed: Vec<CourseId>,
    /// Courses newly passed, or passed before and now in another mode.
    pub(crate) newly_certified: Vec<CourseId>,
    /// Courses no longer passed.
    pub(crate) newly_lost: Vec<CourseId>,
}

#[derive(Debug)]
struct HeldFacts {
    pair: Pair,
    facts: CourseFacts,
    /// Has no row yet.
    is_new: bool,
    was_enrolled: bool,
    was_passed: bool,
    changed: bool,
    /// The certificate's mode is, or was for a moment, another one.
    changed_mode: bool,
}

impl HeldLearner {
    fn new(row: Option<Learner>, id: LearnerId) -> Self {
        let is_new = row.is_none();
        let learner = row.unwrap_or_else(|| Learner::unknown(id));
        Self {
            before: learner.progress,
            is_new,
            had_email: learner.email.value.is_some(),
            retired: None,
            changed: false,
            cause: None,
            newly_passed: Vec::new(),
            newly_certified: Vec::new(),
            newly_lost: Vec::new(),
            learner,
        }
    }
}

impl HeldFacts {
    fn new(row: Option<CourseFacts>, pair: Pair) -> Self {
        let is_new = row.is_none();
        let facts = row.unwrap_or_default();
        Self {
            pair,
            is_new,
            was_enrolled: facts.is_enrolled(),
            was_passed: facts.is_passed(),
            changed_mode: false,
            changed: false,
            facts,
        }
    }
}

impl Fold {
    /// Begins with what the database knows of these learners and pairs: who is not among `held` has no row yet, and
    /// unknown pairs have no facts. All four come in ascending order, and each learner and pair once.
    pub(crate) fn new(
        learners: &[LearnerId],
        held: Vec<Learner>,
        pairs: &[Pair],
        known: Vec<(Pair, CourseFacts)>,
    ) -> Self {
        let mut held = held.into_iter().peekable();
        let mut known = known.into_iter().peekable();
        let learners = learners.iter().map(|id| {
            let row = held.next_if(|row| row.id == *id);
            HeldLearner::new(row, *id)
        });
        let facts = pairs.iter().map(|pair| {
            let row = known.next_if(|(of, _)| of == pair);
            HeldFacts::new(row.map(|(_, facts)| facts), *pair)
        });
        Self {
            learners: learners.collect(),
            facts: facts.collect(),
        }
    }

    fn learner(&self, id: LearnerId) -> Option<&HeldLearner> {
        let at = self.learners.binary_search_by_key(&id, |held| held.learner.id);
        at.ok().map(|at| &self.learners[at])
    }

    fn learner_mut(&mut self, id: LearnerId) -> Option<&mut HeldLearner> {
        let at = self.learners.binary_search_by_key(&id, |held| held.learner.id);
        at.ok().map(|at| &mut self.learners[at])
    }

    /// Takes in what an event tells of a learner; says whether it was news.
    pub(crate) fn learn(&mut self, details: &LearnerDetails, stamp: &Stamp) -> bool {
        let Some(held) = self.learner_mut(details.id) else {
            return false;
        };
        let news = held.learner.learn(details, stamp);
        held.changed |= news;
        news
    }

    /// Retires a learner; says whether it was news.
    pub(crate) fn retire(&mut self, learner: LearnerId, stamp: &Stamp) -> bool {
        let Some(held) = self.learner_mut(learner) else {
            return false;
        };
        let person = held.learner.person();
        let news = held.learner.retire(stamp.time);
        if news {
            held.retired = Some(person);
        }
        held.changed |= news;
        news
    }

    /// Takes in an enrolment; says whether it was news.
    pub(crate) fn enroll(&mut self, pair: Pair, fact: EnrollmentFact) -> bool {
        self.merge(pair, |facts| facts.merge_enrollment(fact)).is_some()
    }

    /// Takes in a certificate; says whether it was news.
    pub(crate) fn certify(&mut self, pair: Pair, mut fact: CertificateFact) -> bool {
        // It leads to the learner's name.
        if self.is_retired(pair.0) {
            fact.evidence_url = None;
        }
        let mut in_other_mode = false;
        let merged = self.merge(pair, |facts| {
            let known = facts.certificate.as_ref();
            in_other_mode = known.is_some_and(|known| known.mode != fact.mode);
            facts.merge_certificate(fact)
        });
        let Some(held) = merged else { return false };
        held.changed_mode |= in_other_mode;
        true
    }

    /// The fact of this pair, if that was news.
    fn merge(&mut self, pair: Pair, merge: impl FnOnce(&mut CourseFacts) -> bool) -> Option<&mut HeldFacts> {
        let at = self.facts.binary_search_by_key(&pair, |held| held.pair).ok()?;
        let held = &mut self.facts[at];
        let news = merge(&mut held.facts);
        held.changed |= news;
        news.then_some(held)
    }

    /// Moves each learner's counters by exactly what changed. To be called once, after the last event.
    pub(crate) fn count(&mut self) {
        // Both are in the order of the learners.
        let mut learners = self.learners.iter_mut().peekable();
        for held in self.facts.iter().filter(|held| held.changed) {
            let (learner, course) = held.pair;
            while learners.next_if(|of| of.learner.id < learner).is_some() {}
            let Some(of) = learners.peek_mut().filter(|of| of.learner.id == learner) else {
                continue;
            };
            let difference = |was: bool, is: bool| i32::from(is) - i32::from(was);
            let enrolled = difference(held.was_enrolled, held.facts.is_enrolled());
            let completed = difference(held.was_passed, held.facts.is_passed());
            of.learner.progress.enrolled += enrolled;
            of.learner.progress.completed += completed;
            of.changed |= enrolled != 0 || completed != 0;
            if completed > 0 {
                of.newly_passed.push(course);
            }
            if held.facts.is_passed() && (completed > 0 || held.changed_mode) {
                of.newly_certified.push(course);
            }
            if completed < 0 {
                of.newly_lost.push(course);
            }
            let stamps = [
                held.facts
                    .enrollment
                    .as_ref()
                    .filter(|_| enrolled > 0)
                    .map(|e| &e.stamp),
                held.facts
                    .certificate
                    .as_ref()
                    .filter(|_| completed > 0)
                    .map(|c| &c.stamp),
            ];
            for stamp in stamps.into_iter().flatten() {
                if of.cause.as_ref().is_none_or(|cause| stamp > cause) {
                    of.cause = Some(stamp.clone());
                }
            }
        }
    }

    /// All that is to be written.
    pub(crate) fn changes(&self) -> Changes<'_> {
        Changes {
            new_learners: self.new_learners(),
            new: self.new_facts(),
            changed: self.changed_facts(),
            changed_learners: self.changed_learners(),
        }
    }

    /// The facts of pairs that have no row yet, in the order of the pairs.
    pub(crate) fn new_facts(&self) -> Vec<(Pair, &CourseFacts)> {
        self.facts_to_write(|held| held.is_new)
    }

    /// The facts of which the row is to be written anew, in the order of their pairs.
    pub(crate) fn changed_facts(&self) -> Vec<(Pair, &CourseFacts)> {
        self.facts_to_write(|held| !held.is_new)
    }

    fn facts_to_write(&self, these: impl Fn(&HeldFacts) -> bool) -> Vec<(Pair, &CourseFacts)> {
        let changed = self.facts.iter().filter(|held| held.changed && these(held));
        changed.map(|held| (held.pair, &held.facts)).collect()
    }

    /// The learners who have no row yet, in ascending order.
    pub(crate) fn new_learners(&self) -> Vec<&Learner> {
        let new = self.learners.iter().filter(|held| held.is_new);
        new.map(|held| &held.learner).collect()
    }

    /// The learners whose row is to be written anew, in ascending order.
    pub(crate) fn changed_learners(&self) -> Vec<&Learner> {
        let changed = self.learners.iter().filter(|held| held.changed && !held.is_new);
        changed.map(|held| &held.learner).collect()
    }

    /// The learners who gained something that a rule may look at, in ascending order.
    pub(crate) fn gaining(&self) -> impl Iterator<Item = &HeldLearner> {
        let awardable = |held: &&HeldLearner| held.learner.retired_at.is_none() && held.cause.is_some();
        self.learners.iter().filter(awardable)
    }

    /// The learners of whom a certificate is new or in another mode, in ascending order.
    pub(crate) fn certified(&self) -> impl Iterator<Item = &HeldLearner> {
        let staying = self.learners.iter().filter(|held| held.learner.retired_at.is_none());
        staying.filter(|held| !held.newly_certified.is_empty())
    }

    /// The learners who lost something that a rule may look at, in ascending order.
    pub(crate) fn losing(&self) -> impl Iterator<Item = &HeldLearner> {
        let lost = |held: &&HeldLearner| {
            let (before, after) = (held.before, held.learner.progress);
            after.enrolled < before.enrolled || after.completed < before.completed || !held.newly_lost.is_empty()
        };
        let staying = self.learners.iter().filter(|held| held.learner.retired_at.is_none());
        staying.filter(lost)
    }

    /// The facts of a pair of this batch.
    pub(crate) fn facts(&self, pair: Pair) -> Option<&CourseFacts> {
        let at = self.facts.binary_search_by_key(&pair, |held| held.pair);
        at.ok().map(|at| &self.facts[at].facts)
    }

    /// Whether a learner of this batch has retired.
    pub(crate) fn is_retired(&self, learner: LearnerId) -> bool {
        let held = self.learner(learner);
        held.is_some_and(|held| held.learner.retired_at.is_some())
    }

    /// The learners who had awards to wait for an e-mail address, perhaps, and have one now.
    pub(crate) fn newly_reachable(&self) -> Vec<LearnerId> {
        let newly = |held: &&HeldLearner| !held.is_new && !held.had_email && held.learner.email.value.is_some();
        self.learners.iter().filter(newly).map(|held| held.learner.id).collect()
    }

    /// The learners who retired in this batch, as they were known.
    pub(crate) fn newly_retired(&self) -> Vec<Person> {
        self.learners.iter().filter_map(|held| held.retired.clone()).collect()
    }
}
