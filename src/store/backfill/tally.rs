//! What a backfill has come to, kept beside its cursor so that it survives whoever drives it.

use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};

use crate::{
    domain::{LearnerId, award::Decision, badge_class::BadgeClassId},
    store::StoreError,
};

/// What a backfill has come to so far, over all who had a part in it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Learners that were looked at.
    pub learners: i64,
    badges: BTreeMap<i32, BadgeTally>,
}

/// What it has come to for one badge.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BadgeTally {
    /// Awards that it decided.
    pub decided: i64,
    /// Learners who fulfilled the rule and had been awarded the badge before.
    pub had: i64,
}

impl Tally {
    /// Of this badge.
    pub fn of(&self, badge_class: BadgeClassId) -> BadgeTally {
        self.badges.get(&badge_class.0).copied().unwrap_or_default()
    }

    /// Awards of all badges that it decided.
    pub fn decided(&self) -> i64 {
        self.badges.values().map(|badge| badge.decided).sum()
    }

    /// Of everything that the learners have reached, `new` was decided now.
    pub(super) fn count(&mut self, learners: usize, reached: &HashSet<Reached>, new: &[Decision]) {
        self.learners += i64::try_from(learners).unwrap_or(i64::MAX);
        for (_, badge_class) in reached {
            self.badges.entry(badge_class.0).or_default().had += 1;
        }
        for decision in new {
            let badge = self.badges.entry(decision.badge_class.0).or_default();
            badge.decided += 1;
            badge.had -= i64::from(reached.contains(&reached_by(decision)));
        }
    }

    pub(super) fn read(text: Option<&str>) -> Result<Self, StoreError> {
        let corrupt = |_| StoreError::Corrupt("the tally of a backfill".to_owned());
        text.map_or(Ok(Self::default()), |text| serde_json::from_str(text).map_err(corrupt))
    }

    pub(super) fn text(&self) -> String {
        serde_json::to_string(self).expect("numbers are JSON")
    }
}

/// A badge that a learner has reached.
pub(super) type Reached = (LearnerId, BadgeClassId);

pub(super) fn reached_by(decision: &Decision) -> Reached {
    (decision.learner, decision.badge_class)
}
