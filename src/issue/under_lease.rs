//! What the backend is asked for one award under one lease, and what follows from its answers: pure.
//!
//! Nothing is asked that may not end before the lease does; what may have been sent before is looked up before it is sent
//! again.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::delta;
use crate::{
    backend::BackendError,
    domain::{
        award::AwardState,
        next_step::{self, Attempt, Outcome, Step, next_step},
    },
};

/// What holds for every award of a backend.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms {
    /// How long a claim lasts.
    pub(crate) lease: Duration,
    /// The longest that one call of the backend takes.
    pub(crate) timeout: Duration,
    /// How long the effect of a request can take to be seen.
    pub(crate) settle: Duration,
    /// A badge that the learner holds already counts as ours.
    pub(crate) adopt_existing: bool,
}

/// A claimed award, as far as it matters here.
#[derive(Debug, Clone, Copy)]
pub(crate) struct UnderLease {
    pub(crate) terms: Terms,
    /// Attempts, this one included.
    pub(crate) attempts: u32,
    /// When the first one was.
    pub(crate) first_attempt_at: DateTime<Utc>,
    /// When this one was claimed, by the database's clock.
    pub(crate) claimed_at: DateTime<Utc>,
    /// An earlier request of ours may have been carried out.
    pub(crate) posted: bool,
    /// Nothing may be sent before a look-up.
    pub(crate) must_look_up: bool,
}

/// When an answer came: since the claim was begun, and by this process's clock; and chance, drawn evenly from 0 to 1.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    pub(crate) elapsed: Duration,
    pub(crate) now: DateTime<Utc>,
    pub(crate) jitter: f64,
}

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// Look up whether the backend has it.
    LookUp,
    /// Send it.
    Award,
    /// Look up what the backend says that it has.
    LookUpAgain,
    /// The backend has it: what it answered last is the assertion.
    Issued,
    /// It is not issued under this lease.
    Ended(Step),
    /// It goes back as it was, though nothing went wrong.
    GivenBack(Step),
}

impl Terms {
    /// Of a backend whose calls take at most `timeout`: a badge class may have to be made first, and an award be looked
    /// up before it is sent.
    pub(crate) fn new(timeout: Duration, settle: Duration, adopt_existing: bool) -> Self {
        Self {
            lease: (timeout * 4 + Duration::from_secs(15)).max(Duration::from_secs(30)),
            timeout,
            settle,
            adopt_existing,
        }
    }

    /// Whether one more call surely ends before a lease that was taken so long ago.
    fn has_time(&self, elapsed: Duration) -> bool {
        const MARGIN: Duration = Duration::from_secs(5);
        elapsed + self.timeout + MARGIN < self.lease
    }
}

impl UnderLease {
    /// What is asked first.
    pub(crate) fn begin(&self, elapsed: Duration) -> Next {
        match self.must_look_up {
            true => self.in_time(elapsed, Next::LookUp),
            false => self.in_time(elapsed, Next::Award),
        }
    }

    /// After [`Next::LookUp`]: whether it was found.
    pub(crate) fn looked_up(&self, found: Result<bool, &BackendError>, at: Moment) -> Next {
        match found {
            Ok(true) => Next::Issued,
            Ok(false) => match self.next(&Outcome::NotFound, true, at) {
                step if step.state == AwardState::Issuing => self.in_time(at.elapsed, Next::Award),
                step => Next::Ended(step),
            },
            Err(error) => self.ended(&look_up_failed(error), at),
        }
    }

    /// After [`Next::Award`].
    pub(crate) fn answered(&self, said: Result<(), &BackendError>, at: Moment) -> Next {
        match said {
            Ok(()) => Next::Issued,
            // It is ours if we may have sent it before, or if we adopt.
            Err(BackendError::AlreadyAwarded { .. }) if !self.terms.adopt_existing && !self.posted => {
                Next::Ended(Step {
                    reason: Some("foreign_award"),
                    ..self.next(&Outcome::Refused, false, at)
                })
            }
            Err(BackendError::AlreadyAwarded { .. }) if self.terms.has_time(at.elapsed) => Next::LookUpAgain,
            Err(error) => self.ended(&not_issued(error), at),
        }
    }

    /// After [`Next::LookUpAgain`]: whether it was surely found.
    pub(crate) fn looked_up_again(&self, found: bool, at: Moment) -> Next {
        match found {
            true => Next::Issued,
            false => self.ended(&Outcome::AlreadyAwarded, at),
        }
    }

    /// Without its badge class: nothing was said of the award itself yet.
    pub(crate) fn without_badge_class(&self, error: &BackendError, at: Moment) -> Next {
        let outcome = match error {
            BackendError::NotSent { retry_after, .. } => Outcome::NotSent {
                retry_after: *retry_after,
            },
            BackendError::Unknown { .. } | BackendError::AlreadyAwarded { .. } => Outcome::NotSent {
                retry_after: Some(self.terms.settle),
            },
            BackendError::Blocked { reason, .. } => Outcome::Blocked { reason },
            BackendError::Refused { .. } => Outcome::Blocked {
                reason: "badge_class_refused",
            },
        };
        self.ended(&outcome, at)
    }

