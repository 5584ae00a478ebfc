//! What a comparison finds, and what became of it.

use crate::{backend::BackendError, domain::award::AwardId, store::audit::Actor};

/// What a comparison may change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mode {
    /// Nothing.
    Report,
    /// What is surely wrong, and not so much at once that the backend itself may be wrong.
    ByItself,
    /// What is surely wrong: this person asked for it.
    ByHand(Actor),
}

/// What became of something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Repair {
    /// Nothing was to be changed.
    NotAsked,
    /// It is right now.
    Done,
    /// It was left as it is.
    Left {
        /// Why, for a person.
        why: String,
    },
}

/// Something in which the store and the backend differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// The backend holds a second live assertion of a recipient and badge class, beside the stored one.
    Second {
        /// Slug of the badge class.
        badge_class: String,
        /// The award that the stored one is of.
        award: AwardId,
        /// Public id of the stored one.
        assertion: String,
        /// Id of the second one at the backend.
        backend_id: String,
        /// Its public URL.
        assertion_url: String,
        /// Whether it is surely of the same award; else whoever made it knows what it is for.
        is_ours: bool,
        /// What became of it.
        repair: Repair,
    },
    /// A stored assertion holds no more at the backend.
    Gone {
        /// Slug of the badge class.
        badge_class: String,
        /// Its award.
        award: AwardId,
        /// Its public id.
        assertion: String,
        /// Why, as far as the backend says it.
        reason: String,
        /// What became of it.
        repair: Repair,
    },
    /// The backend did not show what is to be compared.
    Skipped {
        /// Slug of the badge class.
        badge_class: String,
        /// What it said.
        error: BackendError,
    },
}

impl Finding {
    /// Whether this remains to be dealt with.
    pub fn is_left(&self) -> bool {
        match self {
            Self::Second { repair, .. } | Self::Gone { repair, .. } => *repair != Repair::Done,
            Self::Skipped { .. } => true,
        }
    }
}

/// What a comparison came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Compared {
    /// Badge classes that were looked at.
    pub badge_classes: usize,
    /// Stored assertions that were looked at and are not revoked.
    pub assertions: usize,
    /// What was repaired.
    pub repaired: usize,
    /// What differs and was not repaired.
    pub left: usize,
    /// What the backend did not show.
    pub skipped: usize,
    /// Whether it came to its end: not, when the process stops or the backend is left alone.
    pub is_whole: bool,
}

impl Compared {
    pub(super) fn count(&mut self, finding: &Finding) {
        match finding {
            Finding::Skipped { .. } => self.skipped += 1,
            Finding::Second { .. } | Finding::Gone { .. } if finding.is_left() => self.left += 1,
            Finding::Second { .. } | Finding::Gone { .. } => self.repaired += 1,
        }
    }
}
