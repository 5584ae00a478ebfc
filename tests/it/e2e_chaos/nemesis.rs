//! What goes wrong, by lot: one nemesis for the processes, one for what they depend on.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{RngExt, SeedableRng};

use crate::harness::binary::BinaryApp;
use crate::harness::fake_badgr::{FakeBadgr, Fault, Operation};
use crate::harness::kafka::RealKafka;
use crate::harness::postgres::Postgres;
use crate::harness::proxy::{Proxy, Way};
use crate::harness::world::World;
use crate::lives::{RULES, set_rules};

/// A process that is told to end waits for what is under way, and no longer than that.
const END: Duration = Duration::from_secs(40);

/// What was done when, and how often.
pub struct History {
    start: Instant,
    pub lines: Vec<String>,
    pub numbers: BTreeMap<&'static str, usize>,
    /// What must not be, whatever is done.
    pub violations: Vec<String>,
}

impl History {
    pub fn new(start: Instant) -> Self {
        Self {
            start,
            lines: Vec::new(),
            numbers: BTreeMap::new(),
            violations: Vec::new(),
        }
    }

    pub fn note(&mut self, kind: &'static str, details: &str) {
        *self.numbers.entry(kind).or_default() += 1;
        let at = self.start.elapsed().as_secs_f64();
        self.lines.push(format!("{at:8.2} {kind} {details}"));
    }
}

/// Deals every kind once before any comes again.
struct Deck<T> {
    all: Vec<T>,
    left: Vec<T>,
    rng: StdRng,
}

impl<T: Copy> Deck<T> {
    fn new(all: Vec<T>, seed: u64) -> Self {
        Self {
            all,
            left: Vec::new(),
            rng: StdRng::seed_from_u64(seed),
        }
    }

    fn deal(&mut self) -> T {
        if self.left.is_empty() {
            self.left.clone_from(&self.all);
            self.left.shuffle(&mut self.rng);
        }
        self.left.pop().expect("the deck was shuffled")
    }

    /// Waits between so many milliseconds; returns how long.
    fn hold(&mut self, from: u64, to: u64) -> Duration {
        let time = Duration::from_millis(self.rng.random_range(from..to));
        std::thread::sleep(time);
        time
    }
}

/// What can happen to a process.
#[derive(Clone, Copy)]
enum Blow {
    Kill,
    /// For less than a session lasts.
    Pause,
    /// For longer.
    Stall,
    Terminate,
}

/// Ends, stops and restarts processes until the time is over; all run when this returns.
pub fn torment_processes(apps: &mut [BinaryApp], start: Instant, duration: Duration, seed: u64) -> History {
    let mut history = History::new(start);
    let blows = vec![Blow::Kill, Blow::Kill, Blow::Pause, Blow::Stall, Blow::Terminate];
    let mut deck = Deck::new(blows, seed);
    while start.elapsed() < duration {
        deck.hold(300, 3_000);
        let blow = deck.deal();
        let number = deck.rng.random_range(0..apps.len());
        let app = &mut apps[number];
        if let Some(status) = app.ended() {
            history.note("ended by itself", &format!("{number}: {status}"));
            history
                .violations
                .push(format!("process {number} ended by itself: {status}"));
            app.launch_again();
        }
        match blow {
            Blow::Kill => {
                app.kill();
                let gone = deck.hold(0, 3_000);
                app.launch_again();
                history.note("kill -9", &format!("{number} for {gone:.1?}"));
            }
            Blow::Pause | Blow::Stall => {
                let (kind, from, to) = match blow {
                    Blow::Pause => ("stopped shortly", 500, 4_000),
                    _ => ("stopped beyond a session", 8_000, 14_000),
                };
                app.signal("STOP");
                let gone = deck.hold(from, to);
                app.signal("CONT");
                history.note(kind, &format!("{number} for {gone:.1?}"));
            }
            Blow::Terminate => {
                let (code, time) = terminate(app);
                history.note("terminated", &format!("{number}: {code:?} after {time:.1?}"));
                if code.is_none() {
                    history
                        .violations
                        .push(format!("process {number} did not end when it was told so"));
                }
                deck.hold(0, 2_000);
                app.launch_again();
            }
        }
    }
    history
}

