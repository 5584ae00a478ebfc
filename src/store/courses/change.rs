//! What of a course can be set by hand.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;

use super::{Course, hold, intern, update};
use crate::{
    domain::{CourseKey, event::Stamp},
    store::{
        StoreError, Tx,
        audit::{self, Action, Actor},
        event_badges,
    },
};

/// New values; what is `None` stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Change {
    /// Its switch for completion badges.
    pub issue_badges: Option<bool>,
    /// Its name, `""` for none.
    pub display_name: Option<String>,
    /// Its first day, or that there is none.
    pub start: Option<Option<DateTime<Utc>>>,
    /// Its last day, or that there is none.
    pub end: Option<Option<DateTime<Utc>>>,
}

impl Change {
    /// The names of what is changed.
    pub fn fields(&self) -> Vec<&'static str> {
        [
            ("issue_badges", self.issue_badges.is_some()),
            ("display_name", self.display_name.is_some()),
            ("start", self.start.is_some()),
            ("end", self.end.is_some()),
        ]
        .into_iter()
        .filter_map(|(name, is_changed)| is_changed.then_some(name))
        .collect()
    }
}

impl Course {
    /// Takes in what was set by hand, as an event of this moment would tell it: newer events replace it, older ones do
    /// not. Where something newer is known already, it counts as told right after that.
    ///
    /// A day or a name that is taken away is a gap, which an older event may still fill.
    fn set(&mut self, change: &Change, told: &Stamp) {
        if let Some(on) = change.issue_badges {
            self.issue_badges = on;
            self.issue_badges_stamp = Some(after(self.issue_badges_stamp.as_ref(), told));
        }
        if let Some(name) = &change.display_name {
            self.display_name.clone_from(name);
        }
        if let Some(start) = change.start {
            self.start = start;
        }
        if let Some(end) = change.end {
            self.end = end;
        }
        if change.display_name.is_some() || change.start.is_some() || change.end.is_some() {
            self.details_stamp = Some(after(self.details_stamp.as_ref(), told));
        }
    }
}

fn after(known: Option<&Stamp>, told: &Stamp) -> Stamp {
    let mut stamp = told.clone();
    if let Some(known) = known
        && *known >= stamp
    {
        stamp.time = known.time + TimeDelta::microseconds(1);
    }
    stamp
}

/// Changes a course, which gets a row if it has none, and notes in the log who did.
///
/// `event_id` is one that nobody used before: with the time of this transaction it orders the change among the events.
/// Batches of facts that are under way end before, and later ones see the change. Nothing is awarded by this alone.
pub fn change(
    tx: &mut Tx<'_>,
    key: &CourseKey,
    change: &Change,
    event_id: &str,
    actor: &Actor,
) -> Result<Course, StoreError> {
    event_badges::fence_exclusive(tx)?;
    intern(tx, &[key])?;
    let told = Stamp {
        time: tx.now_utc()?,
        event_id: event_id.to_owned(),
    };
    let mut course = hold(tx, &[key])?
        .pop()
        .ok_or_else(|| StoreError::Corrupt(format!("course {key} has no row")))?;
    course.set(change, &told);
    update(tx, std::slice::from_ref(&course))?;
    let details = json!({"fields": change.fields(), "issue_badges": course.issue_badges});
    audit::record(tx, actor, Action::ChangeCourse, key.as_str(), &details)?;
    Ok(course)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::event::CourseDetails,
        store::{
            audit::Via,
            testing::{self, TestDatabase},
        },
    };

    fn key() -> CourseKey {
        "course-v1:a+b+c".parse().expect("a key")
    }

    fn set(database: &TestDatabase, new: &Change) -> Course {
        let actor = Actor {
            name: "ada".to_owned(),
            via: Via::Api,
        };
        let set = |tx: &mut Tx<'_>| change(tx, &key(), new, "by-hand", &actor);
        database.store().transaction("test", set).expect("changed")
    }

    fn told(seconds: i64) -> (CourseDetails, Stamp) {
        let details = CourseDetails {
            key: key(),
            display_name: Some("Told".to_owned()),
            start: None,
            end: None,
        };
        let time = Utc::now() + TimeDelta::seconds(seconds);
        let event_id = "e".to_owned();
        (details, Stamp { time, event_id })
    }

    #[test]
    fn newer_events_replace_what_was_set_by_hand_and_older_ones_do_not() {
        for database in testing::databases() {
            let by_hand = Change {
                issue_badges: Some(false),
                display_name: Some("By hand".to_owned()),
                ..Change::default()
            };
            let mut course = set(&database, &by_hand);
            let (details, stamp) = told(-3600);
            assert!(!course.learn(&details, Some(true), &stamp));
            assert_eq!((course.display_name.as_str(), course.issue_badges), ("By hand", false));
            let (details, stamp) = told(3600);
            assert!(course.learn(&details, Some(true), &stamp));
            assert_eq!((course.display_name.as_str(), course.issue_badges), ("Told", true));
        }
    }

    #[test]
    fn what_is_set_counts_although_an_event_is_ahead_of_time() {
        for database in testing::databases() {
            let (details, stamp) = told(200);
            let learn = |tx: &mut Tx<'_>| {
                let mut course = intern(tx, &[&key()])?.remove(0);
                course.learn(&details, Some(true), &stamp);
                update(tx, &[course])
            };
            database.store().transaction("test", learn).expect("learnt");
            let off = Change {
                issue_badges: Some(false),
                ..Change::default()
            };
            let mut course = set(&database, &off);
            assert_eq!((course.display_name.as_str(), course.issue_badges), ("Told", false));
            assert!(!course.learn(&details, Some(true), &stamp), "the same event again");
        }
    }
}
