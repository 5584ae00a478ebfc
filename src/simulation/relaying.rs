//! The relay: what becomes of a record is sorted by the real [`Sent`]; claiming and marking are as `Publisher` does it.

use super::{
    broker::{Published, SendFailure, produce},
    database::Outgoing,
    plan::Defect,
    schedule::{Idle, Process},
};
use crate::{
    publish::{EVENTS, PAUSE, sent::Sent},
    retry::Backoff,
    store::outbox::LEASE,
};

fn millis(time: chrono::TimeDelta) -> u64 {
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
                break;
            }
            failures += 1;
            process
                .sleep_for(Backoff::DEPENDENCY.delay(failures, process.draw()))
                .await;
        }
        if sent.acknowledged.is_empty() {
            process.idle(Idle::Outbox, None).await;
        }
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

/// Queues every record, in order, and waits for what the brokers say.
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
    for (row, (heard_at, heard)) in queued {
        process.sleep_until(heard_at).await;
        sent.note(row, Some(heard), |failure| *failure == SendFailure::Later);
    }
    sent
}
