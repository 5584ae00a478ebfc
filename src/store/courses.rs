//! Courses: their keys as small numbers, and what events tell of them.

mod change;

use std::collections::HashMap;

use chrono::{DateTime, NaiveDateTime, Utc};
use diesel::sql_types::{Bool, Integer, Nullable, Text, Timestamp};

pub use self::change::{Change, change};
use super::{
    StoreError, Tx,
    bulk::{Column, Statement},
};
use crate::domain::{
    CourseKey,
    event::{CourseDetails, Stamp},
};

/// The database's id of a course.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CourseId(pub i32);

/// A course as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Course {
    /// Its row.
    pub id: CourseId,
    /// Its key.
    pub key: CourseKey,
    /// Its name, `""` where unknown.
    pub display_name: String,
    /// Its first day.
    pub start: Option<DateTime<Utc>>,
    /// Its last day.
    pub end: Option<DateTime<Utc>>,
    /// What last told of name and days.
    pub details_stamp: Option<Stamp>,
    /// Its switch for completion badges.
    pub issue_badges: bool,
    /// What last told of the switch.
    pub issue_badges_stamp: Option<Stamp>,
}

impl Course {
    /// Takes in what an event tells, and says whether there is anything to write.
    ///
    /// Newer details replace older ones; older ones fill gaps. Nearly every event repeats the same details: a newer
    /// stamp alone is kept in memory only, so that a course's row is not written with every event.
    pub fn learn(&mut self, details: &CourseDetails, issue_badges: Option<bool>, stamp: &Stamp) -> bool {
        let name = details.display_name.as_ref().filter(|name| !name.is_empty());
        let newer = self.details_stamp.as_ref().is_none_or(|known| stamp > known);
        let mut changed = false;
        if let Some(name) = name
            && (newer || self.display_name.is_empty())
            && *name != self.display_name
        {
            self.display_name.clone_from(name);
            changed = true;
        }
        for (known, told) in [(&mut self.start, details.start), (&mut self.end, details.end)] {
            if told.is_some() && (newer || known.is_none()) && told != *known {
                *known = told;
                changed = true;
            }
        }
        if newer && (name.is_some() || details.start.is_some() || details.end.is_some()) {
            self.details_stamp = Some(stamp.clone());
        }
        if let Some(on) = issue_badges
            && self.issue_badges_stamp.as_ref().is_none_or(|known| stamp > known)
        {
            self.issue_badges = on;
            self.issue_badges_stamp = Some(stamp.clone());
            changed = true;
        }
        changed
    }
}

type Row = (
    i32,
    String,
    String,
    Option<NaiveDateTime>,
    Option<NaiveDateTime>,
    Option<NaiveDateTime>,
    Option<String>,
    bool,
    Option<NaiveDateTime>,
    Option<String>,
);
type RowType = (
    Integer,
    Text,
    Text,
    Nullable<Timestamp>,
    Nullable<Timestamp>,
    Nullable<Timestamp>,
    Nullable<Text>,
    Bool,
    Nullable<Timestamp>,
    Nullable<Text>,
);

/// The courses of these keys, which get a row if they have none. The order of the keys is the order of the locks.
pub fn intern(tx: &mut Tx<'_>, keys: &[&CourseKey]) -> Result<Vec<Course>, StoreError> {
    let mut courses = select(tx, keys, Locks::None)?;
    let known: HashMap<&str, ()> = courses.iter().map(|course| (course.key.as_str(), ())).collect();
    let mut missing: Vec<&CourseKey> = keys
        .iter()
        .copied()
        .filter(|key| !known.contains_key(key.as_str()))
        .collect();
    if missing.is_empty() {
        return Ok(courses);
    }
    missing.sort();
    missing.dedup();
    Statement::<()>::new(
        "/* courses::intern */ INSERT INTO course (course_key) SELECT course_key FROM",
        key_column(&missing),
        "WHERE true ORDER BY course_key ON CONFLICT (course_key) DO NOTHING",
    )
    .execute(tx)?;
    courses.extend(select(tx, &missing, Locks::None)?);
    Ok(courses)
}

/// The courses of these keys, held until the transaction ends, in the order of their keys.
pub fn hold(tx: &mut Tx<'_>, keys: &[&CourseKey]) -> Result<Vec<Course>, StoreError> {
    select(tx, keys, Locks::Held)
}

/// The courses of these keys, as they are now.
pub fn get(tx: &mut Tx<'_>, keys: &[&CourseKey]) -> Result<Vec<Course>, StoreError> {
    select(tx, keys, Locks::None)
}

