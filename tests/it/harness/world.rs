//! A running service as others see it: its topics, its database, its HTTP, its commands.

use std::collections::BTreeMap;
use std::ops::AsyncFnMut;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use rand::{SeedableRng, rngs::StdRng, seq::SliceRandom};
use serde_json::{Value, json};

use super::binary;
use super::database::Database;
use super::fake_badgr::{self, FakeBadgr};
use super::images;
use super::kafka::RealKafka;
use super::logs::SECRETS;
use super::tokens::Token;
use super::topics::{Incoming, Topics};

/// As long as anything may take.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// Settings on their way, for either kind of service.
pub struct Plan {
    pub database: Database,
    pub settings: BTreeMap<String, String>,
    pub dead_letters: usize,
    pub program: String,
}

impl Plan {
    /// The built-in issuer on an embedded broker with one consumer (a second one waits three seconds for its partitions
    /// there), the database of the environment, and all [`SECRETS`].
    pub fn new() -> Self {
        let database = Database::of_environment();
        let mut settings = BTreeMap::new();
        let more = [
            ("DATABASE_URL", database.url()),
            ("RUST_LOG", "warn,accolade=debug"),
            ("LOG_FORMAT", "json"),
            ("TOPIC_PARTITIONS", "4"),
            ("INGEST_CONSUMERS", "1"),
        ];
        for (name, value) in SECRETS.into_iter().chain(more) {
            settings.insert(name.to_owned(), value.to_owned());
        }
        Self {
            database,
            settings,
            dead_letters: 0,
            program: binary::program(),
        }
    }

    /// Sets any setting.
    pub fn set(&mut self, name: &str, value: &str) {
        self.settings.insert(name.to_owned(), value.to_owned());
    }

    /// Another database.
    pub fn database(&mut self, database: Database) {
        self.set("DATABASE_URL", database.url());
        self.database = database;
    }

    /// A further process of the same service, on the same database of the cluster.
    pub fn also(world: &World) -> Self {
        Self {
            database: world.database.also(),
            settings: world.settings.clone(),
            dead_letters: world.dead_letters,
            program: world.program.clone(),
        }
    }

    /// Issue by this Badgr.
    pub fn badgr(&mut self, badgr: &FakeBadgr) {
        self.set("BADGR_BASE_URL", &badgr.url());
        self.set("BADGR_USERNAME", fake_badgr::USERNAME);
        self.set("BADGR_PASSWORD", fake_badgr::PASSWORD);
        self.set("BADGR_ISSUER_SLUG", fake_badgr::ISSUER_SLUG);
    }

    /// On this broker, under a prefix of its own.
    pub fn kafka(&mut self, kafka: &RealKafka) {
        let prefix = RealKafka::topic_prefix();
        self.settings.remove("INGEST_CONSUMERS");
        self.set("KAFKA_BOOTSTRAP_SERVERS", &kafka.bootstrap());
        self.set("KAFKA_GROUP_ID", &prefix);
        self.set("TOPIC_PREFIX", &prefix);
    }
}

/// The service from outside.
pub struct World {
    pub database: Database,
    pub topics: Topics,
    /// `http://127.0.0.1:PORT`
    pub http: String,
    pub settings: BTreeMap<String, String>,
    pub client: reqwest::Client,
    /// How many dead letters are right at the end.
    pub dead_letters: usize,
    /// The program of its commands and processes.
    pub program: String,
}

impl World {
    /// The service of this plan by way of this broker, and of this address.
    pub fn new(plan: Plan, bootstrap: &str, http: String) -> Self {
        let topics = Topics::new(bootstrap, plan.settings.get("TOPIC_PREFIX").map(String::as_str));
        Self {
            database: plan.database,
            topics,
            http,
            settings: plan.settings,
            client: client(),
            dead_letters: plan.dead_letters,
            program: plan.program,
        }
    }

