//! A file that Django's `dumpdata` wrote of the `badges` app that Open edX had.
//!
//! The models and their fields are those of the app (`lms/djangoapps/badges/models.py`). Of other models only
//! `auth.user` is looked at, for the names and addresses of learners. Rows stay as they are in the file until they are
//! read one by one, so that a file of a hundred thousand assertions fits into memory.

mod assertion;
mod configuration;
mod image;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::{Map, Value, value::RawValue};

pub use self::{
    assertion::{DumpedAssertion, UserRef},
    configuration::DumpedConfiguration,
    image::DumpedImage,
};
use super::{
    badge_class,
    fields::{FieldProblem, Fields},
};
use crate::domain::{
    LearnerId,
    badge_class::{BadgeClassKey, NewBadgeClass},
    event::LearnerDetails,
    limits::check_name,
};

/// A model of the removed app.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
pub enum Model {
    /// What can be awarded.
    #[serde(rename = "badges.badgeclass")]
    BadgeClass,
    /// The image of the completion badge for each course mode.
    #[serde(rename = "badges.coursecompleteimageconfiguration")]
    Image,
    /// Badges as issued.
    #[serde(rename = "badges.badgeassertion")]
    Assertion,
    /// The configurations of the course event badges, old ones too.
    #[serde(rename = "badges.courseeventbadgesconfiguration")]
    Configuration,
}

impl Model {
    /// Every model, in the order in which their rows are taken.
    pub const ALL: [Self; 4] = [Self::BadgeClass, Self::Image, Self::Assertion, Self::Configuration];

    /// Its label, as Django writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BadgeClass => "badges.badgeclass",
            Self::Image => "badges.coursecompleteimageconfiguration",
            Self::Assertion => "badges.badgeassertion",
            Self::Configuration => "badges.courseeventbadgesconfiguration",
        }
    }
}

/// A row, not yet read.
#[derive(Debug, Clone)]
pub struct Row<'a> {
    /// Its primary key, as a text.
    pub pk: String,
    fields: &'a RawValue,
}

/// The rows of a file by their models, in the order of their keys.
#[derive(Debug, Default)]
pub struct Dump<'a> {
    /// `badges.badgeclass`
    pub badge_classes: Vec<Row<'a>>,
    /// `badges.coursecompleteimageconfiguration`
    pub images: Vec<Row<'a>>,
    /// `badges.badgeassertion`
    pub assertions: Vec<Row<'a>>,
    /// `badges.courseeventbadgesconfiguration`
    pub configurations: Vec<Row<'a>>,
    /// `auth.user`
    pub users: Users<'a>,
    /// How many rows are of other models.
    pub others: usize,
    /// Items of the list that are no rows.
    pub damaged: Vec<Damaged>,
}

/// An item of the list that is no row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damaged {
    /// Which, from 1.
    pub number: usize,
    /// Of what it may be a row; `None` where that cannot be told.
    pub model: Option<String>,
}

impl Damaged {
    /// What is wrong with it.
    pub const PROBLEM: &str = "expected an object with \"model\", \"pk\" and \"fields\", as dumpdata writes it";

    /// Whether a row of one of these models may be lost.
    pub fn may_be(&self, models: &[Model]) -> bool {
        let is_one = |model: &String| models.iter().any(|one| one.as_str() == model);
        self.model.as_ref().is_none_or(is_one)
    }
}

/// Why a file is no dump at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotADump {
    /// It is not JSON.
    #[error("not JSON at line {line} column {column}; give the file that `manage.py dumpdata badges` wrote, whole")]
    NotJson {
        /// In which line.
        line: usize,
        /// Where in it.
        column: usize,
    },
    /// It is JSON, but not a list.
    #[error("not a list of rows; give the file that `manage.py dumpdata badges` wrote")]
    NotAList,
}

#[derive(Deserialize)]
struct Record<'a> {
    model: String,
    #[serde(default)]
    pk: Value,
    #[serde(borrow)]
    fields: &'a RawValue,
}

impl<'a> Dump<'a> {
    /// Finds the rows. What a row holds is judged when it is read.
    ///
    /// # Errors
    /// When the file is no dump.
    pub fn parse(text: &'a str) -> Result<Self, NotADump> {
        let items: Vec<&RawValue> = serde_json::from_str(text).map_err(|error| match error.is_data() {
            true => NotADump::NotAList,
            false => NotADump::NotJson {
                line: error.line(),
                column: error.column(),
            },
        })?;
        let mut dump = Self::default();
        for (number, item) in (1..).zip(items) {
            match serde_json::from_str::<Record<'_>>(item.get()) {
                Ok(record) => dump.add(record),
                Err(_) => dump.damaged.push(Damaged {
                    number,
                    model: model_of(item),
                }),
            }
        }
        for rows in [
            &mut dump.badge_classes,
            &mut dump.images,
            &mut dump.assertions,
            &mut dump.configurations,
        ] {
            rows.sort_by_cached_key(|row| (row.pk.parse().unwrap_or(i64::MAX), row.pk.clone()));
        }
        Ok(dump)
    }

    fn add(&mut self, record: Record<'a>) {
        let row = Row {
            pk: key(&record.pk),
            fields: record.fields,
        };
        let model = record.model.to_ascii_lowercase();
        match Model::ALL.into_iter().find(|known| known.as_str() == model) {
            Some(Model::BadgeClass) => self.badge_classes.push(row),
            Some(Model::Image) => self.images.push(row),
            Some(Model::Assertion) => self.assertions.push(row),
            Some(Model::Configuration) => self.configurations.push(row),
            None if model == "auth.user" => self.users.add(&row),
            None => self.others += 1,
        }
    }
}

