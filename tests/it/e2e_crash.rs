//! The process dies, panics, fails or stalls, once, at each step of an event's way (RELIABILITY.md §1.5); afterwards
//! each badge is there once, at Badgr, in the database and on the topic.

mod places;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use accolade::failpoint::Place;

use crate::harness::binary::BinaryApp;
use crate::harness::database::Database;
use crate::harness::events::{Event, Learner, course};
use crate::harness::fake_badgr::{FakeBadgr, Fault, Operation};
use crate::harness::kafka::RealKafka;
use crate::harness::topics::Outgoing;
use crate::harness::world::{Plan, World, eventually, once_each, seed, shuffle};

use places::{ACTIONS, AT_ONCE_PLACES, Action, Road, in_a_batch, may_double_at_badgr, nature};

/// For each part of a case, beside other cases and other tests.
const LONG: Duration = Duration::from_secs(240);
/// Cases at the same time: most of their time they wait for sessions to run out.
const AT_ONCE: usize = 6;

const FAILPOINT: &str = "ACCOLADE_FAILPOINT";

struct Case {
    road: Road,
    place: Place,
    action: Action,
    badgr: FakeBadgr,
    file: PathBuf,
    learner: Learner,
}

impl Case {
    /// What Badgr holds for the learner: (live, revoked).
    fn at_badgr(&self) -> (usize, usize) {
        let email = self.learner.email.as_deref().expect("an address");
        let live = self.badgr.live_assertions_of(email).len();
        (live, self.badgr.assertions().len() - live)
    }

    /// The order to fail.
    fn order(&self) -> String {
        format!("{}:{}:{}", self.place.name(), self.action.name(), self.file.display())
    }

    /// How many learners have the badge in the end.
    fn badges(&self) -> usize {
        if self.road == Road::AtOnce { 2 } else { 1 }
    }

    fn plan(&self) -> Plan {
        let mut plan = Plan::new();
        plan.database(Database::postgres());
        if self.road != Road::AtOnce {
            plan.badgr(&self.badgr);
            plan.set(FAILPOINT, &self.order());
        }
        plan.kafka(RealKafka::shared());
        plan.set("BADGR_TIMEOUT", "5");
        plan.set("REVOKE_ON_LOSS", "true");
        // A dead member keeps its partitions for that long.
        plan.set("KAFKA_SESSION_TIMEOUT_MS", "6000");
        plan
    }

    /// Somebody earns the badge first, for whom the issuer makes the badge class.
    async fn before_at_once(&self, app: &mut BinaryApp) -> Event {
        app.activate("1,one", "", "");
        let first = Event::enrollment_created(&Learner::new(2), &course(1));
        app.topics.publish(&[Outgoing::of(&first)]);
        eventually("the first award is announced", LONG, async || {
            app.database.count("award", "state = 'published'") == 1
        })
        .await;
        assert_eq!(app.terminate(), Some(0), "{}", app.log());
        app.remember(FAILPOINT, &self.order());
        app.start_again();
        first
    }

    async fn run(&self) {
        let (road, others_go_on) = (self.road, nature(self.place).1);
        let mut app = BinaryApp::start(self.plan());
        let mut records = vec![Event::enrollment_created(&self.learner, &course(1))];
        let before = match road {
            Road::AtOnce => Some(self.before_at_once(&mut app).await),
            _ => None,
        };
        app.forget(FAILPOINT);
        records.push(records[0].clone());
        if road == Road::Uncertain {
            self.badgr.order(Operation::Award, Fault::ErrorAfter);
        }
        if !matches!(road, Road::Activation | Road::AtOnce) {
            app.activate("1,one", "", "");
        }
        app.topics.publish_events(&records);
        records.extend(before);
        if road == Road::Activation {
            all_read(&app, records.len()).await;
            app.activate("1,one", "", "");
        }
        if road == Road::Loss {
            eventually("the award is announced", LONG, async || app.announced().len() == 1).await;
            records.push(Event::enrollment_deactivated(&self.learner, &course(1)));
            app.topics.publish(&[Outgoing::of(&records[2])]);
        }
        eventually("the place is reached", LONG, async || {
            hurry(&app);
            self.file.exists()
        })
        .await;
        let second = self.fail(&mut app, others_go_on, records.len(), road).await;
        self.finished(&app, records.len(), road).await;
        if may_double_at_badgr(self.place, self.action) {
            // What it still has to send is sent before it ends.
            assert_eq!(app.terminate(), Some(0), "{}", app.log());
            app.cli(&["audit-backend", "--repair"]);
            app.start_again();
        }
        self.check(&app, road).await;
        for app in second.iter().chain([&app]) {
            assert_eq!(app.terminate(), Some(0), "{}", app.log());
        }
    }

