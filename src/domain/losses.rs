//! Which badges a change of facts takes, where badges are taken from who no longer qualifies: pure.

use std::collections::HashSet;

use super::{
    CourseKey, LearnerId,
    badge_class::BadgeClassId,
    evaluate::{Condition, Progress, Rules},
};

/// What one batch took from one learner.
#[derive(Debug, Clone)]
pub struct LearnerLoss<'a> {
    /// Who.
    pub learner: LearnerId,
    /// Counts before the batch.
    pub before: Progress,
    /// Counts now.
    pub after: Progress,
    /// Courses passed before and no longer.
    pub newly_lost: &'a [CourseKey],
    /// Courses newly passed.
    pub newly_passed: &'a [CourseKey],
    /// All passed courses now, as far as some group names them.
    pub passed: &'a HashSet<CourseKey>,
}

/// A badge that a learner no longer qualifies for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    /// Who.
    pub learner: LearnerId,
    /// Which badge.
    pub badge: LostBadge,
    /// Why it is revoked, as everybody may read.
    pub reason: String,
}

/// What names a badge that is lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LostBadge {
    /// One of a rule.
    Rule(BadgeClassId),
    /// The completion badges of this course, whatever the mode was that they were awarded for.
    Completion(CourseKey),
}

/// The badges that this change takes: of rules that held before and do not now, unless the badge class has another rule
/// that does; and of courses that are no longer passed.
///
/// A rule that did not hold before takes nothing: learners keep what they were awarded for another configuration's rule.
pub fn evaluate_losses(rules: Option<&Rules>, change: &LearnerLoss<'_>) -> Vec<Loss> {
    let rules = rules.map_or(&[][..], |rules| &rules.rules);
    let mut settled: HashSet<BadgeClassId> = rules
        .iter()
        .filter(|rule| holds(&rule.condition, change))
        .map(|rule| rule.badge_class)
        .collect();
    let mut losses = Vec::new();
    for rule in rules {
        if let Some(reason) = lost(&rule.condition, change)
            && settled.insert(rule.badge_class)
        {
            losses.push((LostBadge::Rule(rule.badge_class), reason));
        }
    }
    let completions = change.newly_lost.iter();
    losses.extend(completions.map(|course| (LostBadge::Completion(course.clone()), no_longer_passed(&[course]))));
    let loss = |(badge, reason)| Loss {
        learner: change.learner,
        badge,
        reason,
    };
    losses.into_iter().map(loss).collect()
}

fn holds(condition: &Condition, change: &LearnerLoss<'_>) -> bool {
    match condition {
        Condition::Enrolled(n) => change.after.enrolled >= *n,
        Condition::Completed(n) => change.after.completed >= *n,
        Condition::Group(courses) => courses.iter().all(|course| change.passed.contains(course)),
    }
}

/// Why a condition that held before does not hold now.
fn lost(condition: &Condition, change: &LearnerLoss<'_>) -> Option<String> {
    let fell = |n: i32, before: i32, after: i32| after < n && n <= before;
    match condition {
        Condition::Enrolled(n) => {
            let now = change.after.enrolled;
            fell(*n, change.before.enrolled, now)
                .then(|| format!("Courses enrolled: {now} now; this badge takes at least {n}."))
        }
        Condition::Completed(n) => {
            let now = change.after.completed;
            fell(*n, change.before.completed, now)
                .then(|| format!("Courses completed: {now} now; this badge takes at least {n}."))
        }
        Condition::Group(courses) => {
            let was_lost = |course: &CourseKey| change.newly_lost.contains(course);
            let stayed = |course: &CourseKey| change.passed.contains(course) && !change.newly_passed.contains(course);
            let missing: Vec<&CourseKey> = courses.iter().filter(|course| was_lost(course)).collect();
            let was_complete = courses.iter().all(|course| was_lost(course) || stayed(course));
            (was_complete && !missing.is_empty()).then(|| no_longer_passed(&missing))
        }
    }
}

