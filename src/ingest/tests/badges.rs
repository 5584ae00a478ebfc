//! What is awarded for what.

use std::sync::Arc;

use diesel::{ExpressionMethods, QueryDsl, RunQueryDsl, connection::SimpleConnection};
use tokio::sync::mpsc;

use super::support::{
    activate, awards, certificate, counters, course_details, enrollment, facts, item, item_of, learner_details,
    new_badge_class, requested, slugs, supply_images, writer,
};
use crate::{
    domain::{
        EventBody, LearnerId,
        award::{AwardState, RuleKind},
    },
    ingest::{Batch, Content, Item, Outcome, Settings},
    store::{
        Tx,
        awards::testing as awards_testing,
        badge_classes, outbox,
        schema::{award, consumer_position, dead_letter, learner},
        testing,
    },
};

#[test]
fn a_threshold_is_met_at_n_and_once() {
    for database in testing::databases() {
        activate(&database, "2,two", "", "");
        let mut writer = writer(&database);
        let first = writer.apply(&[item(1, enrollment(1, 1, true))]).expect("applied");
        assert_eq!(first.to_issue, 0);
        let second = [item(2, enrollment(1, 2, true)), item(3, enrollment(2, 2, true))];
        let outcome = writer.apply(&second).expect("applied");
        assert_eq!(outcome.decided.get(&RuleKind::CoursesEnrolled), Some(&1));
        assert_eq!(slugs(&database, 1), ["two"]);
        let again = writer.apply(&second).expect("applied");
        assert_eq!(again.records, [Outcome::Stale, Outcome::Stale]);
        writer.apply(&[item(4, enrollment(1, 2, false))]).expect("applied");
        assert_eq!(counters(&database, 1), (1, 0));
        let back = writer.apply(&[item(5, enrollment(1, 2, true))]).expect("applied");
        assert_eq!(back.to_issue, 0, "each badge once for ever");
        assert_eq!(awards(&database).len(), 1);
    }
}

#[test]
fn who_jumps_over_two_thresholds_gets_both() {
    for database in testing::databases() {
        activate(&database, "", "1,one\n3,three\n4,four", "");
        let batch = [1, 2, 3].map(|course| item(1, certificate(7, course, true)));
        writer(&database).apply(&batch).expect("applied");
        assert_eq!(slugs(&database, 7), ["one", "three"]);
    }
}

#[test]
fn an_enrolment_that_was_left_in_the_same_batch_does_not_count() {
    for database in testing::databases() {
        activate(&database, "1,one", "", "");
        let batch = [item(2, enrollment(7, 1, false)), item(1, enrollment(7, 1, true))];
        let outcome = writer(&database).apply(&batch).expect("applied");
        assert_eq!(outcome.records, [Outcome::Applied, Outcome::Stale]);
        assert_eq!(awards(&database), []);
    }
}

#[test]
fn a_group_wants_each_of_its_courses() {
    for database in testing::databases() {
        activate(&database, "", "", "group,course-v1:edX+C1+1,course-v1:edX+C2+1");
        let mut writer = writer(&database);
        let first = [item(1, certificate(7, 1, true)), item(2, certificate(7, 3, true))];
        writer.apply(&first).expect("applied");
        assert_eq!(slugs(&database, 7), Vec::<String>::new());
        writer.apply(&[item(3, certificate(7, 2, true))]).expect("applied");
        assert_eq!(slugs(&database, 7), ["group"]);
    }
}

#[test]
fn a_passed_course_brings_its_completion_badge_while_its_switch_is_on() {
    for database in testing::databases() {
        supply_images(&database);
        let mut writer = writer(&database);
        let off = EventBody::CourseUpdated {
            course: course_details(2),
            issue_badges: Some(false),
        };
        let batch = [
            item(1, certificate(7, 1, true)),
            item(2, certificate(7, 2, true)),
            item(1, off),
            item(1, certificate(7, 3, false)),
        ];
        let outcome = writer.apply(&batch).expect("applied");
        assert_eq!(outcome.decided.get(&RuleKind::CourseCompletion), Some(&1));
        let slugs = slugs(&database, 7);
        assert!(
            slugs.len() == 1 && slugs[0].starts_with("course-v1edxc11_honor_"),
            "{slugs:?}"
        );
        let evidence: Option<String> = database
            .store()
            .read("evidence", |tx| {
                Ok(award::table.select(award::evidence_url).first(tx.conn)?)
            })
            .expect("read");
        assert_eq!(evidence.as_deref(), Some("https://lms/5f0c"));
        let revoked = [item(5, certificate(7, 1, false)), item(6, certificate(7, 1, true))];
        writer.apply(&revoked).expect("applied");
        assert_eq!(awards(&database).len(), 1);
    }
}

