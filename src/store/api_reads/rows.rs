//! The rows of these reads, and the columns that they are made of.

use chrono::NaiveDateTime;
use diesel::{
    QueryableByName,
    sql_types::{BigInt, Integer, Nullable, Text, Timestamp},
};

use super::{ListedAssertion, ListedAward, PublicAssertion};
use crate::{
    domain::{
        LearnerId,
        badge_class::{BadgeClass, BadgeClassId, BadgeClassKey},
    },
    store::retirement,
};

/// The columns of [`BadgeClassRow`], from `badge_class b`.
macro_rules! badge_class_columns {
    () => {
        "b.id AS badge_class_id, b.slug, b.issuing_component, b.course_id, b.mode, b.display_name, b.description, \
         b.criteria, b.backend AS made_at, b.backend_id, b.backend_image_url, b.public_id"
    };
}
pub(super) use badge_class_columns;

/// The further columns of [`AssertionRow`], and the tables that it is read from.
macro_rules! assertion_columns {
    () => {
        "a.id AS assertion_id, a.backend, a.assertion_url, a.image_url, a.evidence_url, a.recipient_salt, \
         a.recipient_hash, a.created_at, a.revoked_at, a.revocation_reason, l.username, l.retired_at, c.display_name AS course_name \
         FROM assertion a JOIN badge_class b ON b.id = a.badge_class_id \
         LEFT JOIN learner l ON l.learner_id = a.learner_id LEFT JOIN course c ON c.course_key = b.course_id"
    };
}
pub(super) use assertion_columns;

/// The further columns of [`AwardRow`], and the tables that it is read from.
macro_rules! award_columns {
    () => {
        ", w.id AS award_id, w.state, CASE WHEN EXISTS (SELECT 1 FROM outbox o WHERE o.learner_id = w.learner_id \
         AND o.award_id = w.id AND o.published_at IS NULL AND o.parked_reason IS NOT NULL) THEN 'event_refused' \
         ELSE w.state_reason END AS state_reason, w.rule, w.learner_id, l.username, w.attempts, w.last_error, \
         w.next_attempt_at, w.created_at \
         FROM award w JOIN badge_class b ON b.id = w.badge_class_id LEFT JOIN learner l ON l.learner_id = w.learner_id "
    };
}
pub(super) use award_columns;

#[derive(QueryableByName)]
pub(super) struct AwardRow {
    #[diesel(embed)]
    badge_class: BadgeClassRow,
    #[diesel(sql_type = Text)]
    award_id: String,
    #[diesel(sql_type = Text)]
    state: String,
    #[diesel(sql_type = Nullable<Text>)]
    state_reason: Option<String>,
    #[diesel(sql_type = Text)]
    rule: String,
    #[diesel(sql_type = BigInt)]
    learner_id: i64,
    #[diesel(sql_type = Nullable<Text>)]
    username: Option<String>,
    #[diesel(sql_type = Integer)]
    attempts: i32,
    #[diesel(sql_type = Nullable<Text>)]
    last_error: Option<String>,
    #[diesel(sql_type = Timestamp)]
    next_attempt_at: NaiveDateTime,
    #[diesel(sql_type = Timestamp)]
    created_at: NaiveDateTime,
}

impl From<AwardRow> for ListedAward {
    fn from(row: AwardRow) -> Self {
        Self {
            id: row.award_id,
            state: row.state,
            state_reason: row.state_reason,
            rule: row.rule,
            learner: LearnerId(row.learner_id),
            username: row.username.unwrap_or_default(),
            badge_class: row.badge_class.into(),
            attempts: row.attempts,
            last_error: row.last_error,
            next_attempt_at: row.next_attempt_at.and_utc(),
            created: row.created_at.and_utc(),
        }
    }
}

#[derive(QueryableByName)]
pub(super) struct ListedAssertionRow {
    #[diesel(embed)]
    badge_class: BadgeClassRow,
    #[diesel(sql_type = Text)]
    image_url: String,
    #[diesel(sql_type = Text)]
    assertion_url: String,
    #[diesel(sql_type = Timestamp)]
    created_at: NaiveDateTime,
}

