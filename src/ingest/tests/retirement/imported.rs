//! A dump of Open edX's badges app that names the learner, before the retirement and after it.

use super::*;
use crate::{
    domain::{LearnerId, award::RuleKind},
    store::imports::{self, ImportedAssertion, ImportedConfiguration, Taken},
    wire::open_edx_dump::Dump,
};

/// The learner has a badge in Open edX and saved configurations there.
fn dumped() -> String {
    let class = json!({"slug": "asked", "issuing_component": "openedx__course"});
    let configuration = |user: Value, date: &str| json!({"change_date": date, "changed_by": user, "enabled": true, "courses_enrolled": "9,asked"});
    let url = format!("https://badges.example.com/{USERNAME}/1");
    json!([
        {"model": "auth.user", "pk": ID,
            "fields": {"username": USERNAME, "email": EMAIL, "first_name": "Zinnia", "last_name": "Oxthørn"}},
        {"model": "badges.badgeclass", "pk": 1, "fields": class},
        {"model": "badges.badgeassertion", "pk": 1, "fields": {"user": ID, "badge_class": 1,
            "created": "2016-01-01T00:00:00Z", "backend": "BadgrBackend", "assertion_url": url,
            "image_url": format!("{url}.png"),
            "data": json!({"evidence": format!("https://lms.example.com/{USERNAME}"), "said": NAME}).to_string()}},
        {"model": "badges.courseeventbadgesconfiguration", "pk": 1,
            "fields": configuration(json!(ID), "2017-01-01T00:00:00Z")},
        {"model": "badges.courseeventbadgesconfiguration", "pk": 2,
            "fields": configuration(json!([USERNAME]), "2018-01-01T00:00:00Z")},
        {"model": "badges.courseeventbadgesconfiguration", "pk": 3,
            "fields": configuration(json!([OLD_USERNAME]), "2019-01-01T00:00:00Z")},
    ])
    .to_string()
}

/// Takes the configurations and the assertion, as the command does.
fn import(database: &TestDatabase) -> Taken {
    let text = dumped();
    let dump = Dump::parse(&text).expect("a dump");
    let configurations: Vec<ImportedConfiguration> = dump
        .configurations
        .iter()
        .map(|row| row.configuration().expect("a configuration"))
        .map(|read| ImportedConfiguration {
            created: read.created,
            changed_by: dump.users.author(read.changed_by.as_ref()),
            texts: read.texts,
        })
        .collect();
    let read = dump.assertions[0].assertion().expect("an assertion");
    let taken = do_with(&database.store(), |tx| {
        let (badge_class, _) = badge_classes::get_or_create(tx, &new_badge_class("asked"))?;
        let one = ImportedAssertion {
            pk: "1".to_owned(),
            learner: LearnerId(ID),
            details: dump.users.details(LearnerId(ID)),
            badge_class,
            is_first: true,
            rule: RuleKind::Requested,
            backend: read.backend.clone(),
            backend_id: read.backend_id.clone(),
            image_url: read.image_url.clone(),
            assertion_url: read.assertion_url.clone(),
            evidence_url: read.evidence_url.clone(),
            issuer: read.issuer.clone(),
            data: read.data.clone(),
            created: read.created,
        };
        imports::take_configurations(tx, &configurations, &staff("admin"))?;
        imports::take_assertions(tx, &[one], &staff("admin"))
    });
    taken[0]
}

fn tables(database: &TestDatabase) -> BTreeSet<String> {
    found(database).into_iter().map(|(table, _)| table).collect()
}

#[test]
fn what_was_imported_goes_with_the_retirement() {
    for database in databases() {
        assert_eq!(import(&database), Taken::New);
        let personal = ["assertion", "award", "learner"].map(str::to_owned);
        assert_eq!(
            tables(&database),
            personal.into(),
            "no name of who saved a configuration"
        );
        retire_by_hand(&database);
        is_nowhere(&database, "retired");
        assert_eq!(import(&database), Taken::WasThere);
        is_nowhere(&database, "imported again");
    }
}

#[test]
fn what_is_imported_after_the_retirement_is_taken_without_a_name_and_revoked() {
    for database in databases() {
        retire_by_event(&database);
        assert_eq!(import(&database), Taken::New);
        is_nowhere(&database, "imported");
        assert_eq!(import(&database), Taken::WasThere);
        is_nowhere(&database, "imported again");
        do_with(&database.store(), |tx| {
            let claimed = revocations::claim(tx, 10, TimeDelta::seconds(60))?;
            assert_eq!(claimed.len(), 1);
            assert_eq!(claimed[0].reason, retirement::REASON);
            assert!(revocations::complete(tx, &claimed[0])?);
            Ok(())
        });
        is_nowhere(&database, "revoked");
    }
}
