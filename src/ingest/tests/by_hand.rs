//! A running writer and courses that are changed by hand.

use super::support::{awards, certificate, course_details, item, slugs, stamp, supply_images, writer};
use crate::{
    domain::EventBody,
    ingest::Item,
    store::{
        Tx,
        audit::{Actor, Via},
        courses::{self, Change, Course},
        testing::{self, TestDatabase},
    },
};

fn set(database: &TestDatabase, number: usize, change: &Change) {
    let actor = Actor {
        name: "ada".to_owned(),
        via: Via::Api,
    };
    let key = course_details(number).key;
    let set = |tx: &mut Tx<'_>| courses::change(tx, &key, change, "by-hand", &actor);
    database.store().transaction("set", set).expect("changed");
}

fn switched(on: bool) -> Change {
    Change {
        issue_badges: Some(on),
        ..Change::default()
    }
}

fn course(database: &TestDatabase, number: usize) -> Course {
    let key = course_details(number).key;
    let read = |tx: &mut Tx<'_>| Ok(courses::get(tx, &[&key])?.remove(0));
    database.store().read("course", read).expect("read")
}

/// Seconds for [`stamp`] that lie an hour ahead.
fn in_an_hour() -> i64 {
    chrono::Utc::now().timestamp() + 3600 - stamp(0).time.timestamp()
}

fn updated(seconds: i64) -> Item {
    let body = EventBody::CourseUpdated {
        course: course_details(1),
        issue_badges: None,
    };
    item(seconds, body)
}

#[test]
fn a_switch_set_by_hand_counts_for_the_next_certificate() {
    for database in testing::databases() {
        supply_images(&database);
        let mut writer = writer(&database);
        writer.apply(&[item(1, certificate(7, 1, true))]).expect("applied");
        assert_eq!(slugs(&database, 7).len(), 1);
        set(&database, 1, &switched(false));
        writer.apply(&[item(2, certificate(8, 1, true))]).expect("applied");
        assert_eq!(slugs(&database, 8), Vec::<String>::new());
        set(&database, 1, &switched(true));
        writer.apply(&[item(3, certificate(9, 1, true))]).expect("applied");
        assert_eq!(slugs(&database, 9).len(), 1);
        assert_eq!(
            awards(&database).len(),
            2,
            "what was passed in between gets none by itself"
        );
    }
}

#[test]
fn a_name_set_by_hand_stands_until_a_newer_event() {
    for database in testing::databases() {
        let mut writer = writer(&database);
        writer.apply(&[updated(1)]).expect("applied");
        let named = Change {
            display_name: Some("By hand".to_owned()),
            ..Change::default()
        };
        set(&database, 1, &named);
        writer.apply(&[updated(2)]).expect("applied");
        assert_eq!(course(&database, 1).display_name, "By hand");
        // It says what the writer knew before: only the change by hand makes it news.
        writer.apply(&[updated(in_an_hour())]).expect("applied");
        assert_eq!(course(&database, 1).display_name, "Course 1");
    }
}
