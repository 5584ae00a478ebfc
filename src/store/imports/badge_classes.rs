//! Badge classes of Open edX.

use diesel::{ExpressionMethods, QueryDsl, RunQueryDsl};

use super::Taken;
use crate::{
    domain::badge_class::{BadgeClass, NewBadgeClass},
    store::{
        StoreError, Tx,
        audit::Actor,
        badge_classes::{self, Change},
        schema::badge_class,
    },
};

/// A badge class that is to be taken.
#[derive(Debug, Clone)]
pub struct ImportedBadgeClass<'a> {
    /// What it is.
    pub new: NewBadgeClass,
    /// Its id at Badgr.
    pub at_badgr: Option<String>,
    /// The image that stands in for one that was not at hand.
    pub stand_in: &'a [u8],
}

/// Takes a badge class. One that is here stays as it is, but for an image that stood in.
pub fn take_badge_class(
    tx: &mut Tx<'_>,
    imported: &ImportedBadgeClass<'_>,
    actor: &Actor,
) -> Result<(BadgeClass, Taken), StoreError> {
    let new = &imported.new;
    let (class, is_new) = badge_classes::get_or_create_by(tx, new, actor)?;
    if is_new {
        // Where Open edX did not keep the id, the class may be at Badgr all the same: it is looked for before it is made.
        let backend = imported.at_badgr.as_ref().map(|_| "badgr");
        diesel::update(badge_class::table.find(class.id.0))
            .set((
                badge_class::backend.eq(backend),
                badge_class::backend_id.eq(&imported.at_badgr),
                badge_class::making_uncertain.eq(imported.at_badgr.is_none()),
            ))
            .execute(tx.conn)?;
        return Ok((class, Taken::New));
    }
    if new.image != imported.stand_in && badge_classes::image(tx, class.id)? == imported.stand_in {
        let change = Change {
            image: Some(new.image.clone()),
            ..Change::default()
        };
        badge_classes::change(tx, class.id, &change)?;
        let details = serde_json::json!({"badge_class": class.id, "changed": change.fields()});
        super::audit(tx, actor, "badges.badgeclass", details)?;
        return Ok((class, Taken::New));
    }
    Ok((class, Taken::WasThere))
}
