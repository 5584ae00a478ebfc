//! Badges of who no longer qualifies, with `REVOKE_ON_LOSS`.

mod any_order;
mod returned;

use chrono::TimeDelta;
use diesel::{ExpressionMethods, JoinOnDsl, QueryDsl, RunQueryDsl};

use super::support::{
    activate, awards, certificate, course_details, enrollment, item, new_badge_class, requested, slugs, supply_images,
    writer_to, writer_with,
};
use crate::{
    domain::{EventBody, completion, event_badges::ConfigurationTexts},
    ingest::Batch,
    store::{
        Tx,
        audit::{Actor, Via},
        awards::{complete, testing},
        backfill::{self, Chunk},
        badge_classes,
        event_badges::{self, NewConfiguration, RulesCache},
        revocations::{self, ClaimedRevocation},
        schema::{assertion, award, badge_class, revocation},
        testing::{TestDatabase, databases},
    },
};

fn taking(database: &TestDatabase) -> Batch {
    writer_with(database.store(), true)
}

/// Applies these events, each in a batch of its own and a second later than the one before.
fn tell(writer: &mut Batch, from: i64, told: impl IntoIterator<Item = EventBody>) {
    for (seconds, body) in (from..).zip(told) {
        writer.apply(&[item(seconds, body)]).expect("applied");
    }
}

/// Issues what is pending.
fn issue(database: &TestDatabase) -> usize {
    let issued: Vec<_> = testing::claim_all(&database.store())
        .iter()
        .map(testing::completed)
        .collect();
    let written = database.store().transaction("test", |tx| complete(tx, &issued));
    written.expect("written").len()
}

/// Every award's slug and state, sorted.
fn states(database: &TestDatabase) -> Vec<(String, String)> {
    awards(database).into_iter().map(|award| (award.1, award.3)).collect()
}

fn state(database: &TestDatabase) -> String {
    let all = states(database);
    assert_eq!(all.len(), 1);
    all[0].1.clone()
}

/// Slug and reason of what is to be revoked, sorted.
fn to_revoke(database: &TestDatabase) -> Vec<(String, String)> {
    let read = |tx: &mut Tx<'_>| {
        let rows: Vec<(String, String)> = revocation::table
            .inner_join(award::table.on(award::id.eq(revocation::award_id)))
            .inner_join(badge_class::table.on(badge_class::id.eq(award::badge_class_id)))
            .order(badge_class::slug)
            .select((badge_class::slug, revocation::reason))
            .load(tx.conn)?;
        Ok(rows)
    };
    database.store().read("test", read).expect("read")
}

fn claim(database: &TestDatabase) -> Vec<ClaimedRevocation> {
    let claimed = database
        .store()
        .transaction("test", |tx| revocations::claim(tx, 100, TimeDelta::seconds(60)));
    claimed.expect("claimed")
}

fn pair(slug: &str, other: &str) -> (String, String) {
    (slug.to_owned(), other.to_owned())
}

#[test]
fn what_is_not_issued_yet_is_cancelled_and_taken_again_with_what_was_lost() {
    for database in databases() {
        activate(&database, "2,two", "", "");
        let mut writer = taking(&database);
        tell(&mut writer, 1, [enrollment(7, 1, true), enrollment(7, 2, true)]);
        assert_eq!(state(&database), "pending");
        tell(&mut writer, 3, [enrollment(7, 2, false)]);
        assert_eq!(state(&database), "cancelled");
        assert_eq!(issue(&database), 0);
        let again = writer.apply(&[item(4, enrollment(7, 3, true))]).expect("applied");
        assert_eq!(again.to_issue, 1, "it is new work");
        assert_eq!(state(&database), "pending");
        assert_eq!((issue(&database), to_revoke(&database)), (1, Vec::new()));
    }
}

