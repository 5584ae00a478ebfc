//! The image of the course completion badge for each course mode.

use diesel::{
    ExpressionMethods, OptionalExtension, QueryDsl, Queryable, RunQueryDsl, Selectable, SelectableHelper,
    connection::SimpleConnection,
    sql_query,
    sql_types::{Binary, Bool, Text},
};
use serde_json::json;

use super::{
    AnyConnection, StoreError, Tx,
    api_reads::Window,
    audit::{self, Action, Actor},
    schema::{badge_class, completion_image},
};

/// The image of a course mode.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = completion_image)]
pub struct CompletionImage {
    /// The course mode.
    pub mode: String,
    /// A square PNG.
    pub icon: Vec<u8>,
    /// Whether modes without an image of their own get this one.
    pub is_default: bool,
}

/// What is to be changed of the image of a mode; what is `None` stays.
#[derive(Debug, Clone, Default)]
pub struct Change {
    /// A square PNG.
    pub icon: Option<Vec<u8>>,
    /// Whether modes without an image of their own get this one.
    pub is_default: Option<bool>,
}

/// The images that come with the service: (mode, PNG, is the default).
const SUPPLIED: [(&str, &[u8], bool); 4] = [
    ("default", include_bytes!("../../deploy/images/default.png"), true),
    ("honor", include_bytes!("../../deploy/images/honor.png"), false),
    (
        "professional",
        include_bytes!("../../deploy/images/professional.png"),
        false,
    ),
    ("verified", include_bytes!("../../deploy/images/verified.png"), false),
];

/// The image for this mode, or else the default one; `None` where there is neither: no completion badge then.
pub fn for_mode(tx: &mut Tx<'_>, mode: &str) -> Result<Option<Vec<u8>>, StoreError> {
    let own = completion_image::table
        .find(mode)
        .select(completion_image::icon)
        .first(tx.conn)
        .optional()?;
    if own.is_some() {
        return Ok(own);
    }
    Ok(completion_image::table
        .filter(completion_image::is_default.eq(true))
        .select(completion_image::icon)
        .first(tx.conn)
        .optional()?)
}

/// How many modes have an image.
pub fn count(tx: &mut Tx<'_>) -> Result<i64, StoreError> {
    Ok(completion_image::table.count().get_result(tx.conn)?)
}

/// A part of the images, by mode.
pub fn page(tx: &mut Tx<'_>, window: Window) -> Result<Vec<CompletionImage>, StoreError> {
    Ok(completion_image::table
        .order(completion_image::mode)
        .offset(window.start)
        .limit(window.length)
        .select(CompletionImage::as_select())
        .load(tx.conn)?)
}

/// All images, by mode.
pub fn list(tx: &mut Tx<'_>) -> Result<Vec<CompletionImage>, StoreError> {
    let window = Window {
        start: 0,
        length: i64::MAX,
    };
    page(tx, window)
}

/// The image of this very mode.
pub fn get(tx: &mut Tx<'_>, mode: &str) -> Result<Option<CompletionImage>, StoreError> {
    Ok(completion_image::table
        .find(mode)
        .select(CompletionImage::as_select())
        .first(tx.conn)
        .optional()?)
}

/// Whether this is an image that came with the service, and nobody's choice.
pub fn is_supplied(image: &CompletionImage) -> bool {
    SUPPLIED
        .iter()
        .any(|(mode, icon, _)| *mode == image.mode && *icon == image.icon.as_slice())
}

/// Whether this is the default that came with the service, and nobody's choice.
pub fn is_supplied_default(image: &CompletionImage) -> bool {
    let is_default = |mode: &str| {
        SUPPLIED
            .iter()
            .any(|(name, _, is_default)| *is_default && *name == mode)
    };
    is_supplied(image) && is_default(&image.mode)
}

/// Changes the image of a mode, or adds it, and notes in the log who did. Says whether the mode is new.
///
/// `None` where there is nothing yet and the change brings no image. A default takes that place from the one that had
/// it. Course modes that have a badge class already keep its image.
pub fn change(
    tx: &mut Tx<'_>,
    mode: &str,
    change: &Change,
    actor: &Actor,
) -> Result<Option<(CompletionImage, bool)>, StoreError> {
    // Two who set a default at once would not see each other's; readers are not held up.
    if let AnyConnection::Postgres(conn) = tx.conn {
        conn.batch_execute("/* completion_images::change */ LOCK TABLE completion_image IN SHARE ROW EXCLUSIVE MODE")?;
    }
    let before = get(tx, mode)?;
    let is_new = before.is_none();
    let had = before.as_ref().map(|image| image.is_default);
    let Some(icon) = change.icon.clone().or(before.map(|image| image.icon)) else {
        return Ok(None);
    };
    let image = CompletionImage {
        mode: mode.to_owned(),
        icon,
        is_default: change.is_default.or(had).unwrap_or(false),
    };
    if change.icon.is_some() || change.is_default.is_some() {
        set(tx, mode, &image.icon, image.is_default)?;
        let details = json!({"icon": change.icon.is_some(), "default": image.is_default});
        audit::record(tx, actor, Action::SetCompletionImage, mode, &details)?;
    }
    Ok(Some((image, is_new)))
}

