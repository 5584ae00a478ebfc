//! Kafka: partitions that are read by a group, and the topic that events go to.

use uuid::Uuid;

use super::{
    plan::{Content, Defect},
    schedule::{At, OUTSIDE, Process},
    world::Replica,
};
use crate::domain::LearnerId;

/// The longest that a producer tries to deliver.
const DELIVERY: u64 = 120_000;
/// What is on the wire arrives, though its process dies.
const ON_THE_WIRE: u64 = 20;

/// An event in the topic.
#[derive(Debug, Clone)]
pub(super) struct Published {
    pub(super) learner: LearnerId,
    pub(super) seq: u64,
    pub(super) event: Uuid,
}

/// Why a record is not known to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SendFailure {
    /// It may be there.
    Later,
    /// It never will be.
    ForGood,
}

pub(super) struct Broker {
    pub(super) records: Vec<Vec<Content>>,
    /// What the group committed.
    pub(super) committed: Vec<i64>,
    /// Who reads each partition, and since which change of hands.
    pub(super) assigned: Vec<(usize, u64)>,
    pub(super) topic: Vec<Published>,
    /// Records that are still to be appended.
    pub(super) to_come: usize,
}

impl Broker {
    pub(super) fn new(partitions: usize) -> Self {
        Self {
            records: vec![Vec::new(); partitions],
            committed: vec![0; partitions],
            assigned: vec![(OUTSIDE, 0); partitions],
            topic: Vec::new(),
            to_come: 0,
        }
    }

    pub(super) fn length(&self, partition: usize) -> i64 {
        i64::try_from(self.records[partition].len()).unwrap_or_default()
    }

    /// Whether there is something for this process to poll: records, or a partition that it has not begun.
    pub(super) fn has_records(&self, replica: usize, positions: &[Option<(u64, i64)>]) -> bool {
        let unread = |(partition, (owner, since)): (usize, &(usize, u64))| {
            *owner == replica
                && positions[partition].is_none_or(|(begun, at)| begun != *since || at < self.length(partition))
        };
        self.assigned.iter().enumerate().any(unread)
    }

    /// Whether everything was read by those who hold the partitions now. What the database holds may be behind that:
    /// whoever lost a partition and then writes a batch of it still, takes its position back.
    pub(super) fn is_read(&self, replicas: &[Replica]) -> bool {
        let read = |(partition, (owner, since)): (usize, &(usize, u64))| {
            let position = replicas.get(*owner).and_then(|replica| replica.positions[partition]);
            position.is_some_and(|(begun, at)| begun == *since && at >= self.length(partition))
        };
        self.to_come == 0 && self.assigned.iter().enumerate().all(read)
    }
}

/// Appends what the platform has to say.
pub(super) async fn platform(process: Process) {
    let records = process.with(|world| std::mem::take(&mut world.plan.records));
    process.with(|world| world.broker.to_come = records.len());
    for (at, partition, content) in records {
        process.sleep_until(at).await;
        process.with(|world| {
            world.say(OUTSIDE, || {
                format!("the platform says in partition {partition}: {content:?}")
            });
            world.broker.records[partition].push(content);
            world.broker.to_come -= 1;
            world.touched = true;
        });
    }
}

/// Gives the partitions to who is there.
pub(super) async fn coordinator(process: Process) {
    loop {
        let pause = process.with(|world| {
            let up: Vec<usize> = (0..world.replicas.len()).filter(|n| world.replicas[*n].up).collect();
            let shuffles = world.plan.faults.rebalances && world.is_faulty();
            for partition in 0..world.broker.assigned.len() {
                let (owner, since) = world.broker.assigned[partition];
                let gone = world.replicas.get(owner).is_none_or(|replica| !replica.up);
                let moves = gone || (shuffles && world.chance.once_in(3));
                if up.is_empty() || !moves {
                    continue;
                }
                let next = up[world.chance.index(up.len())];
                world.broker.assigned[partition] = (next, since + 1);
                world.touched = true;
                world.say(OUTSIDE, || format!("partition {partition} goes to {next}"));
            }
            world
                .chance
                .between(1_000, if world.is_faulty() { 30_000 } else { 60_000 })
        });
        process.sleep(pause).await;
    }
}

/// Sends an event as a producer does, and says when something is heard of it, and what.
pub(super) fn produce(process: &Process, event: Published) -> (At, Result<(), SendFailure>) {
    let (written_at, heard_at, heard, life) = process.with(|world| {
        let often = world.plan.faults.kafka;
        let soon = world.now + world.chance.between(1, 50);
        let down = world.plan.faults.kafka_down;
        let waits = if world.is_within(down) {
            down.1.min(world.plan.heal_at)
        } else {
            soon
        };
        let given_up = world.now + DELIVERY;
        let answered = |at: At| at + 5;
        let life = world.replicas[process.replica].life;
        let (written_at, heard_at, heard) = match world.fails(often).then(|| world.chance.below(6)) {
            // It is there, and the producer does not know.
            Some(0) => (Some(waits), given_up, Err(SendFailure::Later)),
            Some(1) => (None, given_up, Err(SendFailure::Later)),
            // Refused at once, for now.
            Some(2) => (None, answered(soon), Err(SendFailure::Later)),
            Some(3) if world.chance.once_in(4) => (None, answered(soon), Err(SendFailure::ForGood)),
            // Late, by the producer's own trying.
            Some(4) => {
                let at = world.now + world.chance.between(1_000, DELIVERY - 1_000);
                (Some(at), answered(at), Ok(()))
            }
            _ if waits > given_up => (None, given_up, Err(SendFailure::Later)),
            _ => (Some(waits), answered(waits), Ok(())),
        };
        (written_at, heard_at, heard, life)
    });
    if let Some(at) = written_at {
        let (outside, replica) = (process.clone(), process.replica);
        process.spawn_for(OUTSIDE, async move {
            let sent = outside.with(|world| world.now);
            outside.sleep_until(at).await;
            outside.with(|world| {
                let process = &world.replicas[replica];
                let alive = process.up && process.life == life;
                if alive || at <= sent + ON_THE_WIRE {
                    world.say(replica, || {
                        format!("Kafka has event {} of learner {}", event.seq, event.learner.0)
                    });
                    world.broker.topic.push(event);
                } else {
                    // It was in the memory of a process that is dead.
                    world.say(replica, || {
                        format!("event {} of learner {} is purged", event.seq, event.learner.0)
                    });
                }
            });
        });
    }
    let mark_first = process.with(|world| world.has(Defect::MarkFirst));
    match mark_first {
        true => (process.with(|world| world.now), Ok(())),
        false => (heard_at, heard),
    }
}