#[test]
fn what_was_issued_is_to_be_revoked_and_is_not_awarded_again() {
    for database in databases() {
        activate(&database, "2,two", "", "");
        let mut writer = taking(&database);
        tell(&mut writer, 1, [enrollment(7, 1, true), enrollment(7, 2, true)]);
        assert_eq!(issue(&database), 1);
        tell(&mut writer, 3, [enrollment(7, 2, false)]);
        let reason = "Courses enrolled: 1 now; this badge takes at least 2.";
        assert_eq!(to_revoke(&database), [pair("two", reason)]);
        // The same once more, and what was never enough.
        tell(&mut writer, 3, [enrollment(7, 2, false), enrollment(7, 1, false)]);
        assert_eq!(to_revoke(&database), [pair("two", reason)]);
        let revoking = claim(&database);
        tell(&mut writer, 5, [enrollment(7, 1, true), enrollment(7, 2, true)]);
        assert_eq!(to_revoke(&database).len(), 1, "the backend may have done it by now");
        let done = database
            .store()
            .transaction("test", |tx| revocations::complete(tx, &revoking[0]));
        assert!(done.expect("written"));
        tell(
            &mut writer,
            7,
            [enrollment(7, 3, true), enrollment(7, 3, false), enrollment(7, 2, false)],
        );
        tell(&mut writer, 10, [enrollment(7, 2, true)]);
        assert_eq!(
            (state(&database).as_str(), to_revoke(&database)),
            ("issued", Vec::new())
        );
        assert_eq!(issue(&database), 0, "never again by itself");
    }
}

#[test]
fn a_loss_is_forgotten_that_was_made_good_before_anybody_saw_it() {
    for database in databases() {
        activate(&database, "2,two", "", "");
        let mut writer = taking(&database);
        tell(&mut writer, 1, [enrollment(7, 1, true), enrollment(7, 2, true)]);
        assert_eq!(issue(&database), 1);
        tell(&mut writer, 3, [enrollment(7, 2, false), enrollment(7, 3, true)]);
        assert_eq!(to_revoke(&database), []);
        // But not what a person asked for.
        tell(&mut writer, 5, [enrollment(7, 2, false), enrollment(7, 3, false)]);
        let actor = Actor {
            name: "staff".to_owned(),
            via: Via::Api,
        };
        let asked = database.store().transaction("test", |tx| {
            let id: String = assertion::table.select(assertion::id).first(tx.conn)?;
            revocations::request(tx, &id, "a mistake", &actor)
        });
        assert!(asked.expect("written").is_some());
        tell(&mut writer, 7, [enrollment(7, 2, true), enrollment(7, 3, true)]);
        assert_eq!(to_revoke(&database), [pair("two", "a mistake")]);
    }
}

#[test]
fn what_may_be_at_the_backend_is_revoked_once_it_is_there() {
    for database in databases() {
        activate(&database, "1,one", "", "");
        let mut writer = taking(&database);
        tell(&mut writer, 1, [enrollment(7, 1, true)]);
        let in_flight = testing::claim_all(&database.store());
        tell(&mut writer, 2, [enrollment(7, 1, false)]);
        assert_eq!((state(&database).as_str(), claim(&database).len()), ("issuing", 0));
        assert_eq!(to_revoke(&database).len(), 1);
        let done = database
            .store()
            .transaction("test", |tx| complete(tx, &[testing::completed(&in_flight[0])]));
        assert_eq!(done.expect("written").len(), 1);
        assert_eq!(claim(&database).len(), 1);
    }
}

#[test]
fn passed_courses_count_for_thresholds_groups_and_completion_badges() {
    for database in databases() {
        let courses = [1, 2].map(|number| course_details(number).key);
        activate(
            &database,
            "",
            "1,first\n2,second",
            &format!("both,{},{}", courses[0], courses[1]),
        );
        supply_images(&database);
        let mut writer = taking(&database);
        tell(&mut writer, 1, [certificate(7, 1, true), certificate(7, 2, true)]);
        assert_eq!(issue(&database), 5);
        let mut revoked = certificate(7, 2, false);
        if let EventBody::Certificate { mode, .. } = &mut revoked {
            // What it was awarded for counts, not what the last event says.
            *mode = "verified".to_owned();
        }
        tell(&mut writer, 3, [revoked]);
        let lost = to_revoke(&database);
        let no_longer = format!("No longer passed: {}.", courses[1]);
        let completion = completion::badge_class_key(&courses[1], "honor").slug;
        assert_eq!(
            lost,
            [
                pair("both", &no_longer),
                (completion, no_longer.clone()),
                pair("second", "Courses completed: 1 now; this badge takes at least 2."),
            ]
        );
    }
}

