//! Badges awarded on request, and who has them: what an XBlock's `award` and `get_for_user` ask for.

use std::time::Duration;

use axum::{
    Json,
    extract::{Path, State as Shared},
    http::{StatusCode, Uri},
    response::{IntoResponse as _, Response},
};
use serde_json::json;
use utoipa::ToSchema;

use super::{
    assertions::{self, AssertionItem},
    awards::{self, AwardItem},
    badge_classes::{id_of, unknown},
    body::Object,
    page::{Page, Paging, Query},
};
use crate::{
    domain::{
        LearnerId,
        award::{AwardState, Decision, Reason, RuleKind},
        badge_class::BadgeClassId,
        limits::{check_name, check_url},
    },
    http::{
        State,
        auth::{Administrator, Caller},
        problem::Problem,
    },
    store::{
        StoreError, Tx,
        api_reads::{self, AssertionFilter, ListedAssertion, ListedAward},
        audit::{self, Action, Actor},
        awards as stored, badge_classes, learners,
    },
    wire::{fields::Fields, schemas},
};

const LONGEST_WAIT_S: f64 = 60.0;
/// How often it is looked whether the assertion is there.
const LOOK: Duration = Duration::from_millis(50);

const SWITCHED_OFF: &str = "Badges are switched off here by ENABLE_OPENBADGES=false: nothing was stored. Whoever runs \
                            this service can set it to true; ask again then.";

/// What is asked for.
struct Request {
    learner: Named,
    evidence_url: Option<String>,
    idempotency_key: String,
}

/// The body that [`request_of`] reads: a learner by `username` or `user_id`, or both.
#[derive(ToSchema)]
#[schema(as = AwardRequest, min_properties = 1)]
#[expect(dead_code, reason = "it is described only")]
struct RequestBody {
    /// The learner whose newest event carries this user name.
    username: Option<schemas::Username>,
    user_id: Option<schemas::UserId>,
    /// Evidence for the assertion.
    evidence_url: Option<schemas::WebUrl>,
    idempotency_key: Option<schemas::IdempotencyKey>,
}

/// A learner by one of their names, or both.
#[derive(Clone)]
struct Named {
    username: Option<String>,
    id: Option<i64>,
}

/// Awards a badge to a learner.
///
/// The same request again is the same award: without `idempotency_key` a learner gets the badge once, with distinct keys
/// once for each.
#[utoipa::path(
    post, path = "/api/badges/v1/badge-classes/{id}/award/",
    operation_id = "awardBadge", tag = "Badge classes",
    params(
        ("id" = inline(schemas::RowId), Path, description = "The badge class's id."),
        ("wait" = Option<schemas::Wait>, Query, description = "Answer when the assertion is there, or after so many seconds."),
    ),
    request_body = RequestBody,
    responses(
        (status = 200, description = "With `wait`: the assertion, which is there.", body = AssertionItem),
        (status = 202, description = "The award, which is under way.", body = AwardItem),
        (status = 404, description = "There is no such badge class or learner; or the account was retired."),
        (status = 409, description = "Badges are switched off by `ENABLE_OPENBADGES`; or, with `wait`: there will be no assertion unless something is repaired, and why."),
    ),
)]
pub(super) async fn award(
    Shared(state): Shared<State>,
    caller: Administrator,
    Path(id): Path<String>,
    uri: Uri,
    body: Object,
) -> Result<Response, Problem> {
    let badge_class = id_of(&id)?;
    let wait = wait_of(&Query::of(&uri))?;
    let request = body.read(request_of)?;
    if !state.settings().awards {
        return Err(Problem::new(StatusCode::CONFLICT, SWITCHED_OFF));
    }
    let actor = caller.actor();
    let decided = state.write("award_badge", move |tx| decide(tx, badge_class, &request, &actor));
    let (mut award, is_new) = decided.await??;
    if is_new {
        let kind = RuleKind::Requested.as_str();
        state.metrics().awards_decided.with_label_values(&[kind]).inc();
    }
    state.wake_issue();
    let deadline = tokio::time::Instant::now() + wait.unwrap_or_default();
    loop {
        match AwardState::parse(&award.state) {
            Some(AwardState::Issued | AwardState::Published) if wait.is_some() => {
                let found = state.read("assertion_of_award", {
                    let (learner, id) = (award.learner, award.id.clone());
                    move |tx| api_reads::assertion_of_award(tx, learner, &id)
                });
                // One that was revoked meanwhile, or before, is none.
                if let Some(assertion) = found.await? {
                    return Ok(Json(assertions::item(&state, assertion)).into_response());
                }
                return Err(will_not_come(&award, "the assertion was revoked"));
            }
            Some(AwardState::Blocked | AwardState::Failed | AwardState::Dead | AwardState::Cancelled)
                if wait.is_some() =>
            {
                let reason = award.last_error.clone().or_else(|| award.state_reason.clone());
                return Err(will_not_come(&award, &reason.unwrap_or_default()));
            }
            _ => {}
        }
        if tokio::time::Instant::now() >= deadline {
            return Ok((StatusCode::ACCEPTED, Json(awards::item(award))).into_response());
        }
        tokio::time::sleep(LOOK).await;
        let (learner, id) = (award.learner, award.id.clone());
        award = state
            .read("award_that_is_waited_for", move |tx| api_reads::award(tx, learner, &id))
            .await?
            .ok_or_else(|| Problem::not_found("The award is gone."))?;
    }
}

