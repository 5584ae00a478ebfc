//! A consumer: decoding is left out; the breaker before a flood is the real one.

use std::collections::BTreeSet;

use super::{
    batch::{Record, pair_of, read, write},
    open::Open,
    plan::{Content, Defect},
    relaying::Handover,
    schedule::{Idle, Process},
    world::{Down, World},
};
use crate::{domain::LearnerId, ingest::Breaker, publish::handed::WAITING, retry::Backoff};

/// Why a batch was not written.
enum Failure {
    Down,
    /// The database knows less than this consumer wrote.
    WentBack,
}

impl From<Down> for Failure {
    fn from(_: Down) -> Self {
        Self::Down
    }
}

/// The loop of one consumer.
pub(super) async fn consume(process: Process) {
    let mut breaker = Breaker::default();
    // Bad records before these offsets are let pass.
    let mut passed = process.with(|world| vec![0; world.broker.records.len()]);
    let mut last: Vec<Option<i64>> = process.with(|world| vec![None; world.database.positions.len()]);
    // Whether an earlier process stopped before a flood is to be found out first.
    let mut failures = 0;
    loop {
        match process
            .transaction("resume state", |world| (world.database.paused, world.database.resumed))
            .await
        {
            Ok((true, resumed)) => {
                passed = wait_for_people(&process, resumed).await;
                break;
            }
            Ok((false, _)) => break,
            Err(Down) => wait(&process, &mut failures).await,
        }
    }
    loop {
        take_up(&process, &mut last).await;
        let records = process.with(|world| poll(world, process.replica));
        if records.is_empty() {
            process.idle(Idle::Records, None).await;
            continue;
        }
        let is_bad = |record: &Record| matches!(record.content, Content::Bad);
        let passes = |record: &Record| is_bad(record) && record.offset < passed[record.partition];
        let counted: Vec<usize> = (0..records.len()).filter(|n| !passes(&records[*n])).collect();
        let bad: Vec<bool> = counted.iter().map(|n| is_bad(&records[*n])).collect();
        let stop = breaker.stops_at(&bad).map(|n| counted[n]);
        let end = stop.unwrap_or(records.len());
        if process.with(|world| world.has(Defect::OffsetsFirst)) {
            commit_offsets(&process, &records[..end]);
        }
        match apply(&process, &records[..end], &last).await {
            Ok(()) => {
                failures = 0;
                for (_, bad) in counted.iter().zip(&bad).take_while(|(n, _)| **n < end) {
                    breaker.observe(*bad);
                }
                for record in &records[..end] {
                    last[record.partition] = Some(record.offset + 1);
                }
                process.with(|world| move_on(world, process.replica, &records[..end]));
                process.takes(0, 5).await;
                if !process.with(|world| world.fails(2_000)) {
                    commit_offsets(&process, &records[..end]);
                }
            }
            Err(failure) => {
                if let Failure::WentBack = failure {
                    process.with(|world| go_back(world, process.replica));
                    last.fill(None);
                }
                wait(&process, &mut failures).await;
                continue;
            }
        }
        if stop.is_some() {
            let resumed = loop {
                let paused = process.transaction("stop", |world| {
                    world.say(process.replica, || "stops before a flood".to_owned());
                    world.database.paused = true;
                    world.database.resumed
                });
                match paused.await {
                    Ok(resumed) => break resumed,
                    Err(Down) => wait(&process, &mut failures).await,
                }
            };
            passed = wait_for_people(&process, resumed).await;
            breaker = Breaker::default();
        }
    }
}

async fn wait(process: &Process, failures: &mut u32) {
    *failures += 1;
    process
        .sleep_for(Backoff::DEPENDENCY.delay(*failures, process.draw()))
        .await;
}

/// Stands still until somebody lets the records pass; up to these offsets of the partitions.
async fn wait_for_people(process: &Process, seen: u64) -> Vec<i64> {
    loop {
        let resumed = process
            .transaction("resume state", |world| world.database.resumed)
            .await;
        if resumed.is_ok_and(|resumed| resumed > seen) {
            let end = |records: &Vec<Content>| i64::try_from(records.len()).unwrap_or_default();
            return process.with(|world| world.broker.records.iter().map(end).collect());
        }
        process.sleep(5_000).await;
    }
}