#[test]
fn a_passed_certificate_in_another_mode_brings_the_badge_of_that_mode() {
    let in_mode = |seconds, name: &str| {
        let mut body = certificate(7, 1, true);
        if let EventBody::Certificate { mode, .. } = &mut body {
            name.clone_into(mode);
        }
        item(seconds, body)
    };
    for database in testing::databases() {
        supply_images(&database);
        activate(&database, "", "1,one", "");
        let mut writer = writer(&database);
        for (event, badges) in [
            (in_mode(1, "honor"), 2),
            (in_mode(3, "verified"), 3),
            (in_mode(2, "professional"), 3),
            (in_mode(4, "verified"), 3),
            (in_mode(5, "honor"), 3),
        ] {
            writer.apply(&[event]).expect("applied");
            assert_eq!(slugs(&database, 7).len(), badges, "{:?}", slugs(&database, 7));
        }
        let modes = |slug: &String| slug.split('_').nth(1).map(str::to_owned);
        let mut modes: Vec<String> = slugs(&database, 7).iter().filter_map(modes).collect();
        modes.sort();
        assert_eq!(modes, ["honor", "verified"]);
    }
}

#[test]
fn without_an_image_there_is_no_completion_badge() {
    for database in testing::databases() {
        let outcome = writer(&database)
            .apply(&[item(1, certificate(7, 1, true))])
            .expect("applied");
        assert_eq!(outcome.to_issue, 0);
    }
}

#[test]
fn without_open_badges_facts_are_kept_and_nothing_is_decided() {
    for database in testing::databases() {
        activate(&database, "1,one", "", "");
        supply_images(&database);
        let mut writer = Batch::new(database.store(), std::sync::Arc::default(), Settings::default());
        let batch = [item(1, enrollment(7, 1, true)), item(1, certificate(7, 1, true))];
        writer.apply(&batch).expect("applied");
        assert_eq!(counters(&database, 7), (1, 1));
        assert_eq!(awards(&database), []);
    }
}

#[test]
fn a_request_is_granted_once_a_key_and_refused_without_a_badge_class() {
    for database in testing::databases() {
        let create = |slug| badge_classes_made(&database, slug);
        create("asked");
        let batch = [
            item(1, requested(7, "asked", "")),
            item(2, requested(7, "asked", "")),
            item(3, requested(7, "asked", "k")),
            item(4, requested(7, "unheard-of", "")),
        ];
        let outcome = writer(&database).apply(&batch).expect("applied");
        assert_eq!(outcome.decided.get(&RuleKind::Requested), Some(&2));
        assert_eq!(outcome.records[3], Outcome::DeadLettered);
        let again = writer(&database).apply(&batch[..3]).expect("applied");
        assert_eq!(again.records, [Outcome::Stale; 3]);
        let reasons: Vec<(String, String)> = database
            .store()
            .read("letters", |tx| {
                Ok(dead_letter::table
                    .select((dead_letter::reason, dead_letter::headers))
                    .load(tx.conn)?)
            })
            .expect("read");
        assert_eq!(reasons, [("unknown_badge_class".to_owned(), "[]".to_owned())]);
    }
}

fn badge_classes_made(database: &testing::TestDatabase, slug: &str) {
    let create = |tx: &mut Tx<'_>| badge_classes::get_or_create(tx, &new_badge_class(slug));
    database.store().transaction("create", create).expect("created");
}

#[test]
fn what_cannot_be_processed_is_kept_and_the_position_moves() {
    for database in testing::databases() {
        let mut bad = item_of(Content::Unprocessable {
            reason: "json",
            message: "not JSON".to_owned(),
        });
        bad.record.offset = 41;
        let batch = [bad, item_of(Content::Ignored)];
        let outcome = writer(&database).apply(&batch).expect("applied");
        assert_eq!(outcome.records, [Outcome::DeadLettered, Outcome::Ignored]);
        let stored: (i64, i64) = database
            .store()
            .read("read", |tx| {
                Ok((
                    dead_letter::table.select(dead_letter::record_offset).first(tx.conn)?,
                    consumer_position::table
                        .select(consumer_position::next_offset)
                        .first(tx.conn)?,
                ))
            })
            .expect("read");
        assert_eq!(stored, (41, 42));
    }
}

#[test]
fn nothing_moves_past_a_record_that_cannot_even_be_kept() {
    for database in testing::databases() {
        let store = database.store();
        let rename = |from: &str, to: &str| {
            let sql = format!("ALTER TABLE {from} RENAME TO {to}");
            let renamed = store.transaction("rename", |tx| Ok(tx.conn.batch_execute(&sql)?));
            renamed.expect("renamed");
        };
        let batch = [
            item(1, enrollment(7, 1, true)),
            item_of(Content::Unprocessable {
                reason: "json",
                message: "not JSON".to_owned(),
            }),
        ];
        let mut writer = writer(&database);
        rename("dead_letter", "elsewhere");
        writer.apply(&batch).expect_err("it cannot be kept");
        rename("elsewhere", "dead_letter");
        let kept = || {
            let read = |tx: &mut Tx<'_>| {
                Ok((
                    consumer_position::table.count().get_result::<i64>(tx.conn)?,
                    learner::table.count().get_result::<i64>(tx.conn)?,
                    dead_letter::table.count().get_result::<i64>(tx.conn)?,
                ))
            };
            store.read("kept", read).expect("read")
        };
        assert_eq!(kept(), (0, 0, 0));
        writer.apply(&batch).expect("applied");
        assert_eq!(kept(), (1, 1, 1));
    }
}

