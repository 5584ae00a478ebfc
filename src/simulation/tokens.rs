//! A process's tokens: [`renewal`](crate::backend::badgr::renewal) driven as `Tokens` drives it.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::Duration,
};

use super::{
    badgr::{self, TIMEOUT},
    plan::Defect,
    schedule::{At, Idle, Process, millis},
    world::World,
};
use crate::{
    backend::{
        BackendError,
        badgr::renewal::{Held, Kept, Next, Renewal},
    },
    secret::Secret,
};

/// Longer than two requests take.
const LEASE: u64 = 2 * TIMEOUT + 5_000;
/// How often one looks whether another replica has come back with tokens.
const POLL: u64 = 100;

/// The tokens of one process.
#[derive(Clone, Default)]
pub(super) struct Tokens(Rc<Shared>);

#[derive(Default)]
struct Shared {
    held: RefCell<Held>,
    /// Somebody is asking: the others wait, and find the answer.
    in_flight: Cell<bool>,
}

fn not_sent(detail: &str) -> BackendError {
    BackendError::NotSent {
        detail: detail.to_owned(),
        retry_after: None,
    }
}

impl Tokens {
    /// A token to call with, waited for until `by`. The asking goes on when nobody waits any more.
    pub(super) async fn get(&self, process: &Process, by: At) -> Result<Secret, BackendError> {
        loop {
            if let Some(access) = self.0.held.borrow().usable(process.wall()) {
                return Ok(access);
            }
            if process.with(|world| world.now) >= by {
                return Err(not_sent("no token from Badgr in time"));
            }
            if self.0.in_flight.get() {
                process
                    .idle(Idle::Tokens, Some(by.min(process.with(|world| world.now) + 250)))
                    .await;
                continue;
            }
            let answer: Rc<RefCell<Option<Result<Secret, BackendError>>>> = Rc::default();
            let (tokens, asking, slot) = (self.clone(), process.clone(), Rc::clone(&answer));
            self.0.in_flight.set(true);
            process.spawn(async move {
                let renewed = tokens.renew(&asking).await;
                // It is early: the old one still holds.
                let valid = tokens.0.held.borrow().valid(asking.wall());
                *slot.borrow_mut() = Some(renewed.or_else(|error| valid.ok_or(error)));
                tokens.0.in_flight.set(false);
            });
            while answer.borrow().is_none() {
                let now = process.with(|world| world.now);
                if now >= by {
                    return Err(not_sent("no token from Badgr in time"));
                }
                process.sleep_until(by.min(now + 20)).await;
            }
            let answer = answer.borrow_mut().take();
            return answer.unwrap_or_else(|| Err(not_sent("no token")));
        }
    }

    pub(super) fn reject(&self, access: &Secret) {
        self.0.held.borrow_mut().reject(access);
    }

    async fn renew(&self, process: &Process) -> Result<Secret, BackendError> {
        let held = &self.0.held;
        let unanswered = |_| not_sent("the token cache does not answer");
        let (mut renewal, mut next) = Renewal::begin(Duration::from_millis(LEASE), &held.borrow(), process.wall());
        let mut begun = None;
        let mut right = (0, 0);
        loop {
            next = match next {
                Next::Load => {
                    let kept = process.transaction("load tokens", |world| kept(world)).await;
                    renewal.loaded(&mut held.borrow_mut(), kept.map_err(unanswered)?, process.wall())
                }
                Next::Lease => {
                    let now = process.with(|world| world.now);
                    let begun = *begun.get_or_insert(now);
                    let leased = process.transaction("lease tokens", lease).await.map_err(unanswered)?;
                    let kept = leased.map(|(lease, kept)| {
                        right = lease;
                        kept
                    });
                    let since = Duration::from_millis(process.with(|world| world.now) - begun);
                    renewal.leased(&mut held.borrow_mut(), kept, since, process.wall())
                }
                Next::WaitAndLoad => {
                    process.sleep(POLL).await;
                    Next::Load
                }
                Next::Ask(grant) => {
                    let granted = badgr::ask(process, grant, right.1).await;
                    renewal.granted(&mut held.borrow_mut(), granted, process.wall(), process.draw())
                }
                Next::Save(pair, access) => {
                    let save = move |world: &mut World| {
                        let row = &mut world.database.tokens;
                        if row.lease == right.0 {
                            row.pair = Some(pair);
                            (row.lease_until, row.not_before) = (0, 0);
                        }
                    };
                    // The tokens are good whether or not the others hear of them.
                    drop(process.transaction("save tokens", save).await);
                    Next::End(Ok(access))
                }
                Next::Release(wait, obtained) => {
                    drop(
                        process
                            .transaction("release tokens", |world| release(world, process.replica, right.0, wait))
                            .await,
                    );
                    Next::End(obtained)
                }
                Next::End(obtained) => return obtained,
            };
        }
    }
}

fn kept(world: &World) -> Kept {
    let row = &world.database.tokens;
    Kept {
        pair: row.pair.clone(),
        wait: Duration::from_millis(row.not_before.saturating_sub(world.now)),
    }
}

/// `token_cache::lease`: its number and its end, and what is kept.
fn lease(world: &mut World) -> Option<((u64, At), Kept)> {
    let (now, everyone) = (world.now, world.has(Defect::NoTokenLease));
    let row = &mut world.database.tokens;
    if row.lease_until > now && !everyone {
        return None;
    }
    row.lease += 1;
    row.lease_until = now + LEASE;
    Some(((row.lease, row.lease_until), kept(world)))
}

/// `token_cache::release`
fn release(world: &mut World, replica: usize, right: u64, wait: Duration) {
    let (now, untold) = (world.now, world.has(Defect::NoTokenPause));
    let me = (replica, world.replicas[replica].life);
    let row = &mut world.database.tokens;
    if row.lease != right {
        return;
    }
    row.lease_until = 0;
    row.not_before = match wait.is_zero() || untold {
        true => 0,
        false => now + millis(wait),
    };
    if let Some(pause) = world
        .badgr
        .pause
        .as_mut()
        .filter(|pause| pause.told == me && !wait.is_zero())
    {
        pause.is_shared = true;
    }
}
