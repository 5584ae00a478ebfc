//! A learner who is everywhere retires, and is nowhere.

mod audited;
mod imported;
mod maybe_issued;
mod revoked;

use std::collections::BTreeSet;

use chrono::TimeDelta;
use diesel::{ExpressionMethods, QueryDsl, RunQueryDsl, sql_query};
use serde_json::{Value, json};

use super::support::{activate, awards, counters, new_badge_class, supply_images, writer};
use crate::{
    domain::award::AwardState::{Blocked, Dead, Failed, Pending, Uncertain},
    ingest::Item,
    store::{
        Store, assertions,
        audit::{self, Action, Actor, Via},
        awards::{self as stored, ClaimedAward, Completed, Step, testing},
        badge_classes, outbox, retirement, revocations,
        schema::{assertion, award, dead_letter, learner, outbox as outbox_table},
        testing::{TestDatabase, databases, dump::dump},
    },
    wire::{
        decode::TopicTypes,
        record::{Header, Record},
    },
};

const ID: i64 = 42;
const USERNAME: &str = "Quxwhistle";
const NAME: &str = "Zinnia Oxthørn";
const EMAIL: &str = "bramblefoot@canary.example";
const OLD_USERNAME: &str = "Snorkelby";
const OLD_EMAIL: &str = "oldbramble@canary.example";
const CANARIES: [&str; 5] = [USERNAME, NAME, EMAIL, OLD_USERNAME, OLD_EMAIL];

fn user() -> Value {
    json!({"id": ID, "username": USERNAME, "email": EMAIL, "name": NAME})
}

fn course(number: u32) -> Value {
    json!({"id": format!("course-v1:edX+C{number}+1"), "display_name": "C"})
}

fn raw(offset: i64, value: &str) -> Record {
    Record {
        topic: "events".into(),
        partition: 3,
        offset,
        timestamp: chrono::DateTime::from_timestamp(1_793_534_400 + offset, 0),
        key: Some(USERNAME.as_bytes().to_vec()),
        value: Some(value.as_bytes().to_vec()),
        headers: vec![Header::text("ce_subject", USERNAME), Header::text("x", EMAIL)],
    }
}

fn event(offset: i64, kind: &str, data: &Value) -> Record {
    let value = json!({"specversion": "1.0", "id": format!("e{offset}"), "source": "/lms", "type": kind, "data": data});
    let mut record = raw(offset, &value.to_string());
    record.key = Some(b"course-v1:edX+C1+1".to_vec());
    record.headers = vec![Header::text("content-type", "application/cloudevents+json")];
    record
}

fn requested(offset: i64, slug: &str) -> Record {
    let class = json!({"slug": slug, "issuing_component": "openedx__course"});
    let data = json!({"user": user(), "badge_class": class, "idempotency_key": format!("{USERNAME}-{offset}"),
        "evidence_url": format!("https://forum.example.com/u/{USERNAME}/{offset}")});
    event(offset, "badge.requested", &data)
}