    /// Gets a path (or a whole URL below this service): status and JSON (null if it is none).
    pub async fn get(&self, path: &str, token: Option<&Token>) -> (u16, Value) {
        let url = if path.starts_with("http") {
            path.to_owned()
        } else {
            format!("{}{path}", self.http)
        };
        let mut request = self.client.get(url);
        if let Some(token) = token {
            request = request.header("Authorization", format!("JWT {}", token.hs256()));
        }
        let response = request.send().await.expect("the service answers");
        let status = response.status().as_u16();
        let body = response.bytes().await.expect("the answer has an end");
        (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
    }

    /// Gets a path of a service that may not listen yet: status and JSON.
    pub async fn try_get(&self, path: &str) -> Option<(u16, Value)> {
        let response = self.client.get(format!("{}{path}", self.http)).send().await.ok()?;
        let status = response.status().as_u16();
        Some((status, response.json().await.unwrap_or(Value::Null)))
    }

    /// Gets a path as text.
    pub async fn text(&self, path: &str) -> String {
        let response = self.client.get(format!("{}{path}", self.http)).send().await;
        response.expect("the service answers").text().await.expect("a text")
    }

    /// What waits for its time gets it, on PostgreSQL. For when nothing that was asked before is on its way to Badgr any
    /// more, and what is asked now is answered within seconds.
    pub fn hurry(&self) {
        self.database.change(
            "UPDATE award SET next_attempt_at = now() AT TIME ZONE 'UTC' \
             WHERE state IN ('pending', 'uncertain') AND next_attempt_at > now() AT TIME ZONE 'UTC' + interval '3 seconds'",
        );
        // Who makes a badge class has more than a minute for it; what has less is the pause after an unknown outcome.
        self.database.change(
            "UPDATE badge_class SET making_until = now() AT TIME ZONE 'UTC' \
             WHERE making_until < now() AT TIME ZONE 'UTC' + interval '60 seconds'",
        );
    }

    /// Runs a command of the real program with these settings; what it prints, when it succeeds.
    pub fn cli(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(
            output.status.success(),
            "accolade {arguments:?}: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The same for a command that fails with exit code 1; what it says on standard error.
    pub fn cli_fails(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert_eq!(
            output.status.code(),
            Some(1),
            "accolade {arguments:?}: {}",
            String::from_utf8_lossy(&output.stdout)
        );
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(&self.program);
        command.env_clear().envs(&self.settings).args(arguments);
        command.output().expect("the program runs")
    }

    /// Makes the badge classes that these texts name and activates them, by the real commands.
    pub fn activate(&self, enrolled: &str, completed: &str, groups: &str) {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let write = |name: &str, value: &Value| {
            let path = directory.path().join(name);
            std::fs::write(&path, value.to_string()).expect("the file can be written");
            path.display().to_string()
        };
        let slugs = [enrolled, completed]
            .into_iter()
            .flat_map(str::lines)
            .filter_map(|line| line.split(',').nth(1));
        let slugs = slugs.chain(groups.lines().filter_map(|line| line.split(',').next()));
        let classes: Vec<Value> = (0..)
            .zip(slugs)
            .map(|(seed, slug)| badge_class(slug, "openedx__course", seed))
            .collect();
        let file = write("classes.json", &json!({"badge_classes": classes}));
        self.cli(&["badge-class", "import", &file]);
        let configuration = json!({
            "enabled": true, "courses_enrolled": enrolled, "courses_completed": completed, "course_groups": groups,
        });
        self.cli(&["event-badges", "set", &write("configuration.json", &configuration)]);
    }

    /// What was announced, as (learner, slug), sorted; each event id once.
    pub fn announced(&self) -> Vec<(String, String)> {
        let mut found: Vec<(String, String)> = once_each(&self.topics.awarded())
            .iter()
            .map(|record| {
                let slug = record.json()["badge_class"]["slug"]
                    .as_str()
                    .expect("a slug")
                    .to_owned();
                (record.key(), slug)
            })
            .collect();
        found.sort();
        found
    }

    /// Waits until exactly this is announced; more than that fails at once.
    pub async fn expect_announced(&self, expected: &[(String, String)]) {
        let mut expected = expected.to_vec();
        expected.sort();
        let start = Instant::now();
        loop {
            let found = self.announced();
            let surplus: Vec<_> = found.iter().filter(|badge| !expected.contains(badge)).collect();
            assert!(surplus.is_empty(), "announced, but not earned: {surplus:?}");
            if found == expected {
                return;
            }
            if start.elapsed() > PATIENCE {
                let missing: Vec<_> = expected.iter().filter(|badge| !found.contains(badge)).collect();
                panic!("{} of {} announced; missing: {missing:?}", found.len(), expected.len());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Why records were dead letters: one text each, however often the record came.
    pub fn letters(&self) -> Vec<String> {
        let sql = "SELECT DISTINCT topic || ' ' || record_partition || ' ' || record_offset || ' ' || reason || ' ' || message \
                   AS line FROM dead_letter";
        self.database.lines(sql)
    }

    /// Waits until no record waits to be read and no award is on its way.
    pub async fn quiet(&self, records: usize) {
        eventually("everything was read", PATIENCE, async || {
            let sql = "SELECT CAST(coalesce(sum(next_offset), 0) AS text) AS line FROM consumer_position";
            self.database.lines(sql)[0].parse::<usize>().expect("a number") >= records
        })
        .await;
        eventually("nothing is under way", PATIENCE, async || {
            let done = "state IN ('published', 'blocked', 'failed', 'dead', 'cancelled')";
            self.database.count("award", &format!("NOT {done}")) == 0
                && self.database.count("outbox", "published_at IS NULL") == 0
                && self.database.count("dead_letter", "published_at IS NULL") == 0
        })
        .await;
    }
}

/// A client that keeps no connection: the next process on the same port knows nothing of it.
fn client() -> reqwest::Client {
    let client = reqwest::Client::builder().pool_max_idle_per_host(0).build();
    client.expect("a client can be made")
}

/// The first record of each event id.
pub fn once_each(records: &[Incoming]) -> Vec<Incoming> {
    let mut ids = std::collections::HashSet::new();
    let first = |record: &&Incoming| ids.insert(record.header("ce_id").expect("announcements have an id"));
    records.iter().filter(first).cloned().collect()
}

/// A badge class as files and requests carry one.
pub fn badge_class(slug: &str, issuing_component: &str, seed: u8) -> Value {
    json!({
        "slug": slug, "issuing_component": issuing_component, "course_id": "", "mode": "",
        "display_name": format!("Badge {slug}"), "description": format!("About {slug}"),
        "criteria": format!("Earn {slug}"), "image": images::data_uri(&images::square(40, seed)),
    })
}

/// Asks again and again until it is so; the deadline fails the test, with this text.
pub async fn eventually(what: &str, deadline: Duration, mut is_so: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while !is_so().await {
        assert!(start.elapsed() < deadline, "not within {deadline:?}: {what}");
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
}

/// The seed of this run: `ACCOLADE_TEST_SEED`, or a new one, which is printed.
pub fn seed() -> u64 {
    let given = std::env::var("ACCOLADE_TEST_SEED")
        .ok()
        .and_then(|text| text.parse().ok());
    let seed = given.unwrap_or_else(rand::random);
    println!("ACCOLADE_TEST_SEED={seed}");
    seed
}

/// Puts a list into an order that follows from the seed alone.
pub fn shuffle<T>(list: &mut [T], seed: u64) {
    list.shuffle(&mut StdRng::seed_from_u64(seed));
}