/// Writes what is known of these courses, which the caller holds.
pub fn update(tx: &mut Tx<'_>, courses: &[Course]) -> Result<(), StoreError> {
    if courses.is_empty() {
        return Ok(());
    }
    let time = |value: fn(&Course) -> Option<DateTime<Utc>>| {
        Column::Times(courses.iter().map(|c| value(c).map(|t| t.naive_utc())).collect())
    };
    let event = |value: fn(&Course) -> Option<&str>| Column::Texts(courses.iter().map(value).collect());
    let columns = vec![
        ("id", Column::Integers(courses.iter().map(|c| Some(c.id.0)).collect())),
        ("display_name", event(|c| Some(&c.display_name))),
        ("starts_at", time(|c| c.start)),
        ("ends_at", time(|c| c.end)),
        ("details_at", time(|c| c.details_stamp.as_ref().map(|s| s.time))),
        (
            "details_event",
            event(|c| c.details_stamp.as_ref().map(|s| s.event_id.as_str())),
        ),
        (
            "issue_badges",
            Column::Bools(courses.iter().map(|c| Some(c.issue_badges)).collect()),
        ),
        (
            "issue_badges_at",
            time(|c| c.issue_badges_stamp.as_ref().map(|s| s.time)),
        ),
        (
            "issue_badges_event",
            event(|c| c.issue_badges_stamp.as_ref().map(|s| s.event_id.as_str())),
        ),
    ];
    Statement::<()>::new(
        "/* courses::update */ UPDATE course SET display_name = x.display_name, starts_at = x.starts_at, \
         ends_at = x.ends_at, details_at = x.details_at, details_event = x.details_event, \
         issue_badges = x.issue_badges, issue_badges_at = x.issue_badges_at, \
         issue_badges_event = x.issue_badges_event FROM",
        columns,
        "WHERE course.id = x.id",
    )
    .execute(tx)?;
    Ok(())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Locks {
    None,
    Held,
}

fn select(tx: &mut Tx<'_>, keys: &[&CourseKey], locks: Locks) -> Result<Vec<Course>, StoreError> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let rows: Vec<Row> = Statement::<RowType>::new(
        "/* courses::select */ SELECT id, course_key, display_name, starts_at, ends_at, details_at, details_event, \
         issue_badges, issue_badges_at, issue_badges_event FROM course WHERE course_key IN (SELECT course_key FROM",
        key_column(keys),
        ") ORDER BY course_key",
    )
    .on_postgres(if locks == Locks::Held { " FOR UPDATE" } else { "" })
    .load(tx)?;
    rows.into_iter().map(course).collect()
}

fn key_column<'a>(keys: &[&'a CourseKey]) -> Vec<(&'static str, Column<'a>)> {
    vec![(
        "course_key",
        Column::Texts(keys.iter().map(|key| Some(key.as_str())).collect()),
    )]
}

fn course(row: Row) -> Result<Course, StoreError> {
    let (id, key, display_name, start, end, details_at, details_event, issue_badges, badges_at, badges_event) = row;
    Ok(Course {
        id: CourseId(id),
        key: key
            .parse()
            .map_err(|_| StoreError::Corrupt(format!("course key {key:?}")))?,
        display_name,
        start: start.map(|time| time.and_utc()),
        end: end.map(|time| time.and_utc()),
        details_stamp: stamp(details_at, details_event),
        issue_badges,
        issue_badges_stamp: stamp(badges_at, badges_event),
    })
}

/// A stamp of its two columns; both are set or neither is.
pub(super) fn stamp(time: Option<NaiveDateTime>, event_id: Option<String>) -> Option<Stamp> {
    Some(Stamp {
        time: time?.and_utc(),
        event_id: event_id?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing;

    fn details(name: &str) -> CourseDetails {
        CourseDetails {
            key: "course-v1:a+b+c".parse().expect("a key"),
            display_name: (!name.is_empty()).then(|| name.to_owned()),
            start: None,
            end: None,
        }
    }

    fn at(seconds: i64) -> Stamp {
        Stamp {
            time: DateTime::from_timestamp(seconds, 0).expect("a time"),
            event_id: "e".to_owned(),
        }
    }

    fn course() -> Course {
        Course {
            id: CourseId(0),
            key: details("").key,
            display_name: String::new(),
            start: None,
            end: None,
            details_stamp: None,
            issue_badges: true,
            issue_badges_stamp: None,
        }
    }

    #[test]
    fn the_newest_name_stands_and_an_older_event_only_fills_gaps() {
        let mut course = course();
        assert!(course.learn(&details("new"), None, &at(5)));
        assert!(!course.learn(&details("new"), None, &at(7)), "nothing to write");
        assert!(!course.learn(&details("old"), None, &at(6)));
        assert!(!course.learn(&details(""), None, &at(9)), "silence erases nothing");
        let mut older = details("old");
        older.start = Some(at(100).time);
        assert!(course.learn(&older, None, &at(1)));
        assert_eq!(
            (course.display_name.as_str(), course.start),
            ("new", Some(at(100).time))
        );
    }

    #[test]
    fn the_switch_has_a_stamp_of_its_own() {
        let mut course = course();
        assert!(course.learn(&details("a"), None, &at(9)));
        assert!(course.learn(&details(""), Some(false), &at(5)));
        assert!(!course.learn(&details(""), Some(true), &at(4)));
        assert!(!course.issue_badges);
    }

    #[test]
    fn a_course_is_interned_once_and_keeps_what_was_written() {
        for database in testing::databases() {
            let key = details("").key;
            let other: CourseKey = "a/b/c".parse().expect("a key");
            let stored = database
                .store()
                .transaction("test", |tx| {
                    let first = intern(tx, &[&key])?;
                    let mut both = intern(tx, &[&key, &other])?;
                    both.sort_by_key(|course| course.id);
                    assert_eq!(both[0], first[0]);
                    both[0].learn(&details("A"), Some(false), &at(5));
                    update(tx, &both)?;
                    Ok((both, hold(tx, &[&key, &other])?))
                })
                .expect("stored");
            let (mut written, read) = stored;
            written.sort_by(|a, b| a.key.cmp(&b.key));
            assert_eq!(written, read);
        }
    }
}