    /// Lets the action take its course, and what follows from it.
    async fn fail(&self, app: &mut BinaryApp, others_go_on: bool, records: usize, road: Road) -> Option<BinaryApp> {
        match self.action {
            // Caught: the batch is tried again, in halves.
            Action::Panic if in_a_batch(self.place) => {
                app.may_panic();
                self.handovers_run_out(app);
                self.finished(app, records, road).await;
                assert_eq!(app.terminate(), Some(0), "{}", app.log());
                app.start_again();
                None
            }
            Action::Exit | Action::Panic => {
                app.may_panic();
                eventually("the process ends", LONG, async || app.ended().is_some()).await;
                assert_ne!(app.ended().and_then(|status| status.code()), Some(0));
                leases_run_out(app);
                app.start_again();
                None
            }
            Action::Error => {
                // Elsewhere the process may be at work under such a lease.
                if others_go_on {
                    leases_run_out(app);
                }
                self.handovers_run_out(app);
                self.finished(app, records, road).await;
                assert_eq!(app.terminate(), Some(0), "{}", app.log());
                app.start_again();
                None
            }
            Action::Wait => {
                // Nobody joins the group while a consumer stalls.
                let roles = if others_go_on {
                    "ingest,award,publish,http"
                } else {
                    "award,publish,http"
                };
                let second = BinaryApp::with_roles(Plan::also(app), roles);
                if others_go_on {
                    leases_run_out(app);
                    self.finished(&second, records, road).await;
                }
                std::fs::write(self.file.with_extension("go"), "").expect("the file can be written");
                Some(second)
            }
        }
    }

    /// What was claimed as it was written, and is not handed over when the batch fails after its commit.
    fn handovers_run_out(&self, world: &World) {
        if self.road == Road::AtOnce && self.place == Place::AfterCommit {
            leases_run_out(world);
        }
    }

    /// Waits until nothing is under way.
    async fn finished(&self, world: &World, records: usize, road: Road) {
        all_read(world, records).await;
        eventually("nothing is under way", LONG, async || {
            hurry(world);
            let backfills = "enabled AND backfill_done_at IS NULL";
            world.database.count("award", "state <> 'published'") == 0
                && world.database.count("award", "state = 'published'") == self.badges()
                && world.database.count("outbox", "published_at IS NULL") == 0
                && world.database.count("revocation", "TRUE") == 0
                && world.database.count("event_badges_configuration", backfills) == 0
                && (road != Road::Loss || world.database.count("assertion", "revoked_at IS NOT NULL") == 1)
        })
        .await;
    }

    /// What was sent, the database, Badgr and the topics agree.
    async fn check(&self, world: &World, road: Road) {
        let enrolled = if road == Road::Loss { "0" } else { "1" };
        let counters = "SELECT CAST(enrolled AS text) AS line FROM learner";
        assert_eq!(world.database.lines(counters), vec![enrolled; self.badges()], "facts");
        assert_eq!(world.letters(), Vec::<String>::new());
        let awarded = world.topics.awarded();
        assert_eq!(
            once_each(&awarded).len(),
            self.badges(),
            "one announcement, under one id"
        );
        let urls: BTreeSet<String> = awarded
            .iter()
            .map(|record| record.json()["assertion"]["assertion_url"].to_string())
            .collect();
        assert_eq!(urls.len(), self.badges(), "of one assertion");
        let revoked = world.topics.read("badge.revoked");
        let (expected, announced) = match road {
            Road::Loss => ((0, 1), 1),
            Road::AtOnce => ((0, 0), 0),
            Road::Events | Road::Uncertain | Road::Activation => ((1, 0), 0),
        };
        assert_eq!(once_each(&revoked).len(), announced);
        if may_double_at_badgr(self.place, self.action) {
            let live = self
                .badgr
                .live_assertions_of(self.learner.email.as_deref().expect("an address"));
            let live: Vec<&str> = live.iter().map(|assertion| assertion.entity_id.as_str()).collect();
            assert_eq!(live, world.database.lines("SELECT backend_id AS line FROM assertion"));
        } else {
            assert_eq!(self.at_badgr(), expected, "live and revoked at Badgr");
        }
        let mut ids: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for record in awarded.iter().chain(&revoked) {
            let id = record.header("ce_id").expect("an id");
            ids.entry(id)
                .or_default()
                .insert(record.header("ce_sequence").expect("a sequence"));
        }
        assert!(ids.values().all(|sequences| sequences.len() == 1), "{ids:?}");
    }
}

