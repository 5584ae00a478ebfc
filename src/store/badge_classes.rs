//! Badge classes and their images, and who may make one at the backend.

mod change;
mod list;

use std::collections::HashMap;

use chrono::{NaiveDateTime, TimeDelta};
use diesel::{
    ExpressionMethods, OptionalExtension, QueryDsl, Queryable, QueryableByName, RunQueryDsl, Selectable,
    SelectableHelper, sql_query,
    sql_types::{BigInt, Binary, Bool, Integer, Text, Timestamp},
};
use serde_json::json;
use uuid::Uuid;

pub use self::{
    change::{Change, change},
    list::{BadgeClassFilter, count, page},
};

use super::{
    StoreError, Tx,
    audit::{self, Action, Actor},
    bulk::{Column, Statement},
    schema::badge_class,
};
use crate::domain::badge_class::{BadgeClass, BadgeClassId, BadgeClassKey, NewBadgeClass};

#[derive(Queryable, Selectable)]
#[diesel(table_name = badge_class)]
struct Row {
    id: i32,
    public_id: String,
    slug: String,
    issuing_component: String,
    course_id: String,
    mode: String,
    display_name: String,
    description: String,
    criteria: String,
    backend: Option<String>,
    backend_id: Option<String>,
    backend_image_url: Option<String>,
}

impl From<Row> for BadgeClass {
    fn from(row: Row) -> Self {
        Self {
            id: BadgeClassId(row.id),
            key: BadgeClassKey {
                slug: row.slug,
                issuing_component: row.issuing_component,
                course_id: row.course_id,
            },
            mode: row.mode,
            display_name: row.display_name,
            description: row.description,
            criteria: row.criteria,
            backend: row.backend,
            backend_id: row.backend_id,
            backend_image_url: row.backend_image_url,
            public_id: row.public_id,
        }
    }
}

/// The right to make one badge class at the backend, for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Making {
    /// Tells this lease from earlier and later ones.
    pub token: i64,
    /// An earlier making may have succeeded unseen: look for it first.
    pub must_look_up: bool,
}

/// The badge class of this row.
pub fn get(tx: &mut Tx<'_>, id: BadgeClassId) -> Result<Option<BadgeClass>, StoreError> {
    let row = badge_class::table
        .find(id.0)
        .select(Row::as_select())
        .first(tx.conn)
        .optional()?;
    Ok(row.map(Into::into))
}

/// The badge class of this identity.
pub fn find(tx: &mut Tx<'_>, key: &BadgeClassKey) -> Result<Option<BadgeClass>, StoreError> {
    let row = badge_class::table
        .filter(badge_class::slug.eq(&key.slug))
        .filter(badge_class::issuing_component.eq(&key.issuing_component))
        .filter(badge_class::course_id.eq(&key.course_id))
        .select(Row::as_select())
        .first(tx.conn)
        .optional()?;
    Ok(row.map(Into::into))
}

/// The rows of those of these badge classes that exist.
pub fn find_all(tx: &mut Tx<'_>, keys: &[&BadgeClassKey]) -> Result<HashMap<BadgeClassKey, BadgeClassId>, StoreError> {
    if keys.is_empty() {
        return Ok(HashMap::new());
    }
    let column = |part: fn(&BadgeClassKey) -> &str| Column::Texts(keys.iter().map(|key| Some(part(key))).collect());
    let rows: Vec<(i32, String, String, String)> = Statement::<(Integer, Text, Text, Text)>::new(
        "/* badge_classes::find_all */ SELECT b.id, b.slug, b.issuing_component, b.course_id FROM",
        vec![
            ("slug", column(|key| &key.slug)),
            ("issuing_component", column(|key| &key.issuing_component)),
            ("course_id", column(|key| &key.course_id)),
        ],
        "CROSS JOIN badge_class b WHERE b.slug = x.slug AND b.issuing_component = x.issuing_component \
         AND b.course_id = x.course_id",
    )
    .load(tx)?;
    let found = rows.into_iter().map(|(id, slug, issuing_component, course_id)| {
        let key = BadgeClassKey {
            slug,
            issuing_component,
            course_id,
        };
        (key, BadgeClassId(id))
    });
    Ok(found.collect())
}