/// Nine awards on request, two by rules, a completion badge; dead letters of every kind.
fn history() -> Vec<Record> {
    let old = json!({"id": ID, "username": OLD_USERNAME, "email": OLD_EMAIL, "name": NAME});
    let certificate = json!({"user": user(), "course": course(2), "mode": "honor",
        "url": format!("https://lms.example.com/u/{USERNAME}/certificate")});
    let mut records = vec![
        event(0, "enrollment.created", &json!({"user": old, "course": course(1)})),
        event(1, "enrollment.created", &json!({"user": user(), "course": course(2)})),
        event(2, "certificate.generated", &certificate),
        event(3, "learner.updated", &json!({"user": user()})),
        // Of no use: an unknown badge class, a broken text with the id, and texts without one.
        requested(4, "unknown"),
        raw(5, &format!("{{\"user\": {{\"id\": {ID}, \"username\": \"{USERNAME}\"")),
        raw(6, &format!("not JSON: mail {EMAIL}")),
        raw(7, &json!({"user": {"username": USERNAME}}).to_string()),
        raw(8, &format!("{OLD_USERNAME} and nothing else")),
        raw(9, r#"{"user": {"name": "Zinnia Oxth\u00f8rn"}}"#),
        event(
            10,
            "enrollment.created",
            &json!({"user": {"id": 7, "username": "other"}, "course": {"id": "none"}}),
        ),
    ];
    records.extend((20..29).map(|offset| requested(offset, "asked")));
    records
}

fn apply(database: &TestDatabase, records: Vec<Record>) {
    let types = TopicTypes::default();
    let items: Vec<Item> = records.into_iter().map(|record| Item::of(record, &types)).collect();
    writer(database).apply(&items).expect("applied");
}

fn do_with<T>(store: &Store, work: impl FnMut(&mut crate::store::Tx<'_>) -> Result<T, crate::store::StoreError>) -> T {
    store.transaction("test", work).expect("written")
}

fn issued(award: &ClaimedAward, username: &str) -> Completed {
    let mut done = testing::completed(award);
    let url = format!("https://badges.example.com/{username}/a");
    done.assertion.data = json!({"recipient": {"name": NAME}, "said": username});
    done.assertion.evidence_url.clone_from(&award.evidence_url);
    done.assertion.recipient_hash = Some(("salt".to_owned(), "sha256$00".to_owned()));
    done.assertion.assertion_url.clone_from(&url);
    done.payload = json!({
        "assertion": {"id": done.assertion.id, "assertion_url": url, "data": done.assertion.data,
            "evidence_url": award.evidence_url},
        "user": {"id": ID, "username": username},
    })
    .to_string();
    done
}

fn failed(award: &ClaimedAward, state: crate::domain::award::AwardState) -> Step {
    Step {
        learner: award.learner,
        award: award.award,
        lease_token: award.lease_token,
        state,
        reason: None,
        after: TimeDelta::zero(),
        posted: state == Uncertain,
        counted: true,
        error: Some(format!("refused: {EMAIL} of {USERNAME}")),
    }
}

fn staff(name: &str) -> Actor {
    Actor {
        name: name.to_owned(),
        via: Via::Api,
    }
}

/// The learner, everywhere; returns the three awards that are in flight.
fn everywhere(database: &TestDatabase) -> Vec<ClaimedAward> {
    let store = database.store();
    activate(database, "1,one\n2,two", "", "");
    supply_images(database);
    do_with(&store, |tx| badge_classes::get_or_create(tx, &new_badge_class("asked")));
    let mut records = history();
    // The first award goes to the old address.
    apply(database, vec![records.remove(0)]);
    let first = testing::claim_all(&store);
    assert_eq!(first.len(), 1);
    do_with(&store, |tx| stored::apply_steps(tx, &[failed(&first[0], Failed)]));
    apply(database, records);
    let mut claimed = testing::claim_all(&store);
    assert_eq!(claimed.len(), 11);
    let in_flight = claimed.split_off(8);
    do_with(&store, |tx| {
        let done = [
            issued(&claimed[0], OLD_USERNAME),
            issued(&claimed[1], USERNAME),
            issued(&claimed[2], USERNAME),
        ];
        stored::complete(tx, &done)?;
        let states = [Pending, Blocked, Failed, Dead, Uncertain];
        let steps: Vec<Step> = claimed[3..]
            .iter()
            .zip(states)
            .map(|(award, state)| failed(award, state))
            .collect();
        stored::apply_steps(tx, &steps)?;
        let first = outbox::claim(tx, 10, TimeDelta::seconds(60))?;
        let leases: Vec<_> = first.iter().map(|event| event.lease).collect();
        outbox::mark_published(tx, &leases)?;
        let assertion = assertions::of_award(tx, claimed[0].learner, claimed[0].award)?.expect("issued");
        revocations::request(
            tx,
            &assertion.id.to_string(),
            &format!("{USERNAME} cheated"),
            &staff("admin"),
        )?;
        let revoking = revocations::claim(tx, 1, TimeDelta::zero())?;
        revocations::put_off(tx, &revoking[0], TimeDelta::zero(), &format!("no {USERNAME} here"))?;
        audit::record(tx, &staff(USERNAME), Action::SetEventBadges, "1", &json!({}))?;
        sql_query(format!(
            "UPDATE event_badges_configuration SET changed_by = '{USERNAME}'"
        ))
        .execute(tx.conn)?;
        Ok(())
    });
    in_flight
}

fn found(database: &TestDatabase) -> BTreeSet<(String, &'static str)> {
    let tables = dump(&database.store());
    assert!(tables.len() > 14, "every table is looked at");
    let mut found = BTreeSet::new();
    for table in tables {
        found.extend(
            CANARIES
                .into_iter()
                .filter(|text| table.holds(text))
                .map(|text| (table.name.clone(), text)),
        );
    }
    found
}

fn is_nowhere(database: &TestDatabase, when: &str) {
    assert_eq!(found(database), BTreeSet::new(), "{when}");
}

fn retire_by_event(database: &TestDatabase) {
    apply(database, vec![event(40, "learner.retired", &json!({"user": user()}))]);
}

fn retire_by_hand(database: &TestDatabase) {
    let retired = do_with(&database.store(), |tx| {
        retirement::retire(tx, USERNAME, &staff("admin"))
    });
    assert_eq!(retired.map(|learner| learner.0), Some(ID));
}

fn letters_left(store: &Store) -> i64 {
    let left = |tx: &mut crate::store::Tx<'_>| {
        Ok(dead_letter::table
            .filter(dead_letter::record_value.is_not_null())
            .count()
            .get_result(tx.conn)?)
    };
    store.read("test", left).expect("read")
}

#[test]
fn nothing_personal_is_left_of_who_retired_and_a_replay_brings_nothing_back() {
    for retire in [retire_by_event, retire_by_hand] {
        for database in databases() {
            let store = database.store();
            let in_flight = everywhere(&database);
            let before: BTreeSet<String> = found(&database).into_iter().map(|(table, _)| table).collect();
            let filled = [
                "assertion",
                "audit",
                "award",
                "dead_letter",
                "event_badges_configuration",
                "learner",
                "learner_course",
                "outbox",
                "revocation",
            ];
            assert_eq!(before, filled.map(str::to_owned).into());
            let counts = counters(&database, ID);
            retire(&database);
            is_nowhere(&database, "retired");
            assert_eq!(counters(&database, ID), counts, "counts stay");
            assert_eq!(letters_left(&store), 1, "what is somebody else's stays whole");

            // What was in flight comes back: issued, failed, and not at all.
            do_with(&store, |tx| {
                stored::complete(tx, &[issued(&in_flight[0], USERNAME)])?;
                stored::apply_steps(tx, &[failed(&in_flight[1], Pending)])
            });
            database.clock.advance(TimeDelta::seconds(61));
            assert!(testing::claim_all(&store).is_empty());
            is_nowhere(&database, "what was in flight came back");
            let states: Vec<String> = awards(&database).into_iter().map(|award| award.3).collect();
            let of = |state: &str| states.iter().filter(|other| *other == state).count();
            assert_eq!(
                (states.len(), of("cancelled"), of("issued"), of("published")),
                (12, 8, 3, 1),
                "{states:?}"
            );

            let mut again = history();
            retire_by_event(&database);
            again.push(event(
                50,
                "enrollment.created",
                &json!({"user": user(), "course": course(3)}),
            ));
            again.push(requested(51, "asked"));
            let mut passed = json!({"user": user(), "course": course(4), "mode": "honor"});
            passed["url"] = json!(format!("https://lms.example.com/u/{USERNAME}/certificate"));
            again.push(event(52, "certificate.generated", &passed));
            apply(&database, again);
            is_nowhere(&database, "replayed");
            assert_eq!(counters(&database, ID), (counts.0 + 1, counts.1 + 1), "facts go on");
            assert_eq!(awards(&database).len(), 12, "and bring nothing");
            assert_eq!(letters_left(&store), 2, "what is somebody else's, twice now");
            told_without_a_name(&database);
        }
    }
}

/// Every badge is revoked, in order after it was awarded, and nobody is named.
fn told_without_a_name(database: &TestDatabase) {
    let store = database.store();
    do_with(&store, |tx| {
        for revoked in revocations::claim(tx, 100, TimeDelta::seconds(60))? {
            revocations::put_off(tx, &revoked, TimeDelta::zero(), &format!("no {USERNAME} here"))?;
        }
        for revoked in revocations::claim(tx, 100, TimeDelta::seconds(60))? {
            assert!(revocations::complete(tx, &revoked)?);
        }
        Ok(())
    });
    is_nowhere(database, "revoked");
    let read = store.read("test", |tx| {
        let events: Vec<(String, String)> = outbox_table::table
            .order(outbox_table::seq)
            .select((outbox_table::event_type, outbox_table::payload))
            .load(tx.conn)?;
        let holding: i64 = assertion::table
            .filter(assertion::revoked_at.is_null())
            .count()
            .get_result(tx.conn)?;
        Ok((events, holding))
    });
    let (events, holding) = read.expect("read");
    assert_eq!(holding, 0);
    let kinds: Vec<&str> = events.iter().map(|(kind, _)| kind.as_str()).collect();
    assert_eq!(kinds, [["badge.awarded"; 4], ["badge.revoked"; 4]].concat());
    for (_, payload) in &events {
        let said: Value = serde_json::from_str(payload).expect("JSON");
        assert_eq!(said["user"], json!({"id": ID, "username": ""}));
    }
    let first: Value = serde_json::from_str(&events[4].1).expect("JSON");
    assert!(first["revocation"]["reason"].is_string());
}

#[test]
fn whoever_takes_the_username_next_is_another_learner() {
    for database in databases() {
        activate(&database, "1,one", "", "");
        let of = |id: i64, offset| {
            let next = json!({"id": id, "username": USERNAME, "email": EMAIL});
            event(
                offset,
                "enrollment.created",
                &json!({"user": next, "course": course(1)}),
            )
        };
        apply(&database, vec![of(ID, 1)]);
        retire_by_hand(&database);
        apply(&database, vec![of(43, 2), of(ID, 3)]);
        let read = |tx: &mut crate::store::Tx<'_>| {
            let learners: Vec<(i64, String)> = learner::table
                .order(learner::learner_id)
                .select((learner::learner_id, learner::username))
                .load(tx.conn)?;
            let awards: Vec<(i64, String)> = award::table
                .order(award::learner_id)
                .select((award::learner_id, award::state))
                .load(tx.conn)?;
            Ok((learners, awards))
        };
        let (learners, awards) = database.store().read("test", read).expect("read");
        assert_eq!(learners, [(ID, String::new()), (43, USERNAME.to_owned())]);
        assert_eq!(awards, [(ID, "cancelled".to_owned()), (43, "pending".to_owned())]);
        let mut broken = raw(4, "");
        broken.value = Some(
            json!({"user": {"id": 43, "username": USERNAME}})
                .to_string()
                .into_bytes(),
        );
        apply(&database, vec![broken]);
        assert_eq!(letters_left(&database.store()), 1, "what speaks of the other stays");
    }
}
