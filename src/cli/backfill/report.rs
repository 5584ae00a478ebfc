//! What a backfill came to, or would come to.

use serde_json::{Value, json};

use crate::{
    cli::{
        CliError,
        output::{print, print_json, table},
        rules,
    },
    domain::evaluate::{Rule, Rules},
    store::{backfill::Tally, preview::Reach},
};

/// Of one configuration.
pub(super) struct Report<'a> {
    rules: &'a Rules,
    learners: i64,
    is_dry_run: bool,
    /// Of each rule: decided, and had before.
    badges: Vec<(i64, i64)>,
}

impl<'a> Report<'a> {
    /// What was done.
    pub(super) fn of_backfill(rules: &'a Rules, tally: &Tally) -> Self {
        let badges = rules.rules.iter().map(|rule| tally.of(rule.badge_class));
        Self {
            rules,
            learners: tally.learners,
            is_dry_run: false,
            badges: badges.map(|badge| (badge.decided, badge.had)).collect(),
        }
    }

    /// What would be done now.
    pub(super) fn of_dry_run(rules: &'a Rules, learners: i64, reached: &[Reach]) -> Self {
        let badges = reached
            .iter()
            .map(|reach| (reach.learners - reach.awarded, reach.awarded));
        Self {
            rules,
            learners,
            is_dry_run: true,
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
        let rows: Vec<_> = std::iter::once(titles).chain(self.each(row)).collect();
        print(&format!("{}\n{}", table(&rows), self.line()))
    }

    fn each<T>(&self, show: impl Fn(&Rule, i64, i64) -> T) -> impl Iterator<Item = T> {
        let badges = self.rules.rules.iter().zip(&self.badges);
        badges.map(move |(rule, (decided, had))| show(rule, *decided, *had))
    }

    fn line(&self) -> String {
        let (learners, id) = (self.learners, self.rules.configuration_id);
        let decided: i64 = self.badges.iter().map(|(decided, _)| decided).sum();
        match self.is_dry_run {
            true => format!("{learners} learners, configuration {id}: {decided} awards; nothing was written"),
            false => format!("looked at {learners} learners, configuration {id}: {decided} awards decided"),
        }
    }

    fn object(&self) -> Value {
        let badges: Vec<Value> = self.each(object).collect();
        json!({"configuration_id": self.rules.configuration_id, "dry_run": self.is_dry_run,
            "learners": self.learners, "badges": badges})
    }
}

fn row(rule: &Rule, decided: i64, had: i64) -> Vec<String> {
    vec![
        rule.badge_class_key.slug.clone(),
        rules::words(&rule.condition),
        decided.to_string(),
        had.to_string(),
    ]
}

fn object(rule: &Rule, decided: i64, had: i64) -> Value {
    let mut object = rules::object(&rule.badge_class_key, &rule.condition);
    object["decided"] = json!(decided);
    object["had"] = json!(had);
    object
}
