//! The scheduler: tasks on a virtual clock, one step at a time.
//!
//! A task is a future whose waits are all for virtual time. Which one steps next follows from the times that they wait
//! for, and these from chance; ties are drawn. Between any two steps a process may stop for a while, or die: its tasks
//! are dropped where they stand.

use std::{
    cell::RefCell,
    cmp::Reverse,
    collections::BinaryHeap,
    future::Future,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use chrono::{DateTime, TimeDelta, Utc};

use super::{replica, world::World};

/// Virtual time, in milliseconds since the run began.
pub(super) type At = u64;
/// Who belongs to no process: the platform, the servers, the people.
pub(super) const OUTSIDE: usize = usize::MAX;

/// What a task is idle for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Idle {
    /// Records of its partitions.
    Records,
    /// Awards that are due.
    Awards,
    /// Events that are to be sent.
    Outbox,
    /// Events that were handed over to this process's relay.
    Handovers,
    /// What became of those.
    Handed,
    /// A configuration whose backfill is open.
    Backfill,
    /// The answer of this process's token task.
    Tokens,
}

type Boxed = Pin<Box<dyn Future<Output = ()>>>;

struct Task {
    replica: usize,
    future: Boxed,
}

/// What tasks ask of the scheduler.
#[derive(Default)]
pub(super) struct Asked {
    wakes: Vec<At>,
    idle: Vec<(Idle, Option<At>)>,
    spawned: Vec<(usize, Boxed)>,
}

struct Idling {
    task: usize,
    replica: usize,
    idle: Idle,
    woken_at: Option<At>,
}

/// A task's hold on the world.
#[derive(Clone)]
pub(super) struct Process {
    pub(super) world: Rc<RefCell<World>>,
    pub(super) replica: usize,
}

struct Sleep<'a> {
    process: &'a Process,
    until: At,
    asleep: bool,
}

impl Future for Sleep<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        let mut world = self.process.world.borrow_mut();
        if world.now >= self.until {
            return Poll::Ready(());
        }
        if !self.asleep {
            world.asked.wakes.push(self.until);
            drop(world);
            self.asleep = true;
        }
        Poll::Pending
    }
}

struct Idled<'a> {
    process: &'a Process,
    idle: Idle,
    at_most: Option<At>,
    asleep: bool,
}

impl Future for Idled<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if self.asleep {
            return Poll::Ready(());
        }
        let asked = (self.idle, self.at_most);
        self.process.with(|world| world.asked.idle.push(asked));
        self.asleep = true;
        Poll::Pending
    }
}

impl Process {
    /// Looks at the world and changes it, in one step.
    pub(super) fn with<T>(&self, act: impl FnOnce(&mut World) -> T) -> T {
        act(&mut self.world.borrow_mut())
    }

    /// Waits so many milliseconds.
    pub(super) async fn sleep(&self, milliseconds: u64) {
        let until = self.with(|world| world.now) + milliseconds;
        self.sleep_until(until).await;
    }

    pub(super) async fn sleep_for(&self, duration: Duration) {
        // Rounded up: who waits too short a time asks again.
        self.sleep(millis(duration) + 1).await;
    }

    pub(super) async fn sleep_until(&self, until: At) {
        Sleep {
            process: self,
            until,
            asleep: false,
        }
        .await;
    }

    /// Waits until there may be something to do. Whoever looks at a table again and again in truth looks here only when
    /// there is something in it: what finds nothing changes nothing.
    pub(super) async fn idle(&self, idle: Idle, at_most: Option<At>) {
        Idled {
            process: self,
            idle,
            at_most,
            asleep: false,
        }
        .await;
    }

    /// Starts another task of this process.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        self.spawn_for(self.replica, task);
    }

    /// Starts a task that dies with that process.
    pub(super) fn spawn_for(&self, replica: usize, task: impl Future<Output = ()> + 'static) {
        self.with(|world| world.asked.spawned.push((replica, Box::pin(task))));
    }

    /// This process's wall clock.
    pub(super) fn wall(&self) -> DateTime<Utc> {
        self.with(|world| wall(world.now, world.skew(self.replica)))
    }

    /// This process's monotonic clock.
    pub(super) fn instant(&self) -> Instant {
        self.with(|world| world.anchor + Duration::from_millis(world.now))
    }

    pub(super) fn draw(&self) -> f64 {
        self.with(|world| world.chance.share())
    }

    /// Waits from `least` to `most` milliseconds.
    pub(super) async fn takes(&self, least: u64, most: u64) {
        let time = self.with(|world| world.chance.between(least, most));
        self.sleep(time).await;
    }
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX / 4)
}