/// SIGTERM; its exit code, unless it has to be killed after all, and how long it took.
pub fn terminate(app: &BinaryApp) -> (Option<i32>, Duration) {
    app.signal("TERM");
    let start = Instant::now();
    while app.ended().is_none() && start.elapsed() < END {
        std::thread::sleep(Duration::from_millis(20));
    }
    let time = start.elapsed();
    if app.ended().is_none() {
        app.kill();
    }
    (app.ended().and_then(|status| status.code()), time)
}

/// Who issues the badges.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Issuer {
    Badgr,
    /// The processes themselves, with the decision: nothing is asked outside.
    BuiltIn,
}

/// What the processes depend on.
pub struct Dependencies {
    /// With the built-in issuer nobody asks Badgr.
    pub issuer: Issuer,
    pub postgres: Postgres,
    pub postgres_proxy: Proxy,
    pub kafka: RealKafka,
    pub badgr_proxy: Proxy,
    /// None while it is down.
    pub badgr: Option<FakeBadgr>,
    pub ledger: PathBuf,
}

impl Dependencies {
    /// Badgr, which is up.
    pub fn badgr(&self) -> &FakeBadgr {
        self.badgr.as_ref().expect("Badgr is up")
    }

    fn restart_badgr(&mut self, deck: &mut Deck<Trouble>) -> Duration {
        let (port, url) = (self.badgr().port(), self.badgr().url());
        drop(self.badgr.take());
        let gone = deck.hold(200, 4_000);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let again = FakeBadgr::builder().ledger(&self.ledger).port(port).start();
        let again = runtime.expect("a runtime").block_on(again);
        assert_eq!(again.url(), url);
        self.badgr = Some(again);
        gone
    }