    /// Given back as it was, to be taken again after a while.
    pub(crate) fn given_back(&self, after: Duration) -> Next {
        Next::GivenBack(Step {
            state: match self.must_look_up {
                true => AwardState::Uncertain,
                false => AwardState::Pending,
            },
            reason: None,
            after: delta(after),
            posted: false,
            counted: false,
        })
    }

    fn in_time(&self, elapsed: Duration, next: Next) -> Next {
        match self.terms.has_time(elapsed) {
            true => next,
            false => self.given_back(Duration::ZERO),
        }
    }

    fn ended(&self, outcome: &Outcome, at: Moment) -> Next {
        Next::Ended(self.next(outcome, self.must_look_up, at))
    }

    /// What follows, by the pure rules. What `was_sent` was sent at least a settle time before the claim: an uncertain
    /// award is not due earlier.
    fn next(&self, outcome: &Outcome, was_sent: bool, at: Moment) -> next_step::Step {
        let settle = self.terms.settle;
        let attempt = Attempt {
            attempts: self.attempts,
            first_attempt_at: self.first_attempt_at,
            last_sent_at: was_sent.then(|| self.claimed_at - delta(settle)),
        };
        // Not before the claim, should the two clocks differ.
        let now = at.now.max(self.claimed_at);
        next_step(&attempt, outcome, settle, now, at.jitter)
    }
}

fn look_up_failed(error: &BackendError) -> Outcome {
    match error {
        BackendError::NotSent { retry_after, .. } => Outcome::LookUpFailed {
            retry_after: *retry_after,
        },
        BackendError::Unknown { .. } | BackendError::AlreadyAwarded { .. } => {
            Outcome::LookUpFailed { retry_after: None }
        }
        BackendError::Blocked { reason, .. } => Outcome::Blocked { reason },
        BackendError::Refused { .. } => Outcome::Refused,
    }
}

fn not_issued(error: &BackendError) -> Outcome {
    match error {
        BackendError::NotSent { retry_after, .. } => Outcome::NotSent {
            retry_after: *retry_after,
        },
        BackendError::Unknown { .. } => Outcome::Unknown,
        BackendError::AlreadyAwarded { .. } => Outcome::AlreadyAwarded,
        BackendError::Blocked { reason, .. } => Outcome::Blocked { reason },
        BackendError::Refused { .. } => Outcome::Refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(20);

    fn award(must_look_up: bool) -> UnderLease {
        UnderLease {
            terms: Terms::new(TIMEOUT, Duration::from_secs(60), false),
            attempts: 1,
            first_attempt_at: DateTime::UNIX_EPOCH,
            claimed_at: DateTime::UNIX_EPOCH,
            posted: must_look_up,
            must_look_up,
        }
    }

    fn at(elapsed: u64) -> Moment {
        Moment {
            elapsed: Duration::from_secs(elapsed),
            now: DateTime::UNIX_EPOCH + delta(Duration::from_secs(elapsed)),
            jitter: 1.0,
        }
    }

    fn state(next: Next) -> AwardState {
        match next {
            Next::Ended(step) | Next::GivenBack(step) => step.state,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_may_have_been_sent_is_looked_up_before_it_is_sent() {
        assert_eq!(award(false).begin(Duration::ZERO), Next::Award);
        let sent = award(true);
        assert_eq!(sent.begin(Duration::ZERO), Next::LookUp);
        assert_eq!(sent.looked_up(Ok(true), at(1)), Next::Issued);
        assert_eq!(sent.looked_up(Ok(false), at(1)), Next::Award);
        let unknown = BackendError::Unknown { detail: String::new() };
        assert_eq!(state(sent.looked_up(Err(&unknown), at(1))), AwardState::Uncertain);
    }

    #[test]
    fn nothing_is_asked_that_may_outlast_the_lease() {
        // 95 s less 20 s for the call and 5 s to spare.
        assert_eq!(award(false).begin(Duration::from_secs(69)), Next::Award);
        assert_eq!(state(award(false).begin(Duration::from_secs(70))), AwardState::Pending);
        assert_eq!(state(award(true).begin(Duration::from_secs(70))), AwardState::Uncertain);
        assert_eq!(state(award(true).looked_up(Ok(false), at(70))), AwardState::Uncertain);
        let known = BackendError::AlreadyAwarded { detail: String::new() };
        assert_eq!(award(true).answered(Err(&known), at(69)), Next::LookUpAgain);
        assert_eq!(state(award(true).answered(Err(&known), at(70))), AwardState::Uncertain);
    }

    #[test]
    fn a_badge_that_was_there_before_is_ours_only_if_we_may_have_sent_it() {
        let known = BackendError::AlreadyAwarded { detail: String::new() };
        assert_eq!(state(award(false).answered(Err(&known), at(1))), AwardState::Failed);
        let mut adopting = award(false);
        adopting.terms.adopt_existing = true;
        assert_eq!(adopting.answered(Err(&known), at(1)), Next::LookUpAgain);
        assert_eq!(adopting.looked_up_again(true, at(1)), Next::Issued);
        assert_eq!(state(adopting.looked_up_again(false, at(1))), AwardState::Uncertain);
    }
}
