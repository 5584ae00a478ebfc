//! The configurations of an import: the whole history, and the newest, which may hold.

use std::collections::BTreeSet;

use super::{badge_classes::CourseEvents, desk::Desk, report::Report, steps::Import};
use crate::{
    domain::{
        badge_class::{BadgeClassId, BadgeClassKey},
        event_badges::ConfigurationTexts,
    },
    store::{
        StoreError,
        imports::{self, ImportedConfiguration, Standing, Taken},
    },
    wire::open_edx_dump::Model,
};

const MODEL: Model = Model::Configuration;

/// A configuration of the file.
struct Read {
    pk: String,
    is_enabled: bool,
    imported: ImportedConfiguration,
}

/// Badges that learners would get again.
struct Again {
    slugs: Vec<String>,
    /// Others, of which it cannot be told which.
    any: bool,
}

/// Takes the history. The newest configuration is activated if it is enabled, none is active, and nobody would get one
/// of the `untaken` badges again.
pub(super) fn take(
    import: &Import<'_>,
    untaken: &BTreeSet<CourseEvents>,
    desk: &mut impl Desk,
    report: &mut Report,
) -> Result<(), StoreError> {
    let mut all = Vec::new();
    let mut is_whole = !import.dump.damaged.iter().any(|damaged| damaged.may_be(&[MODEL]));
    for row in &import.dump.configurations {
        match row.configuration() {
            Ok(read) => all.push(Read {
                pk: row.pk.clone(),
                is_enabled: read.enabled,
                imported: ImportedConfiguration {
                    created: read.created,
                    changed_by: import.dump.users.author(read.changed_by.as_ref()),
                    texts: read.texts,
                },
            }),
            Err(problems) => {
                is_whole = false;
                report.refused(MODEL, &row.pk, problems);
            }
        }
    }
    all.sort_by_key(|read| read.imported.created);
    let imported: Vec<ImportedConfiguration> = all.iter().map(|read| read.imported.clone()).collect();
    let taken = desk.transaction("import_configurations", |tx| {
        imports::take_configurations(tx, &imported, &import.actor)
    })?;
    for taken in &taken {
        report.row(MODEL, *taken);
    }
    let (Some(newest), Some(taken)) = (all.last(), taken.last()) else {
        return Ok(());
    };
    let named = slugs(&newest.imported.texts);
    let again = Again {
        slugs: named
            .iter()
            .filter(|slug| untaken.contains(&CourseEvents::Slug((*slug).clone())))
            .cloned()
            .collect(),
        any: untaken.contains(&CourseEvents::Unknown),
    };
    let activate = newest.is_enabled && is_whole && again.slugs.is_empty() && !again.any;
    let standing = desk.transaction("activate_imported", |tx| {
        imports::stand(tx, &newest.imported, activate, &import.actor)
    })?;
    tell(newest, &standing, *taken, &again, report);
    Ok(())
}

fn tell(newest: &Read, standing: &Standing, taken: Taken, again: &Again, report: &mut Report) {
    let pk = &newest.pk;
    let id = standing.id;
    match standing.active {
        _ if standing.activated => report.note(format!(
            "configuration {id} (badges.courseeventbadgesconfiguration {pk}) is active now; a running service also \
             reaches those who already qualify"
        )),
        Some(active) if active != id && taken == Taken::New => report.note(format!(
            "configuration {active} is active here and stays so; the imported ones are kept as history"
        )),
        None if !newest.is_enabled => report.note(format!(
            "the newest configuration ({pk}) is disabled, so none was activated; `accolade event-badges set` adds one"
        )),
        None if !again.slugs.is_empty() => report.problem(
            MODEL.as_str(),
            pk,
            "enabled",
            format!(
                "not activated: assertions of {} could not be taken, and their learners would get these badges again; \
                 mend those rows or take them out of the file, and run again",
                again.slugs.join(", ")
            ),
        ),
        None if again.any => report.problem(
            MODEL.as_str(),
            pk,
            "enabled",
            "not activated: of some rows it cannot be told which badge they are assertions of, and their learners might \
             get it again; mend those rows or take them out of the file, and run again, or set the configuration \
             with `accolade event-badges set FILE` once nobody can get a badge twice"
                .to_owned(),
        ),
        None => report.problem(
            MODEL.as_str(),
            pk,
            "enabled",
            "not activated, for a newer one may be among those that could not be taken; mend them and run again"
                .to_owned(),
        ),
        _ => {}
    }
    if standing.activated {
        for error in &standing.unusable {
            let reason = format!("line {}: {}; this line is left out", error.line, error.reason);
            report.problem(MODEL.as_str(), pk, error.field.as_str(), reason);
        }
    }
}

/// The slugs that a configuration names, in lines that can be read.
fn slugs(texts: &ConfigurationTexts) -> BTreeSet<String> {
    let any = |slug: &str| {
        let key = BadgeClassKey {
            slug: slug.to_owned(),
            issuing_component: String::new(),
            course_id: String::new(),
        };
        Some((BadgeClassId(0), key))
    };
    let (rules, _) = texts.usable(0, any);
    rules.rules.into_iter().map(|rule| rule.badge_class_key.slug).collect()
}