impl Row<'_> {
    /// What `read` makes of its fields, or all that is wrong with them.
    fn read<T>(&self, read: impl FnOnce(&mut Fields<'_>) -> T) -> Result<T, Vec<FieldProblem>> {
        let problem = || FieldProblem {
            field: "fields".to_owned(),
            problem: "expected an object; dump the row again".to_owned(),
        };
        let object: Map<String, Value> = serde_json::from_str(self.fields.get()).map_err(|_| vec![problem()])?;
        let mut fields = Fields::new(&object);
        let value = read(&mut fields);
        fields.finish()?;
        Ok(value)
    }

    /// The key of the row that this field refers to.
    pub fn reference(&self, field: &str) -> Option<String> {
        let object: Map<String, Value> = serde_json::from_str(self.fields.get()).ok()?;
        object.get(field).map(key)
    }

    /// The identity of a badge class, where that much of the row is right.
    pub fn badge_class_key(&self) -> Option<BadgeClassKey> {
        self.read(badge_class::read_key).ok()
    }

    /// A badge class and its id at Badgr, where the row has one. `read_image` reads a file below the media directory.
    pub fn badge_class(
        &self,
        read_image: impl FnOnce(&str) -> Result<Vec<u8>, String>,
    ) -> Result<(NewBadgeClass, Option<String>), Vec<FieldProblem>> {
        self.read(|fields| {
            let badge_class = badge_class::read(fields, read_image);
            let at_badgr = fields.optional("badgr_server_slug", check_name);
            (badge_class, Some(at_badgr).filter(|id| !id.is_empty()))
        })
    }
}

/// The accounts of a file, as far as it has them.
#[derive(Debug, Default)]
pub struct Users<'a> {
    rows: HashMap<i64, &'a RawValue>,
    ids: HashMap<String, i64>,
}

#[derive(Deserialize)]
struct User {
    #[serde(default)]
    username: String,
    #[serde(default)]
    email: String,
    #[serde(default)]
    first_name: String,
    #[serde(default)]
    last_name: String,
}

impl<'a> Users<'a> {
    fn add(&mut self, row: &Row<'a>) {
        // Without its key (`--natural-primary`) a row says nothing: learners are known by their ids.
        let Ok(id) = row.pk.parse() else { return };
        if let Ok(user) = serde_json::from_str::<User>(row.fields.get()) {
            self.ids.insert(user.username, id);
            self.rows.insert(id, row.fields);
        }
    }

    /// Who is meant, where the file says so.
    pub fn id_of(&self, user: &UserRef) -> Option<LearnerId> {
        match user {
            UserRef::Id(id) => Some(LearnerId(*id)),
            UserRef::Name(name) => self.ids.get(name).map(|id| LearnerId(*id)),
        }
    }

    /// What is kept of who saved a configuration: never a name, for who is no learner here is not erased here.
    pub fn author(&self, user: Option<&UserRef>) -> String {
        match user.and_then(|user| self.id_of(user)) {
            Some(LearnerId(id)) => format!("Open edX user {id}"),
            None => "Open edX".to_owned(),
        }
    }

    /// What the file tells of an account. What our own rules do not take is left out.
    pub fn details(&self, id: LearnerId) -> Option<LearnerDetails> {
        let user: User = serde_json::from_str(self.rows.get(&id.0)?.get()).ok()?;
        let checked = |text: String| Some(text).filter(|text| !text.is_empty() && check_name(text).is_ok());
        Some(LearnerDetails {
            id,
            username: checked(user.username).unwrap_or_default(),
            email: checked(user.email.trim().to_owned()),
            name: checked(format!("{} {}", user.first_name, user.last_name).trim().to_owned()),
        })
    }
}

/// What a damaged item says of its model.
fn model_of(item: &RawValue) -> Option<String> {
    let object: Map<String, Value> = serde_json::from_str(item.get()).ok()?;
    Some(object.get("model")?.as_str()?.to_ascii_lowercase())
}

/// A key as a text: numbers and texts are keys.
fn key(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}
