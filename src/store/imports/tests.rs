mod again;

use chrono::DateTime;
use diesel::{QueryDsl, RunQueryDsl};

use super::*;
use crate::{
    domain::{
        LearnerId,
        award::{AwardId, AwardState, RuleKind},
        badge_class::{BadgeClass, BadgeClassKey, NewBadgeClass},
        event::{LearnerDetails, Stamp},
        event_badges::ConfigurationTexts,
    },
    store::{
        Store,
        audit::Via,
        awards::{self, testing::decision},
        completion_images, event_badges, learners, revocations,
        schema::{assertion, outbox as outbox_rows},
        testing::{TestDatabase, databases},
    },
};

fn actor() -> Actor {
    Actor {
        name: "ada".to_owned(),
        via: Via::CommandLine,
    }
}

fn class(store: &Store, slug: &str) -> BadgeClass {
    let imported = ImportedBadgeClass {
        new: NewBadgeClass {
            key: BadgeClassKey {
                slug: slug.to_owned(),
                issuing_component: "openedx__course".to_owned(),
                course_id: String::new(),
            },
            mode: String::new(),
            display_name: slug.to_owned(),
            description: "d".to_owned(),
            criteria: "c".to_owned(),
            image: vec![1],
        },
        at_badgr: Some("b1".to_owned()),
        stand_in: &[0],
    };
    let taken = store.transaction("test", |tx| take_badge_class(tx, &imported, &actor()));
    taken.expect("taken").0
}

fn one(pk: i64, learner: i64, badge_class: &BadgeClass, is_first: bool) -> ImportedAssertion {
    ImportedAssertion {
        pk: pk.to_string(),
        learner: LearnerId(learner),
        details: None,
        badge_class: badge_class.clone(),
        is_first,
        rule: RuleKind::Requested,
        backend: "badgr".to_owned(),
        backend_id: Some(format!("e{pk}")),
        image_url: format!("https://b.example/{pk}.png"),
        assertion_url: format!("https://b.example/{pk}"),
        evidence_url: None,
        issuer: "https://b.example/issuer".to_owned(),
        data: json!({"entityId": format!("e{pk}")}),
        created: DateTime::UNIX_EPOCH,
    }
}

fn take(store: &Store, all: &[ImportedAssertion]) -> Vec<Taken> {
    let taken = store.transaction("test", |tx| take_assertions(tx, all, &actor()));
    taken.expect("taken")
}

fn assertions(store: &Store) -> i64 {
    let counted = store.read("test", |tx| Ok(assertion::table.count().get_result(tx.conn)?));
    counted.expect("counted")
}

#[test]
fn an_assertion_is_taken_once_and_stands_for_what_a_rule_would_award() {
    for database in databases() {
        let store = database.store();
        let three = class(&store, "three");
        let all = [
            one(1, 41, &three, true),
            one(2, 42, &three, true),
            one(3, 41, &three, false),
        ];
        assert_eq!(take(&store, &all), [Taken::New; 3]);
        assert_eq!(take(&store, &all), [Taken::WasThere; 3]);
        // A later file without the first one: the second is now the learner's first.
        assert_eq!(take(&store, &[one(3, 41, &three, true)]), [Taken::WasThere]);
        assert_eq!(assertions(&store), 3);
        let decided = store.transaction("test", |tx| {
            awards::insert_decisions(tx, &[decision(41, &three), decision(42, &three), decision(43, &three)])
        });
        let decided: Vec<i64> = decided.expect("decided").iter().map(|one| one.learner.0).collect();
        assert_eq!(decided, [43], "nobody gets it twice");
        assert_eq!(
            awards::testing::states(&store),
            [(AwardState::Pending, 1), (AwardState::Published, 3)]
        );
    }
}

#[test]
fn an_award_that_waits_is_settled_and_one_under_way_is_left_alone() {
    for database in databases() {
        let store = database.store();
        let three = class(&store, "three");
        for state in [
            "pending",
            "blocked",
            "failed",
            "dead",
            "cancelled",
            "issuing",
            "uncertain",
        ] {
            database.decide([1], &three);
            let set = store.transaction("test", |tx| {
                Ok(diesel::sql_query(format!("UPDATE award SET state = '{state}'")).execute(tx.conn)?)
            });
            assert_eq!(set.expect("set"), 1);
            let is_free = !matches!(state, "issuing" | "uncertain");
            let expected = if is_free { Taken::New } else { Taken::UnderWay };
            assert_eq!(take(&store, &[one(1, 1, &three, true)]), [expected], "{state}");
            assert_eq!(assertions(&store), i64::from(is_free), "{state}");
            let emptied = store.transaction("test", |tx| {
                for table in ["assertion", "award", "learner"] {
                    diesel::sql_query(format!("DELETE FROM {table}")).execute(tx.conn)?;
                }
                Ok(())
            });
            emptied.expect("emptied");
        }
    }
}

