//! Learners: what is known of them, their counters, and the row that is their lock.

use chrono::{DateTime, NaiveDateTime, Utc};
use diesel::sql_types::{BigInt, Integer, Nullable, Text, Timestamp};

use super::{
    StoreError, Tx,
    bulk::{Column, Statement},
    courses::stamp,
};
use crate::{
    domain::{
        LearnerId,
        evaluate::Progress,
        event::{LearnerDetails, Stamp},
    },
    wire::mentions::Person,
};

/// A learner as stored. Names and e-mail address are personal: not in logs.
#[derive(Clone, PartialEq, Eq)]
pub struct Learner {
    /// The platform's user id.
    pub id: LearnerId,
    /// User name.
    pub username: Learnt,
    /// E-mail address.
    pub email: Learnt,
    /// Full name.
    pub full_name: Learnt,
    /// How many courses.
    pub progress: Progress,
    /// When the account was retired.
    pub retired_at: Option<DateTime<Utc>>,
}

/// Something told by events, and by which one last.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Learnt {
    /// What was told.
    pub value: Option<String>,
    /// By which event.
    pub stamp: Option<Stamp>,
}

/// One of the things that are learnt of a learner.
type Attribute = fn(&Learner) -> &Learnt;

impl Learnt {
    fn learn(&mut self, told: Option<&str>, stamp: &Stamp) -> bool {
        let Some(told) = told.filter(|told| !told.is_empty()) else {
            return false;
        };
        let newer = self.stamp.as_ref().is_none_or(|known| stamp > known);
        if newer {
            if self.value.as_deref() != Some(told) {
                self.value = Some(told.to_owned());
            }
            self.stamp = Some(stamp.clone());
        }
        newer
    }
}

impl Learner {
    /// A learner of whom nothing is known.
    pub fn unknown(id: LearnerId) -> Self {
        Self {
            id,
            username: Learnt::default(),
            email: Learnt::default(),
            full_name: Learnt::default(),
            progress: Progress::default(),
            retired_at: None,
        }
    }

    /// Takes in what an event tells, the newest of each, and says whether it was taken. A retired learner takes nothing.
    pub fn learn(&mut self, details: &LearnerDetails, stamp: &Stamp) -> bool {
        if self.retired_at.is_some() {
            return false;
        }
        let username = self.username.learn(Some(&details.username), stamp);
        let email = self.email.learn(details.email.as_deref(), stamp);
        let name = self.full_name.learn(details.name.as_deref(), stamp);
        username || email || name
    }

    /// What texts may call the learner, as far as it is known now.
    pub fn person(&self) -> Person {
        let mut person = Person::new(self.id);
        person.add_user_name(self.username.value.as_deref());
        person.add_full_name(self.full_name.value.as_deref());
        person.add_address(self.email.value.as_deref());
        person
    }

    /// Erases what is personal, and takes nothing of the kind from then on. Says whether it was not so before.
    pub fn retire(&mut self, at: DateTime<Utc>) -> bool {
        if self.retired_at.is_some() {
            return false;
        }
        self.retired_at = Some(at);
        self.username = Learnt::default();
        self.email = Learnt::default();
        self.full_name = Learnt::default();
        true
    }
}

impl std::fmt::Debug for Learner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Learner")
            .field("id", &self.id.0)
            .field("progress", &self.progress)
            .finish_non_exhaustive()
    }
}

type Row = (
    i64,
    String,
    Option<NaiveDateTime>,
    Option<String>,
    Option<String>,
    Option<NaiveDateTime>,
    Option<String>,
    Option<String>,
    Option<NaiveDateTime>,
    Option<String>,
    i32,
    i32,
    Option<NaiveDateTime>,
);
type RowType = (
    BigInt,
    Text,
    Nullable<Timestamp>,
    Nullable<Text>,
    Nullable<Text>,
    Nullable<Timestamp>,
    Nullable<Text>,
    Nullable<Text>,
    Nullable<Timestamp>,
    Nullable<Text>,
    Integer,
    Integer,
    Nullable<Timestamp>,
);

/// Holds the rows of these learners until the transaction ends, in ascending order, and reads them; who has no row is
/// left out.
///
/// A row that another transaction held is read as that one left it, for PostgreSQL reads a row anew once its lock is
/// granted. What hangs on learners, such as their facts, is to be read by later statements: under READ COMMITTED these
/// take their snapshot when all locks are held.
pub fn hold(tx: &mut Tx<'_>, learners: &[LearnerId]) -> Result<Vec<Learner>, StoreError> {
    if learners.is_empty() {
        return Ok(Vec::new());
    }
    let mut ids: Vec<i64> = learners.iter().map(|learner| learner.0).collect();
    ids.sort_unstable();
    ids.dedup();
    let rows: Vec<Row> = Statement::<RowType>::new(
        "/* learners::hold */ SELECT l.learner_id, l.username, l.username_at, l.username_event, \
         l.email, l.email_at, l.email_event, l.full_name, l.full_name_at, l.full_name_event, \
         l.enrolled, l.completed, l.retired_at FROM",
        vec![("learner_id", Column::BigInts(ids))],
        "CROSS JOIN learner l WHERE l.learner_id = x.learner_id ORDER BY l.learner_id",
    )
    .on_postgres(" FOR NO KEY UPDATE OF l")
    .load(tx)?;
    Ok(rows.into_iter().map(learner).collect())
}

