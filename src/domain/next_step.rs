//! The state machine of an award: what comes after an attempt to issue it.
//!
//! ```text
//! pending ──claim──> issuing ──issued──> issued ──acknowledged──> published
//! issuing ──surely not sent──> pending            ──unknown──> uncertain
//! uncertain ──claim, look-up: found──> issued     ──not found, settled──> send again
//! issuing ──something else must change──> blocked ──refused──> failed ──too old, too often──> dead
//! ```

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::award::AwardState;
use crate::retry::Backoff;

/// An award that could not be issued for this long is given up.
pub const MAX_AGE: TimeDelta = TimeDelta::days(7);
/// An award that was tried more often is given up.
pub const MAX_ATTEMPTS: u32 = 50;
/// No server makes an award wait longer, whatever it says.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(24 * 3600);

/// An attempt under way: what is known of the award that it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    /// How many attempts there were, this one included; those that surely sent nothing do not count.
    pub attempts: u32,
    /// When the first one was, since a person last sent the award on its way.
    pub first_attempt_at: DateTime<Utc>,
    /// When a request was last sent that may have been carried out; `None` if none was.
    pub last_sent_at: Option<DateTime<Utc>>,
}

/// What came of an attempt, as the backend tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The backend has it: made now, or found by a look-up.
    Issued,
    /// Surely not carried out.
    NotSent {
        /// The server asked not to be troubled for this long.
        retry_after: Option<Duration>,
    },
    /// A request was sent; whether it was carried out is not known.
    Unknown,
    /// The backend says that the recipient has this badge already.
    AlreadyAwarded,
    /// A look-up found nothing.
    NotFound,
    /// A look-up failed: nothing is known that was not known before.
    LookUpFailed {
        /// The server asked not to be troubled for this long.
        retry_after: Option<Duration>,
    },
    /// Something outside must change first.
    Blocked {
        /// What: a stable code.
        reason: &'static str,
    },
    /// The backend refuses it for what it is.
    Refused,
}

/// What becomes of the award.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// The state it takes. [`AwardState::Issuing`] means: send the request now, under the same lease.
    pub state: AwardState,
    /// Why it waits or was given up: a stable code.
    pub reason: Option<&'static str>,
    /// It is due after this time from now; zero where it is not due at all.
    pub after: TimeDelta,
    /// A request may have been carried out: nothing may be sent before a look-up.
    pub posted: bool,
    /// Whether this attempt counts.
    pub counted: bool,
}

/// Decides what follows an attempt that ended now with this outcome.
///
/// `settle` is how long the effect of a request can take to be seen; `jitter` is drawn evenly from 0 to 1. After
/// [`Outcome::Unknown`] and [`Outcome::AlreadyAwarded`] the request was sent now, whatever the attempt says.
pub fn next_step(attempt: &Attempt, outcome: &Outcome, settle: Duration, now: DateTime<Utc>, jitter: f64) -> Step {
    let posted = attempt.last_sent_at.is_some();
    let backoff = Backoff::AWARDS.delay(attempt.attempts, jitter);
    let later = |state, after: Duration, posted, counted| Step {
        state,
        reason: None,
        after: delta(after),
        posted,
        counted,
    };
    let not_before =
        |retry_after: &Option<Duration>| backoff.max(retry_after.unwrap_or_default().min(LONGEST_RETRY_AFTER));
    let step = match outcome {
        Outcome::Issued => return done(AwardState::Issued, None, posted),
        Outcome::Blocked { reason } => return done(AwardState::Blocked, Some(reason), posted),
        Outcome::Refused => return done(AwardState::Failed, Some("refused"), posted),
        Outcome::NotFound => match attempt.last_sent_at.map(|sent| sent + delta(settle) - now) {
            Some(unsettled) if unsettled > TimeDelta::zero() => Step {
                after: unsettled,
                ..later(AwardState::Uncertain, Duration::ZERO, true, false)
            },
            _ => later(AwardState::Issuing, Duration::ZERO, false, true),
        },
        // What may have been sent before is not known any better now.
        Outcome::NotSent { retry_after } if posted => {
            later(AwardState::Uncertain, not_before(retry_after), true, false)
        }
        Outcome::NotSent { retry_after } => later(AwardState::Pending, not_before(retry_after), false, false),
        Outcome::LookUpFailed { retry_after } => later(AwardState::Uncertain, not_before(retry_after), true, false),
        Outcome::Unknown => later(AwardState::Uncertain, backoff.max(settle), true, true),
        Outcome::AlreadyAwarded => later(AwardState::Uncertain, backoff, true, true),
    };
    let given_up = |reason| Step {
        state: AwardState::Dead,
        reason: Some(reason),
        after: TimeDelta::zero(),
        ..step
    };
    if now - attempt.first_attempt_at > MAX_AGE {
        given_up("too_old")
    } else if attempt.attempts > MAX_ATTEMPTS {
        given_up("too_many_attempts")
    } else {
        step
    }
}

fn done(state: AwardState, reason: Option<&'static str>, posted: bool) -> Step {
    Step {
        state,
        reason,
        after: TimeDelta::zero(),
        posted,
        counted: true,
    }
}

fn delta(duration: Duration) -> TimeDelta {
    TimeDelta::from_std(duration).unwrap_or(MAX_AGE)
}

