//! The badge classes of an import.

use std::collections::HashMap;

use super::{desk::Desk, report::Report, steps::Import};
use crate::{
    domain::badge_class::BadgeClass,
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

/// The badge classes of the file by their keys there; `None` where one could not be taken.
pub(super) type BadgeClasses = HashMap<String, Option<BadgeClass>>;

impl Import<'_> {
    pub(super) fn badge_classes(&self, desk: &mut impl Desk, report: &mut Report) -> Result<BadgeClasses, StoreError> {
        let mut classes = BadgeClasses::new();
        for row in &self.dump.badge_classes {
            let class = self.badge_class(row, desk, report)?;
            classes.insert(row.pk.clone(), class);
        }
        Ok(classes)
    }

    fn badge_class(
        &self,
        row: &Row<'_>,
        desk: &mut impl Desk,
        report: &mut Report,
    ) -> Result<Option<BadgeClass>, StoreError> {
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
            Err(problems) => return self.only_its_image_is_wrong(row, problems, desk, report),
        };
        let imported = ImportedBadgeClass {
            new,
            at_badgr,
            stand_in: STAND_IN,
        };
        let (class, taken) = desk.transaction("import_badge_class", |tx| {
            imports::take_badge_class(tx, &imported, &self.actor)
        })?;
        report.row(Model::BadgeClass, taken);
        if let Some(problem) = missing.filter(|_| taken == Taken::New) {
            let problem = format!("{problem}; until then an image of this service stands in");
            report.problem(Model::BadgeClass.as_str(), &row.pk, "image", problem);
        }
        Ok(Some(class))
    }

    /// A badge class that is here needs no image any more.
    fn only_its_image_is_wrong(
        &self,
        row: &Row<'_>,
        problems: Vec<FieldProblem>,
        desk: &mut impl Desk,
        report: &mut Report,
    ) -> Result<Option<BadgeClass>, StoreError> {
        if let Ok((new, _)) = row.badge_class(|_| Ok(STAND_IN.to_vec()))
            && let Some(here) = desk.transaction("find_badge_class", |tx| badge_classes::find(tx, &new.key))?
        {
            report.row(Model::BadgeClass, Taken::WasThere);
            return Ok(Some(here));
        }
        report.refused(Model::BadgeClass, &row.pk, problems);
        Ok(None)
    }
}
