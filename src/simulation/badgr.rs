//! The badge server: its ledger, its tokens, and all that it gets wrong.

use std::{cell::Cell, rc::Rc, time::Duration};

use super::{
    database::Claimed,
    schedule::{At, OUTSIDE, Process},
    world::World,
};
use crate::{
    backend::{
        BackendError,
        badgr::renewal::{Grant, Granted},
    },
    domain::{LearnerId, award::AwardId, badge_class::BadgeClassId},
    secret::Secret,
};

/// The longest that one request is waited for.
pub(super) const TIMEOUT: u64 = 10_000;
/// How long a request may go on at the server after nobody waits for it.
pub(super) const SETTLE: u64 = 60_000;

/// An assertion in the ledger.
#[derive(Debug, Clone)]
pub(super) struct Assertion {
    pub(super) award: AwardId,
    pub(super) learner: LearnerId,
    pub(super) class: BadgeClassId,
    /// Why it may be one too many: what no protocol can prevent.
    pub(super) excuse: Option<&'static str>,
}

#[derive(Debug)]
struct Token {
    access: String,
    refresh: String,
    is_used: bool,
    expires_at: At,
}

/// A question to the token endpoint that is under way.
#[derive(Debug)]
struct Question {
    until: At,
    lease_until: At,
}

/// The pause that the token endpoint asked for.
#[derive(Debug)]
pub(super) struct Pause {
    until: At,
    /// The process that was told, in that life of it.
    pub(super) told: (usize, u64),
    /// Whether the others can know.
    pub(super) is_shared: bool,
}

#[derive(Debug, Default)]
pub(super) struct Badgr {
    pub(super) assertions: Vec<Assertion>,
    tokens: Vec<Token>,
    questions: Vec<Question>,
    pub(super) pause: Option<Pause>,
    given: u64,
    /// Requests that are still to be carried out.
    pub(super) under_way: u64,
}

/// What is asked for of an award.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Request {
    /// The assertion that there is.
    LookUp,
    /// A new one. The guard was asked at that time.
    Award { guarded_at: At },
}

/// What came of a request.
#[derive(Debug, Clone)]
pub(super) enum Answer {
    Found(Option<usize>),
    Unauthorized,
    Error(BackendError),
}

fn unknown(detail: &str) -> Answer {
    Answer::Error(BackendError::Unknown {
        detail: detail.to_owned(),
    })
}

fn not_sent(retry_after: Option<Duration>) -> Answer {
    Answer::Error(BackendError::NotSent {
        detail: String::new(),
        retry_after,
    })
}

/// What the server does with a request.
#[derive(Clone, Copy)]
enum Way {
    CarriesOut,
    FailsAfterwards,
    Fails,
    Throttles(u64),
    Blocks,
    Refuses,
}

/// Sends one request with a token and waits for its answer, at most until `by`.
pub(super) async fn send(process: &Process, access: &Secret, request: Request, of: &Claimed, by: At) -> Answer {
    let slot: Rc<Cell<Option<Answer>>> = Rc::default();
    let sent = process.with(|world| world.now);
    let by = by.min(sent + TIMEOUT);
    let reached = process.with(|world| {
        let down = world.plan.faults.badgr_down;
        if world.is_within(down) {
            // Its machine is gone, or whatever stands before it takes connections and says nothing.
            return Err(down.0.is_multiple_of(2) || world.chance.once_in(2));
        }
        let often = world.plan.faults.badgr;
        let mut arrives = world.now + world.chance.between(1, 100);
        let mut answers = world.chance.between(1, 100);
        let mut way = Way::CarriesOut;
        if world.fails(often) {
            match world.chance.below(9) {
                0 => return Err(true),
                1 => return Err(false),
                2 => way = Way::FailsAfterwards,
                3 => way = Way::Fails,
                4 => way = Way::Throttles(world.chance.between(0, 120)),
                5 if world.chance.once_in(6) => way = Way::Blocks,
                5 if world.chance.once_in(6) => way = Way::Refuses,
                // The answer is lost, or comes too late.
                6 => answers = 2 * TIMEOUT,
                // A queue before the server keeps it, within what is allowed or beyond.
                7 => arrives = world.now + world.chance.between(TIMEOUT, SETTLE),
                8 if world.plan.faults.too_late => arrives = world.now + world.chance.between(SETTLE, 5 * SETTLE),
                _ => {}
            }
        }
        world.badgr.under_way += 1;
        Ok((arrives, answers, way))
    });
    match reached {
        Err(true) => {
            process.sleep(3).await;
            not_sent(None)
        }
        // Nothing arrives, and nothing is heard.
        Err(false) => {
            process.sleep_until(by).await;
            unknown("no answer in time")
        }
        Ok((arrives, answers, way)) => {
            let (outside, filled, of) = (process.clone(), Rc::clone(&slot), of.clone());
            let access = access.expose().to_owned();
            process.spawn_for(OUTSIDE, async move {
                outside.sleep_until(arrives).await;
                let answer = outside.with(|world| {
                    world.badgr.under_way -= 1;
                    let answer = carry_out(world, request, &of, &access, sent, way);
                    world.say(OUTSIDE, || {
                        format!(
                            "Badgr: {request:?} of {} (sent at {sent}, lease {}): {answer:?}",
                            of.id.0, of.token
                        )
                    });
                    answer
                });
                filled.set(Some(answer));
            });
            process.sleep_until(by.min(arrives + answers)).await;
            let answer = match arrives + answers <= by {
                true => slot.take(),
                false => None,
            };
            answer.unwrap_or_else(|| unknown("no answer in time"))
        }
    }
}

