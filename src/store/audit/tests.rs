use serde_json::json;

use super::*;
use crate::store::testing;

#[test]
fn what_was_done_is_listed_newest_first() {
    for database in testing::databases() {
        let store = database.store();
        let actor = Actor {
            name: "ada".to_owned(),
            via: Via::Api,
        };
        let done = store.transaction("test", |tx| {
            record(tx, &actor, Action::CreateBadgeClass, "7", &json!({"slug": "three"}))?;
            record(tx, &actor, Action::RetireLearner, "42", &json!({}))
        });
        done.expect("written");
        let window = Window { start: 0, length: 10 };
        let listed = store.read("test", |tx| Ok((count(tx)?, list(tx, window)?)));
        let (count, entries) = listed.expect("read");
        assert_eq!(count, 2);
        let told: Vec<_> = entries
            .iter()
            .map(|entry| (entry.action.as_str(), entry.target.as_str()))
            .collect();
        assert_eq!(told, [("learner.retire", "42"), ("badge_class.create", "7")]);
        assert_eq!(
            (entries[1].via.as_str(), entries[1].details()),
            ("api", json!({"slug": "three"}))
        );
    }
}

#[test]
fn who_what_and_when_are_asked_for() {
    for database in testing::databases() {
        let store = database.store();
        let actor = |name: &str| Actor {
            name: name.to_owned(),
            via: Via::CommandLine,
        };
        let done = store.transaction("test", |tx| {
            record(tx, &actor("ada"), Action::Award, "1", &json!({}))?;
            record(tx, &actor("bob"), Action::Award, "2", &json!({}))?;
            record(tx, &actor("ada"), Action::Revoke, "2", &json!({}))?;
            record(tx, &actor(""), Action::Revoke, "*", &json!({}))
        });
        done.expect("written");
        let hour = chrono::TimeDelta::hours(1);
        let now = store.read("test", |tx| tx.now_utc()).expect("read");
        let all = Filter::default();
        let text = |text: &str| Some(text.to_owned());
        for (filter, targets) in [
            (all.clone(), vec!["*", "2", "2", "1"]),
            (
                Filter {
                    actor: text("ada"),
                    ..all.clone()
                },
                vec!["2", "1"],
            ),
            (
                Filter {
                    actor: text(""),
                    ..all.clone()
                },
                vec!["*"],
            ),
            (
                Filter {
                    actor: text("*"),
                    ..all.clone()
                },
                vec![],
            ),
            (
                Filter {
                    target: text("*"),
                    ..all.clone()
                },
                vec!["*"],
            ),
            (
                Filter {
                    target: text("2"),
                    action: Some(Action::Award),
                    ..all.clone()
                },
                vec!["2"],
            ),
            (
                Filter {
                    since: Some(now - hour),
                    until: Some(now + hour),
                    ..all.clone()
                },
                vec!["*", "2", "2", "1"],
            ),
            (
                Filter {
                    since: Some(now + hour),
                    ..all.clone()
                },
                vec![],
            ),
            (
                Filter {
                    until: Some(now - hour),
                    ..all.clone()
                },
                vec![],
            ),
        ] {
            let window = Window { start: 0, length: 10 };
            let found = store.read("test", |tx| Ok((count_found(tx, &filter)?, find(tx, &filter, window)?)));
            let (count, entries) = found.expect("read");
            let found: Vec<&str> = entries.iter().map(|entry| entry.target.as_str()).collect();
            assert_eq!((found.len() as i64, found), (count, targets), "{filter:?}");
        }
    }
}

#[test]
fn every_action_is_known_by_its_name() {
    let names: std::collections::HashSet<&str> = Action::ALL.into_iter().map(Action::as_str).collect();
    assert_eq!(names.len(), Action::ALL.len());
    for action in Action::ALL {
        assert_eq!(Action::parse(action.as_str()), Some(action));
    }
    assert_eq!(Action::parse("juggle"), None);
}
