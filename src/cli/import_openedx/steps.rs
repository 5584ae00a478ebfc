//! The steps of an import, in the order in which they build on each other.

use super::{assertions, configurations, desk::Desk, media::Media, report::Report};
use crate::{
    cli::context,
    store::{
        StoreError,
        audit::Actor,
        imports::{self, ImportedImage, Taken},
    },
    wire::open_edx_dump::{Damaged, Dump, Model},
};

/// An import of one file.
pub(super) struct Import<'a> {
    pub(super) dump: &'a Dump<'a>,
    pub(super) actor: Actor,
    pub(super) media: &'a Media,
}

impl<'a> Import<'a> {
    pub(super) fn new(dump: &'a Dump<'a>, media: &'a Media) -> Self {
        Self {
            dump,
            actor: context::actor(),
            media,
        }
    }

    /// Takes what can be taken. A configuration comes last: it awards whom it reaches, but for those who have it.
    pub(super) fn all_in(&self, desk: &mut impl Desk) -> Result<Report, StoreError> {
        let mut report = Report::new(self.dump.others);
        for damaged in &self.dump.damaged {
            let problem = Damaged::PROBLEM.to_owned();
            report.problem("row", &damaged.number.to_string(), "of the file", problem);
        }
        let classes = self.badge_classes(desk, &mut report)?;
        self.images(desk, &mut report)?;
        let untaken = assertions::take(self, &classes, desk, &mut report)?;
        configurations::take(self, &untaken, desk, &mut report)?;
        Ok(report)
    }

    fn images(&self, desk: &mut impl Desk, report: &mut Report) -> Result<(), StoreError> {
        let mut default: Option<String> = None;
        for row in &self.dump.images {
            let read = match row.image(|path| self.media.read(path)) {
                Ok(read) => read,
                Err(problems) => {
                    report.refused(Model::Image, &row.pk, problems);
                    continue;
                }
            };
            let is_second = read.is_default && default.is_some();
            let image = ImportedImage {
                mode: read.mode,
                icon: read.icon,
                is_default: read.is_default && !is_second,
            };
            let taken = desk.transaction("import_completion_image", |tx| {
                imports::take_image(tx, &image, &self.actor)
            })?;
            report.row(Model::Image, taken);
            if taken == Taken::Other {
                report.note(format!(
                    "mode {}: another image was set here, and stays; `accolade completion-images set` changes it",
                    image.mode
                ));
            }
            if let Some(first) = default.as_ref().filter(|_| is_second) {
                let problem = format!("mode {first} is the default already, and there is one; taken without");
                report.problem(Model::Image.as_str(), &row.pk, "default", problem);
            }
            if image.is_default {
                default = Some(image.mode);
            }
        }
        Ok(())
    }
}