#[test]
fn an_address_lets_blocked_awards_go_on() {
    for database in testing::databases() {
        activate(&database, "1,one", "", "");
        let mut writer = writer(&database);
        let mut without = item(1, enrollment(7, 1, true));
        if let Content::Event(event) = &mut without.content
            && let EventBody::Enrollment { learner, .. } = &mut event.body
        {
            learner.email = None;
        }
        writer.apply(&[without]).expect("applied");
        let block = |tx: &mut Tx<'_>| {
            Ok(diesel::update(award::table)
                .set((award::state.eq("blocked"), award::state_reason.eq("no_email")))
                .execute(tx.conn)?)
        };
        database.store().transaction("block", block).expect("blocked");
        let outcome = writer
            .apply(&[item(2, EventBody::LearnerUpdated(learner_details(7)))])
            .expect("applied");
        assert_eq!(outcome.to_issue, 1);
        assert_eq!(awards(&database)[0].3, "pending");
    }
}

#[test]
fn who_retired_is_forgotten_and_gets_nothing_more() {
    for database in testing::databases() {
        activate(&database, "1,one\n2,two", "", "");
        let mut writer = writer(&database);
        writer.apply(&[item(1, enrollment(7, 1, true))]).expect("applied");
        let batch = [
            item(9, enrollment(7, 2, true)),
            item(8, EventBody::LearnerRetired(LearnerId(7))),
        ];
        writer.apply(&batch).expect("applied");
        writer.apply(&[item(10, enrollment(7, 3, true))]).expect("applied");
        assert_eq!(counters(&database, 7), (3, 0), "counts stay");
        let known: (String, Option<String>, Option<String>) = database
            .store()
            .read("read", |tx| {
                Ok(learner::table
                    .select((learner::username, learner::email, learner::full_name))
                    .first(tx.conn)?)
            })
            .expect("read");
        assert_eq!(known, (String::new(), None, None));
        let states: Vec<String> = awards(&database).into_iter().map(|award| award.3).collect();
        assert_eq!(states, ["cancelled"]);
        assert!(!facts(&database).contains("user7"));
    }
}

#[test]
fn what_can_be_issued_at_once_is_issued_with_its_decision() {
    for database in testing::databases() {
        activate(&database, "1,one", "", "");
        // As a backend that has none of the badge classes of odd learners.
        let settings = Settings {
            award: true,
            issue_at_once: Some(Arc::new(|award| {
                (award.learner.0 % 2 == 0).then(|| awards_testing::completed(award))
            })),
            ..Settings::default()
        };
        let mut writer = Batch::new(database.store(), Arc::default(), settings);
        let batch = [1, 2, 3].map(|learner| item(1, enrollment(learner, 1, true)));
        let outcome = writer.apply(&batch).expect("applied");
        assert_eq!((outcome.to_announce, outcome.to_issue), (1, 2));
        assert_eq!(database.states(), [(AwardState::Pending, 2), (AwardState::Issued, 1)]);
        let again = writer.apply(&batch).expect("applied");
        assert_eq!((again.to_announce, again.to_issue), (0, 0));
        assert_eq!(database.states(), [(AwardState::Pending, 2), (AwardState::Issued, 1)]);
    }
}

#[test]
fn what_is_issued_at_once_is_handed_to_the_relay_of_this_process_if_it_has_room() {
    for database in testing::databases() {
        activate(&database, "1,one", "", "");
        let (relay, mut handed) = mpsc::channel(1);
        let settings = Settings {
            award: true,
            issue_at_once: Some(Arc::new(|award| Some(awards_testing::completed(award)))),
            relay: Some(relay),
            ..Settings::default()
        };
        let mut writer = Batch::new(database.store(), Arc::default(), settings);
        let mut enroll = |learners: std::ops::Range<i64>| {
            let batch: Vec<Item> = learners.map(|learner| item(1, enrollment(learner, 1, true))).collect();
            writer.apply(&batch).expect("applied").to_announce
        };
        let claimed_by_relay = || {
            let store = database.store();
            let claimed = store.transaction("test", |tx| outbox::claim(tx, 1_000, outbox::LEASE));
            claimed.expect("read").len()
        };
        assert_eq!(enroll(0..2), 0);
        assert_eq!(claimed_by_relay(), 0);
        assert_eq!(enroll(2..5), 3, "the first one was not taken yet");
        assert_eq!(claimed_by_relay(), 3);
        let events = handed.try_recv().expect("handed over").events;
        assert_eq!(
            events.iter().map(|event| event.lease.learner.0).collect::<Vec<_>>(),
            [0, 1]
        );
        assert_eq!(enroll(2..5), 0, "nothing new");
        assert!(handed.try_recv().is_err(), "nothing is handed over");
        assert_eq!(enroll(1_000..1_200), 200, "too many to hold in memory");
        assert_eq!(claimed_by_relay(), 200);
        assert_eq!(enroll(5..6), 0, "there is room again");
        assert_eq!(handed.try_recv().expect("handed over").events.len(), 1);
    }
}
