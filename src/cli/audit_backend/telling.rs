//! What `accolade audit-backend` prints.

use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};

use crate::{
    cli::{
        CliError,
        output::{JsonList, print},
    },
    issue::comparison::{Compared, Finding, Repair},
};

/// Prints what is found as it is found.
pub(super) struct Desk {
    printed: Mutex<(Option<JsonList>, Result<(), CliError>)>,
}

impl Desk {
    /// As lines, or as a JSON list.
    pub(super) fn new(json: bool) -> Self {
        Self {
            printed: Mutex::new((json.then(JsonList::default), Ok(()))),
        }
    }

    /// Prints this.
    pub(super) fn tell(&self, finding: &Finding) {
        let mut printed = self.printed.lock().unwrap_or_else(PoisonError::into_inner);
        let (list, so_far) = &mut *printed;
        // What cannot be printed is said at the end; what is under way is done all the same.
        if so_far.is_ok() {
            *so_far = match list {
                Some(list) => list.add(std::iter::once(in_json(finding))),
                None => print(&line(finding)),
            };
        }
    }

    /// Prints the end of the list, or says what could not be printed.
    pub(super) fn end(self) -> Result<(), CliError> {
        let (list, so_far) = self.printed.into_inner().unwrap_or_else(PoisonError::into_inner);
        so_far?;
        list.map_or(Ok(()), JsonList::end)
    }
}

fn line(finding: &Finding) -> String {
    match finding {
        Finding::Second {
            badge_class,
            assertion,
            assertion_url,
            is_ours,
            repair,
            ..
        } => {
            let what = match is_ours {
                true => "a second live assertion of the same award",
                false => "another live assertion of the same learner",
            };
            let repair = told(repair, "revoked");
            format!("{badge_class}: beside {assertion} there is {what}: {assertion_url}: {repair}")
        }
        Finding::Gone {
            badge_class,
            assertion,
            reason,
            repair,
            ..
        } => {
            let repair = told(repair, "marked as revoked");
            format!("{badge_class}: {assertion} holds no more at Badgr: {reason} {repair}")
        }
        Finding::Skipped { badge_class, error } => format!("{badge_class}: not compared: {error}"),
    }
}

fn told(repair: &Repair, done: &str) -> String {
    match repair {
        Repair::NotAsked => "(not changed)".to_owned(),
        Repair::Done => format!("({done})"),
        Repair::Left { why } => format!("(left: {why})"),
    }
}

fn in_json(finding: &Finding) -> Value {
    let repair_of = |repair: &Repair| match repair {
        Repair::NotAsked => json!({"repaired": false}),
        Repair::Done => json!({"repaired": true}),
        Repair::Left { why } => json!({"repaired": false, "why": why}),
    };
    let (mut said, repair) = match finding {
        Finding::Second {
            badge_class,
            award,
            assertion,
            backend_id,
            assertion_url,
            is_ours,
            repair,
        } => (
            json!({"kind": "second", "badge_class": badge_class, "award": award.0, "assertion": assertion,
                   "second": {"id": backend_id, "assertion_url": assertion_url, "is_ours": is_ours}}),
            repair_of(repair),
        ),
        Finding::Gone {
            badge_class,
            award,
            assertion,
            reason,
            repair,
        } => (
            json!({"kind": "gone", "badge_class": badge_class, "award": award.0, "assertion": assertion,
                   "reason": reason}),
            repair_of(repair),
        ),
        Finding::Skipped { badge_class, error } => (
            json!({"kind": "skipped", "badge_class": badge_class, "error": {"code": error.code(), "detail": error.to_string()}}),
            json!({"repaired": false}),
        ),
    };
    if let (Value::Object(said), Value::Object(repair)) = (&mut said, repair) {
        said.extend(repair);
    }
    said
}

/// What it came to, on a line.
pub(super) fn summary(compared: &Compared, backend: &str) -> String {
    let Compared {
        badge_classes,
        assertions,
        repaired,
        left,
        skipped,
        ..
    } = compared;
    let differed = match (repaired, left, skipped) {
        (0, 0, 0) => "nothing differs".to_owned(),
        _ => format!("{repaired} repaired, {left} left, {skipped} not compared"),
    };
    format!("{assertions} assertions of {badge_classes} badge classes compared with {backend}: {differed}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{backend::BackendError, domain::award::AwardId};

    fn second(is_ours: bool, repair: Repair) -> Finding {
        Finding::Second {
            badge_class: "three".to_owned(),
            award: AwardId(uuid::Uuid::nil()),
            assertion: "a1".to_owned(),
            backend_id: "b2".to_owned(),
            assertion_url: "https://badgr.example/b2".to_owned(),
            is_ours,
            repair,
        }
    }

    #[test]
    fn each_finding_reads_alone() {
        let left = Repair::Left { why: "why".to_owned() };
        assert_eq!(
            line(&second(true, Repair::Done)),
            "three: beside a1 there is a second live assertion of the same award: https://badgr.example/b2: (revoked)"
        );
        assert!(line(&second(false, left)).ends_with("(left: why)"));
        assert_eq!(in_json(&second(true, Repair::NotAsked))["repaired"], false);
        let skipped = Finding::Skipped {
            badge_class: "three".to_owned(),
            error: BackendError::Unknown { detail: "d".to_owned() },
        };
        assert_eq!(line(&skipped), "three: not compared: unknown outcome: d");
        assert_eq!(in_json(&skipped)["error"]["code"], "unknown");
    }

    #[test]
    fn a_comparison_that_found_nothing_says_so() {
        assert!(summary(&Compared::default(), "badgr").ends_with("badgr: nothing differs"));
    }
}