#[test]
fn a_requested_badge_is_never_touched() {
    for database in databases() {
        activate(&database, "1,one", "", "");
        let other = |tx: &mut Tx<'_>| badge_classes::get_or_create(tx, &new_badge_class("other"));
        database.store().transaction("test", other).expect("made");
        let mut writer = taking(&database);
        // Asked for first: the rule finds it awarded.
        tell(
            &mut writer,
            1,
            [
                requested(7, "one", ""),
                requested(7, "one", "again"),
                requested(7, "other", ""),
            ],
        );
        tell(&mut writer, 4, [enrollment(7, 1, true), enrollment(7, 1, false)]);
        assert!(
            states(&database).iter().all(|(_, state)| state == "pending"),
            "{:?}",
            states(&database)
        );
        assert_eq!(issue(&database), 3);
        tell(&mut writer, 6, [enrollment(7, 1, true), enrollment(7, 1, false)]);
        assert_eq!(to_revoke(&database), []);
    }
}

#[test]
fn only_a_rule_of_the_active_configuration_that_held_takes_a_badge() {
    for database in databases() {
        activate(&database, "1,one\n2,two", "", "");
        let mut writer = taking(&database);
        tell(&mut writer, 1, [enrollment(7, 1, true), enrollment(7, 2, true)]);
        assert_eq!(issue(&database), 2);
        database.clock.advance(TimeDelta::seconds(1));
        activate(&database, "3,two", "", "");
        tell(&mut writer, 3, [enrollment(7, 1, false), enrollment(7, 2, false)]);
        assert_eq!(to_revoke(&database), []);
        tell(&mut writer, 5, [1, 2, 3].map(|course| enrollment(7, course, true)));
        tell(&mut writer, 8, [enrollment(7, 3, false)]);
        assert_eq!(to_revoke(&database).len(), 1, "three are enough for the rule of now");
    }
}

#[test]
fn a_new_configuration_reaches_who_lost_the_badge_before_it_was_issued() {
    for database in databases() {
        activate(&database, "2,two", "", "");
        let mut writer = taking(&database);
        tell(
            &mut writer,
            1,
            [enrollment(7, 1, true), enrollment(7, 2, true), enrollment(7, 2, false)],
        );
        assert_eq!(state(&database), "cancelled");
        let lower = NewConfiguration {
            texts: ConfigurationTexts {
                courses_enrolled: "1,two".to_owned(),
                ..ConfigurationTexts::default()
            },
            enabled: true,
            changed_by: String::new(),
        };
        let evaluated = database.store().transaction("test", |tx| {
            event_badges::insert(tx, &lower)?;
            let claim = backfill::claim_backfill(tx, TimeDelta::seconds(60))?.expect("open");
            backfill::evaluate_chunk(tx, &claim, &RulesCache::default(), 10, TimeDelta::seconds(60))
        });
        assert!(matches!(evaluated.expect("evaluated"), Chunk::Last(part) if part.new.len() == 1));
        assert_eq!(state(&database), "pending");
    }
}

#[test]
fn without_the_setting_nothing_is_taken() {
    for database in databases() {
        activate(&database, "1,one\n2,two", "", "");
        supply_images(&database);
        let mut writer = writer_to(database.store());
        tell(&mut writer, 1, [enrollment(7, 1, true), certificate(7, 1, true)]);
        assert_eq!(issue(&database), 2);
        tell(
            &mut writer,
            3,
            [
                enrollment(7, 2, true),
                enrollment(7, 1, false),
                certificate(7, 1, false),
            ],
        );
        assert_eq!(to_revoke(&database), []);
        assert_eq!(slugs(&database, 7).len(), 3);
        assert!(states(&database).iter().all(|(_, state)| state != "cancelled"));
    }
}
