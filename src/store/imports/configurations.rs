//! Configurations of the course event badges of Open edX: the history, and the one that holds.

use chrono::{DateTime, Utc};
use diesel::{ExpressionMethods, OptionalExtension, QueryDsl, RunQueryDsl};

use super::{Taken, audit_taken};
use crate::{
    domain::event_badges::{ConfigurationError, ConfigurationTexts},
    store::{StoreError, Tx, audit::Actor, event_badges, schema::event_badges_configuration as configuration},
};

/// A configuration that is to be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportedConfiguration {
    /// When it was saved.
    pub created: DateTime<Utc>,
    /// By whom.
    pub changed_by: String,
    /// What it says.
    pub texts: ConfigurationTexts,
}

/// Where the newest imported configuration stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Its row here.
    pub id: i32,
    /// It was activated just now.
    pub activated: bool,
    /// The one that is active.
    pub active: Option<i32>,
    /// Lines that cannot be used: there is no such badge class, or Open edX took what we do not.
    pub unusable: Vec<ConfigurationError>,
}

/// Takes the history, oldest first, none of it active.
pub fn take_configurations(
    tx: &mut Tx<'_>,
    imported: &[ImportedConfiguration],
    actor: &Actor,
) -> Result<Vec<Taken>, StoreError> {
    let mut taken = Vec::with_capacity(imported.len());
    for one in imported {
        let is_there = find(tx, one)?.is_some();
        if !is_there {
            diesel::insert_into(configuration::table)
                .values((
                    configuration::created_at.eq(one.created.naive_utc()),
                    configuration::changed_by.eq(&one.changed_by),
                    configuration::courses_enrolled.eq(&one.texts.courses_enrolled),
                    configuration::courses_completed.eq(&one.texts.courses_completed),
                    configuration::course_groups.eq(&one.texts.course_groups),
                    configuration::enabled.eq(false),
                ))
                .execute(tx.conn)?;
        }
        taken.push(if is_there { Taken::WasThere } else { Taken::New });
    }
    audit_taken(tx, actor, "badges.courseeventbadgesconfiguration", &taken)?;
    Ok(taken)
}

/// Where a taken configuration stands; `activate` makes it the active one, unless another is.
///
/// Its lines that cannot be used do not hinder: they are left out, as Open edX left out those whose badge class it did
/// not find.
pub fn stand(
    tx: &mut Tx<'_>,
    imported: &ImportedConfiguration,
    activate: bool,
    actor: &Actor,
) -> Result<Standing, StoreError> {
    let id = find(tx, imported)?.ok_or(StoreError::NotFound)?;
    let active = event_badges::active(tx)?.map(|active| active.id);
    let activated = activate && active.is_none();
    if activated {
        event_badges::activate(tx, id)?;
        let details = serde_json::json!({"activated": id});
        super::audit(tx, actor, "badges.courseeventbadgesconfiguration", details)?;
    }
    Ok(Standing {
        id,
        activated,
        active: if activated { Some(id) } else { active },
        unusable: event_badges::check(tx, &imported.texts)?.err().unwrap_or_default(),
    })
}

fn find(tx: &mut Tx<'_>, imported: &ImportedConfiguration) -> Result<Option<i32>, StoreError> {
    Ok(configuration::table
        .filter(configuration::created_at.eq(imported.created.naive_utc()))
        .filter(configuration::courses_enrolled.eq(&imported.texts.courses_enrolled))
        .filter(configuration::courses_completed.eq(&imported.texts.courses_completed))
        .filter(configuration::course_groups.eq(&imported.texts.course_groups))
        .order(configuration::id)
        .select(configuration::id)
        .first(tx.conn)
        .optional()?)
}
