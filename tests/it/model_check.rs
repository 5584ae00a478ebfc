//! Random lives through the whole service, held against what they demand.

use std::time::Duration;

use crate::harness::app::TestApp;
use crate::harness::fake_badgr::FakeBadgr;
use crate::harness::topics::Outgoing;
use crate::harness::world::{PATIENCE, eventually, seed};
use crate::ledgers;
use crate::lives::{RULES, Script, import_badge_classes, set_rules};

/// So long learners begin, were it in their own time.
const TIME: Duration = Duration::from_secs(20);
/// Parts in which the records come.
const PARTS: usize = 8;

#[tokio::test]
async fn random_lives_end_as_the_model_says() {
    let seed = seed();
    let script = Script::new(TIME, seed);
    let badgr = FakeBadgr::start().await;
    let app = TestApp::builder()
        .badgr(&badgr)
        .dead_letters(script.poison.len())
        .start();
    import_badge_classes(&app);
    let records: Vec<Outgoing> = script.records.iter().map(|(_, record)| record.clone()).collect();
    // Each part is dealt with before the next one comes, so that much is late: addresses, rules, losses.
    for (part, some) in records.chunks(records.len().div_ceil(PARTS)).enumerate() {
        if part % 2 == 1 {
            set_rules(&app, part / 2 % RULES.len());
        }
        app.topics.publish(some);
        app.quiet(app.topics.count("enrollment.created") + app.topics.count("certificate.generated"))
            .await;
    }
    eventually("the backfill is through", PATIENCE, async || {
        let backfills = "enabled AND backfill_done_at IS NULL";
        app.database.count("event_badges_configuration", backfills) == 0
    })
    .await;
    app.quiet(records.len()).await;
    let last = &RULES[(PARTS / 2 - 1) % RULES.len()];
    let violations = ledgers::violations(&script, last, &app.database, Some(&badgr), &app.topics);
    assert!(violations.is_empty(), "ACCOLADE_TEST_SEED={seed}: {violations:#?}");
    println!("{} learners, {} records", script.lives.len(), records.len());
}