#[test]
fn what_was_issued_here_stays_beside_what_is_imported() {
    for database in databases() {
        let store = database.store();
        let three = class(&store, "three");
        database.decide([1], &three);
        let claimed = awards::testing::claim_all(&store);
        let done = awards::testing::completed(&claimed[0]);
        store
            .transaction("test", |tx| awards::complete(tx, std::slice::from_ref(&done)))
            .expect("completed");
        let mut same = one(1, 1, &three, true);
        same.assertion_url.clone_from(&done.assertion.assertion_url);
        assert_eq!(take(&store, &[same]), [Taken::WasThere], "it was adopted before");
        let other = [one(2, 1, &three, true)];
        assert_eq!(
            take(&store, &other),
            [Taken::New],
            "a learner keeps what the learner has"
        );
        assert_eq!(take(&store, &other), [Taken::WasThere]);
        assert_eq!(assertions(&store), 2);
    }
}

#[test]
fn learners_are_known_by_what_is_newest() {
    for database in databases() {
        let store = database.store();
        let three = class(&store, "three");
        let details = |id: i64, name: &str| LearnerDetails {
            id: LearnerId(id),
            username: name.to_owned(),
            email: Some(format!("{name}@example.com")),
            name: None,
        };
        let stamp = Stamp {
            time: "2026-01-01T00:00:00Z".parse().expect("a time"),
            event_id: "e".to_owned(),
        };
        let known = store.transaction("test", |tx| {
            let mut newer = learners::Learner::unknown(LearnerId(1));
            newer.learn(&details(1, "newer"), &stamp);
            let unnamed = learners::Learner::unknown(LearnerId(2));
            learners::insert(tx, &[&newer, &unnamed])
        });
        known.expect("known");
        let all = [1, 2, 3].map(|id| ImportedAssertion {
            details: Some(details(id, "older")),
            ..one(id, id, &three, true)
        });
        take(&store, &all);
        take(&store, &[one(4, 4, &three, true)]);
        let ids = [1, 2, 3, 4].map(LearnerId);
        let read = store.transaction("test", |tx| learners::hold(tx, &ids)).expect("read");
        let names: Vec<Option<&str>> = read.iter().map(|learner| learner.username.value.as_deref()).collect();
        assert_eq!(names, [Some("newer"), Some("older"), Some("older"), None]);
    }
}

#[test]
fn an_imported_assertion_is_revoked_and_told_of_although_nothing_was_told_before() {
    for database in databases() {
        let store = database.store();
        let three = class(&store, "three");
        take(&store, &[one(1, 41, &three, true)]);
        let told = store.transaction("test", |tx| {
            let before: i64 = outbox_rows::table.count().get_result(tx.conn)?;
            let id: String = assertion::table.select(assertion::id).first(tx.conn)?;
            revocations::request(tx, &id, "a mistake", &actor())?;
            let claimed = revocations::claim(tx, 1, chrono::TimeDelta::seconds(30))?;
            assert_eq!(
                claimed[0].backend_id.as_deref(),
                Some("e1"),
                "it can be revoked at Badgr"
            );
            assert!(revocations::complete(tx, &claimed[0])?);
            let told: Vec<(String, i64, String)> = outbox_rows::table
                .select((outbox_rows::event_type, outbox_rows::seq, outbox_rows::payload))
                .load(tx.conn)?;
            Ok((before, id, told))
        });
        let (before, id, told) = told.expect("told");
        assert_eq!((before, told.len()), (0, 1), "of its award nothing was told");
        let (kind, seq, payload) = &told[0];
        assert_eq!((kind.as_str(), *seq), ("badge.revoked", 1));
        let payload: Value = serde_json::from_str(payload).expect("JSON");
        assert_eq!(payload["assertion"]["id"], json!(id));
        assert_eq!(payload["badge_class"]["slug"], "three");
        assert_eq!(payload["user"], json!({"id": 41, "username": ""}));
        assert_eq!(payload["reason"]["kind"], "requested");
        assert_eq!(payload["revocation"]["reason"], "a mistake");
    }
}

