//! What a batch's changes bring: rules, completion badges, requests.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{fold::Fold, memory::Overlay};
use crate::{
    domain::{
        CourseKey, LearnerId,
        award::{Decision, Reason, RuleKind},
        badge_class::BadgeClassKey,
        completion,
        evaluate::{Condition, LearnerChange, Rule, Rules, evaluate},
        losses::{LearnerLoss, Loss, evaluate_losses},
    },
    store::{
        StoreError, Tx, badge_classes, completion_images,
        courses::{self, Course, CourseId},
        facts,
    },
};

/// The course event badges that the fold brings by these rules.
pub(super) fn by_rules(
    tx: &mut Tx<'_>,
    rules: &Rules,
    fold: &Fold,
    known: &Overlay<'_>,
) -> Result<Vec<Decision>, StoreError> {
    let grouped: HashSet<&CourseKey> = rules
        .rules
        .iter()
        .filter_map(|rule| match &rule.condition {
            Condition::Group(courses) => Some(courses),
            Condition::Enrolled(_) | Condition::Completed(_) => None,
        })
        .flatten()
        .collect();
    let newly: HashMap<LearnerId, Vec<CourseKey>> = fold
        .gaining()
        .map(|held| {
            let keys = held.newly_passed.iter().filter_map(|id| known.course_key(*id));
            (held.learner.id, keys.cloned().collect())
        })
        .collect();
    let in_groups: Vec<LearnerId> = newly
        .iter()
        .filter(|(_, courses)| courses.iter().any(|course| grouped.contains(course)))
        .map(|(learner, _)| *learner)
        .collect();
    // Facts are written by now, and the learners' rows are held: this sees what is to be decided on.
    let passed = facts::passed_courses(tx, &in_groups)?;
    let nothing = HashSet::new();
    let changes = fold.gaining().map(|held| LearnerChange {
        learner: held.learner.id,
        before: held.before,
        after: held.learner.progress,
        newly_passed: newly.get(&held.learner.id).map_or(&[], Vec::as_slice),
        passed: passed.get(&held.learner.id).unwrap_or(&nothing),
        cause: held.cause.as_ref(),
    });
    Ok(changes.flat_map(|change| evaluate(rules, &change)).collect())
}

/// The badges that the fold takes: by these rules, and of courses that are no longer passed.
pub(super) fn losses(
    tx: &mut Tx<'_>,
    rules: Option<&Rules>,
    fold: &Fold,
    known: &Overlay<'_>,
) -> Result<Vec<Loss>, StoreError> {
    let has_groups = rules.is_some_and(|rules| {
        let is_group = |rule: &Rule| matches!(rule.condition, Condition::Group(_));
        rules.rules.iter().any(is_group)
    });
    let losing: Vec<LearnerId> = fold.losing().map(|held| held.learner.id).collect();
    let passed = match has_groups {
        true => facts::passed_courses(tx, &losing)?,
        false => HashMap::new(),
    };
    let nothing = HashSet::new();
    let keys = |ids: &[CourseId]| -> Vec<CourseKey> {
        let keys = ids.iter().filter_map(|id| known.course_key(*id));
        keys.cloned().collect()
    };
    let lost = fold.losing().flat_map(|held| {
        let change = LearnerLoss {
            learner: held.learner.id,
            before: held.before,
            after: held.learner.progress,
            newly_lost: &keys(&held.newly_lost),
            newly_passed: &keys(&held.newly_passed),
            passed: passed.get(&held.learner.id).unwrap_or(&nothing),
        };
        evaluate_losses(rules, &change)
    });
    Ok(lost.collect())
}

/// The completion badges for every course newly passed, or passed in another mode; their badge classes are made on the way.
pub(super) fn completions(tx: &mut Tx<'_>, fold: &Fold, known: &mut Overlay<'_>) -> Result<Vec<Decision>, StoreError> {
    let mut decisions = Vec::new();
    for held in fold.certified() {
        for course in &held.newly_certified {
            let certificate = fold
                .facts((held.learner.id, *course))
                .and_then(|f| f.certificate.as_ref());
            if let (Some(key), Some(certificate)) = (known.course_key(*course), certificate) {
                decisions.push((key.clone(), held.learner.id, certificate));
            }
        }
    }
    if decisions.is_empty() {
        return Ok(Vec::new());
    }
    // The switch counts as it stands now, whoever set it.
    let keys: HashSet<&CourseKey> = decisions.iter().map(|(key, _, _)| key).collect();
    let courses: HashMap<CourseKey, Course> = courses::get(tx, &keys.into_iter().collect::<Vec<_>>())?
        .into_iter()
        .map(|course| (course.key.clone(), course))
        .collect();
    decisions.retain(|(key, _, _)| courses.get(key).is_some_and(|course| course.issue_badges));
    let mut wanted: BTreeMap<BadgeClassKey, (&Course, &str)> = BTreeMap::new();
    for (key, _, certificate) in &decisions {
        let course = &courses[key];
        wanted.insert(
            completion::badge_class_key(key, &certificate.mode),
            (course, &certificate.mode),
        );
    }
    known.badge_classes(tx, wanted.keys())?;
    let mut images: HashMap<&str, Option<Vec<u8>>> = HashMap::new();
    let mut ids = HashMap::new();
    for (key, (course, mode)) in wanted {
        let mut id = known.badge_class(&key);
        if id.is_none() {
            if !images.contains_key(mode) {
                images.insert(mode, completion_images::for_mode(tx, mode)?);
            }
            if let Some(image) = &images[mode] {
                let course = completion::CompletedCourse {
                    key: &course.key,
                    display_name: &course.display_name,
                    start: course.start,
                    end: course.end,
                };
                let new = completion::badge_class(&course, mode, image.clone());
                let (made, _) = badge_classes::get_or_create(tx, &new)?;
                id = Some(known.learn_badge_class(made.key, made.id));
            }
        }
        ids.extend(id.map(|id| (key, id)));
    }
    let decided = decisions.into_iter().filter_map(|(key, learner, certificate)| {
        let badge_class_key = completion::badge_class_key(&key, &certificate.mode);
        Some(Decision {
            learner,
            badge_class: *ids.get(&badge_class_key)?,
            badge_class_key,
            idempotency_key: String::new(),
            reason: Reason {
                rule: RuleKind::CourseCompletion,
                by_backfill: false,
                threshold: None,
                count: None,
                configuration_id: None,
                event_id: Some(certificate.stamp.event_id.clone()),
                event_time: Some(certificate.stamp.time),
            },
            evidence_url: certificate.evidence_url.clone(),
        })
    });
    Ok(decided.collect())
}