/// Deletes the image of a mode, and notes in the log who did. Says whether there was one.
pub fn delete(tx: &mut Tx<'_>, mode: &str, actor: &Actor) -> Result<bool, StoreError> {
    let deleted = diesel::delete(completion_image::table.find(mode)).execute(tx.conn)?;
    if deleted > 0 {
        audit::record(tx, actor, Action::DeleteCompletionImage, mode, &json!({}))?;
    }
    Ok(deleted > 0)
}

/// Sets the image of a mode. A default takes that place from the one that had it.
pub fn set(tx: &mut Tx<'_>, mode: &str, icon: &[u8], is_default: bool) -> Result<(), StoreError> {
    if is_default {
        diesel::update(completion_image::table)
            .set(completion_image::is_default.eq(false))
            .execute(tx.conn)?;
    }
    sql_query(
        "/* completion_images::set */ INSERT INTO completion_image (mode, icon, is_default) VALUES ($1, $2, $3) \
         ON CONFLICT (mode) DO UPDATE SET icon = excluded.icon, is_default = excluded.is_default",
    )
    .bind::<Text, _>(mode)
    .bind::<Binary, _>(icon)
    .bind::<Bool, _>(is_default)
    .execute(tx.conn)?;
    Ok(())
}

/// Fills in the images that come with the service, where nothing was configured and nothing awarded yet.
pub fn supply(tx: &mut Tx<'_>) -> Result<(), StoreError> {
    let images = count(tx)?;
    let badge_classes: i64 = badge_class::table.count().get_result(tx.conn)?;
    if images == 0 && badge_classes == 0 {
        for (mode, icon, is_default) in SUPPLIED {
            set(tx, mode, icon, is_default)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing;

    #[test]
    fn a_mode_without_an_image_gets_the_default_and_there_is_one_default() {
        let database = testing::sqlite();
        let store = database.store();
        let icons = store
            .transaction("test", |tx| {
                supply(tx)?;
                set(tx, "audit", &[9], true)?;
                Ok([
                    for_mode(tx, "honor")?,
                    for_mode(tx, "audit")?,
                    for_mode(tx, "unheard-of")?,
                ])
            })
            .expect("stored");
        assert_eq!(icons, [Some(SUPPLIED[1].1.to_vec()), Some(vec![9]), Some(vec![9])]);
    }

    #[test]
    fn a_default_moves_and_what_is_not_said_stays() {
        let actor = Actor {
            name: "ada".to_owned(),
            via: audit::Via::CommandLine,
        };
        let with = |icon: Option<u8>, is_default| Change {
            icon: icon.map(|byte| vec![byte]),
            is_default,
        };
        for database in testing::databases() {
            let seen = database.store().transaction("test", |tx| {
                let nothing = change(tx, "audit", &with(None, Some(true)), &actor)?;
                change(tx, "honor", &with(Some(1), Some(true)), &actor)?;
                let audit = change(tx, "audit", &with(Some(2), Some(true)), &actor)?;
                let again = change(tx, "audit", &with(Some(3), None), &actor)?;
                let defaults: Vec<_> = list(tx)?.into_iter().map(|i| (i.mode, i.is_default)).collect();
                let deleted = [delete(tx, "honor", &actor)?, delete(tx, "honor", &actor)?];
                Ok((nothing, audit, again, defaults, deleted, audit::count(tx)?))
            });
            let (nothing, audit, again, defaults, deleted, logged) = seen.expect("stored");
            let image = |byte| CompletionImage {
                mode: "audit".to_owned(),
                icon: vec![byte],
                is_default: true,
            };
            assert_eq!(nothing, None);
            assert_eq!((audit, again), (Some((image(2), true)), Some((image(3), false))));
            assert_eq!(defaults, [("audit".to_owned(), true), ("honor".to_owned(), false)]);
            assert_eq!((deleted, logged), ([true, false], 4));
        }
    }
}
