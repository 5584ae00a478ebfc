//! What the audit log, and who saved the configurations, say of retired learners.

use diesel::{
    QueryableByName, RunQueryDsl, sql_query,
    sql_types::{BigInt, Text},
};
use serde::Serialize;
use serde_json::Value;

use super::People;
use crate::store::{StoreError, Tx, unfold};

#[derive(QueryableByName)]
struct EntryRow {
    #[diesel(sql_type = BigInt)]
    learner_id: i64,
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Text)]
    details: String,
}

#[derive(Serialize)]
struct ErasedEntry {
    id: i64,
    details: String,
}

#[derive(Serialize)]
struct NamedActor<'a> {
    name: &'a str,
    instead: String,
}

const ENTRY: &[(&str, &str)] = &[("id", "bigint"), ("details", "text")];
const ACTOR: &[(&str, &str)] = &[("name", "text"), ("instead", "text")];

/// The audit log names learners by id alone, but for what people wrote of awards and assertions.
pub(super) fn erase_entries(tx: &mut Tx<'_>, ids: &str, people: &People) -> Result<(), StoreError> {
    let rows: Vec<EntryRow> = sql_query(format!(
        "/* retirement::erase_entries */ SELECT t.learner_id, e.id, e.details FROM audit e JOIN \
         (SELECT learner_id, id FROM award UNION ALL SELECT learner_id, id FROM assertion) t ON t.id = e.target \
         WHERE t.learner_id IN {}",
        unfold::integers(tx.conn, "$1"),
    ))
    .bind::<Text, _>(ids)
    .load(tx.conn)?;
    let erased = rows.into_iter().filter_map(|row| {
        let person = people.get(&row.learner_id)?;
        let details = match serde_json::from_str::<Value>(&row.details) {
            Ok(mut details) => person.erased_from_json(&mut details).then(|| details.to_string())?,
            Err(_) => person.erased_from(&row.details)?,
        };
        Some(ErasedEntry { id: row.id, details })
    });
    let erased: Vec<ErasedEntry> = erased.collect();
    if erased.is_empty() {
        return Ok(());
    }
    sql_query(format!(
        "/* retirement::erase_entries */ UPDATE audit SET details = x.details FROM {} WHERE audit.id = x.id",
        unfold::rows(tx.conn, "$1", ENTRY),
    ))
    .bind::<Text, _>(unfold::json(&erased))
    .execute(tx.conn)?;
    Ok(())
}

/// Who changed something through the API was a user of the platform too, and goes by the id from now on.
pub(super) fn erase_actors(tx: &mut Tx<'_>, people: &People) -> Result<(), StoreError> {
    let named: Vec<NamedActor<'_>> = people
        .values()
        .flat_map(|person| {
            person.user_names().map(|name| NamedActor {
                name,
                instead: format!("learner {}", person.id.0),
            })
        })
        .collect();
    let named = unfold::json(&named);
    sql_query(format!(
        "/* retirement::erase_actors */ UPDATE event_badges_configuration SET changed_by = x.instead FROM {} \
         WHERE event_badges_configuration.changed_by = x.name AND EXISTS (SELECT 1 FROM audit \
         WHERE audit.actor = x.name AND audit.via = 'api' AND audit.action = 'event_badges.set' \
         AND audit.target = CAST(event_badges_configuration.id AS text))",
        unfold::rows(tx.conn, "$1", ACTOR),
    ))
    .bind::<Text, _>(&named)
    .execute(tx.conn)?;
    sql_query(format!(
        "/* retirement::erase_actors */ UPDATE audit SET actor = x.instead FROM {} \
         WHERE audit.actor = x.name AND audit.via = 'api'",
        unfold::rows(tx.conn, "$1", ACTOR),
    ))
    .bind::<Text, _>(&named)
    .execute(tx.conn)?;
    Ok(())
}
