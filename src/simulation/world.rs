//! All there is in a run: the clock, the database, the servers, the processes, and what is watched of them.

use std::{collections::BTreeMap, rc::Rc, time::Instant};

use super::{
    badgr::Badgr,
    broker::{Broker, SendFailure},
    chance::Chance,
    database::Database,
    outbox::Outgoing,
    plan::{Catalogue, Defect, Plan},
    relaying::Handover,
    schedule::{Asked, At, Fate, Idle, OUTSIDE, Process},
};
use crate::{
    domain::award::{AwardId, AwardState},
    publish::sent::Sent,
};

/// A process of the service.
#[derive(Debug, Default)]
pub(super) struct Replica {
    pub(super) up: bool,
    /// How often it was started.
    pub(super) life: u64,
    stalled_until: At,
    /// Where its consumer reads on; `None` where it does not.
    pub(super) positions: Vec<Option<(u64, i64)>>,
    /// Events that were claimed as they were written, for its relay; and what became of them, not yet marked.
    pub(super) handovers: Vec<Handover>,
    pub(super) handed: Vec<Sent<Outgoing, SendFailure>>,
    /// The badge server asked it for time until then.
    pub(super) asked_to_wait: At,
    /// Calls of the badge server that failed one after the other, none of them with a wish for time.
    failed: u32,
    /// How often it was left alone since it last answered, and since when and until when at least.
    left_alone: (u32, At, At),
}

impl Replica {
    /// Until when the badge server is left alone at least.
    pub(super) fn left_alone_until(&self) -> At {
        self.left_alone.2
    }

    /// Takes note of a call of an award that was claimed then, apart from what the breaker makes of it.
    pub(super) fn note(&mut self, now: At, claimed_at: At, failed: bool, asked_to_wait: Option<At>) {
        const ENOUGH: u32 = 5;
        self.asked_to_wait = self.asked_to_wait.max(asked_to_wait.unwrap_or_default());
        self.failed = match (failed, asked_to_wait) {
            (false, _) => 0,
            (true, None) => self.failed.saturating_add(1),
            (true, Some(_)) => ENOUGH + 1,
        };
        let (times, since, _) = self.left_alone;
        self.left_alone = match self.failed {
            0 => (0, 0, 0),
            // Half of 0.8 s is the shortest pause after enough failures; each try that fails doubles it, up to half a minute.
            failed if failed == ENOUGH && times == 0 => (1, now, now + 400),
            _ if times > 0 && claimed_at > since => (times + 1, now, now + (400 << times.min(10)).min(15_000)),
            _ => self.left_alone,
        };
    }
}

pub(super) struct World {
    pub(super) now: At,
    /// What the monotonic clock said at the start; only differences matter.
    pub(super) anchor: Instant,
    pub(super) steps: u64,
    pub(super) chance: Chance,
    pub(super) plan: Plan,
    pub(super) catalogue: Rc<Catalogue>,
    pub(super) defect: Option<Defect>,
    pub(super) database: Database,
    pub(super) badgr: Badgr,
    pub(super) broker: Broker,
    pub(super) replicas: Vec<Replica>,
    pub(super) asked: Asked,
    /// Something changed that idle tasks may wait for.
    pub(super) touched: bool,
    /// Transactions so far: each has its number.
    pub(super) transactions: u64,
    /// Until when the backend asked for time for an award.
    pub(super) not_before: BTreeMap<AwardId, At>,
    pub(super) violation: Option<String>,
    pub(super) history: Option<Vec<String>>,
}

/// The database did not answer, or not so that it was heard.
#[derive(Debug)]
pub(super) struct Down;

impl World {
    pub(super) fn new(seed: u64, defect: Option<Defect>, catalogue: &Rc<Catalogue>, with_history: bool) -> Self {
        let mut chance = Chance::new(seed);
        let plan = Plan::of(seed, &mut chance);
        let replica = || Replica {
            positions: vec![None; plan.partitions],
            ..Replica::default()
        };
        Self {
            now: 0,
            anchor: Instant::now(),
            steps: 0,
            chance,
            catalogue: Rc::clone(catalogue),
            defect,
            database: Database {
                positions: vec![0; plan.partitions],
                ..Database::default()
            },
            badgr: Badgr::default(),
            broker: Broker::new(plan.partitions),
            replicas: (0..plan.replicas).map(|_| replica()).collect(),
            asked: Asked::default(),
            touched: true,
            transactions: 0,
            not_before: BTreeMap::new(),
            violation: None,
            history: with_history.then(Vec::new),
            plan,
        }
    }

    pub(super) fn has(&self, defect: Defect) -> bool {
        self.defect == Some(defect)
    }

    pub(super) fn is_faulty(&self) -> bool {
        self.now < self.plan.heal_at
    }

    /// Whether something goes wrong now that does so often.
    pub(super) fn fails(&mut self, in_ten_thousand: u64) -> bool {
        self.is_faulty() && self.chance.happens(in_ten_thousand)
    }

    pub(super) fn is_within(&self, (from, until): (At, At)) -> bool {
        self.is_faulty() && from <= self.now && self.now < until
    }

    pub(super) fn skew(&self, replica: usize) -> i64 {
        self.plan.skews.get(replica).copied().unwrap_or_default()
    }

    /// Writes a line of the history, if there is one.
    pub(super) fn say(&mut self, replica: usize, what: impl FnOnce() -> String) {
        let now = self.now;
        if let Some(history) = &mut self.history {
            let who = match replica {
                OUTSIDE => " ".to_owned(),
                replica => replica.to_string(),
            };
            history.push(format!(
                "{:>10.3} s  {who}  {}",
                std::time::Duration::from_millis(now).as_secs_f64(),
                what()
            ));
        }
    }