impl From<ListedAssertionRow> for ListedAssertion {
    fn from(row: ListedAssertionRow) -> Self {
        Self {
            badge_class: row.badge_class.into(),
            image_url: row.image_url,
            assertion_url: row.assertion_url,
            created: row.created_at.and_utc(),
        }
    }
}

#[derive(QueryableByName)]
pub(super) struct Count {
    #[diesel(sql_type = BigInt)]
    pub(super) count: i64,
}

#[derive(QueryableByName)]
pub(super) struct BadgeClassRow {
    #[diesel(sql_type = Integer)]
    pub(super) badge_class_id: i32,
    #[diesel(sql_type = Text)]
    pub(super) slug: String,
    #[diesel(sql_type = Text)]
    pub(super) issuing_component: String,
    #[diesel(sql_type = Text)]
    pub(super) course_id: String,
    #[diesel(sql_type = Text)]
    pub(super) mode: String,
    #[diesel(sql_type = Text)]
    pub(super) display_name: String,
    #[diesel(sql_type = Text)]
    pub(super) description: String,
    #[diesel(sql_type = Text)]
    pub(super) criteria: String,
    #[diesel(sql_type = Nullable<Text>)]
    pub(super) made_at: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub(super) backend_id: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub(super) backend_image_url: Option<String>,
    #[diesel(sql_type = Text)]
    pub(super) public_id: String,
}

impl From<BadgeClassRow> for BadgeClass {
    fn from(row: BadgeClassRow) -> Self {
        Self {
            id: BadgeClassId(row.badge_class_id),
            key: BadgeClassKey {
                slug: row.slug,
                issuing_component: row.issuing_component,
                course_id: row.course_id,
            },
            mode: row.mode,
            display_name: row.display_name,
            description: row.description,
            criteria: row.criteria,
            backend: row.made_at,
            backend_id: row.backend_id,
            backend_image_url: row.backend_image_url,
            public_id: row.public_id,
        }
    }
}

#[derive(QueryableByName)]
pub(super) struct AssertionRow {
    #[diesel(embed)]
    pub(super) badge_class: BadgeClassRow,
    #[diesel(sql_type = Text)]
    pub(super) assertion_id: String,
    #[diesel(sql_type = Text)]
    pub(super) backend: String,
    #[diesel(sql_type = Text)]
    pub(super) assertion_url: String,
    #[diesel(sql_type = Text)]
    pub(super) image_url: String,
    #[diesel(sql_type = Nullable<Text>)]
    pub(super) evidence_url: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub(super) recipient_salt: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub(super) recipient_hash: Option<String>,
    #[diesel(sql_type = Timestamp)]
    pub(super) created_at: NaiveDateTime,
    #[diesel(sql_type = Nullable<Timestamp>)]
    pub(super) revoked_at: Option<NaiveDateTime>,
    #[diesel(sql_type = Nullable<Text>)]
    pub(super) revocation_reason: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub(super) username: Option<String>,
    #[diesel(sql_type = Nullable<Timestamp>)]
    pub(super) retired_at: Option<NaiveDateTime>,
    #[diesel(sql_type = Nullable<Text>)]
    pub(super) course_name: Option<String>,
}

impl From<AssertionRow> for PublicAssertion {
    fn from(row: AssertionRow) -> Self {
        let revoked = row.revoked_at.map(|at| (at, row.revocation_reason.unwrap_or_default()));
        // It is on its way to be revoked; until then nothing shows whose it was.
        let retired = row.retired_at.map(|at| (at, retirement::REASON.to_owned()));
        Self {
            id: row.assertion_id,
            backend: row.backend,
            assertion_url: row.assertion_url,
            image_url: row.image_url,
            evidence_url: row.evidence_url,
            recipient: row.recipient_salt.zip(row.recipient_hash),
            created: row.created_at.and_utc(),
            revoked: revoked.or(retired).map(|(at, reason)| (at.and_utc(), reason)),
            username: row.username.unwrap_or_default(),
            badge_class: row.badge_class.into(),
            course_name: row.course_name.filter(|name| !name.is_empty()),
        }
    }
}
