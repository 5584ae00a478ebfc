//! What becomes of a configuration that somebody wrote, on whatever way it came: it is set, tried out, or refused with
//! all that is wrong with it.

use serde_json::json;

use super::{NewConfiguration, check, insert};
use crate::{
    domain::{evaluate::Rules, event_badges::ConfigurationError},
    store::{
        StoreError, Tx,
        audit::{self, Action, Actor},
        preview::{self, Reach},
    },
    wire::{fields::FieldProblem, written_configuration::WrittenConfiguration},
};

/// All that is wrong with a configuration: nothing of it is saved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Fields that do not hold what they must.
    pub fields: Vec<FieldProblem>,
    /// Lines of its texts, in their order: those that cannot be read, and those whose slugs name no badge class.
    pub lines: Vec<ConfigurationError>,
}

impl Refused {
    /// All of it by fields; a line is named where there is one.
    pub fn into_fields(self) -> Vec<FieldProblem> {
        let line = |error: ConfigurationError| FieldProblem {
            field: error.field.to_string(),
            problem: format!("line {}: {}", error.line, error.reason),
        };
        self.fields
            .into_iter()
            .chain(self.lines.into_iter().map(line))
            .collect()
    }

    /// All of it as texts, each naming the field and, where there is one, the line.
    pub fn causes(&self) -> Vec<String> {
        let field = |FieldProblem { field, problem }: &FieldProblem| format!("{field}: {problem}");
        let lines = self.lines.iter().map(ToString::to_string);
        self.fields.iter().map(field).chain(lines).collect()
    }
}

/// Adds a configuration for a person and, if it says so, activates it: its rules, under its id.
pub fn set(
    tx: &mut Tx<'_>,
    written: &WrittenConfiguration,
    actor: &Actor,
) -> Result<Result<Rules, Refused>, StoreError> {
    let rules = match accepted(tx, written)? {
        Ok(rules) => rules,
        Err(refused) => return Ok(Err(refused)),
    };
    let new = NewConfiguration {
        texts: written.texts.clone(),
        enabled: written.enabled,
        changed_by: actor.name.clone(),
    };
    let configuration_id = insert(tx, &new)?;
    let details = json!({"enabled": new.enabled});
    audit::record(
        tx,
        actor,
        Action::SetEventBadges,
        &configuration_id.to_string(),
        &details,
    )?;
    Ok(Ok(Rules {
        configuration_id,
        ..rules
    }))
}

/// How many learners each badge of a configuration would reach now. Writes nothing.
pub fn try_out(tx: &mut Tx<'_>, written: &WrittenConfiguration) -> Result<Result<Vec<Reach>, Refused>, StoreError> {
    match accepted(tx, written)? {
        Ok(rules) => Ok(Ok(preview::reach(tx, &rules)?)),
        Err(refused) => Ok(Err(refused)),
    }
}

fn accepted(tx: &mut Tx<'_>, written: &WrittenConfiguration) -> Result<Result<Rules, Refused>, StoreError> {
    let refused = |lines| Refused {
        fields: written.problems.clone(),
        lines,
    };
    Ok(match check(tx, &written.texts)? {
        Ok(rules) if written.problems.is_empty() => Ok(rules),
        Ok(_) => Err(refused(Vec::new())),
        Err(lines) => Err(refused(lines)),
    })
}
