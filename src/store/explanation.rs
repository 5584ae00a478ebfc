//! All that bears on whether a learner has a badge, for people who ask why.

use chrono::NaiveDateTime;
use diesel::{ExpressionMethods, JoinOnDsl, QueryDsl, QueryableByName, RunQueryDsl, sql_query, sql_types::Text};

use super::{
    StoreError, Tx,
    api_reads::{self, ListedAward},
    assertions::{self, Assertion},
    awards, badge_classes,
    badge_classes::BadgeClassFilter,
    progress::{self, RuleProgress},
    schema::{course, learner, learner_course},
};
use crate::domain::{LearnerId, badge_class::BadgeClass};

/// What is known of a learner and a badge.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    /// Who.
    pub learner: LearnerId,
    /// Whether an e-mail address is known; it is not told.
    pub has_email: bool,
    /// Courses with an active enrolment.
    pub enrolled: i32,
    /// Courses passed.
    pub completed: i32,
    /// Every course that an event told of, by its key.
    pub facts: Vec<CourseFact>,
    /// The badge classes of the slug, each with what concerns it.
    pub badges: Vec<ExplainedBadge>,
}

/// What is known of a learner in a course.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CourseFact {
    /// The course.
    pub course: String,
    /// Whether enrolled, and since which event's time, UTC.
    pub enrolled: Option<(bool, Option<NaiveDateTime>)>,
    /// Whether passed, and since which event's time, UTC.
    pub passed: Option<(bool, Option<NaiveDateTime>)>,
}

/// A badge class and where its awards stand.
#[derive(Debug, Clone, PartialEq)]
pub struct ExplainedBadge {
    /// The badge class.
    pub badge_class: BadgeClass,
    /// How far its rule in the active configuration is met; `None` when there is no such rule.
    pub rule: Option<RuleProgress>,
    /// The learner's awards of it, each with its assertion.
    pub awards: Vec<(ListedAward, Option<Assertion>)>,
}

#[derive(QueryableByName)]
struct Id {
    #[diesel(sql_type = Text)]
    idempotency_key: String,
}

type FactRow = (
    String,
    Option<bool>,
    Option<NaiveDateTime>,
    Option<bool>,
    Option<NaiveDateTime>,
);

/// What is known of this learner and of the badges of this slug. Nobody is named but by what was asked for.
pub fn explain(tx: &mut Tx<'_>, id: LearnerId, slug: &str) -> Result<Explanation, StoreError> {
    let (email, enrolled, completed): (Option<String>, i32, i32) = learner::table
        .find(id.0)
        .select((learner::email, learner::enrolled, learner::completed))
        .first(tx.conn)?;
    let facts: Vec<FactRow> = learner_course::table
        .inner_join(course::table.on(course::id.eq(learner_course::course_id)))
        .filter(learner_course::learner_id.eq(id.0))
        .order(course::course_key)
        .select((
            course::course_key,
            learner_course::enrolled,
            learner_course::enrolled_at,
            learner_course::passed,
            learner_course::passed_at,
        ))
        .load(tx.conn)?;
    let rules = progress::of_learner(tx, id)?;
    let filter = BadgeClassFilter {
        slug: Some(slug.to_owned()),
        ..BadgeClassFilter::default()
    };
    let everything = api_reads::Window { start: 0, length: 1000 };
    let mut badges = Vec::new();
    for badge_class in badge_classes::page(tx, &filter, everything)? {
        badges.push(ExplainedBadge {
            rule: rules.iter().find(|rule| rule.badge_class.id == badge_class.id).cloned(),
            awards: awards_of(tx, id, &badge_class)?,
            badge_class,
        });
    }
    Ok(Explanation {
        learner: id,
        has_email: email.is_some_and(|email| !email.is_empty()),
        enrolled,
        completed,
        facts: facts.into_iter().map(fact).collect(),
        badges,
    })
}

fn fact((course, enrolled, enrolled_at, passed, passed_at): FactRow) -> CourseFact {
    CourseFact {
        course,
        enrolled: enrolled.map(|is| (is, enrolled_at)),
        passed: passed.map(|is| (is, passed_at)),
    }
}

fn awards_of(
    tx: &mut Tx<'_>,
    learner: LearnerId,
    badge_class: &BadgeClass,
) -> Result<Vec<(ListedAward, Option<Assertion>)>, StoreError> {
    let keys: Vec<Id> = sql_query(
        "/* explanation::awards_of */ SELECT idempotency_key FROM award WHERE learner_id = $1 AND badge_class_id = $2 \
         ORDER BY created_at, id",
    )
    .bind::<diesel::sql_types::BigInt, _>(learner.0)
    .bind::<diesel::sql_types::Integer, _>(badge_class.id.0)
    .load(tx.conn)?;
    let mut all = Vec::new();
    for key in keys {
        if let Some(award) = api_reads::award_of(tx, learner, badge_class.id, &key.idempotency_key)? {
            let assertion = assertions::of_award(tx, learner, awards::award_id(&award.id)?)?;
            all.push((award, assertion));
        }
    }
    Ok(all)
}
