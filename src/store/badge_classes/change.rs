//! What of a badge class can be changed.

use diesel::{AsChangeset, QueryDsl, RunQueryDsl};

use super::get;
use crate::{
    domain::badge_class::{BadgeClass, BadgeClassId},
    store::{StoreError, Tx, schema::badge_class},
};

/// New values; what is `None` stays.
#[derive(Debug, Clone, Default, AsChangeset)]
#[diesel(table_name = badge_class)]
pub struct Change {
    /// Its name.
    pub display_name: Option<String>,
    /// What it stands for.
    pub description: Option<String>,
    /// What a learner must do.
    pub criteria: Option<String>,
    /// Course mode.
    pub mode: Option<String>,
    /// A square PNG.
    pub image: Option<Vec<u8>>,
}

impl Change {
    /// The names of what is changed.
    pub fn fields(&self) -> Vec<&'static str> {
        [
            ("display_name", self.display_name.is_some()),
            ("description", self.description.is_some()),
            ("criteria", self.criteria.is_some()),
            ("mode", self.mode.is_some()),
            ("image", self.image.is_some()),
        ]
        .into_iter()
        .filter_map(|(name, is_changed)| is_changed.then_some(name))
        .collect()
    }
}

/// Changes a badge class; `None` when there is none. What the backend made of it stays as it is there.
pub fn change(tx: &mut Tx<'_>, id: BadgeClassId, change: &Change) -> Result<Option<BadgeClass>, StoreError> {
    if !change.fields().is_empty() {
        diesel::update(badge_class::table.find(id.0))
            .set(change)
            .execute(tx.conn)?;
    }
    get(tx, id)
}