fn no_longer_passed(courses: &[&CourseKey]) -> String {
    let keys: Vec<&str> = courses.iter().map(|course| course.as_str()).collect();
    format!("No longer passed: {}.", keys.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{badge_class::BadgeClassKey, evaluate::Rule};

    fn rules(conditions: impl IntoIterator<Item = (i32, Condition)>) -> Rules {
        let rule = |(id, condition)| Rule {
            badge_class: BadgeClassId(id),
            badge_class_key: BadgeClassKey {
                slug: format!("badge{id}"),
                issuing_component: "openedx__course".to_owned(),
                course_id: String::new(),
            },
            condition,
        };
        Rules {
            configuration_id: 1,
            rules: conditions.into_iter().map(rule).collect(),
        }
    }

    fn key(name: &str) -> CourseKey {
        format!("edX/{name}/1").parse().expect("a key")
    }

    /// What is lost from these counts to those, when courses are lost, newly passed, and passed in the end.
    fn taken(
        rules: &Rules,
        before: (i32, i32),
        after: (i32, i32),
        [lost, new, passed]: [&[CourseKey]; 3],
    ) -> Vec<(LostBadge, String)> {
        let progress = |(enrolled, completed)| Progress { enrolled, completed };
        let passed: HashSet<CourseKey> = passed.iter().cloned().collect();
        let change = LearnerLoss {
            learner: LearnerId(1),
            before: progress(before),
            after: progress(after),
            newly_lost: lost,
            newly_passed: new,
            passed: &passed,
        };
        let losses = evaluate_losses(Some(rules), &change).into_iter();
        losses.map(|loss| (loss.badge, loss.reason)).collect()
    }

    fn classes(losses: &[(LostBadge, String)]) -> Vec<i32> {
        let class = |(badge, _): &(LostBadge, String)| match badge {
            LostBadge::Rule(class) => Some(class.0),
            LostBadge::Completion(_) => None,
        };
        losses.iter().filter_map(class).collect()
    }

    proptest::proptest! {
        #[test]
        fn a_fall_takes_exactly_the_thresholds_that_it_comes_past(before in 0i32..20, after in 0i32..20) {
            let rules = rules((1..=20).map(|n| (n, Condition::Enrolled(n))));
            let expected: Vec<i32> = (after + 1..=before).collect();
            proptest::prop_assert_eq!(classes(&taken(&rules, (before, 0), (after, 0), [&[]; 3])), expected);
        }
    }

    #[test]
    fn a_group_is_lost_with_any_of_its_courses_if_it_was_complete() {
        let [a, b, c] = ["A", "B", "C"].map(key);
        let rules = rules([(1, Condition::Group(vec![a.clone(), b.clone()]))]);
        let one = std::slice::from_ref;
        let both = [a.clone(), b.clone()];
        let lost = taken(&rules, (0, 3), (0, 2), [one(&a), &[], &[b.clone(), c.clone()]]);
        assert_eq!(
            lost[0],
            (
                LostBadge::Rule(BadgeClassId(1)),
                "No longer passed: edX/A/1.".to_owned()
            )
        );
        assert_eq!(lost[1].0, LostBadge::Completion(a.clone()));
        let lost = taken(&rules, (0, 2), (0, 0), [&both, &[], &[]]);
        assert_eq!(
            (lost.len(), lost[0].1.as_str()),
            (3, "No longer passed: edX/A/1, edX/B/1.")
        );
        for (what, change) in [
            ("another course", [one(&c), &[], &both]),
            ("never complete", [one(&a), &[], &[]]),
            ("the other came only now", [one(&a), one(&b), one(&b)]),
        ] {
            assert_eq!(
                classes(&taken(&rules, (0, 2), (0, 1), change)),
                [] as [i32; 0],
                "{what}"
            );
        }
    }

    #[test]
    fn who_qualifies_by_another_rule_of_the_badge_keeps_it() {
        let [a, b] = ["A", "B"].map(key);
        let both = rules([
            (1, Condition::Enrolled(2)),
            (1, Condition::Completed(1)),
            (2, Condition::Enrolled(2)),
        ]);
        assert_eq!(classes(&taken(&both, (2, 1), (1, 1), [&[]; 3])), [2]);
        assert_eq!(classes(&taken(&both, (2, 1), (1, 0), [&[]; 3])), [1, 2], "once each");
        let group = rules([(1, Condition::Completed(2)), (1, Condition::Group(vec![a.clone()]))]);
        let change = [std::slice::from_ref(&b), &[], std::slice::from_ref(&a)];
        assert_eq!(classes(&taken(&group, (0, 2), (0, 1), change)), [] as [i32; 0]);
    }

    #[test]
    fn without_rules_courses_are_lost_all_the_same() {
        let a = key("A");
        let change = LearnerLoss {
            learner: LearnerId(1),
            before: Progress::default(),
            after: Progress::default(),
            newly_lost: std::slice::from_ref(&a),
            newly_passed: &[],
            passed: &HashSet::new(),
        };
        assert_eq!(evaluate_losses(None, &change)[0].badge, LostBadge::Completion(a));
    }
}
