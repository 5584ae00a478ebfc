//! The image of the course completion badge for each course mode.

use diesel::{
    ExpressionMethods, OptionalExtension, QueryDsl, RunQueryDsl, sql_query,
    sql_types::{Binary, Bool, Text},
};

use super::{
    StoreError, Tx,
    schema::{badge_class, completion_image},
};

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
    let images: i64 = completion_image::table.count().get_result(tx.conn)?;
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
}
