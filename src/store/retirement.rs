//! Retirement: what is personal of a learner is erased wherever it is kept, and what is under way stops. Facts and
//! counts stay, and so does the row that tells later events that the learner is gone.
//!
//! Badges are revoked where they were issued: their public documents carry a salted hash of the e-mail address, which
//! anybody who has the address can recognize. Nothing names the learner any more from the commit on; what others hold,
//! Kafka and the badge backend, they erase in their own time.

mod letters;
mod log;

use std::collections::HashMap;

use diesel::{
    QueryableByName, RunQueryDsl, sql_query,
    sql_types::{BigInt, Bool, Nullable, Text, Timestamp},
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

/// What is kept of an award that a retirement stopped after a request whose outcome is not known: nobody looks it up any
/// more, for the address is gone.
pub(super) const MAYBE_ISSUED: &str =
    "a request of it may have been carried out: look at the badge backend, and revoke the badge there";

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
struct StoppedRow {
    #[diesel(sql_type = Text)]
    id: String,
    #[diesel(sql_type = Bool)]
    maybe_issued: bool,
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

const EVENT: &[(&str, &str)] = &[("learner_id", "bigint"), ("seq", "bigint"), ("payload", "text")];
const ASSERTION: &[(&str, &str)] = &[
    ("learner_id", "bigint"),
    ("award_id", "text"),
    ("image_url", "text"),
    ("assertion_url", "text"),
    ("revocation_reason", "text"),
];
const REVOCATION: &[(&str, &str)] = &[("learner_id", "bigint"), ("award_id", "text"), ("reason", "text")];

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
    // Who retires the own account is in this entry, too.
    audit::record(tx, actor, Action::RetireLearner, &id.0.to_string(), &json!({}))?;
    erase(tx, std::slice::from_ref(&person))?;
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
    log::erase_entries(tx, &ids, &people)?;
    log::erase_actors(tx, &people)?;
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
            person.add_user_name(badge_event::username_in(&row.payload).as_deref());
        }
    }
    Ok(events)
}

/// Says in the log which awards may be at the backend, where nothing revokes them.
pub(super) fn warn_of_maybe_issued<'a>(awards: impl IntoIterator<Item = &'a str>) {
    for id in awards {
        tracing::warn!(
            award.id = id,
            "award {id} was cancelled, for its learner retired, but its badge may have been issued: look at the badge \
             backend for what it issued of this badge class then, and revoke it there"
        );
    }
}

fn stop_awards(tx: &mut Tx<'_>, ids: &str) -> Result<(), StoreError> {
    let now = tx.now()?;
    let stopped: Vec<StoppedRow> = sql_query(format!(
        "/* retirement::stop_awards */ UPDATE award SET recipient = NULL, evidence_url = NULL, \
         last_error = CASE WHEN state = 'uncertain' OR posted AND state IN ('pending', 'blocked', 'failed', 'dead') \
         THEN '{MAYBE_ISSUED}' END, \
         posted = (posted OR state = 'uncertain'), idempotency_key = CASE WHEN idempotency_key = '' THEN '' ELSE id END, \
         state_reason = CASE WHEN state IN ('issued', 'published', 'cancelled') THEN state_reason ELSE $1 END, \
         state = CASE WHEN state IN ('issued', 'published', 'issuing') THEN state ELSE 'cancelled' END, \
         updated_at = $2 WHERE learner_id IN {} RETURNING id, (last_error IS NOT NULL) AS maybe_issued",
        unfold::integers(tx.conn, "$3"),
    ))
    .bind::<Text, _>(RETIRED)
    .bind::<Timestamp, _>(now)
    .bind::<Text, _>(ids)
    .load(tx.conn)?;
    let maybe_issued = stopped.iter().filter(|row| row.maybe_issued);
    warn_of_maybe_issued(maybe_issued.map(|row| row.id.as_str()));
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

fn erase_text(people: &People, learner: i64, text: &mut String) {
    if let Some(erased) = people.get(&learner).and_then(|person| person.erased_from(text)) {
        *text = erased;
    }
}
