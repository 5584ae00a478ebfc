//! What the audit log says of who retires.

use super::*;
use crate::store::api_reads::Window;

const ALL: Window = Window { start: 0, length: 100 };

#[test]
fn who_retires_the_own_account_is_not_named_by_the_entry_of_it() {
    for database in databases() {
        apply(&database, vec![event(1, "learner.updated", &json!({"user": user()}))]);
        let retired = do_with(&database.store(), |tx| {
            retirement::retire(tx, USERNAME, &staff(USERNAME))
        });
        assert_eq!(retired.map(|learner| learner.0), Some(ID));
        is_nowhere(&database, "retired");
        let entries = do_with(&database.store(), |tx| audit::list(tx, ALL));
        assert_eq!(entries[0].actor, format!("learner {ID}"));
    }
}

/// Somebody else acts under a user name that is the learner's full name.
#[test]
fn an_actor_is_known_by_the_user_name_alone() {
    for database in databases() {
        let named = json!({"user": {"id": ID, "username": USERNAME, "name": "admin"}});
        apply(&database, vec![event(1, "learner.updated", &named)]);
        do_with(&database.store(), |tx| {
            audit::record(tx, &staff("admin"), Action::SetEventBadges, "1", &json!({}))?;
            retirement::retire(tx, USERNAME, &staff("admin"))
        });
        let entries = do_with(&database.store(), |tx| audit::list(tx, ALL));
        let actors: Vec<&str> = entries.iter().map(|entry| entry.actor.as_str()).collect();
        assert_eq!(actors, ["admin", "admin"]);
    }
}

#[test]
fn what_people_wrote_is_erased_in_its_texts_and_stays_json() {
    const ODD: &str = "Bramble \"Quxwhistle\" \\ Oxthørn";
    for database in databases() {
        let store = database.store();
        do_with(&store, |tx| badge_classes::get_or_create(tx, &new_badge_class("asked")));
        let named = json!({"user": {"id": ID, "username": "7", "name": ODD}});
        apply(
            &database,
            vec![requested(1, "asked"), event(2, "learner.updated", &named)],
        );
        let award = testing::claim_all(&store).pop().map_or_else(
            || do_with(&store, |tx| stored::in_state(tx, Blocked, 1)).remove(0),
            |claimed| claimed.award,
        );
        let details = json!({"reason": format!("asked by {ODD}"), "attempts": 7, "of": "7"});
        do_with(&store, |tx| {
            audit::record(tx, &staff("admin"), Action::RetryAward, &award.0.to_string(), &details)?;
            retirement::retire(tx, "7", &staff("admin"))
        });
        let entries = do_with(&store, |tx| audit::list(tx, ALL));
        let kept = entries.iter().find(|entry| entry.action == Action::RetryAward.as_str());
        let kept: Value = serde_json::from_str(&kept.expect("kept").details).expect("JSON");
        assert_eq!(
            kept,
            json!({"reason": "asked by [erased]", "attempts": 7, "of": "[erased]"})
        );
    }
}
