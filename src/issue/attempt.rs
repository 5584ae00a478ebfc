//! One award and the backend: what to ask, and what follows from the answer.

use std::{
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use tracing::Instrument as _;

use super::{
    Issuer, compose,
    making::{BUSY_PAUSE, Made},
};
use crate::{
    backend::{AwardRequest, BackendError, Issued},
    domain::{
        award::AwardState,
        badge_class::BadgeClass,
        next_step::{self, Attempt, Outcome, next_step},
    },
    failpoint::{Place, hit},
    store::{
        StoreError, assertions,
        awards::{ClaimedAward, Completed, Step},
        badge_classes,
    },
};

/// What is to be written of an award.
pub(super) enum Done {
    /// It was issued.
    Issued(Box<Completed>),
    /// It was not.
    Step(Step),
}

/// Why an award does not go out though nothing went wrong: it goes back as it was.
enum Unused {
    /// The lease would not last.
    NoTime,
    /// Its badge class is being made.
    Busy,
}

/// What an attempt comes to.
enum Ended {
    Issued(Box<Issued>, Box<BadgeClass>),
    Not(Outcome, Option<BackendError>),
    /// The backend holds a badge that is not ours to adopt.
    Foreign(BackendError),
    Unused(Unused),
}

impl Issuer {
    /// Does all that can be done for an award under the lease that was taken at `claimed`.
    ///
    /// An error means that the database failed on the way; the lease then runs out.
    pub(super) async fn attempt(&self, award: &ClaimedAward, claimed: Instant) -> Result<Done, StoreError> {
        let span = tracing::info_span!(
            "award",
            award.id = %award.award.0,
            badge_class.slug = award.badge_class.key.slug,
        );
        async {
            let ended = self.ended(award, claimed).await?;
            Ok(self.done(award, ended))
        }
        .instrument(span)
        .await
    }

    /// Waits for the backend, not longer than it says that it takes.
    pub(super) async fn call<T>(&self, call: impl Future<Output = Result<T, BackendError>>) -> Result<T, BackendError> {
        /// The backend bounds its calls itself, and says better what happened.
        const GRACE: Duration = Duration::from_secs(2);
        let timed = tokio::time::timeout(self.backend.timeout() + GRACE, call).await;
        self.noted(timed.unwrap_or_else(|_| {
            Err(BackendError::Unknown {
                detail: "no answer in time".to_owned(),
            })
        }))
    }

    async fn ended(&self, award: &ClaimedAward, claimed: Instant) -> Result<Ended, StoreError> {
        let badge_class = match self.made(&award.badge_class).await? {
            Made::Ready(badge_class) => *badge_class,
            Made::Busy => return Ok(Ended::Unused(Unused::Busy)),
            Made::Failed(error) => {
                let outcome = self.without_badge_class(&error);
                return Ok(Ended::Not(outcome, Some(error)));
            }
        };
        let request = self.request(award, badge_class).await?;
        if award.must_look_up {
            if !self.has_time(claimed) {
                return Ok(Ended::Unused(Unused::NoTime));
            }
            hit(Place::LookingUp)?;
            let said = self.call(self.backend.look_up(&request)).await;
            hit(Place::LookedUp)?;
            match said {
                Ok(Some(found)) => return Ok(Ended::Issued(Box::new(found), Box::new(request.badge_class))),
                Ok(None) => {
                    let step = self.next(award, &Outcome::NotFound, true);
                    if step.state != AwardState::Issuing {
                        return Ok(Ended::Not(Outcome::NotFound, None));
                    }
                }
                Err(error) => return Ok(Ended::Not(look_up_failed(&error), Some(error))),
            }
        }
        if !self.has_time(claimed) {
            return Ok(Ended::Unused(Unused::NoTime));
        }
        hit(Place::BeforeRequest)?;
        let answer = self.call(self.backend.award(&request)).await;
        hit(Place::Answered)?;
        match answer {
            Ok(issued) => Ok(Ended::Issued(Box::new(issued), Box::new(request.badge_class))),
            Err(error @ BackendError::AlreadyAwarded { .. }) => {
                Ok(self.already_awarded(award, request, claimed, error).await)
            }
            Err(error) => Ok(Ended::Not(not_issued(&error), Some(error))),
        }
    }

    /// The backend says that it holds this badge: it is ours if we may have sent it before, or if we adopt.
    async fn already_awarded(
        &self,
        award: &ClaimedAward,
        request: AwardRequest,
        claimed: Instant,
        error: BackendError,
    ) -> Ended {
        if !self.settings.adopt_existing && !award.posted {
            return Ended::Foreign(error);
        }
        if self.has_time(claimed)
            && let Ok(Some(found)) = self.call(self.backend.look_up(&request)).await
        {
            return Ended::Issued(Box::new(found), Box::new(request.badge_class));
        }
        Ended::Not(Outcome::AlreadyAwarded, Some(error))
    }

    async fn request(&self, award: &ClaimedAward, badge_class: BadgeClass) -> Result<AwardRequest, StoreError> {
        let image: Option<Arc<[u8]>> = if self.backend.needs_image() {
            let id = badge_class.id;
            let read = self
                .store
                .run(move |store| store.read("read_badge_image", |tx| badge_classes::image(tx, id)));
            Some(read.await?.into())
        } else {
            None
        };
        // A local backend is never asked whether it issued an award before.
        let others = match self.backend.is_local() {
            true => Vec::new(),
            false => {
                let (learner, id, class) = (award.learner, award.award, badge_class.id);
                let read = self.store.run(move |store| {
                    store.read("read_other_assertions", |tx| assertions::others(tx, learner, class, id))
                });
                read.await?
            }
        };
        Ok(AwardRequest {
            image,
            others,
            ..compose::request(award, badge_class, self.store.clock().now())
        })
    }

    /// Nothing was said of the award itself yet.
    fn without_badge_class(&self, error: &BackendError) -> Outcome {
        match error {
            BackendError::NotSent { retry_after, .. } => Outcome::NotSent {
                retry_after: *retry_after,
            },
            BackendError::Unknown { .. } | BackendError::AlreadyAwarded { .. } => Outcome::NotSent {
                retry_after: Some(self.backend.settle_time()),
            },
            BackendError::Blocked { reason, .. } => Outcome::Blocked { reason },
            BackendError::Refused { .. } => Outcome::Blocked {
                reason: "badge_class_refused",
            },
        }
    }

    /// What follows, by the pure rules. What `was_sent` was sent at least a settle time before the claim: an uncertain
    /// award is not due earlier.
    fn next(&self, award: &ClaimedAward, outcome: &Outcome, was_sent: bool) -> next_step::Step {
        let settle = self.backend.settle_time();
        let attempt = Attempt {
            attempts: award.attempts,
            first_attempt_at: award.first_attempt_at,
            last_sent_at: was_sent.then(|| award.claimed_at - super::delta(settle)),
        };
        // Not before the claim, should the two clocks differ.
        let now = self.store.clock().now().max(award.claimed_at);
        next_step(&attempt, outcome, settle, now, rand::random())
    }

    fn done(&self, award: &ClaimedAward, ended: Ended) -> Done {
        let (outcome, error) = match ended {
            Ended::Issued(issued, badge_class) => {
                let created = self.store.clock().now();
                let completed = self.composer.completed(award, &badge_class, *issued, created);
                return Done::Issued(Box::new(completed));
            }
            Ended::Unused(unused) => return Done::Step(unused_step(award, unused)),
            Ended::Foreign(error) => {
                let step = next_step::Step {
                    reason: Some("foreign_award"),
                    ..self.next(award, &Outcome::Refused, false)
                };
                return Done::Step(stored_step(award, step, Some(&error)));
            }
            Ended::Not(outcome, error) => (outcome, error),
        };
        let step = self.next(award, &outcome, award.must_look_up);
        Done::Step(stored_step(award, step, error.as_ref()))
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

/// The award goes back as it was.
fn unused_step(award: &ClaimedAward, unused: Unused) -> Step {
    let after = match unused {
        Unused::NoTime => Duration::ZERO,
        Unused::Busy => BUSY_PAUSE,
    };
    let state = if award.must_look_up {
        AwardState::Uncertain
    } else {
        AwardState::Pending
    };
    tracing::debug!("given back unused");
    Step {
        learner: award.learner,
        award: award.award,
        lease_token: award.lease_token,
        state,
        reason: None,
        after: super::delta(after),
        posted: false,
        counted: false,
        error: None,
    }
}

fn stored_step(award: &ClaimedAward, step: next_step::Step, error: Option<&BackendError>) -> Step {
    let code = error.map_or("not_found", BackendError::code);
    let text = error.map(ToString::to_string);
    let state = step.state.as_str();
    let said = text.as_deref().unwrap_or("nothing was found");
    match step.state {
        AwardState::Blocked | AwardState::Failed | AwardState::Dead => {
            tracing::warn!(
                error.code = code,
                award.state = state,
                "the award is {state} now: {said}"
            );
        }
        _ => tracing::info!(
            error.code = code,
            award.state = state,
            "not issued yet, {state}: {said}"
        ),
    }
    Step {
        learner: award.learner,
        award: award.award,
        lease_token: award.lease_token,
        state: step.state,
        reason: step.reason,
        after: step.after,
        posted: step.posted,
        counted: step.counted,
        error: text,
    }
}
