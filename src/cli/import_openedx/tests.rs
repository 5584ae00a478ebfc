use std::{path::Path, sync::mpsc, thread};

use serde_json::json;

use super::*;
use crate::{
    domain::LearnerId,
    store::{
        learners::{self, Learner},
        testing::{databases, postgres, wait_for_a_waiter},
    },
};

const LEARNER: LearnerId = LearnerId(41);

/// An assertion of a learner, and a configuration that is to be activated.
fn dump() -> String {
    json!([
        {"model": "badges.badgeclass", "pk": 1, "fields": {"slug": "three", "issuing_component": "openedx__course",
            "display_name": "n", "description": "d", "criteria": "c", "course_id": null, "image": "none.png"}},
        {"model": "badges.badgeassertion", "pk": 1, "fields": {"user": LEARNER.0, "badge_class": 1,
            "created": "2016-01-01T00:00:00Z", "backend": "BadgrBackend", "data": "{}",
            "assertion_url": "https://b.example/a", "image_url": "https://b.example/i"}},
        {"model": "badges.courseeventbadgesconfiguration", "pk": 1, "fields": {"change_date": "2017-01-01T00:00:00Z",
            "changed_by": null, "enabled": true, "courses_enrolled": "3,three"}},
    ])
    .to_string()
}

/// A service that reads events takes the fence, and then the rows of learners.
#[test]
fn a_rehearsal_and_a_running_service_do_not_lock_each_other_out() {
    let Some(database) = postgres() else { return };
    let store = database.store();
    let known = store.transaction("test", |tx| learners::insert(tx, &[&Learner::unknown(LEARNER)]));
    known.expect("known");
    let text = dump();
    let dump = Dump::parse(&text).expect("a dump");
    let media = Media::new(Path::new("/nowhere/dump.json"), None).expect("beside it");
    thread::scope(|scope| {
        let (fenced, is_fenced) = mpsc::channel();
        let service = scope.spawn(|| {
            let fenced = fenced;
            store.transaction("test", |tx| {
                event_badges::fence_shared(tx)?;
                fenced.send(()).expect("heard");
                wait_for_a_waiter(tx)?;
                learners::hold(tx, &[LEARNER])
            })
        });
        is_fenced.recv().expect("fenced");
        let report = rehearsed(&store, &Import::new(&dump, &media)).expect("rehearsed");
        assert!(report.text(true).contains("is active now"));
        assert_eq!(service.join().expect("no panic").expect("held").len(), 1);
    });
    assert_eq!(database.deadlocks(), 0);
}

#[test]
fn a_rehearsal_that_another_is_in_the_way_of_is_done_again() {
    for database in databases() {
        let mut tries = 0;
        let done = database.store().rehearsal("test", |_| {
            tries += 1;
            match tries {
                1 => Err(StoreError::Contention { sqlstate: "40P01" }),
                tries => Ok(tries),
            }
        });
        assert_eq!(done.expect("done"), 2);
    }
}
