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
    under_lease::{Moment, Next, UnderLease},
};
use crate::{
    backend::{AwardRequest, BackendError, Issued},
    domain::{award::AwardState, badge_class::BadgeClass, next_step},
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

/// What an attempt comes to.
enum Ended {
    Issued(Box<Issued>, Box<BadgeClass>),
    Not(next_step::Step, Option<BackendError>),
    /// It goes back as it was.
    GivenBack(next_step::Step),
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

    /// It goes back as it was, at once.
    pub(super) fn unused(&self, award: &ClaimedAward) -> Done {
        match self.under_lease(award).given_back(Duration::ZERO) {
            Next::GivenBack(step) => self.done(award, Ended::GivenBack(step)),
            other => unreachable!("{other:?}"),
        }
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
        let under_lease = self.under_lease(award);
        let at = || self.moment(claimed);
        let (mut next, mut error, mut found) = (Next::LookUp, None, None);
        let badge_class = match self.made(&award.badge_class).await? {
            Made::Ready(badge_class) => Some(*badge_class),
            Made::Busy => {
                next = under_lease.given_back(BUSY_PAUSE);
                None
            }
            Made::Failed(why) => {
                next = under_lease.without_badge_class(&why, at());
                error = Some(why);
                None
            }
        };
        let request = match badge_class {
            Some(badge_class) => {
                next = under_lease.begin(claimed.elapsed());
                Some(self.request(award, badge_class).await?)
            }
            None => None,
        };
        loop {
            next = match (next, &request) {
                (Next::LookUp, Some(request)) => {
                    hit(Place::LookingUp)?;
                    let said = self.call(self.backend.look_up(request)).await;
                    hit(Place::LookedUp)?;
                    let next = under_lease.looked_up(said.as_ref().map(Option::is_some), at());
                    (found, error) = apart(said);
                    next
                }
                (Next::Award, Some(request)) => {
                    hit(Place::BeforeRequest)?;
                    let said = self.call(self.backend.award(request)).await.map(Some);
                    hit(Place::Answered)?;
                    let next = under_lease.answered(said.as_ref().map(|_| ()), at());
                    (found, error) = apart(said);
                    next
                }
                (Next::LookUpAgain, Some(request)) => {
                    found = self.call(self.backend.look_up(request)).await.ok().flatten();
                    under_lease.looked_up_again(found.is_some(), at())
                }
                _ => break,
            };
        }
        Ok(match (next, found, request) {
            (Next::Issued, Some(issued), Some(request)) => {
                Ended::Issued(Box::new(issued), Box::new(request.badge_class))
            }
            (Next::Ended(step), ..) => Ended::Not(step, error),
            (Next::GivenBack(step), ..) => Ended::GivenBack(step),
            // Only after an answer that holds one, and with a badge class to ask for.
            (next, ..) => unreachable!("{next:?}"),
        })
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
        let others = match award.has_others && !self.backend.is_local() {
            false => Vec::new(),
            true => {
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

    fn under_lease(&self, award: &ClaimedAward) -> UnderLease {
        UnderLease {
            terms: self.terms(),
            attempts: award.attempts,
            first_attempt_at: award.first_attempt_at,
            claimed_at: award.claimed_at,
            posted: award.posted,
            must_look_up: award.must_look_up,
        }
    }

    fn moment(&self, claimed: Instant) -> Moment {
        Moment {
            elapsed: claimed.elapsed(),
            now: self.store.clock().now(),
            jitter: rand::random(),
        }
    }

    fn done(&self, award: &ClaimedAward, ended: Ended) -> Done {
        match ended {
            Ended::Issued(issued, badge_class) => {
                let created = self.store.clock().now();
                let completed = self.composer.completed(award, &badge_class, *issued, created);
                Done::Issued(Box::new(completed))
            }
            Ended::Not(step, error) => {
                tell(&step, error.as_ref());
                Done::Step(stored_step(award, step, error.as_ref()))
            }
            Ended::GivenBack(step) => {
                tracing::debug!("given back unused");
                Done::Step(stored_step(award, step, None))
            }
        }
    }
}

/// What an answer holds, or why it holds nothing.
fn apart<T, E>(said: Result<Option<T>, E>) -> (Option<T>, Option<E>) {
    match said {
        Ok(found) => (found, None),
        Err(error) => (None, Some(error)),
    }
}

fn tell(step: &next_step::Step, error: Option<&BackendError>) {
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
}

fn stored_step(award: &ClaimedAward, step: next_step::Step, error: Option<&BackendError>) -> Step {
    Step {
        learner: award.learner,
        award: award.award,
        lease_token: award.lease_token,
        state: step.state,
        reason: step.reason,
        after: step.after,
        posted: step.posted,
        counted: step.counted,
        error: error.map(ToString::to_string),
    }
}
