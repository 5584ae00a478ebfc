//! The relay: what becomes of a record is sorted by the real [`Sent`]; claiming and marking are as `Publisher` does it.

use std::time::Duration;

use super::{
    broker::{Published, SendFailure, produce},
    outbox::Outgoing,
    plan::Defect,
    schedule::{At, Idle, Process},
};
use crate::{
    publish::{
        EVENTS, PAUSE,
        handed::{FRESH, MARK_EVERY},
        renewal::THIRDS,
        sent::Sent,
    },
    retry::Backoff,
    store::outbox::LEASE,
};

/// Events that a transaction claimed as it wrote them.
#[derive(Debug)]
pub(super) struct Handover {
    pub(super) events: Vec<Outgoing>,
    pub(super) claimed_at: At,
}

pub(super) fn millis(time: chrono::TimeDelta) -> u64 {
    u64::try_from(time.num_milliseconds()).unwrap_or_default()
}

pub(super) async fn relay(process: Process) {
    let mut failures = 0;
    loop {
        let claim = process.transaction("claim events", |world| {
            let now = world.now;
            match world.has(Defect::AnyOrder) {
                true => any(&world.database.outbox),
                false => world.database.claim_outbox(now, EVENTS, millis(LEASE)),
            }
        });
        let Ok(claimed) = claim.await else {
            failures += 1;
            process
                .sleep_for(Backoff::DEPENDENCY.delay(failures, process.draw()))
                .await;
            continue;
        };
        failures = 0;
        if claimed.is_empty() {
            process.idle(Idle::Outbox, None).await;
            continue;
        }
        let sent = send(&process, claimed).await;
        mark(&process, &sent).await;
        if sent.acknowledged.is_empty() {
            process.idle(Idle::Outbox, None).await;
        }
    }
}

/// Sends what is handed over as it comes.
pub(super) async fn relay_handed(process: Process) {
    loop {
        let handovers = process.with(|world| std::mem::take(&mut world.replicas[process.replica].handovers));
        if handovers.is_empty() {
            process.idle(Idle::Handovers, None).await;
            continue;
        }
        let now = process.with(|world| world.now);
        let is_fresh = |handover: &Handover| Duration::from_millis(now - handover.claimed_at) < FRESH;
        let (fresh, stale): (Vec<_>, Vec<_>) = handovers.into_iter().partition(is_fresh);
        let events = |handovers: Vec<Handover>| handovers.into_iter().flat_map(|handover| handover.events);
        let mut sent = send(&process, events(fresh).collect()).await;
        sent.again.extend(events(stale));
        process.with(|world| {
            world.replicas[process.replica].handed.push(sent);
            world.touched = true;
        });
    }
}

/// Marks what was sent so, gathered for a moment.
pub(super) async fn mark_handed(process: Process) {
    loop {
        process.idle(Idle::Handed, None).await;
        process.sleep_for(MARK_EVERY).await;
        let all = process.with(|world| std::mem::take(&mut world.replicas[process.replica].handed));
        let mut sent = Sent::with_capacity(all.len());
        sent.extend(all);
        mark(&process, &sent).await;
    }
}

/// Keeps what came of sending, however long it takes.
async fn mark(process: &Process, sent: &Sent<Outgoing, SendFailure>) {
    let mut failures = 0;
    loop {
        let kept = process.transaction("mark published", |world| {
            let now = world.now;
            for row in &sent.acknowledged {
                world.say(process.replica, || {
                    format!("marks event {} of learner {}", row.seq, row.learner.0)
                });
                world.database.mark_published(now, row);
            }
            for row in &sent.again {
                world.database.release(now, row, millis(PAUSE));
            }
            for (row, _) in &sent.refused {
                world.database.park(row);
            }
        });
        if kept.await.is_ok() {
            return;
        }
        failures += 1;
        process
            .sleep_for(Backoff::DEPENDENCY.delay(failures, process.draw()))
            .await;
    }
}

/// Everything that is not published yet.
fn any(outbox: &[Outgoing]) -> Vec<Outgoing> {
    outbox
        .iter()
        .filter(|row| !row.published && !row.parked)
        .cloned()
        .collect()
}

/// Queues every record, in order, and waits for what the brokers say; renews the leases meanwhile.
async fn send(process: &Process, claimed: Vec<Outgoing>) -> Sent<Outgoing, SendFailure> {
    let mut sent = Sent::with_capacity(claimed.len());
    let mut queued = Vec::with_capacity(claimed.len());
    for row in claimed {
        let event = Published {
            learner: row.learner,
            seq: row.seq,
            event: row.event,
        };
        process.with(|world| {
            world.say(process.replica, || {
                format!("sends event {} of learner {}", row.seq, row.learner.0)
            });
        });
        let receipt = produce(process, event);
        queued.push((row, receipt));
        process.takes(0, 2).await;
    }
    let leases: Vec<Outgoing> = queued.iter().map(|(row, _)| row.clone()).collect();
    let now = || process.with(|world| world.now);
    let mut renewal = now() + millis(LEASE / THIRDS);
    for (row, (heard_at, heard)) in queued {
        process.sleep_until(heard_at.min(renewal)).await;
        while now() < heard_at {
            // Where that fails, others may send them, too.
            let _ = process
                .transaction("renew leases", |world| {
                    let now = world.now;
                    for lease in &leases {
                        world.database.renew(now, lease, millis(LEASE));
                    }
                })
                .await;
            renewal = now() + millis(LEASE / THIRDS);
            process.sleep_until(heard_at.min(renewal)).await;
        }
        sent.note(row, Some(heard), |failure| *failure == SendFailure::Later);
    }
    sent
}