/// A clock that is ahead by so many milliseconds.
pub(super) fn wall(at: At, skew: i64) -> DateTime<Utc> {
    const BEGUN: i64 = 1_750_000_000_000;
    let at = i64::try_from(at).unwrap_or(i64::MAX / 4);
    DateTime::UNIX_EPOCH + TimeDelta::milliseconds(BEGUN + at + skew)
}

/// Runs everything to its end.
pub(super) struct Scheduler {
    root: Process,
    tasks: Vec<Option<Task>>,
    queue: BinaryHeap<Reverse<(At, u64, usize)>>,
    idling: Vec<Idling>,
}

impl Scheduler {
    pub(super) fn new(world: Rc<RefCell<World>>) -> Self {
        Self {
            root: Process {
                world,
                replica: OUTSIDE,
            },
            tasks: Vec::new(),
            queue: BinaryHeap::new(),
            idling: Vec::new(),
        }
    }

    /// Steps until everything is done, or is found to be wrong.
    pub(super) fn run(&mut self) {
        let root = self.root.clone();
        self.take_in(None);
        while let Some(Reverse((at, _, id))) = self.queue.pop() {
            let Some(replica) = self.tasks[id].as_ref().map(|task| task.replica) else {
                continue;
            };
            let fate = root.with(|world| {
                world.now = world.now.max(at);
                world.steps += 1;
                world.fate(replica)
            });
            match fate {
                Fate::Steps => {}
                Fate::Waits(until) => {
                    self.queue.push(Reverse((until, 0, id)));
                    continue;
                }
                Fate::Dies => {
                    self.kill(replica);
                    continue;
                }
            }
            self.idling.retain(|idling| idling.task != id);
            let mut context = Context::from_waker(Waker::noop());
            let Some(task) = &mut self.tasks[id] else { continue };
            let ended = task.future.as_mut().poll(&mut context).is_ready();
            if ended {
                self.tasks[id] = None;
            }
            self.take_in(Some((id, replica)));
            if root.with(|world| world.is_over()) {
                break;
            }
        }
        // What the tasks hold is given back while the world still stands.
        self.tasks.clear();
        self.root.with(|world| world.asked = Asked::default());
    }

    fn kill(&mut self, replica: usize) {
        for task in &mut self.tasks {
            if task.as_ref().is_some_and(|task| task.replica == replica) {
                *task = None;
            }
        }
        let tasks = &self.tasks;
        self.idling.retain(|idling| tasks[idling.task].is_some());
        let root = self.root.clone();
        let pause = root.with(|world| world.died(replica));
        self.root.spawn_for(OUTSIDE, async move {
            root.sleep(pause).await;
            replica::start(&root, replica);
        });
        self.take_in(None);
    }

    /// Does what was asked for in the last step, which this task took.
    fn take_in(&mut self, stepped: Option<(usize, usize)>) {
        let mut world = self.root.world.borrow_mut();
        let mut asked = std::mem::take(&mut world.asked);
        let look = std::mem::take(&mut world.touched) || !asked.idle.is_empty();
        if let Some((task, replica)) = stepped {
            for at in asked.wakes.drain(..) {
                self.queue.push(Reverse((at, world.chance.draw(), task)));
            }
            for (idle, at_most) in asked.idle.drain(..) {
                if let Some(at) = at_most {
                    self.queue.push(Reverse((at, world.chance.draw(), task)));
                }
                self.idling.push(Idling {
                    task,
                    replica,
                    idle,
                    woken_at: at_most,
                });
            }
        }
        for (replica, future) in asked.spawned.drain(..) {
            let tie = world.chance.draw();
            self.queue.push(Reverse((world.now, tie, self.tasks.len())));
            self.tasks.push(Some(Task { replica, future }));
        }
        for idling in self.idling.iter_mut().filter(|_| look) {
            let Some(due) = world.due(idling.idle, idling.replica) else {
                continue;
            };
            let at = due.max(world.now) + world.chance.between(1, 20);
            if idling.woken_at.is_none_or(|woken| due.max(world.now) + 20 < woken) {
                idling.woken_at = Some(at);
                self.queue.push(Reverse((at, world.chance.draw(), idling.task)));
            }
        }
        asked.wakes.clear();
        world.asked = asked;
    }
}

/// What becomes of a process before a step of it.
pub(super) enum Fate {
    Steps,
    Waits(At),
    Dies,
}
