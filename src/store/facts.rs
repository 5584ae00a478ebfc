//! Facts: one row for each learner and course.

use std::collections::{HashMap, HashSet};

use chrono::NaiveDateTime;
use diesel::sql_types::{BigInt, Bool, Integer, Nullable, Text, Timestamp};

use super::{
    AnyConnection, StoreError, Tx,
    bulk::{Column, Compound, Number, Statement},
    courses::{CourseId, stamp},
    learners::{self, Learner},
};
use crate::domain::{
    CourseKey, LearnerId,
    event::Stamp,
    facts::{CertificateFact, CourseFacts, EnrollmentFact},
};

/// What names a row of facts.
pub type Pair = (LearnerId, CourseId);

type Row = (
    i64,
    i32,
    Option<bool>,
    Option<String>,
    Option<NaiveDateTime>,
    Option<String>,
    Option<bool>,
    Option<String>,
    Option<NaiveDateTime>,
    Option<String>,
    Option<String>,
);
type RowType = (
    BigInt,
    Integer,
    Nullable<Bool>,
    Nullable<Text>,
    Nullable<Timestamp>,
    Nullable<Text>,
    Nullable<Bool>,
    Nullable<Text>,
    Nullable<Timestamp>,
    Nullable<Text>,
    Nullable<Text>,
);

/// The facts of these pairs, where there are any, in ascending order of the pairs. The caller holds the learners' rows.
pub fn read(tx: &mut Tx<'_>, pairs: &[Pair]) -> Result<Vec<(Pair, CourseFacts)>, StoreError> {
    if pairs.is_empty() {
        return Ok(Vec::new());
    }
    let rows: Vec<Row> = Statement::<RowType>::new(
        "/* facts::read */ SELECT f.learner_id, f.course_id, f.enrolled, f.enrolled_mode, f.enrolled_at, \
         f.enrolled_event, f.passed, f.passed_mode, f.passed_at, f.passed_event, f.evidence_url FROM",
        vec![
            (
                "learner_id",
                Column::BigInts(pairs.iter().map(|pair| pair.0.0).collect()),
            ),
            (
                "course_id",
                Column::Integers(pairs.iter().map(|pair| Some(pair.1.0)).collect()),
            ),
        ],
        "CROSS JOIN learner_course f WHERE f.learner_id = x.learner_id AND f.course_id = x.course_id",
    )
    .load(tx)?;
    let mut facts: Vec<(Pair, CourseFacts)> = rows.into_iter().map(facts).collect();
    facts.sort_unstable_by_key(|(pair, _)| *pair);
    Ok(facts)
}

/// What a batch brings, in ascending order each.
#[derive(Debug, Default)]
pub struct Changes<'a> {
    /// Learners who had no row.
    pub new_learners: Vec<&'a Learner>,
    /// Facts of pairs that had none.
    pub new: Vec<(Pair, &'a CourseFacts)>,
    /// Facts of pairs that had some.
    pub changed: Vec<(Pair, &'a CourseFacts)>,
    /// Learners of whom something is known that was not.
    pub changed_learners: Vec<&'a Learner>,
}

/// Writes what a batch brings. The caller holds the rows of the learners that there are, and found nothing of the new
/// pairs while it did: nobody else can have written them.
///
/// Waits for other transactions that are making one of the new learners, and is [`StoreError::Contention`] when these
/// did: what was decided on nothing must be decided again.
pub fn write(tx: &mut Tx<'_>, changes: &Changes<'_>) -> Result<(), StoreError> {
    let Changes {
        new_learners,
        new,
        changed,
        changed_learners,
    } = changes;
    match tx.conn {
        AnyConnection::Postgres(conn) => {
            let mut parts = Vec::new();
            if !new_learners.is_empty() {
                parts.push(("l", learners::inserting(new_learners).on_postgres(" RETURNING 1")));
            }
            if !new.is_empty() {
                let facts = inserting(new);
                // Where others made a learner there may be facts as well.
                let facts = match new_learners.len() {
                    0 => facts,
                    made => facts.compared("WHERE (SELECT count(*) FROM l) = ", made),
                };
                parts.push(("n", facts));
            }
            if !changed.is_empty() {
                parts.push(("c", updating(changed)));
            }
            if !changed_learners.is_empty() {
                parts.push(("u", learners::updating(changed_learners)));
            }
            if parts.is_empty() {
                return Ok(());
            }
            let last = match new_learners.is_empty() {
                true => "SELECT 0::bigint",
                false => "SELECT count(*) FROM l",
            };
            let made: Vec<i64> = Compound::new(parts, Number(last)).load(conn)?;
            match made.first().map(|made| usize::try_from(*made)) == Some(Ok(new_learners.len())) {
                true => Ok(()),
                false => Err(learners::MADE_BY_OTHERS),
            }
        }
        AnyConnection::Sqlite(_) => {
            learners::insert(tx, new_learners)?;
            if !new.is_empty() {
                inserting(new).execute(tx)?;
            }
            if !changed.is_empty() {
                updating(changed).execute(tx)?;
            }
            learners::update(tx, changed_learners)
        }
    }
}

fn inserting<'a>(facts: &[(Pair, &'a CourseFacts)]) -> Statement<'a> {
    // Without `ON CONFLICT`, which costs half as much again.
    Statement::new(
        "/* facts::insert */ INSERT INTO learner_course (learner_id, course_id, enrolled, enrolled_mode, enrolled_at, \
         enrolled_event, passed, passed_mode, passed_at, passed_event, evidence_url) SELECT x.* FROM",
        columns(facts),
        "",
    )
}

