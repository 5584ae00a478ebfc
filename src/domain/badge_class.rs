//! Badge classes: what can be awarded.

/// The database's id of a badge class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
#[serde(transparent)]
pub struct BadgeClassId(pub i32);

/// The issuing component of course event badges, as Open edX names it.
pub const COURSE_EVENTS_COMPONENT: &str = "openedx__course";

/// What identifies a badge class to the world.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BadgeClassKey {
    /// Slug: lower-case letters, digits, `_` and `-`.
    pub slug: String,
    /// Issuing component, `""` for none.
    pub issuing_component: String,
    /// Course key, `""` for none.
    pub course_id: String,
}

/// A badge class without its database id: what a person writes or an award makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewBadgeClass {
    /// Its identity.
    pub key: BadgeClassKey,
    /// Course mode of a completion badge, `""` otherwise.
    pub mode: String,
    /// Its name.
    pub display_name: String,
    /// What it stands for.
    pub description: String,
    /// What a learner must do; a text, or a URL.
    pub criteria: String,
    /// A square PNG, below 250 × 1024 bytes.
    pub image: Vec<u8>,
}

/// A badge class as stored, without its image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadgeClass {
    /// Its row.
    pub id: BadgeClassId,
    /// Its identity.
    pub key: BadgeClassKey,
    /// Course mode of a completion badge, `""` otherwise.
    pub mode: String,
    /// Its name.
    pub display_name: String,
    /// What it stands for.
    pub description: String,
    /// What a learner must do; a text, or a URL.
    pub criteria: String,
    /// The badge backend that has it, once it was made there.
    pub backend: Option<String>,
    /// Its id at that backend.
    pub backend_id: Option<String>,
    /// Where the backend shows its image, where it says so.
    pub backend_image_url: Option<String>,
    /// Unguessable name of its public documents below `PUBLIC_URL` (a UUIDv4).
    pub public_id: String,
}

impl BadgeClass {
    /// Whether this backend has it; what another one said of it counts for nothing there.
    pub fn is_made_at(&self, backend: &str) -> bool {
        self.backend_id.is_some() && self.backend.as_deref() == Some(backend)
    }
}
