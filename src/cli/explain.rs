//! `accolade explain`

use chrono::NaiveDateTime;
use clap::Args;
use serde_json::{Value, json};

use super::{
    CliError, context,
    output::{print, print_json},
};
use crate::{
    config::Settings,
    domain::{award::AwardState, evaluate::Condition},
    store::{
        api_reads::{self, ListedAward},
        assertions::Assertion,
        explanation::{self, CourseFact, ExplainedBadge, Explanation},
        progress::RuleProgress,
    },
};

/// Say why a learner has, or does not have, a badge
///
/// Facts with their dates, the count and the rule, where the award stands, what went wrong with it last and what will
/// happen next.
///
/// Example: accolade explain --user ada --badge enrolled_three
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The learner
    #[arg(long, value_name = "USERNAME")]
    user: String,
    /// The badge class
    #[arg(long, value_name = "SLUG")]
    badge: String,
    /// As a JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn run(settings: &Settings, arguments: &Arguments) -> Result<(), CliError> {
    context::quiet_logs(settings)?;
    let store = context::migrated_store(settings)?;
    let read = store.read("explain", |tx| {
        let Some(learner) = api_reads::learner_by_username(tx, &arguments.user)? else {
            return Ok(None);
        };
        explanation::explain(tx, learner, &arguments.badge).map(Some)
    });
    let read = read.map_err(|error| CliError::database(&settings.database_url, &error))?;
    let Some(explanation) = read else {
        return Err(CliError::failed(format!(
            "--user {}: no event told of a learner of this username",
            arguments.user
        )));
    };
    if explanation.badges.is_empty() {
        return Err(CliError::failed(format!(
            "--badge {}: there is no badge class of this slug; see `accolade badge-class list`",
            arguments.badge
        )));
    }
    if arguments.json {
        return print_json(&object(&explanation));
    }
    print(&text(&arguments.user, &explanation))
}

fn text(username: &str, told: &Explanation) -> String {
    let mut lines = vec![format!(
        "{username} (learner {}): enrolled in {} courses, {} completed{}",
        told.learner.0,
        told.enrolled,
        told.completed,
        if told.has_email {
            ""
        } else {
            "; no e-mail address is known"
        },
    )];
    lines.extend(told.facts.iter().map(fact_line));
    for badge in &told.badges {
        let class = &badge.badge_class;
        let course = match class.key.course_id.as_str() {
            "" => String::new(),
            course => format!(" of {course}"),
        };
        lines.push(format!("\n{}{course}: {}", class.key.slug, class.display_name));
        lines.push(format!("  rule: {}", rule_line(badge)));
        if badge.awards.is_empty() {
            lines.push("  award: none".to_owned());
        }
        for (award, assertion) in &badge.awards {
            lines.extend(award_lines(award, assertion.as_ref()));
        }
    }
    lines.join("\n")
}

fn fact_line(fact: &CourseFact) -> String {
    let since =
        |at: Option<NaiveDateTime>| at.map_or(String::new(), |at| format!(" on {}", at.format("%Y-%m-%d %H:%M")));
    let told = [
        fact.enrolled
            .map(|(is, at)| format!("{}{}", if is { "enrolled" } else { "not enrolled any more" }, since(at))),
        fact.passed
            .map(|(is, at)| format!("{}{}", if is { "passed" } else { "not passed" }, since(at))),
    ];
    let told: Vec<String> = told.into_iter().flatten().collect();
    format!("  {}: {}", fact.course, told.join(", "))
}

fn rule_line(badge: &ExplainedBadge) -> String {
    let Some(rule) = &badge.rule else {
        return "none in the active configuration; it is awarded on request, or by the course's certificates"
            .to_owned();
    };
    let missing: Vec<String> = rule.missing.iter().map(ToString::to_string).collect();
    let what = match &rule.condition {
        Condition::Enrolled(n) => format!("at least {n} courses enrolled"),
        Condition::Completed(n) => format!("at least {n} courses completed"),
        Condition::Group(courses) => format!("all {} courses of a group passed", courses.len()),
    };
    let far = match (rule.needed - rule.count, missing.as_slice()) {
        (left, _) if left <= 0 => "met".to_owned(),
        (left, []) => format!("{left} to go"),
        (_, missing) => format!("still to pass: {}", missing.join(", ")),
    };
    format!("{what}; {} so far: {far}", rule.count)
}