fn carry_out(world: &mut World, request: Request, of: &Claimed, access: &str, sent: At, way: Way) -> Answer {
    let now = world.now;
    let is_good = |token: &Token| token.access == access && now < token.expires_at;
    if !world.badgr.tokens.iter().any(is_good) {
        return Answer::Unauthorized;
    }
    let blocked = |reason| {
        Answer::Error(BackendError::Blocked {
            reason,
            detail: String::new(),
        })
    };
    match way {
        Way::Throttles(seconds) => return not_sent((seconds > 0).then_some(Duration::from_secs(seconds))),
        Way::Blocks => return blocked("badge_class_missing"),
        Way::Refuses => return Answer::Error(BackendError::Refused { detail: String::new() }),
        Way::Fails => return unknown("500"),
        Way::CarriesOut | Way::FailsAfterwards => {}
    }
    let there = world
        .badgr
        .assertions
        .iter()
        .position(|made| made.learner == of.learner && made.class == of.class);
    let answer = match request {
        Request::LookUp => Answer::Found(there),
        Request::Award { .. } if there.is_some() && world.plan.refuses_duplicates => {
            Answer::Error(BackendError::AlreadyAwarded { detail: String::new() })
        }
        Request::Award { guarded_at } => {
            // The two cases that no protocol can exclude.
            let excuse = if now > sent + SETTLE {
                Some("carried out after the settle time")
            } else if sent > of.lease_until && sent > guarded_at + 2 * TIMEOUT {
                Some("the process stood still between guard and request")
            } else {
                None
            };
            world.badgr.assertions.push(Assertion {
                award: of.id,
                learner: of.learner,
                class: of.class,
                excuse,
            });
            Answer::Found(Some(world.badgr.assertions.len() - 1))
        }
    };
    match way {
        Way::FailsAfterwards => unknown("500"),
        _ => answer,
    }
}

/// Asks the token endpoint, under a lease that lasts until then.
pub(super) async fn ask(process: &Process, grant: Grant, lease_until: At) -> Granted {
    let (answer, until, is_heard) = process.with(|world| {
        let now = world.now;
        let me = (process.replica, world.replicas[process.replica].life);
        world.say(process.replica, || format!("asks for tokens: {grant:?}"));
        let holds = |question: &Question| question.until > now && question.lease_until > now;
        // Who stands still from the lease to the question may ask beside another: no lease can prevent that.
        let is_late = lease_until <= now;
        if !is_late && world.badgr.questions.iter().any(holds) {
            world.violate("the token endpoint is asked by two at once");
        }
        let pause = world.badgr.pause.as_ref();
        if !is_late && pause.is_some_and(|pause| now < pause.until && (pause.told == me || pause.is_shared)) {
            world.violate("the token endpoint is asked while it wants a pause");
        }
        let (answer, is_heard) = answer(world, &grant);
        let until = match is_heard {
            true => now + world.chance.between(5, 400),
            false => now + TIMEOUT,
        };
        world.badgr.questions.retain(holds);
        world.badgr.questions.push(Question { until, lease_until });
        (answer, until, is_heard)
    });
    process.sleep_until(until).await;
    process.with(|world| {
        let me = (process.replica, world.replicas[process.replica].life);
        if let (Granted::Throttled { wait }, true) = (&answer, is_heard) {
            world.badgr.pause = Some(Pause {
                until: world.now + u64::try_from(wait.as_millis()).unwrap_or_default(),
                told: me,
                is_shared: false,
            });
        }
        world.say(process.replica, || format!("is told: {answer:?}"));
    });
    match is_heard {
        true => answer,
        false => Granted::Failed {
            detail: "no answer in time".to_owned(),
        },
    }
}

fn answer(world: &mut World, grant: &Grant) -> (Granted, bool) {
    let mut is_heard = true;
    if world.is_within(world.plan.faults.badgr_down) {
        return (Granted::Failed { detail: String::new() }, true);
    }
    if world.fails(world.plan.faults.tokens) {
        match world.chance.below(4) {
            0 => return (Granted::Refused { detail: String::new() }, true),
            1 => {
                let wait = Duration::from_secs(world.chance.between(1, 120));
                return (Granted::Throttled { wait }, true);
            }
            2 => return (Granted::Failed { detail: String::new() }, true),
            // Carried out, and nobody hears of it.
            _ => is_heard = false,
        }
    }
    if let Grant::Refresh(refresh) = grant {
        let known = |token: &&mut Token| token.refresh == refresh.expose() && !token.is_used;
        let Some(token) = world.badgr.tokens.iter_mut().find(known) else {
            return (
                Granted::Refused {
                    detail: "invalid_grant".to_owned(),
                },
                is_heard,
            );
        };
        token.is_used = true;
        token.expires_at = 0;
    }
    let badgr = &mut world.badgr;
    badgr.given += 1;
    let (access, refresh) = (format!("a{}", badgr.given), format!("r{}", badgr.given));
    badgr.tokens.push(Token {
        access: access.clone(),
        refresh: refresh.clone(),
        is_used: false,
        expires_at: world.now + world.plan.token_life,
    });
    let tokens = Granted::Tokens {
        access: Secret::new(access),
        refresh: Some(Secret::new(refresh)),
        expires_in: Duration::from_millis(world.plan.token_life),
    };
    (tokens, is_heard)
}
