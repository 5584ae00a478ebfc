//! The issue loop: the breaker, what is asked under a lease and the state machine are the real ones; claiming, waiting
//! and writing are as `Issuer` does it.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::Duration,
};

use chrono::TimeDelta;

use super::{
    badgr::{self, Answer, Request, SETTLE, TIMEOUT},
    database::Claimed,
    plan::Defect,
    schedule::{Idle, Process, millis, wall},
    tokens::Tokens,
};
use crate::{
    backend::BackendError,
    domain::{award::AwardState, next_step::Step},
    issue::{
        breaker::Breaker,
        under_lease::{Moment, Next, Terms, UnderLease},
    },
    retry::Backoff,
};

/// Requests at once.
const CONCURRENCY: usize = 4;
/// How often it is tried whether what blocked awards is gone.
const PROBE_EVERY: u64 = 600_000;

/// The issue loop of one process.
#[derive(Clone)]
pub(super) struct Issuing {
    process: Process,
    tokens: Tokens,
    breaker: Rc<RefCell<Breaker>>,
    under_way: Rc<Cell<usize>>,
    probing: Rc<Cell<bool>>,
    terms: Terms,
}

/// What an attempt has come to.
enum Ended {
    Issued(usize),
    Not(Step, Option<Duration>),
}

impl Issuing {
    pub(super) fn new(process: &Process) -> Self {
        Self {
            process: process.clone(),
            tokens: Tokens::default(),
            breaker: Rc::new(RefCell::new(Breaker::new(CONCURRENCY))),
            under_way: Rc::default(),
            probing: Rc::default(),
            terms: Terms::new(Duration::from_millis(2 * TIMEOUT), Duration::from_millis(SETTLE), false),
        }
    }

    pub(super) async fn claim_awards(self) {
        let process = &self.process;
        let mut failures = 0;
        loop {
            let allowed = self.breaker.borrow().allowance(process.instant(), self.under_way.get());
            let limit = match allowed {
                Ok(limit) => limit,
                Err(wait) => {
                    process.sleep_for(wait).await;
                    continue;
                }
            };
            let claimed_at = process.with(|world| {
                let (now, me) = (world.now, process.replica);
                let state = &world.replicas[me];
                let wrong = if now < state.asked_to_wait {
                    Some("though Badgr asked it for time")
                } else if now < state.left_alone_until() {
                    Some("though Badgr fails")
                } else {
                    (self.under_way.get() + limit > CONCURRENCY).then_some("and then asks for too many at once")
                };
                if let Some(wrong) = wrong {
                    world.violate(format!("{me} claims awards {wrong}"));
                }
                now
            });
            let (lease, settle) = (millis(self.terms.lease), SETTLE);
            let claim = process.transaction("claim awards", |world| {
                let now = world.now;
                let (awards, more) = world.database.claim(now, limit, lease, settle);
                for award in &awards {
                    if world.not_before.get(&award.id).is_some_and(|at| now < *at) {
                        world.violate(format!(
                            "award {} is tried before the time that Badgr named",
                            award.id.0
                        ));
                    }
                    world.say(process.replica, || {
                        format!("claims {} of learner {}, {award:?}", award.id.0, award.learner.0)
                    });
                }
                (awards, more)
            });
            let Ok((awards, more)) = claim.await else {
                failures += 1;
                process
                    .sleep_for(Backoff::DEPENDENCY.delay(failures, process.draw()))
                    .await;
                continue;
            };
            failures = 0;
            for award in awards {
                self.under_way.set(self.under_way.get() + 1);
                let issuing = self.clone();
                process.spawn(async move {
                    issuing.attempt(&award, claimed_at).await;
                    issuing.under_way.set(issuing.under_way.get() - 1);
                });
            }
            if !more {
                process.idle(Idle::Awards, None).await;
            }
        }
    }

    async fn attempt(&self, claimed: &Claimed, claimed_at: u64) {
        let process = &self.process;
        let ended = self.ask(claimed, claimed_at).await;
        let mut failures = 0;
        loop {
            let written = process.transaction("write results", |world| {
                let now = world.now;
                if world.has(Defect::NoFencing) {
                    let award = world.database.awards.iter_mut().find(|award| award.id == claimed.id);
                    if let Some(award) = award {
                        award.state = AwardState::Issuing;
                        award.token = claimed.token;
                    }
                }
                let written = match &ended {
                    Ended::Issued(assertion) => world.database.complete(now, claimed, *assertion),
                    Ended::Not(step, asked_to_wait) => {
                        let written = world.database.apply_step(now, claimed, step);
                        if let Some(wait) = asked_to_wait.filter(|_| written) {
                            world.not_before.insert(claimed.id, now + millis(wait));
                        }
                        written
                    }
                };
                if matches!(ended, Ended::Issued(_)) && self.probing.get() {
                    let repaired = |award: &super::database::Award| {
                        award.state == AwardState::Blocked && award.class == claimed.class
                    };
                    world.database.resume(now, SETTLE, usize::MAX, repaired);
                }
                let what = match &ended {
                    Ended::Issued(assertion) => format!("issued as {assertion}"),
                    Ended::Not(step, _) => format!("{step:?}"),
                };
                world.say(process.replica, || {
                    format!("writes of {}: {what}: {written}", claimed.id.0)
                });
            });
            if written.await.is_ok() {
                return;
            }
            failures += 1;
            process
                .sleep_for(Backoff::DEPENDENCY.delay(failures, process.draw()))
                .await;
        }
    }