/// Makes the rows of learners who had none, in ascending order; the caller then holds them.
///
/// Waits for other transactions that are making one of them, and is [`StoreError::Contention`] when these did: what
/// was decided on nothing must be decided again.
pub fn insert(tx: &mut Tx<'_>, learners: &[&Learner]) -> Result<(), StoreError> {
    if learners.is_empty() {
        return Ok(());
    }
    let inserted = inserting(learners).execute(tx)?;
    if inserted == learners.len() {
        Ok(())
    } else {
        Err(MADE_BY_OTHERS)
    }
}

/// Another transaction made one of these learners meanwhile: what was decided on nothing must be decided again.
pub(super) const MADE_BY_OTHERS: StoreError = StoreError::Contention { sqlstate: "40001" };

/// The statement of [`insert`].
pub(super) fn inserting<'a>(learners: &[&'a Learner]) -> Statement<'a> {
    Statement::new(
        "/* learners::insert */ INSERT INTO learner (learner_id, username, username_at, username_event, \
         email, email_at, email_event, full_name, full_name_at, full_name_event, enrolled, completed, retired_at) \
         SELECT learner_id, coalesce(username, ''), username_at, username_event, email, email_at, email_event, \
         full_name, full_name_at, full_name_event, enrolled, completed, retired_at FROM",
        columns(learners),
        "WHERE true ORDER BY learner_id ON CONFLICT (learner_id) DO NOTHING",
    )
}

/// Writes what is known of these learners, whose rows the caller holds.
pub fn update(tx: &mut Tx<'_>, learners: &[&Learner]) -> Result<(), StoreError> {
    if learners.is_empty() {
        return Ok(());
    }
    updating(learners).execute(tx)?;
    Ok(())
}

/// The statement of [`update`].
pub(super) fn updating<'a>(learners: &[&'a Learner]) -> Statement<'a> {
    Statement::new(
        "/* learners::update */ UPDATE learner SET username = coalesce(x.username, ''), \
         username_at = x.username_at, username_event = x.username_event, \
         email = x.email, email_at = x.email_at, email_event = x.email_event, \
         full_name = x.full_name, full_name_at = x.full_name_at, full_name_event = x.full_name_event, \
         enrolled = x.enrolled, completed = x.completed, retired_at = x.retired_at FROM",
        columns(learners),
        "WHERE learner.learner_id = x.learner_id",
    )
}

fn columns<'a>(learners: &[&'a Learner]) -> Vec<(&'static str, Column<'a>)> {
    let mut columns = vec![(
        "learner_id",
        Column::BigInts(learners.iter().map(|learner| learner.id.0).collect()),
    )];
    let attributes: [([&str; 3], Attribute); 3] = [
        (["username", "username_at", "username_event"], |l| &l.username),
        (["email", "email_at", "email_event"], |l| &l.email),
        (["full_name", "full_name_at", "full_name_event"], |l| &l.full_name),
    ];
    for ([value, at, event], attribute) in attributes {
        let all = || learners.iter().map(|learner| attribute(learner));
        columns.push((value, Column::Texts(all().map(|a| a.value.as_deref()).collect())));
        let stamps = || all().map(|a| a.stamp.as_ref());
        columns.push((
            at,
            Column::Times(stamps().map(|s| s.map(|s| s.time.naive_utc())).collect()),
        ));
        columns.push((
            event,
            Column::Texts(stamps().map(|s| s.map(|s| s.event_id.as_str())).collect()),
        ));
    }
    columns.push((
        "enrolled",
        Column::Integers(learners.iter().map(|l| Some(l.progress.enrolled)).collect()),
    ));
    columns.push((
        "completed",
        Column::Integers(learners.iter().map(|l| Some(l.progress.completed)).collect()),
    ));
    columns.push((
        "retired_at",
        Column::Times(learners.iter().map(|l| l.retired_at.map(|t| t.naive_utc())).collect()),
    ));
    columns
}

fn learner(row: Row) -> Learner {
    let (
        id,
        username,
        username_at,
        username_event,
        email,
        email_at,
        email_event,
        name,
        name_at,
        name_event,
        enrolled,
        completed,
        retired_at,
    ) = row;
    Learner {
        id: LearnerId(id),
        username: Learnt {
            value: Some(username).filter(|name| !name.is_empty()),
            stamp: stamp(username_at, username_event),
        },
        email: Learnt {
            value: email,
            stamp: stamp(email_at, email_event),
        },
        full_name: Learnt {
            value: name,
            stamp: stamp(name_at, name_event),
        },
        progress: Progress { enrolled, completed },
        retired_at: retired_at.map(|time| time.and_utc()),
    }
}