fn award_lines(award: &ListedAward, assertion: Option<&Assertion>) -> Vec<String> {
    let reason = award
        .state_reason
        .as_deref()
        .map_or(String::new(), |reason| format!(" ({reason})"));
    let mut lines = vec![format!(
        "  award {}: {}{reason}, decided on {}, attempts: {}",
        award.id,
        award.state,
        award.created.format("%Y-%m-%d %H:%M"),
        award.attempts
    )];
    if let Some(error) = &award.last_error {
        lines.push(format!("    last error: {error}"));
    }
    if let Some(assertion) = assertion {
        lines.push(format!("    assertion: {}", assertion.assertion_url));
        if let Some((at, why)) = &assertion.revoked {
            lines.push(format!("    revoked on {}: {why}", at.format("%Y-%m-%d")));
        }
    }
    lines.push(format!("    next: {}", next(award)));
    lines
}

/// What will happen to an award next.
fn next(award: &ListedAward) -> String {
    let at = award.next_attempt_at.format("%Y-%m-%d %H:%M:%S");
    match AwardState::parse(&award.state) {
        Some(AwardState::Pending) => format!("it is issued, not before {at} UTC"),
        Some(AwardState::Issuing) => "the badge backend is being asked".to_owned(),
        Some(AwardState::Uncertain) => {
            format!("the badge backend is asked whether it has it, not before {at} UTC; nothing is sent twice")
        }
        Some(AwardState::Issued) => "badge.awarded is sent".to_owned(),
        Some(AwardState::Published) => "nothing: it is done".to_owned(),
        Some(AwardState::Blocked) => match award.state_reason.as_deref() {
            Some("no_email") => "it goes on when an event brings an e-mail address".to_owned(),
            _ => "it goes on when the cause is gone; it is looked at now and then".to_owned(),
        },
        Some(AwardState::Failed | AwardState::Dead) => "nothing by itself: a person may try again".to_owned(),
        Some(AwardState::Cancelled) if award.state_reason.as_deref() == Some("lost") => {
            "it goes on when the learner qualifies again".to_owned()
        }
        Some(AwardState::Cancelled) | None => "nothing".to_owned(),
    }
}

fn object(told: &Explanation) -> Value {
    let fact = |fact: &CourseFact| {
        json!({
            "course_id": fact.course,
            "enrolled": fact.enrolled.map(|(is, _)| is), "enrolled_at": fact.enrolled.and_then(|(_, at)| at).map(|at| at.and_utc()),
            "passed": fact.passed.map(|(is, _)| is), "passed_at": fact.passed.and_then(|(_, at)| at).map(|at| at.and_utc()),
        })
    };
    let award = |(award, assertion): &(ListedAward, Option<Assertion>)| {
        json!({
            "id": award.id, "state": award.state, "reason": award.state_reason, "attempts": award.attempts,
            "last_error": award.last_error, "next_attempt_at": award.next_attempt_at, "created": award.created,
            "assertion_url": assertion.as_ref().map(|assertion| &assertion.assertion_url),
            "revoked_at": assertion.as_ref().and_then(|assertion| assertion.revoked.as_ref()).map(|(at, _)| at),
            "next": next(award),
        })
    };
    let rule = |rule: &RuleProgress| {
        json!({"count": rule.count, "needed": rule.needed,
            "missing_courses": rule.missing.iter().map(ToString::to_string).collect::<Vec<_>>()})
    };
    let badge = |badge: &ExplainedBadge| {
        json!({
            "slug": badge.badge_class.key.slug, "issuing_component": badge.badge_class.key.issuing_component,
            "course_id": badge.badge_class.key.course_id, "rule": badge.rule.as_ref().map(rule),
            "awards": badge.awards.iter().map(award).collect::<Vec<_>>(),
        })
    };
    json!({
        "learner_id": told.learner.0, "has_email": told.has_email, "enrolled": told.enrolled,
        "completed": told.completed, "facts": told.facts.iter().map(fact).collect::<Vec<_>>(),
        "badges": told.badges.iter().map(badge).collect::<Vec<_>>(),
    })
}