impl AwardState {
    /// Whether an award in this state may take that one, by whatever hand: a worker, a person, a retirement.
    pub const fn may_become(self, next: Self) -> bool {
        use AwardState::{Blocked, Cancelled, Dead, Failed, Issued, Issuing, Pending, Published, Uncertain};
        match self {
            Pending | Uncertain => matches!(next, Issuing | Blocked | Cancelled),
            Issuing => matches!(next, Issued | Pending | Uncertain | Blocked | Failed | Dead | Cancelled),
            Blocked | Failed | Dead => matches!(next, Pending | Uncertain | Cancelled),
            Issued => matches!(next, Published),
            // What was lost before it was issued, and is regained.
            Cancelled => matches!(next, Pending),
            Published => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SETTLE: Duration = Duration::from_secs(60);

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds)
    }

    fn attempt(attempts: u32, last_sent_at: Option<i64>) -> Attempt {
        Attempt {
            attempts,
            first_attempt_at: at(0),
            last_sent_at: last_sent_at.map(at),
        }
    }

    fn step(attempt: Attempt, outcome: Outcome, now: i64) -> (AwardState, i64, bool, bool) {
        let step = next_step(&attempt, &outcome, SETTLE, at(now), 1.0);
        (step.state, step.after.num_seconds(), step.posted, step.counted)
    }

    #[test]
    fn each_outcome_has_its_step() {
        use AwardState::{Blocked, Failed, Issued, Issuing, Pending, Uncertain};
        let retry_after = Some(Duration::from_secs(90));
        let (new, sent) = (attempt(1, None), attempt(2, Some(10)));
        for (attempt, outcome, expected) in [
            (new, Outcome::Issued, (Issued, 0, false, true)),
            (new, Outcome::NotSent { retry_after: None }, (Pending, 5, false, false)),
            (new, Outcome::NotSent { retry_after }, (Pending, 90, false, false)),
            (sent, Outcome::NotSent { retry_after }, (Uncertain, 90, true, false)),
            (new, Outcome::Unknown, (Uncertain, 60, true, true)),
            (attempt(6, None), Outcome::Unknown, (Uncertain, 160, true, true)),
            (new, Outcome::AlreadyAwarded, (Uncertain, 5, true, true)),
            (sent, Outcome::NotFound, (Uncertain, 40, true, false)),
            (attempt(2, Some(-30)), Outcome::NotFound, (Issuing, 0, false, true)),
            (
                sent,
                Outcome::LookUpFailed { retry_after: None },
                (Uncertain, 10, true, false),
            ),
            (sent, Outcome::Blocked { reason: "x" }, (Blocked, 0, true, true)),
            (new, Outcome::Refused, (Failed, 0, false, true)),
        ] {
            assert_eq!(step(attempt, outcome, 30), expected, "{outcome:?}");
        }
    }

    #[test]
    fn too_old_or_too_often_is_given_up() {
        let unknown = |attempts, now| next_step(&attempt(attempts, None), &Outcome::Unknown, SETTLE, at(now), 0.5);
        assert_eq!(unknown(50, 7 * 86_400).state, AwardState::Uncertain);
        assert_eq!(unknown(51, 0).reason, Some("too_many_attempts"));
        let old = unknown(1, 7 * 86_400 + 1);
        assert_eq!((old.state, old.reason), (AwardState::Dead, Some("too_old")));
        assert!(old.posted, "a person who retries it must look first");
    }

    fn outcome() -> impl Strategy<Value = Outcome> {
        let retry_after = proptest::option::of((0u64..u64::MAX).prop_map(Duration::from_secs));
        (0..8, retry_after).prop_map(|(kind, retry_after)| match kind {
            0 => Outcome::Issued,
            1 => Outcome::NotSent { retry_after },
            2 => Outcome::Unknown,
            3 => Outcome::AlreadyAwarded,
            4 => Outcome::NotFound,
            5 => Outcome::LookUpFailed { retry_after },
            6 => Outcome::Blocked { reason: "blocked" },
            _ => Outcome::Refused,
        })
    }

    proptest! {
        #[test]
        fn every_step_is_one_that_an_attempt_may_take(
            attempts in 0u32..100, sent in proptest::option::of(-1000i64..1000), outcome in outcome(),
            now in 0i64..1_000_000, jitter in 0.0f64..=1.0,
        ) {
            let attempt = attempt(attempts, sent);
            let step = next_step(&attempt, &outcome, SETTLE, at(now), jitter);
            let sends_now = step.state == AwardState::Issuing;
            prop_assert!(sends_now || AwardState::Issuing.may_become(step.state));
            prop_assert!(step.after >= TimeDelta::zero() && step.after <= TimeDelta::days(1));
            // Nothing is issued that the backend did not issue.
            prop_assert_eq!(step.state == AwardState::Issued, outcome == Outcome::Issued);
            // What may have been sent is sent again only after a look-up that found nothing, and not before it settled.
            let settled = sent.is_none_or(|sent| at(now) >= at(sent) + delta(SETTLE));
            prop_assert!(!sends_now || (outcome == Outcome::NotFound && settled));
            let may_be_there = matches!(outcome, Outcome::Unknown | Outcome::AlreadyAwarded);
            let looked = outcome == Outcome::NotFound && settled;
            prop_assert!(step.posted || looked || !(may_be_there || sent.is_some()));
            prop_assert!(step.state != AwardState::Pending || !step.posted);
        }
    }

    #[test]
    fn nothing_leaves_a_terminal_state() {
        for next in AwardState::ALL {
            assert!(!AwardState::Published.may_become(next));
            assert_eq!(next == AwardState::Pending, AwardState::Cancelled.may_become(next));
            assert_eq!(next == AwardState::Published, AwardState::Issued.may_become(next));
        }
    }
}
