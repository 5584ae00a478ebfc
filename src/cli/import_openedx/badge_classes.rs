//! The badge classes of an import.

use std::collections::HashMap;

use super::{desk::Desk, report::Report, steps::Import};
use crate::{
    domain::badge_class::{BadgeClass, BadgeClassKey, COURSE_EVENTS_COMPONENT},
    store::{
        StoreError, badge_classes,
        imports::{self, ImportedBadgeClass, Taken},
    },
    wire::{
        fields::FieldProblem,
        open_edx_dump::{Model, Row},
    },
};

/// What stands in for the image of a badge class that is not at hand.
const STAND_IN: &[u8] = include_bytes!("../../../deploy/images/default.png");

/// The badge classes of the file by their keys there.
pub(super) type BadgeClasses = HashMap<String, Class>;

/// A badge class of the file.
pub(super) enum Class {
    /// It is here.
    Here(Box<BadgeClass>),
    /// It could not be taken. If it is one of the course event badges: its slug, or that it may be any of them.
    Refused(Option<CourseEvents>),
}

/// A badge of the course events.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum CourseEvents {
    /// This one.
    Slug(String),
    /// One that cannot be told.
    Unknown,
}

impl CourseEvents {
    /// The one of this identity, if it is one.
    pub(super) fn of(key: &BadgeClassKey) -> Option<Self> {
        (key.issuing_component == COURSE_EVENTS_COMPONENT).then(|| Self::Slug(key.slug.clone()))
    }

    /// The one that a row would be that cannot be read.
    fn of_row(row: &Row<'_>) -> Option<Self> {
        match (row.badge_class_key(), row.reference("issuing_component")) {
            (Some(key), _) => Self::of(&key),
            (None, Some(component)) if component.to_lowercase() != COURSE_EVENTS_COMPONENT => None,
            (None, _) => Some(Self::Unknown),
        }
    }
}

impl Import<'_> {
    pub(super) fn badge_classes(&self, desk: &mut impl Desk, report: &mut Report) -> Result<BadgeClasses, StoreError> {
        let mut classes = BadgeClasses::new();
        for row in &self.dump.badge_classes {
            let class = self.badge_class(row, desk, report)?;
            classes.insert(row.pk.clone(), class);
        }
        Ok(classes)
    }

    fn badge_class(&self, row: &Row<'_>, desk: &mut impl Desk, report: &mut Report) -> Result<Class, StoreError> {
        let mut missing = None;
        let read = row.badge_class(|path| match self.media.read(path) {
            Err(problem) if !self.media.is_given => {
                missing = Some(problem);
                Ok(STAND_IN.to_vec())
            }
            read => read,
        });
        let (new, at_badgr) = match read {
            Ok(read) => read,
            Err(problems) => return self.refused(row, problems, desk, report),
        };
        let imported = ImportedBadgeClass {
            new,
            at_badgr,
            stand_in: STAND_IN,
        };
        let (class, taken, has_stand_in) = desk.transaction("import_badge_class", |tx| {
            let (class, taken) = imports::take_badge_class(tx, &imported, &self.actor)?;
            let has_stand_in = badge_classes::image(tx, class.id)? == STAND_IN;
            Ok((class, taken, has_stand_in))
        })?;
        report.row(Model::BadgeClass, taken);
        if let Some(problem) = missing.filter(|_| has_stand_in) {
            report.problem(Model::BadgeClass.as_str(), &row.pk, "image", standing_in(&problem));
        }
        Ok(Class::Here(Box::new(class)))
    }

    /// A badge class that is here needs nothing of its row but its identity, and perhaps its image.
    fn refused(
        &self,
        row: &Row<'_>,
        problems: Vec<FieldProblem>,
        desk: &mut impl Desk,
        report: &mut Report,
    ) -> Result<Class, StoreError> {
        let here = match row.badge_class_key() {
            None => None,
            Some(key) => desk.transaction("find_badge_class", |tx| {
                let Some(here) = badge_classes::find(tx, &key)? else {
                    return Ok(None);
                };
                let has_stand_in = badge_classes::image(tx, here.id)? == STAND_IN;
                Ok(Some((here, has_stand_in)))
            })?,
        };
        let Some((here, has_stand_in)) = here else {
            report.refused(Model::BadgeClass, &row.pk, problems);
            return Ok(Class::Refused(CourseEvents::of_row(row)));
        };
        report.row(Model::BadgeClass, Taken::WasThere);
        for FieldProblem { field, problem } in problems {
            let is_image = field == "image";
            if is_image && !has_stand_in {
                continue;
            }
            let problem = if is_image { standing_in(&problem) } else { problem };
            report.problem(Model::BadgeClass.as_str(), &row.pk, &field, problem);
        }
        Ok(Class::Here(Box::new(here)))
    }
}

fn standing_in(problem: &str) -> String {
    format!("{problem}; until then an image of this service stands in")
}