/// Every badge class, ordered by its identity.
pub fn list(tx: &mut Tx<'_>) -> Result<Vec<BadgeClass>, StoreError> {
    let rows = badge_class::table
        .order((
            badge_class::issuing_component,
            badge_class::slug,
            badge_class::course_id,
        ))
        .select(Row::as_select())
        .load(tx.conn)?;
    Ok(rows.into_iter().map(Into::into).collect())
}

/// The image of a badge class: a PNG.
pub fn image(tx: &mut Tx<'_>, id: BadgeClassId) -> Result<Vec<u8>, StoreError> {
    Ok(badge_class::table
        .find(id.0)
        .select(badge_class::image)
        .first(tx.conn)?)
}

/// The badge class of this identity, made if there is none; an existing one stays as it is. Says whether it was made.
pub fn get_or_create(tx: &mut Tx<'_>, new: &NewBadgeClass) -> Result<(BadgeClass, bool), StoreError> {
    if let Some(existing) = find(tx, &new.key)? {
        return Ok((existing, false));
    }
    let now = tx.now()?;
    let inserted = sql_query(
        "/* badge_classes::get_or_create */ INSERT INTO badge_class \
         (public_id, slug, issuing_component, course_id, mode, display_name, description, criteria, image, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) \
         ON CONFLICT (slug, issuing_component, course_id) DO NOTHING",
    )
    .bind::<Text, _>(Uuid::new_v4().to_string())
    .bind::<Text, _>(&new.key.slug)
    .bind::<Text, _>(&new.key.issuing_component)
    .bind::<Text, _>(&new.key.course_id)
    .bind::<Text, _>(&new.mode)
    .bind::<Text, _>(&new.display_name)
    .bind::<Text, _>(&new.description)
    .bind::<Text, _>(&new.criteria)
    .bind::<Binary, _>(&new.image)
    .bind::<Timestamp, _>(now)
    .execute(tx.conn)?;
    let stored = find(tx, &new.key)?.ok_or(StoreError::NotFound)?;
    Ok((stored, inserted == 1))
}

/// The same for a person: that it was made goes to the audit log.
pub fn get_or_create_by(tx: &mut Tx<'_>, new: &NewBadgeClass, actor: &Actor) -> Result<(BadgeClass, bool), StoreError> {
    let (class, created) = get_or_create(tx, new)?;
    if created {
        let BadgeClassKey {
            slug,
            issuing_component,
            course_id,
        } = &class.key;
        let details = json!({"slug": slug, "issuing_component": issuing_component, "course_id": course_id});
        audit::record(tx, actor, Action::CreateBadgeClass, &class.id.0.to_string(), &details)?;
    }
    Ok((class, created))
}

#[derive(QueryableByName)]
struct MakingRow {
    #[diesel(sql_type = BigInt)]
    making_token: i64,
    #[diesel(sql_type = Bool)]
    making_uncertain: bool,
}

/// Takes the right to make this badge class at this backend, unless it was made there or another holds the right.
///
/// From here on the making counts as uncertain, until [`complete_making`] or [`give_up_making`] says otherwise. It does
/// so at once when another backend had it: this one may have had it before that.
pub fn claim_making(
    tx: &mut Tx<'_>,
    id: BadgeClassId,
    backend: &str,
    lease: TimeDelta,
) -> Result<Option<Making>, StoreError> {
    let now = tx.now()?;
    let previous = sql_query(
        "/* badge_classes::claim_making */ UPDATE badge_class SET making_token = making_token + 1, making_until = $1, \
         making_uncertain = making_uncertain OR backend_id IS NOT NULL \
         WHERE id = $2 AND (making_until IS NULL OR making_until < $3) AND (backend_id IS NULL OR coalesce(backend, '') <> $4) \
         RETURNING making_token, making_uncertain",
    )
    .bind::<Timestamp, _>(now + lease)
    .bind::<Integer, _>(id.0)
    .bind::<Timestamp, _>(now)
    .bind::<Text, _>(backend)
    .get_result::<MakingRow>(tx.conn)
    .optional()?;
    let Some(row) = previous else { return Ok(None) };
    set_uncertain(tx, id, row.making_token, true, now + lease)?;
    Ok(Some(Making {
        token: row.making_token,
        must_look_up: row.making_uncertain,
    }))
}

