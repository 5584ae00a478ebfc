//! Retirement: what is personal of a learner is erased wherever it is kept, and what is under way stops. Facts and
//! counts stay, and so does the row that tells later events that the learner is gone.
//!
//! Badges are revoked where they were issued: their public documents carry a salted hash of the e-mail address, which
//! anybody who has the address can recognize. Nothing names the learner any more from the commit on; what others hold,
//! Kafka and the badge backend, they erase in their own time.

mod letters;

use std::collections::HashMap;

use diesel::{
    QueryableByName, RunQueryDsl, sql_query,
    sql_types::{BigInt, Nullable, Text, Timestamp},
};
use serde::Serialize;
use serde_json::json;

pub(super) use self::letters::erased_on_arrival;
use super::{
    StoreError, Tx, api_reads,
    audit::{self, Action, Actor},
    learners, unfold,
};
use crate::{
    domain::LearnerId,
    wire::{badge_event, mentions::Person},
};

/// Why a retired learner's badge holds no more, as everybody may read.
pub const REASON: &str = "The learner's account was retired.";
/// The state reason of awards that a retirement stopped, and of those in flight that it stops when they come back.
pub(super) const RETIRED: &str = "retired";

/// Learners who retire, by id.
type People = HashMap<i64, Person>;

#[derive(QueryableByName)]
struct RecipientRow {
    #[diesel(sql_type = BigInt)]
    learner_id: i64,
    #[diesel(sql_type = Nullable<Text>)]
    recipient: Option<String>,
}

#[derive(QueryableByName)]
struct EventRow {
    #[diesel(sql_type = BigInt)]
    learner_id: i64,
    #[diesel(sql_type = BigInt)]
    seq: i64,
    #[diesel(sql_type = Text)]
    payload: String,
}

#[derive(Serialize)]
struct ErasedEvent {
    learner_id: i64,
    seq: i64,
    payload: String,
}

#[derive(QueryableByName, Serialize)]
struct AssertionRow {
    #[diesel(sql_type = BigInt)]
    learner_id: i64,
    #[diesel(sql_type = Text)]
    award_id: String,
    #[diesel(sql_type = Text)]
    image_url: String,
    #[diesel(sql_type = Text)]
    assertion_url: String,
    #[diesel(sql_type = Nullable<Text>)]
    revocation_reason: Option<String>,
}

#[derive(QueryableByName, Serialize)]
struct RevocationRow {
    #[diesel(sql_type = BigInt)]
    learner_id: i64,
    #[diesel(sql_type = Text)]
    award_id: String,
    #[diesel(sql_type = Text)]
    reason: String,
}

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

const EVENT: &[(&str, &str)] = &[("learner_id", "bigint"), ("seq", "bigint"), ("payload", "text")];
const ASSERTION: &[(&str, &str)] = &[
    ("learner_id", "bigint"),
    ("award_id", "text"),
    ("image_url", "text"),
    ("assertion_url", "text"),
    ("revocation_reason", "text"),
];
const REVOCATION: &[(&str, &str)] = &[("learner_id", "bigint"), ("award_id", "text"), ("reason", "text")];
const ENTRY: &[(&str, &str)] = &[("id", "bigint"), ("details", "text")];
const ACTOR: &[(&str, &str)] = &[("name", "text"), ("instead", "text")];

/// Retires the learner of this username and says who it was; `None` if there is none. The same as `learner.retired`,
/// and an entry in the audit log.
pub fn retire(tx: &mut Tx<'_>, username: &str, actor: &Actor) -> Result<Option<LearnerId>, StoreError> {
    let Some(id) = api_reads::learner_by_username(tx, username)? else {
        return Ok(None);
    };
    let now = tx.now_utc()?;
    let mut held = learners::hold(tx, &[id])?;
    // Somebody may have been faster.
    let Some(learner) = held
        .iter_mut()
        .find(|held| held.username.value.as_deref() == Some(username))
    else {
        return Ok(None);
    };
    let person = learner.person();
    learner.retire(now);
    learners::update(tx, &[learner])?;
    erase(tx, std::slice::from_ref(&person))?;
    audit::record(tx, actor, Action::RetireLearner, &id.0.to_string(), &json!({}))?;
    Ok(Some(id))
}

/// Keeps dead letters out until the end of the transaction, if anybody retires in it. To be called before it keeps such
/// itself.
pub fn fence(tx: &mut Tx<'_>, retired: &[Person]) -> Result<(), StoreError> {
    match retired {
        [] => Ok(()),
        _ => letters::fence_exclusive(tx),
    }
}