async fn all_read(world: &World, records: usize) {
    eventually("everything was read", LONG, async || {
        let sql = "SELECT CAST(coalesce(sum(next_offset), 0) AS text) AS line FROM consumer_position";
        world.database.lines(sql)[0] == records.to_string()
    })
    .await;
}

/// What waits for its time gets it; nobody works at it meanwhile.
fn hurry(world: &World) {
    world.database.change(
        "UPDATE award SET next_attempt_at = next_attempt_at - interval '1 hour' \
         WHERE state IN ('pending', 'uncertain') AND next_attempt_at > clock_timestamp() AT TIME ZONE 'UTC'",
    );
}

/// As if the longest lease had passed since the process went away.
fn leases_run_out(world: &World) {
    let past = "clock_timestamp() AT TIME ZONE 'UTC' - interval '1 second'";
    for (table, column, condition) in [
        ("award", "next_attempt_at", "state = 'issuing'"),
        (
            "outbox",
            "lease_until",
            "published_at IS NULL AND lease_until IS NOT NULL",
        ),
        ("revocation", "next_attempt_at", "TRUE"),
        (
            "event_badges_configuration",
            "backfill_until",
            "backfill_until IS NOT NULL",
        ),
        ("token_cache", "lease_until", "lease_until IS NOT NULL"),
        ("badge_class", "making_until", "making_until IS NOT NULL"),
    ] {
        let sql = format!("UPDATE {table} SET {column} = {past} WHERE {condition}");
        world.database.change(&sql);
    }
}

/// Runs these cases, some at a time; all that fail are told.
fn run_all(cases: VecDeque<(Road, Place, Action)>) {
    let number = cases.len();
    let (todo, failed) = (Mutex::new(cases), Mutex::new(Vec::new()));
    let next = || todo.lock().expect("nobody panics here").pop_front();
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some((road, place, action)) = next() {
                    let directory = tempfile::tempdir().expect("a temporary directory");
                    let case = || run_one(road, place, action, directory.path());
                    let name = format!("{road:?} {} {}", place.name(), action.name());
                    let start = Instant::now();
                    if std::panic::catch_unwind(std::panic::AssertUnwindSafe(case)).is_err() {
                        let mut failed = failed.lock().expect("nobody panics here");
                        failed.push(name.clone());
                    }
                    println!("{name}: {:.0?}", start.elapsed());
                }
            });
        }
    });
    let failed = failed.into_inner().expect("nobody panics here");
    assert!(failed.is_empty(), "{} of {number} failed: {failed:?}", failed.len());
    println!("{number} cases");
}

fn run_one(road: Road, place: Place, action: Action, directory: &Path) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let case = Case {
            road,
            place,
            action,
            badgr: FakeBadgr::start().await,
            file: directory.join("reached"),
            learner: Learner::new(1),
        };
        case.run().await;
    });
}

/// Cases of a run that is not the long one: so many that every place has its turn in a few runs.
const SAMPLE: usize = 10;

/// Some cases, others in each run; all of them with `ACCOLADE_TEST_LONG` (`tests/run long`).
#[test]
fn whatever_happens_at_any_step_each_badge_is_there_once() {
    let only = std::env::var("ACCOLADE_TEST_PLACE").ok();
    let places = Place::ALL.iter().map(|place| (nature(*place).0, *place));
    let places = places.chain(AT_ONCE_PLACES.map(|place| (Road::AtOnce, place)));
    let chosen = places.filter(|(_, place)| only.as_deref().is_none_or(|only| place.name() == only));
    let of_place = |(road, place)| ACTIONS.map(|action| (road, place, action));
    let mut cases: Vec<(Road, Place, Action)> = chosen.flat_map(of_place).collect();
    if std::env::var_os("ACCOLADE_TEST_LONG").is_none() && only.is_none() {
        shuffle(&mut cases, seed());
        cases.truncate(SAMPLE);
    }
    run_all(cases.into());
}
