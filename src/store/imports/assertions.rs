//! Assertions of Open edX: each with an award that is done, so that the same badge is never decided again.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
};

use chrono::{DateTime, Utc};
use diesel::{
    QueryableByName, RunQueryDsl, sql_query,
    sql_types::{Text, Timestamp},
};
use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    Taken, audit_taken,
    places::{Fate, Here, Place, event_id, fate, held, held_here, here},
};
use crate::{
    domain::{
        LearnerId,
        award::{AwardId, RuleKind},
        badge_class::BadgeClass,
        event::{LearnerDetails, Stamp},
    },
    store::{
        StoreError, Tx,
        assertions::{self, NewAssertion},
        audit::Actor,
        awards,
        learners::{self, Learner},
        retirement, unfold,
    },
    wire::mentions::Person,
};

/// An assertion that is to be taken.
#[derive(Debug, Clone)]
pub struct ImportedAssertion {
    /// Its key in Open edX.
    pub pk: String,
    /// Whose.
    pub learner: LearnerId,
    /// What is told of the learner besides.
    pub details: Option<LearnerDetails>,
    /// What was awarded.
    pub badge_class: BadgeClass,
    /// The learner's first of this badge class: it stands for the one that a rule would award.
    pub is_first: bool,
    /// For what kind of rule it stands.
    pub rule: RuleKind,
    /// Who issued it.
    pub backend: String,
    /// Its id there.
    pub backend_id: Option<String>,
    /// Its image.
    pub image_url: String,
    /// Its public URL.
    pub assertion_url: String,
    /// Evidence.
    pub evidence_url: Option<String>,
    /// The issuer, as the backend named it.
    pub issuer: String,
    /// What the backend said, without e-mail addresses.
    pub data: Value,
    /// When it was made.
    pub created: DateTime<Utc>,
}

#[derive(Serialize)]
struct DoneRow<'a> {
    learner_id: i64,
    id: Uuid,
    badge_class_id: i32,
    idempotency_key: &'a str,
    rule: &'static str,
    event_id: String,
    evidence_url: Option<&'a str>,
    created_at: String,
}

const DONE: &[(&str, &str)] = &[
    ("learner_id", "bigint"),
    ("id", "text"),
    ("badge_class_id", "integer"),
    ("idempotency_key", "text"),
    ("rule", "text"),
    ("event_id", "text"),
    ("evidence_url", "text"),
    ("created_at", "timestamp"),
];

/// Takes assertions; what became of each, in their order. Nothing is told of them on `badge.awarded`: that was long ago.
///
/// Learners get a row; their names and addresses hold until an event tells newer ones. An award of the same badge that
/// waits or was given up before anything was sent is settled by the assertion.
///
/// Of a learner who has retired nothing personal is kept, and the badge is to be revoked, as at the retirement.
pub fn take_assertions(
    tx: &mut Tx<'_>,
    imported: &[ImportedAssertion],
    actor: &Actor,
) -> Result<Vec<Taken>, StoreError> {
    let retired = know_learners(tx, imported)?;
    let imported: Vec<Cow<'_, ImportedAssertion>> = imported
        .iter()
        .map(|one| match retired.contains(&one.learner) {
            true => Cow::Owned(without_person(one)),
            false => Cow::Borrowed(one),
        })
        .collect();
    let mut here = here(tx, &imported)?;
    let mut urls = held_here(tx, &imported)?;
    let mut new = Vec::new();
    let mut settled = Vec::new();
    let mut taken = Vec::with_capacity(imported.len());
    for one in imported.iter().map(Cow::as_ref) {
        let held = held(one);
        let fate = match urls.contains(&held) {
            true => Fate::WasThere,
            false => fate(&here, one),
        };
        taken.push(fate.taken());
        let (placed, place) = match fate {
            Fate::New(place) => (&mut new, place),
            Fate::Settled(place) => (&mut settled, place),
            Fate::WasThere | Fate::UnderWay => continue,
        };
        // The next rows may be the same one again.
        urls.insert(held);
        here.insert(place.1, Here::placed(one));
        placed.push((one, place));
    }
    let written = insert_awards(tx, &new)?.into_iter().chain(settle_awards(tx, &settled)?);
    let written: HashSet<String> = written.collect();
    let kept: Vec<NewAssertion> = new
        .iter()
        .chain(&settled)
        .filter(|(_, (_, id))| written.contains(&id.0.to_string()))
        .map(|(one, (_, id))| assertion(one, *id))
        .collect();
    if kept.len() < new.len() + settled.len() {
        // Somebody else moved one of them in the meantime: look again.
        return Err(StoreError::Contention { sqlstate: "40001" });
    }
    assertions::insert(tx, &kept)?;
    if !retired.is_empty() {
        retirement::revoke_assertions(tx, &unfold::json(&retired))?;
    }
    audit_taken(tx, actor, "badges.badgeassertion", &taken)?;
    Ok(taken)
}

/// What is taken of an assertion whose learner has retired.
fn without_person(one: &ImportedAssertion) -> ImportedAssertion {
    let mut learner = Person::new(one.learner);
    if let Some(details) = &one.details {
        learner.add_user_name(Some(&details.username));
        learner.add_full_name(details.name.as_deref());
        learner.add_address(details.email.as_deref());
    }
    let erased = |text: &str| learner.erased_from(text).unwrap_or_else(|| text.to_owned());
    ImportedAssertion {
        details: None,
        image_url: erased(&one.image_url),
        assertion_url: erased(&one.assertion_url),
        evidence_url: None,
        data: json!({}),
        ..one.clone()
    }
}