/// Erases all that is kept of these learners but their own rows, cancels their awards, and has their badges revoked. What
/// a worker has in flight comes back without a name, or is cancelled then.
///
/// The caller holds their rows and has written in them that they are retired.
pub fn erase(tx: &mut Tx<'_>, retired: &[Person]) -> Result<(), StoreError> {
    if retired.is_empty() {
        return Ok(());
    }
    let mut people: People = retired.iter().map(|person| (person.id.0, person.clone())).collect();
    let ids: Vec<i64> = people.keys().copied().collect();
    let ids = unfold::json(&ids);
    let events = known_from_awards(tx, &ids, &mut people)?;
    // In the order in which an event is marked as published.
    erase_events(tx, events, &people)?;
    stop_awards(tx, &ids)?;
    erase_evidence(tx, &ids)?;
    erase_assertions(tx, &ids, &people)?;
    erase_revocations(tx, &ids, &people)?;
    revoke_assertions(tx, &ids)?;
    erase_entries(tx, &ids, &people)?;
    erase_actors(tx, &people)?;
    letters::erase(tx, &people)
}

/// Has every badge of these learners (a JSON array of ids) revoked that holds.
pub(super) fn revoke_assertions(tx: &mut Tx<'_>, ids: &str) -> Result<(), StoreError> {
    let now = tx.now()?;
    sql_query(format!(
        "/* retirement::revoke_assertions */ INSERT INTO revocation \
         (learner_id, award_id, reason, created_at, next_attempt_at) \
         SELECT learner_id, award_id, $1, $2, $2 FROM assertion WHERE revoked_at IS NULL AND learner_id IN {} \
         ON CONFLICT (learner_id, award_id) DO NOTHING",
        unfold::integers(tx.conn, "$3"),
    ))
    .bind::<Text, _>(REASON)
    .bind::<Timestamp, _>(now)
    .bind::<Text, _>(ids)
    .execute(tx.conn)?;
    Ok(())
}

/// Learns from awards and outgoing events by what names and addresses the learners went before; returns the events.
fn known_from_awards(tx: &mut Tx<'_>, ids: &str, people: &mut People) -> Result<Vec<EventRow>, StoreError> {
    let recipients: Vec<RecipientRow> = sql_query(format!(
        "/* retirement::known_from_awards */ SELECT DISTINCT learner_id, recipient FROM award WHERE learner_id IN {}",
        unfold::integers(tx.conn, "$1"),
    ))
    .bind::<Text, _>(ids)
    .load(tx.conn)?;
    for row in recipients {
        if let Some(person) = people.get_mut(&row.learner_id) {
            person.add_address(row.recipient.as_deref());
        }
    }
    let events: Vec<EventRow> = sql_query(format!(
        "/* retirement::known_from_awards */ SELECT learner_id, seq, payload FROM outbox WHERE learner_id IN {}",
        unfold::integers(tx.conn, "$1"),
    ))
    .bind::<Text, _>(ids)
    .load(tx.conn)?;
    for row in &events {
        if let Some(person) = people.get_mut(&row.learner_id) {
            person.add_name(badge_event::username_in(&row.payload).as_deref());
        }
    }
    Ok(events)
}

fn stop_awards(tx: &mut Tx<'_>, ids: &str) -> Result<(), StoreError> {
    let now = tx.now()?;
    sql_query(format!(
        "/* retirement::stop_awards */ UPDATE award SET recipient = NULL, last_error = NULL, evidence_url = NULL, \
         idempotency_key = CASE WHEN idempotency_key = '' THEN '' ELSE id END, \
         state_reason = CASE WHEN state IN ('issued', 'published', 'cancelled') THEN state_reason ELSE $1 END, \
         state = CASE WHEN state IN ('issued', 'published', 'issuing') THEN state ELSE 'cancelled' END, \
         updated_at = $2 WHERE learner_id IN {}",
        unfold::integers(tx.conn, "$3"),
    ))
    .bind::<Text, _>(RETIRED)
    .bind::<Timestamp, _>(now)
    .bind::<Text, _>(ids)
    .execute(tx.conn)?;
    Ok(())
}

fn erase_evidence(tx: &mut Tx<'_>, ids: &str) -> Result<(), StoreError> {
    sql_query(format!(
        "/* retirement::erase_evidence */ UPDATE learner_course SET evidence_url = NULL WHERE learner_id IN {} \
         AND evidence_url IS NOT NULL",
        unfold::integers(tx.conn, "$1"),
    ))
    .bind::<Text, _>(ids)
    .execute(tx.conn)?;
    Ok(())
}

