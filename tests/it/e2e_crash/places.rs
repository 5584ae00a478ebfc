//! Where the process may fail and how, and what leads there.

use accolade::failpoint::Place;

/// All of them.
pub const ACTIONS: [Action; 4] = [Action::Exit, Action::Panic, Action::Error, Action::Wait];

/// What happens to the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// It dies at once.
    Exit,
    /// It panics.
    Panic,
    /// The step answers with an error.
    Error,
    /// It stalls until another process has done all that it may do, longer than its leases last.
    Wait,
}

impl Action {
    /// Its name in an order.
    pub fn name(self) -> &'static str {
        match self {
            Self::Exit => "exit",
            Self::Panic => "panic",
            Self::Error => "error",
            Self::Wait => "wait",
        }
    }
}

/// What leads to a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Road {
    /// Events that bring badges.
    Events,
    /// The backend answers an award with a 500 after it carried it out.
    Uncertain,
    /// A badge is lost, and to be revoked.
    Loss,
    /// A configuration is activated after the events.
    Activation,
    /// The built-in issuer issues with the decision, and hands the event to the relay of the same process.
    AtOnce,
}

/// What a place is like: how to get there, and whether the others can go on while a process stalls there.
pub fn nature(place: Place) -> (Road, bool) {
    use Place::{
        Acknowledged, AfterCommit, AfterOffsets, Answered, BeforeCommit, BeforeOffsets, BeforeRequest, Begun, Claimed,
        Decided, FactsWritten, Issued, Locked, LookedUp, LookingUp, Marked, Polled, RelayClaimed, RevocationClaimed,
        RevocationKept, RevokedAtBackend, Selected, Sent, SliceEvaluated, SliceKept, TokenFetched,
    };
    match place {
        // It keeps its partitions, and before the commit its locks.
        Polled | Begun | Locked | FactsWritten | Decided | BeforeCommit | AfterCommit | BeforeOffsets
        | AfterOffsets | Selected => (Road::Events, false),
        Claimed | TokenFetched | BeforeRequest | Answered | Issued | RelayClaimed | Sent | Acknowledged | Marked => {
            (Road::Events, true)
        }
        LookingUp | LookedUp => (Road::Uncertain, true),
        RevocationClaimed | RevokedAtBackend | RevocationKept => (Road::Loss, true),
        SliceEvaluated => (Road::Activation, false),
        SliceKept => (Road::Activation, true),
    }
}

/// The places on the way of an award that is issued at once.
pub const AT_ONCE_PLACES: [Place; 7] = [
    Place::Decided,
    Place::BeforeCommit,
    Place::AfterCommit,
    Place::RelayClaimed,
    Place::Sent,
    Place::Acknowledged,
    Place::Marked,
];

/// Between the look at its lease and the request nothing can hold a process back that stalls: Badgr takes no fencing
/// token (RELIABILITY.md §3). The assertion that is too many is found, and revoked, by the comparison with Badgr.
pub fn may_double_at_badgr(place: Place, action: Action) -> bool {
    action == Action::Wait && matches!(place, Place::TokenFetched | Place::BeforeRequest)
}

/// Whether a panic there is the batch's own, which takes nothing down with it.
pub fn in_a_batch(place: Place) -> bool {
    use Place::{AfterCommit, BeforeCommit, Begun, Decided, FactsWritten, Locked, Polled};
    matches!(
        place,
        Polled | Begun | Locked | FactsWritten | Decided | BeforeCommit | AfterCommit
    )
}