/// Keeps what the backend made. Writes nothing when the right has passed to another.
pub fn complete_making(
    tx: &mut Tx<'_>,
    id: BadgeClassId,
    making: Making,
    (backend, backend_id): (&str, &str),
    image_url: Option<&str>,
) -> Result<bool, StoreError> {
    let updated = diesel::update(badge_class::table.find(id.0))
        .filter(badge_class::making_token.eq(making.token))
        .filter(badge_class::making_until.is_not_null())
        .set((
            badge_class::backend.eq(backend),
            badge_class::backend_id.eq(backend_id),
            badge_class::backend_image_url.eq(image_url),
            badge_class::making_until.eq(None::<NaiveDateTime>),
            badge_class::making_uncertain.eq(false),
        ))
        .execute(tx.conn)?;
    Ok(updated == 1)
}

/// Gives the right back after a failure, to be taken again after `pause`; `uncertain`: it may have succeeded unseen.
pub fn give_up_making(
    tx: &mut Tx<'_>,
    id: BadgeClassId,
    making: Making,
    uncertain: bool,
    pause: TimeDelta,
) -> Result<(), StoreError> {
    let until = tx.now()? + pause;
    set_uncertain(tx, id, making.token, uncertain, until)
}

fn set_uncertain(
    tx: &mut Tx<'_>,
    id: BadgeClassId,
    token: i64,
    uncertain: bool,
    until: NaiveDateTime,
) -> Result<(), StoreError> {
    diesel::update(badge_class::table.find(id.0))
        .filter(badge_class::making_token.eq(token))
        .set((
            badge_class::making_uncertain.eq(uncertain),
            badge_class::making_until.eq(until),
        ))
        .execute(tx.conn)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing;

    fn new_badge_class(slug: &str) -> NewBadgeClass {
        NewBadgeClass {
            key: BadgeClassKey {
                slug: slug.to_owned(),
                issuing_component: "openedx__course".to_owned(),
                course_id: String::new(),
            },
            mode: String::new(),
            display_name: "Three".to_owned(),
            description: "Enrolled in three".to_owned(),
            criteria: "Enroll".to_owned(),
            image: vec![1, 2, 3],
        }
    }

    #[test]
    fn an_existing_badge_class_stays_as_it_is() {
        let database = testing::sqlite();
        let store = database.store();
        let mut changed = new_badge_class("three");
        changed.display_name = "Other".to_owned();
        let (first, second) = store
            .transaction("test", |tx| {
                Ok((
                    get_or_create(tx, &new_badge_class("three"))?,
                    get_or_create(tx, &changed)?,
                ))
            })
            .expect("stored");
        assert!(first.1 && !second.1);
        assert_eq!(first.0, second.0);
        assert_eq!(store.read("test", |tx| image(tx, first.0.id)).expect("read"), [1, 2, 3]);
    }

    #[test]
    fn one_at_a_time_makes_a_badge_class_and_the_next_looks_first() {
        let database = testing::sqlite();
        let store = database.store();
        let lease = TimeDelta::seconds(30);
        let claim = |id| {
            store
                .transaction("test", |tx| claim_making(tx, id, "badgr", lease))
                .expect("claimed")
        };
        let id = store
            .transaction("test", |tx| get_or_create(tx, &new_badge_class("three")))
            .expect("stored")
            .0
            .id;
        let first = claim(id).expect("free");
        assert!(!first.must_look_up);
        assert_eq!(claim(id), None);
        database.clock.advance(TimeDelta::seconds(31));
        let second = claim(id).expect("the first lease ran out");
        assert!(second.must_look_up);
        let complete = |making| {
            store
                .transaction("test", |tx| complete_making(tx, id, making, ("badgr", "abc"), None))
                .expect("written")
        };
        assert!(!complete(first), "a stale maker writes nothing");
        assert!(complete(second));
        assert_eq!(claim(id), None);
    }
}
