//! Assertions of Open edX: each with an award that is done, so that the same badge is never decided again.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use diesel::{
    QueryableByName, RunQueryDsl, sql_query,
    sql_types::{Bool, Nullable, Text, Timestamp},
};
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use super::{Taken, audit_taken};
use crate::{
    domain::{
        LearnerId,
        award::{AwardId, AwardState, RuleKind},
        badge_class::BadgeClass,
        event::{LearnerDetails, Stamp},
    },
    store::{
        StoreError, Tx,
        assertions::{self, NewAssertion},
        audit::Actor,
        awards,
        learners::{self, Learner},
        unfold,
    },
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

/// An award that is here already.
struct Here {
    assertion_url: Option<String>,
    /// Surely nothing of it was sent, and nobody is about to.
    is_free: bool,
}

#[derive(QueryableByName)]
struct HereRow {
    #[diesel(sql_type = Text)]
    id: String,
    #[diesel(sql_type = Text)]
    state: String,
    #[diesel(sql_type = Bool)]
    posted: bool,
    #[diesel(sql_type = Nullable<Text>)]
    assertion_url: Option<String>,
}

#[derive(Serialize)]
struct Key {
    learner_id: i64,
    id: Uuid,
}

const KEY: &[(&str, &str)] = &[("learner_id", "bigint"), ("id", "text")];

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
pub fn take_assertions(
    tx: &mut Tx<'_>,
    imported: &[ImportedAssertion],
    actor: &Actor,
) -> Result<Vec<Taken>, StoreError> {
    know_learners(tx, imported)?;
    let here = here(tx, imported)?;
    let mut new = Vec::new();
    let mut settled = Vec::new();
    let mut taken = Vec::with_capacity(imported.len());
    for one in imported {
        let found = places(one).map(|place| (here.get(&place.1), place));
        let free = |here: &Option<&Here>| here.is_none_or(|here| here.is_free);
        taken.push(match found {
            _ if found.iter().any(|(here, _)| is_the_same(*here, one)) => Taken::WasThere,
            // Under its own key only its own assertion can be.
            [_, (Some(_), _)] => Taken::WasThere,
            [(None, place), _] if one.is_first => {
                new.push((one, place));
                Taken::New
            }
            [(here, place), _] if one.is_first && free(&here) => {
                settled.push((one, place));
                Taken::New
            }
            [(Some(here), _), _] if one.is_first && here.assertion_url.is_none() => Taken::UnderWay,
            [_, (None, place)] => {
                new.push((one, place));
                Taken::New
            }
        });
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
    assertions::insert(tx, &kept.iter().collect::<Vec<_>>())?;
    audit_taken(tx, actor, "badges.badgeassertion", &taken)?;
    Ok(taken)
}

/// The keys under which an assertion may be: that of the rules, and its own.
fn places(one: &ImportedAssertion) -> [(String, AwardId); 2] {
    [String::new(), format!("openedx-{}", one.pk)].map(|key| {
        let id = AwardId::of(one.learner, &one.badge_class.key, &key);
        (key, id)
    })
}

fn is_the_same(here: Option<&Here>, one: &ImportedAssertion) -> bool {
    here.and_then(|here| here.assertion_url.as_ref()) == Some(&one.assertion_url)
}

/// Holds the learners' rows, makes those that are missing, and takes in what is told of them.
fn know_learners(tx: &mut Tx<'_>, imported: &[ImportedAssertion]) -> Result<(), StoreError> {
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
    learners::insert(tx, &missing.iter().collect::<Vec<_>>())
}

fn here(tx: &mut Tx<'_>, imported: &[ImportedAssertion]) -> Result<HashMap<AwardId, Here>, StoreError> {
    let keys: Vec<Key> = imported
        .iter()
        .flat_map(|one| places(one).map(|(_, id)| (one.learner, id)))
        .map(|(learner, id)| Key {
            learner_id: learner.0,
            id: id.0,
        })
        .collect();
    let rows: Vec<HereRow> = sql_query(format!(
        "/* imports::here */ SELECT w.id, w.state, w.posted, a.assertion_url FROM {} CROSS JOIN award w \
         LEFT JOIN assertion a ON a.learner_id = w.learner_id AND a.award_id = w.id \
         WHERE w.learner_id = x.learner_id AND w.id = x.id",
        unfold::rows(tx.conn, "$1", KEY),
    ))
    .bind::<Text, _>(unfold::json(&keys))
    .load(tx.conn)?;
    let entry = |row: HereRow| {
        use AwardState::{Blocked, Cancelled, Dead, Failed, Pending};
        let waits = matches!(
            awards::award_state(&row.state)?,
            Pending | Blocked | Failed | Dead | Cancelled
        );
        let here = Here {
            is_free: waits && !row.posted && row.assertion_url.is_none(),
            assertion_url: row.assertion_url,
        };
        Ok((awards::award_id(&row.id)?, here))
    };
    rows.into_iter().map(entry).collect()
}

type Placed<'a> = (&'a ImportedAssertion, (String, AwardId));

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
        event_id: format!("openedx-import:badges.badgeassertion:{}", one.pk),
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