/// Holds the learners' rows, makes those that are missing, and takes in what is told of them. Returns who has retired.
fn know_learners(tx: &mut Tx<'_>, imported: &[ImportedAssertion]) -> Result<HashSet<LearnerId>, StoreError> {
    // Any event is newer.
    let stamp = Stamp {
        time: DateTime::UNIX_EPOCH,
        event_id: "openedx-import".to_owned(),
    };
    let told: HashMap<LearnerId, Option<&LearnerDetails>> =
        imported.iter().map(|one| (one.learner, one.details.as_ref())).collect();
    let ids: Vec<LearnerId> = told.keys().copied().collect();
    let mut known = learners::hold(tx, &ids)?;
    let mut reachable = Vec::new();
    let mut changed = Vec::new();
    for learner in &mut known {
        let had_email = learner.email.value.is_some();
        if told[&learner.id].is_some_and(|details| learner.learn(details, &stamp)) {
            if !had_email && learner.email.value.is_some() {
                reachable.push(learner.id);
            }
            changed.push(&*learner);
        }
    }
    learners::update(tx, &changed)?;
    awards::unblock_no_email(tx, &reachable)?;
    let present: HashSet<LearnerId> = known.iter().map(|learner| learner.id).collect();
    let mut missing: Vec<Learner> = ids
        .into_iter()
        .filter(|id| !present.contains(id))
        .map(|id| {
            let mut learner = Learner::unknown(id);
            if let Some(details) = told[&id] {
                learner.learn(details, &stamp);
            }
            learner
        })
        .collect();
    missing.sort_by_key(|learner| learner.id);
    learners::insert(tx, &missing.iter().collect::<Vec<_>>())?;
    let retired = known.iter().filter(|learner| learner.retired_at.is_some());
    Ok(retired.map(|learner| learner.id).collect())
}

/// An assertion and its place.
type Placed<'a> = (&'a ImportedAssertion, Place);

#[derive(QueryableByName)]
struct Written {
    #[diesel(sql_type = Text)]
    id: String,
}

fn insert_awards(tx: &mut Tx<'_>, new: &[Placed<'_>]) -> Result<Vec<String>, StoreError> {
    let now = tx.now()?;
    let rows: Vec<DoneRow<'_>> = new.iter().map(done_row).collect();
    let written: Vec<Written> = sql_query(format!(
        "/* imports::insert_awards */ INSERT INTO award (learner_id, id, badge_class_id, idempotency_key, rule, event_id, \
         evidence_url, created_at, by_backfill, state, state_reason, posted, next_attempt_at, updated_at) \
         SELECT x.*, false, 'published', 'imported', true, $1, $1 FROM {} WHERE true ORDER BY x.learner_id, x.id \
         ON CONFLICT DO NOTHING RETURNING id",
        unfold::rows(tx.conn, "$2", DONE),
    ))
    .bind::<Timestamp, _>(now)
    .bind::<Text, _>(unfold::json(&rows))
    .load(tx.conn)?;
    Ok(written.into_iter().map(|row| row.id).collect())
}

fn settle_awards(tx: &mut Tx<'_>, settled: &[Placed<'_>]) -> Result<Vec<String>, StoreError> {
    let now = tx.now()?;
    let rows: Vec<DoneRow<'_>> = settled.iter().map(done_row).collect();
    let written: Vec<Written> = sql_query(format!(
        "/* imports::settle_awards */ UPDATE award SET state = 'published', state_reason = 'imported', posted = true, \
         last_error = NULL, next_attempt_at = $1, updated_at = $1 FROM {} \
         WHERE award.learner_id = x.learner_id AND award.id = x.id AND NOT award.posted \
         AND award.state IN ('pending', 'blocked', 'failed', 'dead', 'cancelled') RETURNING award.id",
        unfold::rows(tx.conn, "$2", DONE),
    ))
    .bind::<Timestamp, _>(now)
    .bind::<Text, _>(unfold::json(&rows))
    .load(tx.conn)?;
    Ok(written.into_iter().map(|row| row.id).collect())
}

fn done_row<'a>((one, (key, id)): &'a Placed<'_>) -> DoneRow<'a> {
    DoneRow {
        learner_id: one.learner.0,
        id: id.0,
        badge_class_id: one.badge_class.id.0,
        idempotency_key: key,
        rule: one.rule.as_str(),
        event_id: event_id(one),
        evidence_url: one.evidence_url.as_deref(),
        created_at: unfold::time(one.created.naive_utc()),
    }
}

fn assertion(one: &ImportedAssertion, award: AwardId) -> NewAssertion {
    NewAssertion {
        learner: one.learner,
        award,
        id: Uuid::new_v4().to_string(),
        badge_class: one.badge_class.id,
        backend: one.backend.clone().into(),
        backend_id: one.backend_id.clone(),
        image_url: one.image_url.clone(),
        assertion_url: one.assertion_url.clone(),
        evidence_url: one.evidence_url.clone(),
        issuer: one.issuer.clone(),
        recipient_hash: None,
        data: one.data.clone(),
        created: one.created,
    }
}
