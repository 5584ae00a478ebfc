//! What an import took, what was there, and what it could not take.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    cli::output::table,
    store::imports::Taken,
    wire::{fields::FieldProblem, open_edx_dump::Model},
};

/// Keys that a cause names when many rows share it.
const NAMED: usize = 5;

/// What became of each row.
#[derive(Debug, Default)]
pub(super) struct Report {
    counts: BTreeMap<Model, Counts>,
    problems: Vec<Problem>,
    notes: Vec<String>,
    others: usize,
}

#[derive(Debug, Default, Clone, Copy)]
struct Counts {
    taken: usize,
    there: usize,
    not_taken: usize,
}

/// Why a row, or a part of one, could not be taken.
#[derive(Debug, Clone, Serialize)]
struct Problem {
    model: &'static str,
    pk: String,
    field: String,
    reason: String,
}

impl Report {
    pub(super) fn new(others: usize) -> Self {
        Self {
            others,
            ..Self::default()
        }
    }

    /// Counts a row that is here now.
    pub(super) fn row(&mut self, model: Model, taken: Taken) {
        let counts = self.counts.entry(model).or_default();
        match taken {
            Taken::New => counts.taken += 1,
            Taken::WasThere | Taken::Other => counts.there += 1,
            Taken::UnderWay => counts.not_taken += 1,
        }
    }

    /// Counts a row that could not be taken, and keeps why.
    pub(super) fn refused(&mut self, model: Model, pk: &str, problems: Vec<FieldProblem>) {
        self.counts.entry(model).or_default().not_taken += 1;
        for FieldProblem { field, problem } in problems {
            self.problem(model.as_str(), pk, &field, problem);
        }
    }

    /// Keeps what is wrong with a part of a row.
    pub(super) fn problem(&mut self, model: &'static str, pk: &str, field: &str, reason: String) {
        self.problems.push(Problem {
            model,
            pk: pk.to_owned(),
            field: field.to_owned(),
            reason,
        });
    }

    /// Keeps what is worth knowing, and no failure.
    pub(super) fn note(&mut self, note: String) {
        self.notes.push(note);
    }

    /// For people.
    pub(super) fn text(&self, is_dry: bool) -> String {
        let titles = [
            "MODEL",
            if is_dry { "WOULD TAKE" } else { "TAKEN" },
            "WAS THERE",
            "NOT TAKEN",
        ];
        let row = |model: &Model| {
            let counts = self.of(*model);
            let numbers = [counts.taken, counts.there, counts.not_taken].map(|number| number.to_string());
            std::iter::once(model.as_str().to_owned()).chain(numbers).collect()
        };
        let rows: Vec<Vec<String>> = std::iter::once(titles.map(str::to_owned).to_vec())
            .chain(Model::ALL.iter().map(row))
            .collect();
        let mut lines = vec![table(&rows)];
        lines.extend(self.notes.iter().cloned());
        if self.others > 0 {
            lines.push(format!("{} rows of other models were left alone", self.others));
        }
        if is_dry {
            lines.push("nothing was written (--dry-run)".to_owned());
        }
        lines.join("\n")
    }

    /// For programs.
    pub(super) fn object(&self, is_dry: bool) -> Value {
        let model = |model: &Model| {
            let counts = self.of(*model);
            json!({"model": model, "taken": counts.taken, "was_there": counts.there, "not_taken": counts.not_taken})
        };
        json!({
            "dry_run": is_dry, "models": Model::ALL.iter().map(model).collect::<Vec<_>>(),
            "problems": self.problems, "notes": self.notes, "other_rows": self.others,
        })
    }

    /// A line for each cause, with the rows that share it.
    pub(super) fn causes(&self) -> Vec<String> {
        let mut order: Vec<(&str, &str, &str)> = Vec::new();
        let mut rows: BTreeMap<(&str, &str, &str), Vec<&str>> = BTreeMap::new();
        for Problem {
            model,
            pk,
            field,
            reason,
        } in &self.problems
        {
            let cause = (*model, field.as_str(), reason.as_str());
            let keys = rows.entry(cause).or_default();
            if keys.is_empty() {
                order.push(cause);
            }
            keys.push(pk);
        }
        let line = |cause: (&str, &str, &str)| {
            let (model, field, reason) = cause;
            let keys = &rows[&cause];
            let named = keys.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
            let more = match keys.len().saturating_sub(NAMED) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            format!("{model} {named}{more}: {field}: {reason}")
        };
        order.into_iter().map(line).collect()
    }

    fn of(&self, model: Model) -> Counts {
        self.counts.get(&model).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_share_a_cause_are_told_in_one_line() {
        let mut report = Report::new(0);
        let problem = |field: &str| FieldProblem {
            field: field.to_owned(),
            problem: "needed".to_owned(),
        };
        report.refused(Model::BadgeClass, "3", vec![problem("slug"), problem("criteria")]);
        for pk in 1..=12 {
            report.refused(Model::Assertion, &pk.to_string(), vec![problem("user")]);
        }
        report.row(Model::Assertion, Taken::New);
        let expected = [
            "badges.badgeclass 3: slug: needed",
            "badges.badgeclass 3: criteria: needed",
            "badges.badgeassertion 1, 2, 3, 4, 5 and 7 more: user: needed",
        ];
        assert_eq!(report.causes(), expected);
        let object = report.object(true);
        assert_eq!(object["problems"].as_array().map(Vec::len), Some(14));
        assert_eq!(object["models"][2]["not_taken"], 12);
        assert!(report.text(true).contains("WOULD TAKE"));
    }
}