    /// Something is wrong: the run ends.
    pub(super) fn violate(&mut self, what: impl Into<String>) {
        if self.violation.is_none() {
            let what = what.into();
            self.say(OUTSIDE, || format!("WRONG: {what}"));
            self.violation = Some(what);
        }
    }

    /// What becomes of a task of this process before its next step.
    pub(super) fn fate(&mut self, replica: usize) -> Fate {
        let now = self.now;
        let Some(process) = self.replicas.get(replica) else {
            return Fate::Steps;
        };
        if now < process.stalled_until {
            return Fate::Waits(process.stalled_until);
        }
        if !self.is_faulty() {
            return Fate::Steps;
        }
        if self.chance.happens(self.plan.faults.crash) {
            return Fate::Dies;
        }
        if self.chance.happens(self.plan.faults.stall) {
            let (least, most) = [(100, 5_000), (5_000, 60_000), (60_000, 300_000)][self.chance.index(3)];
            let until = now + self.chance.between(least, most);
            let whole = self.chance.once_in(2);
            if whole {
                self.replicas[replica].stalled_until = until;
            }
            self.say(replica, || {
                format!("{} stands still until {until} ms", if whole { "it" } else { "a task" })
            });
            return Fate::Waits(until);
        }
        Fate::Steps
    }

    /// A process is dead. Returns after how long it is started again.
    pub(super) fn died(&mut self, replica: usize) -> u64 {
        self.say(replica, || "dies".to_owned());
        let process = &mut self.replicas[replica];
        process.up = false;
        (process.asked_to_wait, process.left_alone, process.failed) = (0, (0, 0, 0), 0);
        process.handovers.clear();
        process.handed.clear();
        process.positions.iter_mut().for_each(|position| *position = None);
        self.chance.between(100, 60_000)
    }

    /// When there is something to do for whom is idle.
    pub(super) fn due(&self, idle: Idle, replica: usize) -> Option<At> {
        match idle {
            Idle::Records => self
                .broker
                .has_records(replica, &self.replicas[replica].positions)
                .then_some(0),
            Idle::Awards => self.database.award_due(),
            Idle::Outbox => match self.has(Defect::AnyOrder) {
                true => self
                    .database
                    .outbox
                    .iter()
                    .any(|row| !row.published && !row.parked)
                    .then_some(self.now + 500),
                false => self.database.outbox_due(),
            },
            Idle::Handovers => (!self.replicas[replica].handovers.is_empty()).then_some(0),
            Idle::Handed => (!self.replicas[replica].handed.is_empty()).then_some(0),
            Idle::Backfill => {
                let active = self.database.active().filter(|active| !active.done);
                active.map(|active| active.until)
            }
            Idle::Tokens => None,
        }
    }

    /// Whether nothing is left to be done.
    pub(super) fn is_quiet(&self) -> bool {
        let database = &self.database;
        let open = |state: AwardState| state != AwardState::Published;
        self.broker.is_read(&self.replicas)
            && !database.paused
            && database.active().is_none_or(|active| active.done)
            && database.configurations.len() == self.plan.activations.len()
            && database.outbox.iter().all(|row| row.published)
            && !database.awards.iter().any(|award| open(award.state))
            && self.badgr.under_way == 0
            && database.fence.is_empty()
    }

    pub(super) fn is_over(&mut self) -> bool {
        /// Backoff and `Retry-After` go up to an hour each.
        const PATIENCE: u64 = 6 * 3_600_000;
        /// Many times more than any run takes.
        const STEPS: u64 = 100_000;
        if self.violation.is_some() || (!self.is_faulty() && self.is_quiet()) {
            return true;
        }
        if self.now > self.plan.heal_at + PATIENCE || self.steps > STEPS {
            let database = &self.database;
            let what = format!(
                "still not done after {} steps, at {} ms: {} records to come, positions {:?}, paused {}, fence {:?}, \
                 configurations {:?}, requests {}, awards {:?}, outbox {:?}",
                self.steps,
                self.now,
                self.broker.to_come,
                database.positions,
                database.paused,
                database.fence,
                database
                    .configurations
                    .iter()
                    .map(|one| (one.done, one.until))
                    .collect::<Vec<_>>(),
                self.badgr.under_way,
                database
                    .awards
                    .iter()
                    .filter(|award| award.state != AwardState::Published)
                    .collect::<Vec<_>>(),
                database.outbox.iter().filter(|row| !row.published).collect::<Vec<_>>(),
            );
            self.violate(what);
            return true;
        }
        false
    }
}

impl Process {
    /// One transaction: all of `work`, or nothing. What failed may have been done all the same.
    pub(super) async fn transaction<T>(
        &self,
        name: &'static str,
        work: impl FnOnce(&mut World) -> T,
    ) -> Result<T, Down> {
        self.takes(0, 4).await;
        let (done, lost) = self.with(|world| {
            let often = world.plan.faults.database;
            if world.is_within(world.plan.faults.database_down) || world.fails(often / 2) {
                world.say(self.replica, || format!("{name}: the database does not do it"));
                return (None, false);
            }
            world.transactions += 1;
            world.touched = true;
            let done = work(world);
            let lost = world.fails(often / 2);
            if lost {
                world.say(self.replica, || format!("{name}: done, but nobody hears of it"));
            }
            (Some(done), lost)
        });
        self.takes(0, 3).await;
        done.filter(|_| !lost).ok_or(Down)
    }
}