/// Begins to read what was given to this consumer, and leaves what was taken from it.
async fn take_up(process: &Process, last: &mut [Option<i64>]) {
    for (partition, last) in last.iter_mut().enumerate() {
        let begins = process.with(|world| {
            let (owner, since) = world.broker.assigned[partition];
            let position = &mut world.replicas[process.replica].positions[partition];
            if owner != process.replica {
                *position = None;
            }
            (owner == process.replica && position.is_none_or(|(begun, _)| begun != since)).then_some(since)
        });
        let Some(since) = begins else {
            if process.with(|world| world.broker.assigned[partition].0) != process.replica {
                *last = None;
            }
            continue;
        };
        *last = None;
        let known = process
            .transaction("start offsets", |world| world.database.positions[partition])
            .await;
        process.with(|world| {
            let committed = world.broker.committed[partition];
            let from = match known {
                Ok(known) if !world.has(Defect::OffsetsFirst) => committed.min(known),
                _ => committed,
            };
            world.replicas[process.replica].positions[partition] = Some((since, from));
            world.say(process.replica, || format!("reads partition {partition} from {from}"));
        });
    }
}

/// The next records of the partitions that are held.
fn poll(world: &mut World, replica: usize) -> Vec<Record> {
    let most = world.plan.poll;
    let mut records = Vec::new();
    for partition in 0..world.broker.assigned.len() {
        let Some((_, position)) = world.replicas[replica].positions[partition] else {
            continue;
        };
        let from = usize::try_from(position).unwrap_or_default();
        let there = world.broker.records[partition].iter().enumerate().skip(from);
        let left = most - records.len().min(most);
        records.extend(there.take(left).map(|(offset, content)| Record {
            partition,
            offset: i64::try_from(offset).unwrap_or_default(),
            content: content.clone(),
        }));
    }
    records
}

fn move_on(world: &mut World, replica: usize, records: &[Record]) {
    for record in records {
        // Taken away meanwhile: it is for another to read.
        if let Some((_, position)) = &mut world.replicas[replica].positions[record.partition] {
            *position = record.offset + 1;
        }
    }
}

fn go_back(world: &mut World, replica: usize) {
    world.say(replica, || "reads again what the database lacks".to_owned());
    for partition in 0..world.database.positions.len() {
        let stored = world.database.positions[partition];
        if let Some((_, position)) = &mut world.replicas[replica].positions[partition] {
            *position = stored.min(*position);
        }
    }
}

fn commit_offsets(process: &Process, records: &[Record]) {
    process.with(|world| {
        for record in records {
            // Of whom is no member any more the brokers take nothing; of the others whatever they say.
            if world.broker.assigned[record.partition].0 == process.replica {
                world.broker.committed[record.partition] = record.offset + 1;
            }
        }
    });
}

/// One batch, one transaction.
async fn apply(process: &Process, records: &[Record], last: &[Option<i64>]) -> Result<(), Failure> {
    if records.is_empty() {
        return Ok(());
    }
    let learners: BTreeSet<LearnerId> = records.iter().filter_map(|record| Some(pair_of(record)?.0)).collect();
    let ids: Vec<LearnerId> = match process.with(|world| world.has(Defect::NoLock)) {
        true => Vec::new(),
        false => learners.iter().copied().collect(),
    };
    process.takes(0, 3).await;
    let open = Open::begin(process, &ids).await;
    let read = process.with(|world| read(world, records, &learners, last));
    let Some(read) = read else {
        return Err(Failure::WentBack);
    };
    process.takes(0, 20).await;
    let (may_hand_over, claimed_at) =
        process.with(|world| (world.replicas[process.replica].handovers.len() < WAITING, world.now));
    let written = process.transaction("ingest", |world| {
        // A transaction that was ended from outside writes nothing.
        if !world.database.is_open(open.number) {
            return Err(Down);
        }
        let (what, claimed) = write(world, records, read, may_hand_over);
        world.say(process.replica, || what);
        world.database.unlock(open.number);
        Ok(claimed)
    });
    let events = written.await.flatten()?;
    if !events.is_empty() {
        process.with(|world| {
            let handover = Handover { events, claimed_at };
            world.replicas[process.replica].handovers.push(handover);
            world.touched = true;
        });
    }
    Ok(())
}
