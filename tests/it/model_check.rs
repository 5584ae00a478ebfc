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
    let (early, late) = records.split_at(records.len() / 3);
    app.topics.publish(early);
    for rules in 0..RULES.len() {
        set_rules(&app, rules);
        app.topics
            .publish(&late[rules * late.len() / RULES.len()..(rules + 1) * late.len() / RULES.len()]);
    }
    eventually("the backfill is through", PATIENCE, async || {
        let backfills = "enabled AND backfill_done_at IS NULL";
        app.database.count("event_badges_configuration", backfills) == 0
    })
    .await;
    app.quiet(records.len()).await;
    let last = RULES.last().expect("rules");
    let violations = ledgers::violations(&script, last, &app.database, &badgr, &app.topics);
    assert!(violations.is_empty(), "ACCOLADE_TEST_SEED={seed}: {violations:#?}");
    println!("{} learners, {} records", script.lives.len(), records.len());
}