    fn moment(&self, claimed_at: u64) -> Moment {
        let (elapsed, skewed) = self.process.with(|world| {
            let elapsed = match world.has(Defect::NoGuard) {
                true => 0,
                false => world.now - claimed_at,
            };
            (elapsed, wall(world.now, world.skew(self.process.replica)))
        });
        Moment {
            elapsed: Duration::from_millis(elapsed),
            now: skewed,
            jitter: self.process.draw(),
        }
    }

    async fn ask(&self, claimed: &Claimed, claimed_at: u64) -> Ended {
        let process = &self.process;
        let blind = process.with(|world| world.has(Defect::NoLookUp));
        let under_lease = UnderLease {
            terms: self.terms,
            attempts: claimed.attempts,
            first_attempt_at: wall(claimed.first_at, 0),
            claimed_at: wall(claimed.claimed_at, 0),
            posted: claimed.posted,
            must_look_up: claimed.must_look_up && !blind,
        };
        let (mut found, mut asked_to_wait) = (None, None);
        let mut next = under_lease.begin(self.moment(claimed_at).elapsed);
        loop {
            next = match next {
                Next::LookUp => {
                    let said = self.call(Request::LookUp, claimed, claimed_at).await;
                    asked_to_wait = wait_of(&said);
                    found = said.as_ref().ok().copied().flatten();
                    under_lease.looked_up(said.as_ref().map(Option::is_some), self.moment(claimed_at))
                }
                Next::Award => {
                    let guarded_at = process.with(|world| world.now);
                    let said = self.call(Request::Award { guarded_at }, claimed, claimed_at).await;
                    asked_to_wait = wait_of(&said);
                    found = said.as_ref().ok().copied().flatten();
                    under_lease.answered(said.as_ref().map(|_| ()), self.moment(claimed_at))
                }
                Next::LookUpAgain => {
                    found = self.call(Request::LookUp, claimed, claimed_at).await.ok().flatten();
                    under_lease.looked_up_again(found.is_some(), self.moment(claimed_at))
                }
                Next::Issued => return Ended::Issued(found.expect("an answer that holds an assertion")),
                Next::Ended(mut step) => {
                    if asked_to_wait.is_some() && process.with(|world| world.has(Defect::NoRetryAfter)) {
                        let backoff = Backoff::AWARDS.delay(claimed.attempts, 0.5);
                        step.after = step.after.min(TimeDelta::from_std(backoff).unwrap_or_default());
                    }
                    return Ended::Not(step, asked_to_wait);
                }
                Next::GivenBack(step) => return Ended::Not(step, None),
            };
        }
    }

    /// One call of the backend: a token, the request, and with another token once more where it was refused.
    async fn call(&self, request: Request, claimed: &Claimed, claimed_at: u64) -> Result<Option<usize>, BackendError> {
        let process = &self.process;
        let said = self.exchange(request, claimed).await;
        process.with(|world| {
            let now = world.now;
            let failed = matches!(said, Err(BackendError::NotSent { .. } | BackendError::Unknown { .. }));
            let asked_to_wait = wait_of(&said).map(|wait| now + millis(wait).min(3_600_000));
            world.replicas[process.replica].note(now, claimed_at, failed, asked_to_wait);
        });
        let heard = match (&said, process.with(|world| world.defect)) {
            (
                Err(BackendError::NotSent { retry_after: None, .. } | BackendError::Unknown { .. }),
                Some(Defect::NoBreaker),
            ) => {
                return said;
            }
            (Err(BackendError::NotSent { detail, .. }), Some(Defect::NoRetryAfter)) => Err(BackendError::NotSent {
                detail: detail.clone(),
                retry_after: None,
            }),
            _ => said.as_ref().map(|_| ()).map_err(Clone::clone),
        };
        let change = self
            .breaker
            .borrow_mut()
            .note(heard.as_ref().copied(), process.instant(), process.draw());
        if let Some(change) = change {
            process.with(|world| world.say(process.replica, || format!("the breaker: {change:?}")));
        }
        said
    }

    async fn exchange(&self, request: Request, claimed: &Claimed) -> Result<Option<usize>, BackendError> {
        let process = &self.process;
        let by = process.with(|world| world.now) + 2 * TIMEOUT;
        for is_last in [false, true] {
            let now = process.with(|world| world.now);
            let access = self.tokens.get(process, by.min(now + TIMEOUT)).await?;
            let now = process.with(|world| world.now);
            if is_last && by.saturating_sub(now) < TIMEOUT / 4 {
                break;
            }
            match badgr::send(process, &access, request, claimed, by).await {
                Answer::Unauthorized => self.tokens.reject(&access),
                Answer::Found(found) => return Ok(found),
                Answer::Error(error) => return Err(error),
            }
        }
        Err(BackendError::NotSent {
            detail: "Badgr does not take the token".to_owned(),
            retry_after: None,
        })
    }

    /// Lets blocked awards go on, now and then.
    pub(super) async fn probe(self) {
        let mut limit = usize::MAX;
        loop {
            let blocked = |award: &super::database::Award| award.state == AwardState::Blocked;
            let resumed = self.process.transaction("resume blocked", |world| {
                let now = world.now;
                world.database.resume(now, SETTLE, limit, blocked)
            });
            if let Ok(resumed) = resumed.await {
                limit = 16;
                self.probing.set(resumed > 0);
                self.process.sleep(PROBE_EVERY).await;
            } else {
                self.process.sleep(1_000).await;
            }
        }
    }
}

/// How long the backend, or its token endpoint, asks to be left alone.
fn wait_of<T>(said: &Result<T, BackendError>) -> Option<Duration> {
    match said {
        Err(BackendError::NotSent { retry_after, .. }) => *retry_after,
        _ => None,
    }
}
