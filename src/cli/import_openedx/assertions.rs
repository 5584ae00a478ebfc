//! The assertions of an import, so many at a time.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::{
    badge_classes::{BadgeClasses, Class, CourseEvents},
    desk::Desk,
    report::Report,
    steps::Import,
};
use crate::{
    domain::{
        LearnerId,
        award::RuleKind,
        badge_class::{BadgeClass, BadgeClassId},
        completion,
    },
    store::{
        StoreError, api_reads,
        imports::{self, ImportedAssertion, Taken},
    },
    wire::{
        fields::FieldProblem,
        open_edx_dump::{Model, Row, UserRef},
    },
};

/// Assertions of one transaction.
const BATCH: usize = 2000;

/// Takes the assertions. Returns the course event badges that some learner holds by the file and not here.
pub(super) fn take(
    import: &Import<'_>,
    classes: &BadgeClasses,
    desk: &mut impl Desk,
    report: &mut Report,
) -> Result<BTreeSet<CourseEvents>, StoreError> {
    let mut reader = Reader {
        import,
        classes,
        names: HashMap::new(),
        seen: HashSet::new(),
    };
    let mut untaken = BTreeSet::new();
    let may_be_lost = [Model::BadgeClass, Model::Assertion];
    if import.dump.damaged.iter().any(|damaged| damaged.may_be(&may_be_lost)) {
        untaken.insert(CourseEvents::Unknown);
    }
    for rows in import.dump.assertions.chunks(BATCH) {
        let mut batch = Vec::with_capacity(rows.len());
        for row in rows {
            match reader.read(row, desk)? {
                Ok(one) => batch.push(one),
                Err(problems) => {
                    let class = row.reference("badge_class").and_then(|pk| classes.get(&pk));
                    untaken.extend(match class {
                        Some(Class::Here(class)) => CourseEvents::of(&class.key),
                        Some(Class::Refused(badge)) => badge.clone(),
                        None => Some(CourseEvents::Unknown),
                    });
                    report.refused(Model::Assertion, &row.pk, problems);
                }
            }
        }
        let taken = desk.transaction("import_assertions", |tx| {
            imports::take_assertions(tx, &batch, &import.actor)
        })?;
        for (one, taken) in batch.iter().zip(taken) {
            report.row(Model::Assertion, taken);
            if taken == Taken::UnderWay {
                untaken.extend(CourseEvents::of(&one.badge_class.key));
                let reason = "an award of this badge to this learner is being issued now; run the import again";
                report.problem(Model::Assertion.as_str(), &one.pk, "badge_class", reason.to_owned());
            }
        }
    }
    Ok(untaken)
}

struct Reader<'a> {
    import: &'a Import<'a>,
    classes: &'a BadgeClasses,
    /// Learners whom the file names without their ids, as they are known here.
    names: HashMap<String, Option<LearnerId>>,
    /// Which learners have an assertion of which badge class so far.
    seen: HashSet<(LearnerId, BadgeClassId)>,
}

impl Reader<'_> {
    fn read(
        &mut self,
        row: &Row<'_>,
        desk: &mut impl Desk,
    ) -> Result<Result<ImportedAssertion, Vec<FieldProblem>>, StoreError> {
        let read = match row.assertion() {
            Ok(read) => read,
            Err(problems) => return Ok(Err(problems)),
        };
        let mut problems = Vec::new();
        let learner = self.learner(&read.user, desk)?;
        if learner.is_none() {
            problems.push(problem(
                "user",
                "only a name is given, and no event told of it yet; dump without --natural-foreign, or with auth.user",
            ));
        }
        let class = match self.classes.get(&read.badge_class) {
            Some(Class::Here(class)) => Some(BadgeClass::clone(class)),
            Some(Class::Refused(_)) => {
                let reason = format!(
                    "badge class {} could not be taken; mend it and run again",
                    read.badge_class
                );
                problems.push(problem("badge_class", &reason));
                None
            }
            None => {
                let reason = format!("badges.badgeclass {} is not in the file; dump it too", read.badge_class);
                problems.push(problem("badge_class", &reason));
                None
            }
        };
        let (Some(learner), Some(badge_class)) = (learner, class) else {
            return Ok(Err(problems));
        };
        Ok(Ok(ImportedAssertion {
            pk: row.pk.clone(),
            learner,
            details: self.import.dump.users.details(learner),
            is_first: self.seen.insert((learner, badge_class.id)),
            rule: rule(&badge_class),
            badge_class,
            backend: read.backend,
            backend_id: read.backend_id,
            image_url: read.image_url,
            assertion_url: read.assertion_url,
            evidence_url: read.evidence_url,
            issuer: read.issuer,
            data: read.data,
            created: read.created,
        }))
    }

    fn learner(&mut self, user: &UserRef, desk: &mut impl Desk) -> Result<Option<LearnerId>, StoreError> {
        let in_file = self.import.dump.users.id_of(user);
        let UserRef::Name(name) = user else { return Ok(in_file) };
        if in_file.is_some() {
            return Ok(in_file);
        }
        if let Some(known) = self.names.get(name) {
            return Ok(*known);
        }
        let known = desk.transaction("find_learner", |tx| api_reads::learner_by_username(tx, name))?;
        self.names.insert(name.clone(), known);
        Ok(known)
    }
}

/// A course's own completion badge stands for the certificate; of any other it is not known why it was awarded.
fn rule(class: &BadgeClass) -> RuleKind {
    let course = class.key.course_id.parse();
    match course {
        Ok(course) if completion::badge_class_key(&course, &class.mode) == class.key => RuleKind::CourseCompletion,
        _ => RuleKind::Requested,
    }
}

fn problem(field: &str, problem: &str) -> FieldProblem {
    FieldProblem {
        field: field.to_owned(),
        problem: problem.to_owned(),
    }
}
