//! Who changed what by hand, from the command line, the API or the admin pages.
//!
//! Written in the transaction of the change. Learners are named by their id alone: when one retires, nothing here is to
//! be erased.

use chrono::NaiveDateTime;
use diesel::{ExpressionMethods, QueryDsl, Queryable, RunQueryDsl, Selectable, SelectableHelper};
use serde_json::Value;

use super::{StoreError, Tx, api_reads::Window, schema::audit};

/// Who changes something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// The user name of a token or of the operating system.
    pub name: String,
    /// Through what.
    pub via: Via,
}

/// Through what something is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Via {
    /// A command.
    CommandLine,
    /// The HTTP API.
    Api,
}

impl Via {
    /// Its name in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CommandLine => "command line",
            Self::Api => "api",
        }
    }
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// A configuration was added, and perhaps activated.
    SetEventBadges,
    /// Every learner is evaluated.
    Backfill,
    /// A badge class was created.
    CreateBadgeClass,
    /// A badge class was changed.
    ChangeBadgeClass,
    /// A completion image was set.
    SetCompletionImage,
    /// A completion image was deleted.
    DeleteCompletionImage,
    /// A course was changed.
    ChangeCourse,
    /// A badge was awarded by hand.
    Award,
    /// An award is tried again.
    RetryAward,
    /// An award was withdrawn before it was issued.
    CancelAward,
    /// An assertion was revoked.
    Revoke,
    /// A learner was retired.
    RetireLearner,
    /// A dead letter was replayed.
    ReplayDeadLetter,
    /// A dead letter was dropped.
    DropDeadLetter,
    /// Consumers that had stopped before a flood go on.
    ResumeConsumers,
}

impl Action {
    /// Its name in the database and in lists.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SetEventBadges => "event_badges.set",
            Self::Backfill => "event_badges.backfill",
            Self::CreateBadgeClass => "badge_class.create",
            Self::ChangeBadgeClass => "badge_class.change",
            Self::SetCompletionImage => "completion_image.set",
            Self::DeleteCompletionImage => "completion_image.delete",
            Self::ChangeCourse => "course.change",
            Self::Award => "award.request",
            Self::RetryAward => "award.retry",
            Self::CancelAward => "award.cancel",
            Self::Revoke => "assertion.revoke",
            Self::RetireLearner => "learner.retire",
            Self::ReplayDeadLetter => "dead_letter.replay",
            Self::DropDeadLetter => "dead_letter.drop",
            Self::ResumeConsumers => "consumers.resume",
        }
    }
}

/// An entry of the log.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = audit)]
pub struct Entry {
    /// Its row.
    pub id: i64,
    /// When, UTC.
    pub created_at: NaiveDateTime,
    /// Who.
    pub actor: String,
    /// Through what, a [`Via`].
    pub via: String,
    /// What, an [`Action`].
    pub action: String,
    /// To what: an id, a slug, a key.
    pub target: String,
    /// What else is worth knowing, as JSON.
    pub details: String,
}

/// Keeps that this was done.
pub fn record(tx: &mut Tx<'_>, actor: &Actor, action: Action, target: &str, details: &Value) -> Result<(), StoreError> {
    let now = tx.now()?;
    diesel::insert_into(audit::table)
        .values((
            audit::created_at.eq(now),
            audit::actor.eq(&actor.name),
            audit::via.eq(actor.via.as_str()),
            audit::action.eq(action.as_str()),
            audit::target.eq(target),
            audit::details.eq(details.to_string()),
        ))
        .execute(tx.conn)?;
    Ok(())
}

/// How many entries there are.
pub fn count(tx: &mut Tx<'_>) -> Result<i64, StoreError> {
    Ok(audit::table.count().get_result(tx.conn)?)
}

/// A part of the log, newest first.
pub fn list(tx: &mut Tx<'_>, window: Window) -> Result<Vec<Entry>, StoreError> {
    Ok(audit::table
        .order(audit::id.desc())
        .offset(window.start)
        .limit(window.length)
        .select(Entry::as_select())
        .load(tx.conn)?)
}

#[cfg(test)]
mod tests {
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
                (entries[1].via.as_str(), entries[1].details.as_str()),
                ("api", r#"{"slug":"three"}"#)
            );
        }
    }
}