/// Lists what a learner holds of a badge class, newest first.
///
/// What an XBlock's `get_for_user` asks. A learner sees the own assertions, an administrator everybody's.
#[utoipa::path(
    get, path = "/api/badges/v1/badge-classes/{id}/assertions/",
    operation_id = "listAssertionsOfBadgeClass", tag = "Badge classes",
    params(
        ("id" = inline(schemas::RowId), Path, description = "The badge class's id."),
        ("username" = schemas::GivenUsername, Query, description = "The learner's user name."),
        Paging,
    ),
    responses(
        (status = 200, description = "A page of the learner's assertions of this badge class.", body = Page<AssertionItem>),
        (status = 404, description = "There is no such badge class, learner or page."),
    ),
)]
pub(super) async fn assertions_of(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(id): Path<String>,
    uri: Uri,
) -> Result<Json<Page<AssertionItem>>, Problem> {
    let query = Query::of(&uri);
    let Some(username) = query.get("username").map(str::to_owned) else {
        caller.require_administrator()?;
        return Err(Problem::field("username", "needed: whose assertions?"));
    };
    caller.require_self_or_administrator(&username)?;
    check_name(&username).map_err(|problem| Problem::field("username", problem))?;
    let (id, page) = (id_of(&id)?, query.page()?);
    let read = state.read("assertions_of_badge_class", move |tx| {
        let Some(class) = badge_classes::get(tx, id)? else {
            return Ok(Err(unknown()));
        };
        let Some(learner) = api_reads::learner_by_username(tx, &username)? else {
            return Ok(Err(Problem::not_found("There is no learner of this username.")));
        };
        let filter = AssertionFilter {
            badge_class: Some((class.key.slug, class.key.issuing_component)),
            course_id: Some(class.key.course_id),
        };
        page.read(|window| api_reads::assertions_of(tx, learner, &filter, window))
    });
    let (place, found): (_, Vec<ListedAssertion>) = read.await??;
    let items = found
        .into_iter()
        .map(|assertion| assertions::item(&state, assertion))
        .collect();
    Ok(Json(place.page(&state, &query, items)))
}

fn wait_of(query: &Query) -> Result<Option<Duration>, Problem> {
    let Some(text) = query.get("wait") else { return Ok(None) };
    let seconds = text
        .parse::<f64>()
        .ok()
        .filter(|seconds| (0.0..=LONGEST_WAIT_S).contains(seconds));
    match seconds {
        Some(seconds) => Ok(Some(Duration::from_secs_f64(seconds))),
        None => Err(Problem::field("wait", "expected seconds, from 0 to 60")),
    }
}

fn request_of(fields: &mut Fields<'_>) -> Request {
    let username = fields.exact("username", check_name).filter(|name| !name.is_empty());
    let id = fields.integer("user_id");
    if username.is_none() && id.is_none() && !(fields.has("username") && fields.has("user_id")) {
        fields.problem("username", "needed, or else user_id");
    }
    Request {
        learner: Named { username, id },
        evidence_url: fields.text("evidence_url", check_url).filter(|url| !url.is_empty()),
        idempotency_key: fields.exact("idempotency_key", check_name).unwrap_or_default(),
    }
}

/// Decides, if it was not decided before, under the learner's lock; says whether it did.
fn decide(
    tx: &mut Tx<'_>,
    badge_class: BadgeClassId,
    request: &Request,
    actor: &Actor,
) -> Result<Result<(ListedAward, bool), Problem>, StoreError> {
    let Some(class) = badge_classes::get(tx, badge_class)? else {
        return Ok(Err(unknown()));
    };
    let learner = match learner_of(tx, &request.learner)? {
        Ok(learner) => learner,
        Err(problem) => return Ok(Err(problem)),
    };
    let held = learners::hold(tx, &[learner])?;
    if held.first().is_none_or(|learner| learner.retired_at.is_some()) {
        return Ok(Err(Problem::not_found(
            "There is no learner of this id; or the account was retired.",
        )));
    }
    let decision = Decision {
        learner,
        badge_class,
        badge_class_key: class.key,
        idempotency_key: request.idempotency_key.clone(),
        reason: Reason::requested(None, tx.now_utc()?),
        evidence_url: request.evidence_url.clone(),
    };
    let is_new = !stored::insert_decisions(tx, std::slice::from_ref(&decision))?.is_empty();
    let award =
        api_reads::award_of(tx, learner, badge_class, &decision.idempotency_key)?.ok_or(StoreError::NotFound)?;
    if is_new {
        let details = json!({"badge_class": badge_class, "learner": learner.0});
        audit::record(tx, actor, Action::Award, &award.id, &details)?;
    }
    Ok(Ok((award, is_new)))
}

fn learner_of(tx: &mut Tx<'_>, named: &Named) -> Result<Result<LearnerId, Problem>, StoreError> {
    let by_name = match &named.username {
        Some(username) => match api_reads::learner_by_username(tx, username)? {
            Some(learner) => Some(learner),
            None => return Ok(Err(Problem::not_found("There is no learner of this username."))),
        },
        None => None,
    };
    Ok(match (by_name, named.id.map(LearnerId)) {
        (Some(by_name), Some(id)) if by_name != id => Err(Problem::field(
            "user_id",
            "is not the id of the learner of this username",
        )),
        (Some(learner), _) | (None, Some(learner)) => Ok(learner),
        (None, None) => Err(Problem::field("username", "needed, or else user_id")),
    })
}

fn will_not_come(award: &ListedAward, reason: &str) -> Problem {
    let what = match AwardState::parse(&award.state) {
        Some(AwardState::Blocked) => "The award waits for something to be repaired",
        Some(AwardState::Failed | AwardState::Dead) => "The badge backend did not issue it",
        Some(AwardState::Cancelled) => "The award was cancelled",
        _ => "There is no assertion",
    };
    Problem::new(
        StatusCode::CONFLICT,
        format!("{what}: {reason}. The award is {}.", award.id),
    )
}

#[cfg(test)]
mod tests;
