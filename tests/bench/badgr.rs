//! How fast awards that are decided become published when a Badgr server issues them that takes its time, by how many
//! requests may be in flight at once; and how many requests an award takes. Beside the rate of that server alone, which is
//! the fake one of the tests.

use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use crate::harness::binary::BinaryApp;
use crate::harness::fake_badgr::{FakeBadgr, ISSUER_SLUG, PASSWORD, USERNAME};
use crate::harness::images;
use crate::harness::kafka::RealKafka;
use crate::load::{self, Request};
use crate::support::{READ, event, make_topic, number, numbers, plan_on, publish, rate, runtime, topic_of};

const DELAYS_MS: [u64; 3] = [0, 50, 500];
const IN_FLIGHT: [u64; 5] = [1, 16, 64, 256, 512];
const SECONDS: u64 = 6;
/// What a request takes at best beyond the delay.
const OVERHEAD_MS: u64 = 2;
/// Awards of one case.
const MOST: u64 = 10_000;

/// A server's delay, and the requests in flight.
#[derive(Clone, Copy)]
struct Case {
    delay_ms: u64,
    in_flight: u64,
}

impl Case {
    fn all() -> Vec<Self> {
        let in_flight = numbers("ACCOLADE_BENCH_IN_FLIGHT", &IN_FLIGHT);
        let of = |delay_ms| in_flight.iter().map(move |&in_flight| Self { delay_ms, in_flight });
        numbers("ACCOLADE_BENCH_DELAYS", &DELAYS_MS)
            .into_iter()
            .flat_map(of)
            .collect()
    }

    /// Awards a second, if nothing counts but the delay.
    fn at_best(self) -> u64 {
        self.in_flight * 1_000 / (self.delay_ms + OVERHEAD_MS)
    }

    /// Some seconds' worth, and at least two rounds.
    fn awards(self) -> u64 {
        let some = self.at_best() * number("ACCOLADE_BENCH_SECONDS", SECONDS);
        some.min(MOST).max(self.in_flight * 2)
    }
}

/// `ACCOLADE_BENCH_DELAYS` (ms) and `ACCOLADE_BENCH_IN_FLIGHT` say which cases, `ACCOLADE_BENCH_SECONDS` how long each may take
/// at best.
pub fn run() -> Result<()> {
    println!("the fake Badgr alone: {:.0} awards/s", alone()?);
    let kafka = RealKafka::start_for(true);
    let mut plan = plan_on(&kafka);
    plan.badgr(&runtime().block_on(FakeBadgr::start()));
    make_topic(&kafka.bootstrap(), &topic_of(&plan));
    let mut app = BinaryApp::with_roles(plan, "http");
    app.activate("1,badge", "", "");
    assert_eq!(app.terminate(), Some(0));
    let decided = Case::all().into_iter().map(Case::awards).sum();
    publish(&app.topics, (0..decided).map(|id| event(id, id + 1, 1, true, 0)));
    app.start_again_as("ingest,http");
    rate(&app.database, "ingest", READ, decided)?;
    assert_eq!(app.terminate(), Some(0));
    assert_eq!(app.database.count("award", "state = 'pending'") as u64, decided);
    // Else the service would do it in the middle of a measurement.
    app.cli(&["backfill"]);
    app.database.change("UPDATE award SET next_attempt_at = '2100-01-01'");
    app.database.change("VACUUM ANALYZE award");

    println!("delay ms  in flight   awards  awards/s  to the best  requests an award");
    for case in Case::all() {
        measure(&mut app, case)?;
    }
    Ok(())
}

/// A server and a start of its own.
fn measure(app: &mut BinaryApp, case: Case) -> Result<()> {
    let badgr = runtime().block_on(FakeBadgr::start());
    badgr.delay(Duration::from_millis(case.delay_ms));
    let awards = case.awards();
    app.database.change(&format!(
        "DELETE FROM token_cache; UPDATE badge_class SET backend_id = NULL, backend = NULL, backend_image_url = NULL; \
         UPDATE award SET next_attempt_at = created_at WHERE id IN \
         (SELECT id FROM award WHERE state = 'pending' ORDER BY learner_id LIMIT {awards})"
    ));
    app.remember("BADGR_BASE_URL", &badgr.url());
    app.remember("BACKEND_CONCURRENCY", &case.in_flight.to_string());
    app.start_again_as("award,publish,http");
    // By the index of what is left: to count what is published takes longer each time.
    let published = format!(
        "SELECT CAST({awards} - count(*) AS text) AS line FROM award \
         WHERE state <> 'published' AND next_attempt_at < '2099-01-01'"
    );
    let speed = rate(&app.database, "awards", &published, awards)?;
    assert_eq!(app.terminate(), Some(0));
    assert_eq!(badgr.assertions().len() as u64, awards, "each is issued once");
    let requests = |method, path| badgr.requests(method, path).len() as f64 / awards as f64;
    println!(
        "{:>8} {:>10} {:>8} {speed:>9.0} {:>12.2} {:>18.2}, of which {:.2} to award",
        case.delay_ms,
        case.in_flight,
        awards,
        speed / case.at_best() as f64,
        requests("POST", "/") + requests("GET", "/"),
        requests("POST", "/v2/badgeclasses/"),
    );
    Ok(())
}

/// Awards a second that the fake server makes of plain requests.
fn alone() -> Result<f64> {
    let badgr = runtime().block_on(FakeBadgr::start());
    let post = async |path: &str, token: &str, body: &Value| -> Result<Value> {
        let request = reqwest::Client::new().post(format!("{}{path}", badgr.url()));
        let request = match token {
            "" => request.form(body),
            token => request.bearer_auth(token).json(body),
        };
        Ok(request.send().await?.error_for_status()?.json().await?)
    };
    let (token, class) = runtime().block_on(async {
        let login = json!({"username": USERNAME, "password": PASSWORD});
        let granted = post("/o/token", "", &login).await?;
        let token = granted["access_token"].as_str().expect("a token").to_owned();
        let class = json!({"name": "a", "description": "b", "criteriaUrl": "https://lms.example.com/criteria",
            "image": images::data_uri(&images::square(40, 1))});
        let made = post(&format!("/v2/issuers/{ISSUER_SLUG}/badgeclasses"), &token, &class).await?;
        anyhow::Ok((token, made["result"][0]["entityId"].as_str().expect("an id").to_owned()))
    })?;
    let award = |learner| Request {
        method: "POST",
        path: format!("/v2/badgeclasses/{class}/assertions"),
        authorization: format!("Bearer {token}"),
        body: json!({"recipient": {"identity": format!("user{learner}@example.com"), "type": "email"}}).to_string(),
    };
    let requests: Vec<Request> = (0..1_000).map(award).collect();
    Ok(load::measure(&badgr.url(), &requests, 64, 3)?.per_second)
}
