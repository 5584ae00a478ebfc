//! Who changed what by hand, from the command line, the API or the admin pages.
//!
//! Written in the transaction of the change. Learners are named by their id alone. When one retires, what people wrote of
//! their badges is looked through, and whoever acted through the API under that user name goes by the id.

use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};
use diesel::{
    ExpressionMethods, QueryDsl, QueryableByName, RunQueryDsl, sql_query,
    sql_types::{BigInt, Text, Timestamp},
};
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
    /// Rows of Open edX's `badges` app were taken over.
    ImportOpenEdx,
}

impl Action {
    /// Every action.
    pub const ALL: [Self; 16] = [
        Self::SetEventBadges,
        Self::Backfill,
        Self::CreateBadgeClass,
        Self::ChangeBadgeClass,
        Self::SetCompletionImage,
        Self::DeleteCompletionImage,
        Self::ChangeCourse,
        Self::Award,
        Self::RetryAward,
        Self::CancelAward,
        Self::Revoke,
        Self::RetireLearner,
        Self::ReplayDeadLetter,
        Self::DropDeadLetter,
        Self::ResumeConsumers,
        Self::ImportOpenEdx,
    ];

    /// The action of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.as_str() == name)
    }

    /// What is expected where an action is named.
    pub fn expected() -> String {
        format!("expected one of: {}", Self::ALL.map(Self::as_str).join(", "))
    }

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
            Self::ImportOpenEdx => "openedx.import",
        }
    }
}

/// An entry of the log.
#[derive(Debug, Clone, PartialEq, Eq, QueryableByName)]
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

impl Entry {
    /// What else is worth knowing: an object.
    pub fn details(&self) -> Value {
        serde_json::from_str(&self.details).unwrap_or_else(|_| Value::String(self.details.clone()))
    }
}

/// Which entries are meant; what is `None` is any.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    /// Who.
    pub actor: Option<String>,
    /// What.
    pub action: Option<Action>,
    /// To what.
    pub target: Option<String>,
    /// Not before.
    pub since: Option<DateTime<Utc>>,
    /// Before.
    pub until: Option<DateTime<Utc>>,
}

#[derive(QueryableByName)]
struct CountRow {
    #[diesel(sql_type = BigInt)]
    count: i64,
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

/// A part of the whole log, newest first.
pub fn list(tx: &mut Tx<'_>, window: Window) -> Result<Vec<Entry>, StoreError> {
    find(tx, &Filter::default(), window)
}

/// An actor and a target may be any text: whether they are asked for is a parameter of its own.
const FILTER: &str = "WHERE ($1 = '' OR actor = $2) AND ($3 = '*' OR action = $3) AND ($4 = '' OR target = $5) \
     AND created_at >= $6 AND created_at < $7";

/// How many entries there are of those that are meant.
pub fn count_found(tx: &mut Tx<'_>, filter: &Filter) -> Result<i64, StoreError> {
    let (since, until) = filter.period();
    let row: CountRow = sql_query(format!(
        "/* audit::count_found */ SELECT COUNT(*) AS count FROM audit {FILTER}"
    ))
    .bind::<Text, _>(asked(filter.actor.as_ref()))
    .bind::<Text, _>(filter.actor.as_deref().unwrap_or_default())
    .bind::<Text, _>(filter.action.map_or("*", Action::as_str))
    .bind::<Text, _>(asked(filter.target.as_ref()))
    .bind::<Text, _>(filter.target.as_deref().unwrap_or_default())
    .bind::<Timestamp, _>(since)
    .bind::<Timestamp, _>(until)
    .get_result(tx.conn)?;
    Ok(row.count)
}

/// A part of those that are meant, newest first.
pub fn find(tx: &mut Tx<'_>, filter: &Filter, window: Window) -> Result<Vec<Entry>, StoreError> {
    let (since, until) = filter.period();
    Ok(sql_query(format!(
        "/* audit::find */ SELECT id, created_at, actor, via, action, target, details FROM audit {FILTER} \
         ORDER BY id DESC LIMIT $8 OFFSET $9"
    ))
    .bind::<Text, _>(asked(filter.actor.as_ref()))
    .bind::<Text, _>(filter.actor.as_deref().unwrap_or_default())
    .bind::<Text, _>(filter.action.map_or("*", Action::as_str))
    .bind::<Text, _>(asked(filter.target.as_ref()))
    .bind::<Text, _>(filter.target.as_deref().unwrap_or_default())
    .bind::<Timestamp, _>(since)
    .bind::<Timestamp, _>(until)
    .bind::<BigInt, _>(window.length)
    .bind::<BigInt, _>(window.start)
    .load(tx.conn)?)
}

fn asked(text: Option<&String>) -> &'static str {
    text.map_or("", |_| "asked")
}

impl Filter {
    /// From the first year to the last that both databases know.
    fn period(&self) -> (NaiveDateTime, NaiveDateTime) {
        let new_year = |year| {
            NaiveDate::from_ymd_opt(year, 1, 1)
                .map(NaiveDateTime::from)
                .unwrap_or_default()
        };
        (
            self.since.map_or_else(|| new_year(1), |time| time.naive_utc()),
            self.until.map_or_else(|| new_year(9999), |time| time.naive_utc()),
        )
    }
}

#[cfg(test)]
mod tests;
