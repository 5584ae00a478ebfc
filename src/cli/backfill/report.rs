//! What a backfill came to, or would come to.

use serde_json::{Value, json};

use crate::{
    cli::{
        CliError,
        output::{print, print_json, table},
        rules,
    },
    domain::evaluate::{Rule, Rules},
    store::{backfill::Tally, preview::Counts},
};

/// Of one configuration: a row for each badge, which two of its fields may name.
pub(super) struct Report<'a> {
    configuration_id: i32,
    learners: i64,
    is_dry_run: bool,
    badges: Vec<Badge<'a>>,
}

struct Badge<'a> {
    /// What it is awarded for; one at least.
    rules: Vec<&'a Rule>,
    decided: i64,
    /// Learners who have earned it and had it before.
    had: i64,
}

impl<'a> Report<'a> {
    /// What was done.
    pub(super) fn of_backfill(rules: &'a Rules, tally: &Tally) -> Self {
        let of_badge = |rules: &[&Rule]| {
            let badge = rules.first().map(|rule| tally.of(rule.badge_class)).unwrap_or_default();
            (badge.decided, badge.had)
        };
        Self::new(rules, tally.learners, false, |_, rules| of_badge(rules))
    }

    /// What would be done now; `reached` in the order of [`Rules::by_badge`].
    pub(super) fn of_dry_run(rules: &'a Rules, learners: i64, reached: &[Counts]) -> Self {
        Self::new(rules, learners, true, |index, _| {
            let counts = reached.get(index).copied().unwrap_or_default();
            (counts.learners - counts.awarded, counts.awarded)
        })
    }

    fn new(rules: &'a Rules, learners: i64, is_dry_run: bool, count: impl Fn(usize, &[&Rule]) -> (i64, i64)) -> Self {
        let badges = rules.by_badge().into_iter().enumerate().map(|(index, rules)| {
            let (decided, had) = count(index, &rules);
            Badge { rules, decided, had }
        });
        Self {
            configuration_id: rules.configuration_id,
            learners,
            is_dry_run,
            badges: badges.collect(),
        }
    }

    pub(super) fn print(&self, as_json: bool) -> Result<(), CliError> {
        if as_json {
            return print_json(&self.object());
        }
        let [decided, had] = match self.is_dry_run {
            true => ["WOULD BE AWARDED", "HAVE IT"],
            false => ["AWARDED", "HAD IT"],
        };
        let titles = ["SLUG", "FOR", decided, had].map(str::to_owned).to_vec();
        let rows: Vec<_> = std::iter::once(titles)
            .chain(self.badges.iter().map(Badge::row))
            .collect();
        print(&format!("{}\n{}", table(&rows), self.line()))
    }

    fn line(&self) -> String {
        let (learners, id) = (self.learners, self.configuration_id);
        let decided: i64 = self.badges.iter().map(|badge| badge.decided).sum();
        match self.is_dry_run {
            true => format!("{learners} learners, configuration {id}: {decided} awards; nothing was written"),
            false => format!("looked at {learners} learners, configuration {id}: {decided} awards decided"),
        }
    }

    fn object(&self) -> Value {
        let badges: Vec<Value> = self.badges.iter().map(Badge::object).collect();
        json!({"configuration_id": self.configuration_id, "dry_run": self.is_dry_run,
            "learners": self.learners, "badges": badges})
    }
}

impl Badge<'_> {
    fn row(&self) -> Vec<String> {
        let slug = self.rules.iter().map(|rule| rule.badge_class_key.slug.clone()).next();
        let conditions: Vec<String> = self.rules.iter().map(|rule| rules::words(&rule.condition)).collect();
        vec![
            slug.unwrap_or_default(),
            conditions.join(", or "),
            self.decided.to_string(),
            self.had.to_string(),
        ]
    }

    /// The first rule with the numbers of the badge; where there are more, they are in `or`.
    fn object(&self) -> Value {
        let mut each = self
            .rules
            .iter()
            .map(|rule| rules::object(&rule.badge_class_key, &rule.condition));
        let mut object = each.next().unwrap_or_default();
        object["decided"] = json!(self.decided);
        object["had"] = json!(self.had);
        let others: Vec<Value> = each.collect();
        if !others.is_empty() {
            object["or"] = json!(others);
        }
        object
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        badge_class::{BadgeClassId, BadgeClassKey},
        evaluate::Condition,
    };

    #[test]
    fn a_badge_that_two_fields_name_counts_once() {
        let rule = |id, slug: &str, condition| Rule {
            badge_class: BadgeClassId(id),
            badge_class_key: BadgeClassKey {
                slug: slug.to_owned(),
                issuing_component: "openedx__course".to_owned(),
                course_id: String::new(),
            },
            condition,
        };
        let rules = Rules {
            configuration_id: 12,
            rules: vec![
                rule(1, "busy", Condition::Enrolled(3)),
                rule(2, "two", Condition::Enrolled(2)),
                rule(1, "busy", Condition::Completed(1)),
            ],
        };
        let counts = |learners, awarded| Counts { learners, awarded };
        let dry_run = Report::of_dry_run(&rules, 9, &[counts(5, 1), counts(2, 2)]);
        assert_eq!(
            dry_run.line(),
            "9 learners, configuration 12: 4 awards; nothing was written"
        );
        let rows: Vec<_> = dry_run.badges.iter().map(|badge| badge.row().join("|")).collect();
        assert_eq!(
            rows,
            [
                "busy|3 courses enrolled, or 1 courses completed|4|1",
                "two|2 courses enrolled|0|2"
            ]
        );
        let badges = dry_run.object()["badges"].clone();
        assert_eq!(
            (&badges[0]["decided"], &badges[0]["or"][0]["kind"]),
            (&json!(4), &json!("courses_completed"))
        );
        assert_eq!((&badges[1]["had"], badges[1].get("or")), (&json!(2), None));

        let tally: Tally =
            serde_json::from_value(json!({"learners": 9, "badges": {"1": {"decided": 4, "had": 1}}})).expect("a tally");
        let done = Report::of_backfill(&rules, &tally);
        assert_eq!(done.line(), "looked at 9 learners, configuration 12: 4 awards decided");
        assert_eq!(done.badges.len(), 2);
    }
}