fn updating<'a>(facts: &[(Pair, &'a CourseFacts)]) -> Statement<'a> {
    Statement::new(
        "/* facts::update */ UPDATE learner_course SET enrolled = x.enrolled, enrolled_mode = x.enrolled_mode, \
         enrolled_at = x.enrolled_at, enrolled_event = x.enrolled_event, passed = x.passed, \
         passed_mode = x.passed_mode, passed_at = x.passed_at, passed_event = x.passed_event, \
         evidence_url = x.evidence_url FROM",
        columns(facts),
        "WHERE learner_course.learner_id = x.learner_id AND learner_course.course_id = x.course_id",
    )
}

fn columns<'a>(facts: &[(Pair, &'a CourseFacts)]) -> Vec<(&'static str, Column<'a>)> {
    let enrolled = || facts.iter().map(|(_, facts)| facts.enrollment.as_ref());
    let passed = || facts.iter().map(|(_, facts)| facts.certificate.as_ref());
    let time = |stamp: &Stamp| stamp.time.naive_utc();
    vec![
        (
            "learner_id",
            Column::BigInts(facts.iter().map(|(pair, _)| pair.0.0).collect()),
        ),
        (
            "course_id",
            Column::Integers(facts.iter().map(|(pair, _)| Some(pair.1.0)).collect()),
        ),
        (
            "enrolled",
            Column::Bools(enrolled().map(|e| e.map(|e| e.active)).collect()),
        ),
        (
            "enrolled_mode",
            Column::Texts(enrolled().map(|e| e.map(|e| e.mode.as_str())).collect()),
        ),
        (
            "enrolled_at",
            Column::Times(enrolled().map(|e| e.map(|e| time(&e.stamp))).collect()),
        ),
        (
            "enrolled_event",
            Column::Texts(enrolled().map(|e| e.map(|e| e.stamp.event_id.as_str())).collect()),
        ),
        ("passed", Column::Bools(passed().map(|p| p.map(|p| p.passed)).collect())),
        (
            "passed_mode",
            Column::Texts(passed().map(|p| p.map(|p| p.mode.as_str())).collect()),
        ),
        (
            "passed_at",
            Column::Times(passed().map(|p| p.map(|p| time(&p.stamp))).collect()),
        ),
        (
            "passed_event",
            Column::Texts(passed().map(|p| p.map(|p| p.stamp.event_id.as_str())).collect()),
        ),
        (
            "evidence_url",
            Column::Texts(passed().map(|p| p.and_then(|p| p.evidence_url.as_deref())).collect()),
        ),
    ]
}

/// Every course that these learners have passed.
pub fn passed_courses(
    tx: &mut Tx<'_>,
    learners: &[LearnerId],
) -> Result<HashMap<LearnerId, HashSet<CourseKey>>, StoreError> {
    if learners.is_empty() {
        return Ok(HashMap::new());
    }
    let rows: Vec<(i64, String)> = Statement::<(BigInt, Text)>::new(
        "/* facts::passed_courses */ SELECT f.learner_id, c.course_key FROM",
        vec![("learner_id", Column::BigInts(learners.iter().map(|l| l.0).collect()))],
        "CROSS JOIN learner_course f CROSS JOIN course c \
         WHERE f.learner_id = x.learner_id AND c.id = f.course_id AND f.passed",
    )
    .load(tx)?;
    let mut passed: HashMap<LearnerId, HashSet<CourseKey>> = HashMap::new();
    for (learner, key) in rows {
        let key = key
            .parse()
            .map_err(|_| StoreError::Corrupt(format!("course key {key:?}")))?;
        passed.entry(LearnerId(learner)).or_default().insert(key);
    }
    Ok(passed)
}

fn facts(row: Row) -> (Pair, CourseFacts) {
    let (learner, course, active, mode, at, event, passed, passed_mode, passed_at, passed_event, evidence_url) = row;
    let enrollment = active.zip(stamp(at, event)).map(|(active, stamp)| EnrollmentFact {
        active,
        mode: mode.unwrap_or_default(),
        stamp,
    });
    let certificate = passed
        .zip(stamp(passed_at, passed_event))
        .map(|(passed, stamp)| CertificateFact {
            passed,
            mode: passed_mode.unwrap_or_default(),
            evidence_url,
            stamp,
        });
    let facts = CourseFacts {
        enrollment,
        certificate,
    };
    ((LearnerId(learner), CourseId(course)), facts)
}
