//! Which badges a change of facts brings: pure.

use std::collections::HashSet;

use super::{
    CourseKey, LearnerId,
    award::{Decision, Reason, RuleKind},
    badge_class::{BadgeClassId, BadgeClassKey},
    event::Stamp,
};

/// The rules of one configuration, with their badge classes resolved.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules {
    /// The configuration's row.
    pub configuration_id: i32,
    /// Its rules.
    pub rules: Vec<Rule>,
}

impl Rules {
    /// The rules of each badge: two fields may name the same one. In the order of their first rules.
    pub fn by_badge(&self) -> Vec<Vec<&Rule>> {
        let mut badges: Vec<Vec<&Rule>> = Vec::new();
        for rule in &self.rules {
            let is_same = |badge: &&mut Vec<&Rule>| badge.iter().any(|other| other.badge_class == rule.badge_class);
            match badges.iter_mut().find(is_same) {
                Some(badge) => badge.push(rule),
                None => badges.push(vec![rule]),
            }
        }
        badges
    }
}

/// One line of a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// What is awarded.
    pub badge_class: BadgeClassId,
    /// Its identity.
    pub badge_class_key: BadgeClassKey,
    /// For what.
    pub condition: Condition,
}

/// What a learner must reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// At least this many active enrolments.
    Enrolled(i32),
    /// At least this many passed courses.
    Completed(i32),
    /// Every one of these courses passed.
    Group(Vec<CourseKey>),
}

/// A learner's counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Active enrolments in different courses.
    pub enrolled: i32,
    /// Passed courses.
    pub completed: i32,
}

/// What one batch changed for one learner.
#[derive(Debug, Clone)]
pub struct LearnerChange<'a> {
    /// Who.
    pub learner: LearnerId,
    /// Counts before the batch; zero for a backfill, which so reaches everything up to `after`.
    pub before: Progress,
    /// Counts now.
    pub after: Progress,
    /// Courses newly passed; for a backfill every passed one.
    pub newly_passed: &'a [CourseKey],
    /// All passed courses, as far as some group names them.
    pub passed: &'a HashSet<CourseKey>,
    /// The newest event of the change; `None` for a backfill.
    pub cause: Option<&'a Stamp>,
}

/// The course event badges that this change brings: every threshold with `before < N <= after`, every group whose
/// last course was passed.
pub fn evaluate(rules: &Rules, change: &LearnerChange<'_>) -> Vec<Decision> {
    rules
        .rules
        .iter()
        .filter_map(|rule| {
            let (kind, threshold, count) = met(&rule.condition, change)?;
            Some(Decision {
                learner: change.learner,
                badge_class: rule.badge_class,
                badge_class_key: rule.badge_class_key.clone(),
                idempotency_key: String::new(),
                reason: Reason {
                    rule: kind,
                    by_backfill: change.cause.is_none(),
                    threshold: Some(threshold),
                    count: Some(count),
                    configuration_id: Some(rules.configuration_id),
                    event_id: change.cause.map(|stamp| stamp.event_id.clone()),
                    event_time: change.cause.map(|stamp| stamp.time),
                },
                evidence_url: None,
            })
        })
        .collect()
}

fn met(condition: &Condition, change: &LearnerChange<'_>) -> Option<(RuleKind, i32, i32)> {
    let crossed = |n: i32, before: i32, after: i32| before < n && n <= after;
    match condition {
        Condition::Enrolled(n) => crossed(*n, change.before.enrolled, change.after.enrolled).then_some((
            RuleKind::CoursesEnrolled,
            *n,
            change.after.enrolled,
        )),
        Condition::Completed(n) => crossed(*n, change.before.completed, change.after.completed).then_some((
            RuleKind::CoursesCompleted,
            *n,
            change.after.completed,
        )),
        Condition::Group(courses) => {
            let touched = courses.iter().any(|course| change.newly_passed.contains(course));
            let complete = courses.iter().all(|course| change.passed.contains(course));
            let size = i32::try_from(courses.len()).unwrap_or(i32::MAX);
            (touched && complete).then_some((RuleKind::CourseGroup, size, size))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(conditions: impl IntoIterator<Item = Condition>) -> Rules {
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
            rules: (1..).zip(conditions).map(rule).collect(),
        }
    }

    fn awarded(
        rules: &Rules,
        before: (i32, i32),
        after: (i32, i32),
        newly: &[CourseKey],
        passed: &[CourseKey],
    ) -> Vec<i32> {
        let progress = |(enrolled, completed)| Progress { enrolled, completed };
        let passed: HashSet<CourseKey> = passed.iter().cloned().collect();
        let change = LearnerChange {
            learner: LearnerId(1),
            before: progress(before),
            after: progress(after),
            newly_passed: newly,
            passed: &passed,
            cause: None,
        };
        evaluate(rules, &change)
            .iter()
            .map(|decision| decision.badge_class.0)
            .collect()
    }

    proptest::proptest! {
        #[test]
        fn one_step_at_a_time_awards_a_threshold_exactly_once(n in 1i32..50) {
            let rules = rules([Condition::Enrolled(n)]);
            for step in 0..60 {
                let expected = if step + 1 == n { vec![1] } else { vec![] };
                proptest::prop_assert_eq!(awarded(&rules, (step, 0), (step + 1, 0), &[], &[]), expected);
            }
        }

        #[test]
        fn a_jump_awards_every_threshold_it_comes_past(from in 0i32..20, to in 0i32..20) {
            let rules = rules((1..=20).map(Condition::Completed));
            let expected: Vec<i32> = (from + 1..=to).collect();
            proptest::prop_assert_eq!(awarded(&rules, (0, from), (0, to), &[], &[]), expected);
        }
    }

    #[test]
    fn a_group_needs_every_course_and_is_seen_with_its_last_one() {
        let [a, b, c] = ["edX/A/1", "edX/B/1", "edX/C/1"].map(|key| key.parse::<CourseKey>().expect("a key"));
        let rules = rules([Condition::Group(vec![a.clone(), b.clone()])]);
        assert!(
            awarded(
                &rules,
                (0, 0),
                (0, 1),
                std::slice::from_ref(&a),
                std::slice::from_ref(&a)
            )
            .is_empty()
        );
        assert_eq!(
            awarded(
                &rules,
                (0, 1),
                (0, 2),
                std::slice::from_ref(&b),
                &[a.clone(), b.clone()]
            ),
            [1]
        );
        assert!(awarded(&rules, (0, 2), (0, 3), std::slice::from_ref(&c), &[a, b, c.clone()]).is_empty());
    }
}