#[test]
fn the_newest_configuration_becomes_the_active_one_unless_there_is_one() {
    for database in databases() {
        let store = database.store();
        class(&store, "three");
        let configuration = |year: &str, enrolled: &str| ImportedConfiguration {
            created: format!("{year}-01-01T00:00:00.123Z").parse().expect("a time"),
            changed_by: "staff".to_owned(),
            texts: ConfigurationTexts {
                courses_enrolled: enrolled.to_owned(),
                ..ConfigurationTexts::default()
            },
        };
        let all = [
            configuration("2017", "2,two"),
            configuration("2019", "3,three\r\n5,nobody"),
        ];
        let take = || {
            let taken = store.transaction("test", |tx| {
                let taken = take_configurations(tx, &all, &actor())?;
                Ok((taken, stand(tx, &all[1], true, &actor())?))
            });
            taken.expect("taken")
        };
        let (taken, standing) = take();
        assert_eq!((taken, standing.activated), (vec![Taken::New; 2], true));
        assert_eq!(
            standing.unusable.iter().map(|error| error.line).collect::<Vec<_>>(),
            [2]
        );
        let (taken, again) = take();
        assert_eq!((taken, again.activated), (vec![Taken::WasThere; 2], false));
        assert_eq!(again.active, Some(standing.id));
        let listed = store.read("test", event_badges::list).expect("read");
        let told: Vec<(bool, &str, String)> = listed
            .iter()
            .map(|one| (one.enabled, one.changed_by.as_str(), one.created_at.to_rfc3339()))
            .collect();
        assert_eq!(
            told,
            [
                (true, "staff", "2019-01-01T00:00:00.123+00:00".to_owned()),
                (false, "staff", "2017-01-01T00:00:00.123+00:00".to_owned())
            ]
        );
    }
}

#[test]
fn an_image_replaces_what_came_with_the_service_and_nothing_that_was_chosen() {
    for database in databases() {
        let store = database.store();
        let image = |mode: &str, icon: u8, is_default| ImportedImage {
            mode: mode.to_owned(),
            icon: vec![icon],
            is_default,
        };
        let taken = store.transaction("test", |tx| {
            completion_images::supply(tx)?;
            completion_images::set(tx, "audit", &[9], false)?;
            let images = [image("honor", 1, true), image("audit", 2, false), image("new", 3, true)];
            let mut taken = Vec::new();
            for image in images.iter().chain(&images) {
                taken.push(take_image(tx, image, &actor())?);
            }
            Ok((taken, completion_images::list(tx)?))
        });
        let (taken, images) = taken.expect("taken");
        let (new, there, other) = (Taken::New, Taken::WasThere, Taken::Other);
        assert_eq!(taken, [new, other, new, there, other, there]);
        let default: Vec<&str> = images
            .iter()
            .filter(|i| i.is_default)
            .map(|i| i.mode.as_str())
            .collect();
        assert_eq!(default, ["honor"], "the first that was chosen");
        // The image that came with the service may be the default all the same.
        let taken = store.transaction("test", |tx| {
            for image in completion_images::list(tx)? {
                completion_images::delete(tx, &image.mode, &actor())?;
            }
            completion_images::supply(tx)?;
            let supplied = completion_images::get(tx, "verified")?.expect("supplied");
            let default = ImportedImage {
                is_default: true,
                ..supplied
            };
            let taken = [take_image(tx, &default, &actor())?, take_image(tx, &default, &actor())?];
            Ok((taken, completion_images::get(tx, "verified")?))
        });
        let (taken, image) = taken.expect("taken");
        assert_eq!((taken, image.map(|image| image.is_default)), ([new, there], Some(true)));
    }
}

#[test]
fn a_stand_in_gives_way_to_the_image_and_nothing_else_does() {
    for database in databases() {
        let store = database.store();
        let take = |image: u8| {
            let mut imported = ImportedBadgeClass {
                new: NewBadgeClass {
                    key: BadgeClassKey {
                        slug: "three".to_owned(),
                        issuing_component: String::new(),
                        course_id: String::new(),
                    },
                    mode: String::new(),
                    display_name: "n".to_owned(),
                    description: "d".to_owned(),
                    criteria: "c".to_owned(),
                    image: Vec::new(),
                },
                at_badgr: None,
                stand_in: &[0],
            };
            imported.new.image = vec![image];
            let taken = store.transaction("test", |tx| {
                let (class, taken) = take_badge_class(tx, &imported, &actor())?;
                Ok((taken, crate::store::badge_classes::image(tx, class.id)?))
            });
            taken.expect("taken")
        };
        assert_eq!(take(0), (Taken::New, vec![0]));
        assert_eq!(take(0), (Taken::WasThere, vec![0]));
        assert_eq!(take(7), (Taken::New, vec![7]));
        assert_eq!(take(8), (Taken::WasThere, vec![7]));
    }
}

#[test]
fn a_hundred_assertions_of_a_learner_are_held_together() {
    let database: TestDatabase = crate::store::testing::sqlite();
    let store = database.store();
    let three = class(&store, "three");
    let all: Vec<ImportedAssertion> = (1..=100).map(|pk| one(pk, 1, &three, pk == 1)).collect();
    assert_eq!(take(&store, &all), vec![Taken::New; 100]);
    let first = AwardId::of(LearnerId(1), &three.key, "");
    let kept = store.read("test", |tx| crate::store::assertions::of_award(tx, LearnerId(1), first));
    assert_eq!(kept.expect("read").expect("there").assertion_url, "https://b.example/1");
}
