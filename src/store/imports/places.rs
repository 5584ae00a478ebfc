//! Where the assertions of an import go: each stands for an award, beside the awards that are here.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
};

use diesel::{
    QueryableByName, RunQueryDsl, sql_query,
    sql_types::{BigInt, Bool, Integer, Nullable, Text},
};
use serde::Serialize;
use uuid::Uuid;

use super::{ImportedAssertion, Taken};
use crate::{
    domain::{
        LearnerId,
        award::{AwardId, AwardState},
        badge_class::BadgeClassId,
    },
    store::{StoreError, Tx, awards, unfold},
};

/// A key and the award that it makes.
pub(super) type Place = (String, AwardId);

/// An award that is here already.
pub(super) struct Here {
    assertion_url: Option<String>,
    /// Of what event it comes.
    event_id: Option<String>,
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
    event_id: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    assertion_url: Option<String>,
}

impl Here {
    pub(super) fn placed(one: &ImportedAssertion) -> Self {
        Self {
            assertion_url: Some(one.assertion_url.clone()),
            event_id: Some(event_id(one)),
            is_free: false,
        }
    }

    /// Whether it is of this very row: a retirement may have changed the URL.
    fn is(&self, one: &ImportedAssertion) -> bool {
        self.assertion_url.is_some() && self.event_id == Some(event_id(one))
    }
}

#[derive(Serialize)]
struct Key {
    learner_id: i64,
    id: Uuid,
}

const KEY: &[(&str, &str)] = &[("learner_id", "bigint"), ("id", "text")];

#[derive(QueryableByName, Serialize)]
struct UrlRow {
    #[diesel(sql_type = BigInt)]
    learner_id: i64,
    #[diesel(sql_type = Integer)]
    badge_class_id: i32,
    #[diesel(sql_type = Text)]
    assertion_url: String,
}

const URL: &[(&str, &str)] = &[
    ("learner_id", "bigint"),
    ("badge_class_id", "integer"),
    ("assertion_url", "text"),
];

/// Where an assertion goes.
pub(super) enum Fate {
    WasThere,
    UnderWay,
    New(Place),
    Settled(Place),
}

impl Fate {
    pub(super) const fn taken(&self) -> Taken {
        match self {
            Self::WasThere => Taken::WasThere,
            Self::UnderWay => Taken::UnderWay,
            Self::New(_) | Self::Settled(_) => Taken::New,
        }
    }
}

pub(super) fn fate(here: &HashMap<AwardId, Here>, one: &ImportedAssertion) -> Fate {
    let found = places(one).map(|place| (here.get(&place.1), place));
    let is_there = found.iter().any(|(here, _)| here.is_some_and(|here| here.is(one)));
    match found {
        _ if is_there => Fate::WasThere,
        // Under its own key only its own assertion can be.
        [_, (Some(_), _)] => Fate::WasThere,
        [(None, place), _] if one.is_first => Fate::New(place),
        [(Some(here), place), _] if one.is_first && here.is_free => Fate::Settled(place),
        [(Some(here), _), _] if one.is_first && here.assertion_url.is_none() => Fate::UnderWay,
        [_, (None, place)] => Fate::New(place),
    }
}

/// The keys under which an assertion may be: that of the rules, and its own.
pub(super) fn places(one: &ImportedAssertion) -> [Place; 2] {
    [String::new(), format!("openedx-{}", one.pk)].map(|key| {
        let id = AwardId::of(one.learner, &one.badge_class.key, &key);
        (key, id)
    })
}

/// The id of the event that stands for an assertion's row.
pub(super) fn event_id(one: &ImportedAssertion) -> String {
    format!("openedx-import:badges.badgeassertion:{}", one.pk)
}

/// What a learner has of a badge class, at which URL.
pub(super) type Held = (LearnerId, BadgeClassId, String);

pub(super) fn held(one: &ImportedAssertion) -> Held {
    (one.learner, one.badge_class.id, one.assertion_url.clone())
}

/// The assertions that are here with the URLs of these.
pub(super) fn held_here(tx: &mut Tx<'_>, imported: &[Cow<'_, ImportedAssertion>]) -> Result<HashSet<Held>, StoreError> {
    let rows = imported.iter().map(|one| UrlRow {
        learner_id: one.learner.0,
        badge_class_id: one.badge_class.id.0,
        assertion_url: one.assertion_url.clone(),
    });
    let rows: Vec<UrlRow> = rows.collect();
    let rows: Vec<UrlRow> = sql_query(format!(
        "/* imports::held_here */ SELECT a.learner_id, a.badge_class_id, a.assertion_url FROM {} \
         CROSS JOIN assertion a WHERE a.learner_id = x.learner_id AND a.badge_class_id = x.badge_class_id \
         AND a.assertion_url = x.assertion_url",
        unfold::rows(tx.conn, "$1", URL),
    ))
    .bind::<Text, _>(unfold::json(&rows))
    .load(tx.conn)?;
    let held = |row: UrlRow| {
        (
            LearnerId(row.learner_id),
            BadgeClassId(row.badge_class_id),
            row.assertion_url,
        )
    };
    Ok(rows.into_iter().map(held).collect())
}

/// The awards that are here at the places of these assertions.
pub(super) fn here(
    tx: &mut Tx<'_>,
    imported: &[Cow<'_, ImportedAssertion>],
) -> Result<HashMap<AwardId, Here>, StoreError> {
    let keys: Vec<Key> = imported
        .iter()
        .flat_map(|one| places(one).map(|(_, id)| (one.learner, id)))
        .map(|(learner, id)| Key {
            learner_id: learner.0,
            id: id.0,
        })
        .collect();
    let rows: Vec<HereRow> = sql_query(format!(
        "/* imports::here */ SELECT w.id, w.state, w.posted, w.event_id, a.assertion_url FROM {} CROSS JOIN award w \
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
            event_id: row.event_id,
            assertion_url: row.assertion_url,
        };
        Ok((awards::award_id(&row.id)?, here))
    };
    rows.into_iter().map(entry).collect()
}