fn erase_assertions(tx: &mut Tx<'_>, ids: &str, people: &People) -> Result<(), StoreError> {
    let mut rows: Vec<AssertionRow> = sql_query(format!(
        "/* retirement::erase_assertions */ SELECT learner_id, award_id, image_url, assertion_url, revocation_reason \
         FROM assertion WHERE learner_id IN {}",
        unfold::integers(tx.conn, "$1"),
    ))
    .bind::<Text, _>(ids)
    .load(tx.conn)?;
    for row in &mut rows {
        let texts = [&mut row.image_url, &mut row.assertion_url];
        for text in texts.into_iter().chain(&mut row.revocation_reason) {
            erase_text(people, row.learner_id, text);
        }
    }
    sql_query(format!(
        "/* retirement::erase_assertions */ UPDATE assertion SET data = '{{}}', evidence_url = NULL, \
         recipient_salt = NULL, recipient_hash = NULL, image_url = x.image_url, assertion_url = x.assertion_url, \
         revocation_reason = x.revocation_reason FROM {} \
         WHERE assertion.learner_id = x.learner_id AND assertion.award_id = x.award_id",
        unfold::rows(tx.conn, "$1", ASSERTION),
    ))
    .bind::<Text, _>(unfold::json(&rows))
    .execute(tx.conn)?;
    Ok(())
}

/// Those that are still to be sent go out without a name: who counts awards must not miss one.
fn erase_events(tx: &mut Tx<'_>, events: Vec<EventRow>, people: &People) -> Result<(), StoreError> {
    let erased = events.into_iter().filter_map(|row| {
        let person = people.get(&row.learner_id)?;
        Some(ErasedEvent {
            learner_id: row.learner_id,
            seq: row.seq,
            payload: badge_event::without_person(&row.payload, person),
        })
    });
    let erased: Vec<ErasedEvent> = erased.collect();
    sql_query(format!(
        "/* retirement::erase_events */ UPDATE outbox SET payload = x.payload FROM {} \
         WHERE outbox.learner_id = x.learner_id AND outbox.seq = x.seq",
        unfold::rows(tx.conn, "$1", EVENT),
    ))
    .bind::<Text, _>(unfold::json(&erased))
    .execute(tx.conn)?;
    Ok(())
}

/// What people wrote of revocations that are under way.
fn erase_revocations(tx: &mut Tx<'_>, ids: &str, people: &People) -> Result<(), StoreError> {
    let mut rows: Vec<RevocationRow> = sql_query(format!(
        "/* retirement::erase_revocations */ SELECT learner_id, award_id, reason FROM revocation WHERE learner_id IN {}",
        unfold::integers(tx.conn, "$1"),
    ))
    .bind::<Text, _>(ids)
    .load(tx.conn)?;
    for row in &mut rows {
        erase_text(people, row.learner_id, &mut row.reason);
    }
    sql_query(format!(
        "/* retirement::erase_revocations */ UPDATE revocation SET reason = x.reason, last_error = NULL, \
         by_loss = false FROM {} WHERE revocation.learner_id = x.learner_id AND revocation.award_id = x.award_id",
        unfold::rows(tx.conn, "$1", REVOCATION),
    ))
    .bind::<Text, _>(unfold::json(&rows))
    .execute(tx.conn)?;
    Ok(())
}

/// The audit log names learners by id alone, but for what people wrote of awards and assertions.
fn erase_entries(tx: &mut Tx<'_>, ids: &str, people: &People) -> Result<(), StoreError> {
    let rows: Vec<EntryRow> = sql_query(format!(
        "/* retirement::erase_entries */ SELECT t.learner_id, e.id, e.details FROM audit e JOIN \
         (SELECT learner_id, id FROM award UNION ALL SELECT learner_id, id FROM assertion) t ON t.id = e.target \
         WHERE t.learner_id IN {}",
        unfold::integers(tx.conn, "$1"),
    ))
    .bind::<Text, _>(ids)
    .load(tx.conn)?;
    let erased = rows.into_iter().filter_map(|row| {
        let details = people.get(&row.learner_id)?.erased_from(&row.details)?;
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
fn erase_actors(tx: &mut Tx<'_>, people: &People) -> Result<(), StoreError> {
    let named: Vec<NamedActor<'_>> = people
        .values()
        .flat_map(|person| {
            person.names().map(|name| NamedActor {
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

fn erase_text(people: &People, learner: i64, text: &mut String) {
    if let Some(erased) = people.get(&learner).and_then(|person| person.erased_from(text)) {
        *text = erased;
    }
}