    fn proxies(&self) -> [(&'static str, &Proxy); 3] {
        [
            ("PostgreSQL", &self.postgres_proxy),
            ("Kafka", self.kafka.proxy()),
            ("Badgr", &self.badgr_proxy),
        ]
    }
}

/// What can happen to a dependency.
#[derive(Clone, Copy)]
enum Trouble {
    DatabaseCrash,
    BrokerCrash,
    BadgrCrash,
    /// All connections by one of the ways break at once, and can be made again.
    Reset(usize),
    /// For seconds no connection can be made.
    Cut(usize),
    /// For seconds nothing gets through.
    Silent(usize),
    /// Everything of one kind fails at Badgr, for a while.
    Outage,
    /// Some requests to Badgr fail, each in another way.
    Faults,
    TokensExpire,
    Slow,
    Rules,
}

/// Troubles the dependencies until the time is over; all is well, and the rules of that number are active, when this
/// returns.
pub fn trouble_dependencies(
    all: &mut Dependencies,
    world: &World,
    start: Instant,
    duration: Duration,
    seed: u64,
) -> (History, usize) {
    use Trouble::{
        BadgrCrash, BrokerCrash, Cut, DatabaseCrash, Faults, Outage, Reset, Rules, Silent, Slow, TokensExpire,
    };
    let mut history = History::new(start);
    let mut troubles = vec![DatabaseCrash, BrokerCrash, Rules];
    let mut ways = 2;
    if all.issuer == Issuer::Badgr {
        troubles.extend([BadgrCrash, Outage, Faults, Faults, TokensExpire, Slow]);
        ways = 3;
    }
    troubles.extend((0..ways).flat_map(|way| [Reset(way), Cut(way), Silent(way)]));
    let mut deck = Deck::new(troubles, seed);
    let mut rules = 0;
    while start.elapsed() < duration {
        deck.hold(200, 2_000);
        match deck.deal() {
            DatabaseCrash => {
                all.postgres.stop_immediately();
                let gone = deck.hold(200, 5_000);
                all.postgres.start();
                history.note("PostgreSQL stopped hard", &format!("for {gone:.1?}"));
            }
            BrokerCrash => {
                all.kafka.kill();
                let gone = deck.hold(0, 3_000);
                all.kafka.restart();
                history.note("broker killed", &format!("for {gone:.1?} and its start"));
            }
            BadgrCrash => {
                let gone = all.restart_badgr(&mut deck);
                history.note("Badgr killed", &format!("for {gone:.1?}"));
            }
            Reset(way) => {
                let (name, proxy) = all.proxies()[way];
                proxy.set(Way::Cut);
                proxy.set(Way::Open);
                history.note("connections reset", name);
            }
            Cut(way) => {
                let (name, proxy) = all.proxies()[way];
                proxy.set(Way::Cut);
                let gone = deck.hold(500, 5_000);
                proxy.set(Way::Open);
                history.note("cut off", &format!("from {name} for {gone:.1?}"));
            }
            Silent(way) => {
                let (name, proxy) = all.proxies()[way];
                proxy.set(Way::Silent);
                let gone = deck.hold(1_000, 10_000);
                proxy.set(Way::Open);
                history.note("blackholed", &format!("{name} for {gone:.1?}"));
            }
            Outage => {
                let (operation, fault) = (operation(&mut deck.rng), fault(&mut deck.rng));
                let details = format!("{operation:?} {fault:?}");
                all.badgr().always(operation, fault);
                let gone = deck.hold(500, 5_000);
                all.badgr().clear_faults();
                history.note("Badgr's outage", &format!("{details} for {gone:.1?}"));
            }
            Faults => {
                let number = deck.rng.random_range(3..12);
                for _ in 0..number {
                    let (operation, fault) = (operation(&mut deck.rng), fault(&mut deck.rng));
                    history.note("Badgr's fault", &format!("{operation:?} {fault:?}"));
                    all.badgr().order(operation, fault);
                }
            }
            TokensExpire => {
                all.badgr().expire_tokens();
                history.note("Badgr's tokens expired", "");
            }
            Slow => {
                let delay = Duration::from_millis(deck.rng.random_range(50..1_500));
                all.badgr().delay(delay);
                let gone = deck.hold(1_000, 4_000);
                all.badgr().delay(Duration::ZERO);
                history.note("Badgr slow", &format!("by {delay:.1?} for {gone:.1?}"));
            }
            Rules => {
                rules = (rules + 1) % RULES.len();
                set_rules(world, rules);
                history.note("configuration changed", &rules.to_string());
            }
        }
    }
    all.badgr().clear_faults();
    (history, rules)
}

fn operation(rng: &mut StdRng) -> Operation {
    use Operation::{Award, ListBadgeClasses, LookUp, MakeBadgeClass, Token};
    // Most of what is asked is for an award.
    let operations = [
        Award,
        Award,
        Award,
        Award,
        LookUp,
        Token,
        MakeBadgeClass,
        ListBadgeClasses,
    ];
    *operations.choose(rng).expect("operations")
}

fn fault(rng: &mut StdRng) -> Fault {
    match rng.random_range(0..14) {
        0 => Fault::HangBefore,
        1 => Fault::HangAfter,
        2 => Fault::ErrorBefore,
        3 => Fault::ErrorAfter,
        4 => Fault::ResetBefore,
        5 => Fault::ResetAfter,
        6 => Fault::Unauthorized,
        7 => Fault::NotFound,
        8 => Fault::RetryAfter(1),
        9 => Fault::Throttled(1),
        10 => Fault::Truncated,
        // Longer than the request may take, shorter than what came of it is waited for.
        11 => Fault::Slow(Duration::from_millis(rng.random_range(500..8_000))),
        12 => Fault::BadRequest("{\"status\": {\"success\": false}}".to_owned()),
        _ => Fault::Status(503, "busy".to_owned()),
    }
}
