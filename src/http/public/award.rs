//! An award: its page, its Open Badges assertion and the image with the assertion inside.

use axum::{
    extract::{Path, State as Shared},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse as _, Redirect, Response},
};
use chrono::Datelike as _;

use super::{
    accept::{Representation, preferred},
    answer::{Answer, PAGE},
    badge_class::image_url,
    dates, frame, html, is_id, not_found,
    pages::{AwardCard, AwardPage, Revocation},
    urls,
};
use crate::{
    backend::builtin::{
        bake,
        documents::{self, AssertionParts},
    },
    domain::limits::check_url,
    http::{State, problem::Problem},
    store::api_reads::{self, PublicAssertion},
    wire::{redact, schemas},
};

/// The name of the backend whose assertions are documents of ours.
const BUILTIN: &str = "builtin";

/// The page of an award.
///
/// For people: what was earned, by whom, who issued it, and whether it still holds. Also of a revoked award, which the
/// page says.
#[utoipa::path(
    get, path = "/badges/{id}", operation_id = "awardPage", tag = "Public pages", params(("id" = schemas::PublicId, Path, description = "The assertion's public id.")),
    responses(
        (status = 200, description = "The page.", body = String, content_type = "text/html", example = json!("<!doctype html>…")),
        (status = 304, description = "It is the one that the client has, by `If-None-Match`."),
        (status = 404, description = "There is no award of this id."),
    ),
)]
pub(super) async fn page(
    Shared(state): Shared<State>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Some(assertion) = find(&state, id).await? else {
        return Ok(not_found(&state, &headers));
    };
    let body = html(&view(&state, assertion))?;
    Ok(Answer::ok("text/html; charset=utf-8", PAGE, body).to(&headers))
}

/// The Open Badges assertion of an award: JSON-LD, JSON or the page, by `Accept`.
#[utoipa::path(
    get, path = "/ob2/assertions/{id}", operation_id = "assertionDocument", tag = "Public pages", params(("id" = schemas::PublicId, Path, description = "The assertion's public id.")),
    responses(
        (status = 200, description = "The assertion.", content((schemas::OpenBadge = "application/ld+json"), (schemas::OpenBadge = "application/json"), (String = "text/html", example = json!("<!doctype html>…")))),
        (status = 304, description = "It is the one that the client has, by `If-None-Match`."),
        (status = 307, description = "Another badge server has it: there."),
        (status = 404, description = "There is no assertion of this id."),
        (status = 410, description = "It was revoked; `revocationReason` says why.", content((schemas::OpenBadge = "application/ld+json"), (schemas::OpenBadge = "application/json"), (String = "text/html", example = json!("<!doctype html>…")))),
    ),
)]
pub(super) async fn document(
    Shared(state): Shared<State>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Some(assertion) = find(&state, id).await? else {
        return Ok(not_found(&state, &headers));
    };
    let status = if assertion.revoked.is_some() {
        StatusCode::GONE
    } else {
        StatusCode::OK
    };
    let (content_type, body) = match preferred(&headers) {
        Representation::Page => ("text/html; charset=utf-8", html(&view(&state, assertion))?),
        form => match text(&state, &assertion) {
            Some(text) => (media_type(form), text),
            None => return Ok(elsewhere(&state, &headers, &assertion.assertion_url)),
        },
    };
    Ok(Answer::new(status, content_type, PAGE, body).varying().to(&headers))
}

/// The image of a badge with the assertion inside (PNG, baked).
#[utoipa::path(
    get, path = "/ob2/assertions/{id}/image.png", operation_id = "assertionImage", tag = "Public pages", params(("id" = schemas::PublicId, Path, description = "The assertion's public id.")),
    responses(
        (status = 200, description = "The image.", body = schemas::PngFile, content_type = "image/png"),
        (status = 304, description = "It is the one that the client has, by `If-None-Match`."),
        (status = 307, description = "Another badge server has it: there."),
        (status = 404, description = "There is no assertion of this id."),
        (status = 410, description = "The assertion was revoked."),
    ),
)]
pub(super) async fn image(
    Shared(state): Shared<State>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Some(assertion) = find(&state, id).await? else {
        return Ok(not_found(&state, &headers));
    };
    if assertion.revoked.is_some() {
        return Err(Problem::new(
            StatusCode::GONE,
            "This badge was revoked, and its image with it.",
        ));
    }
    let Some(text) = text(&state, &assertion) else {
        return Ok(elsewhere(&state, &headers, &assertion.image_url));
    };
    let public_id = assertion.badge_class.public_id;
    let read = state.look_up("badge_image", move |tx| api_reads::public_badge_image(tx, &public_id));
    let Some(png) = read.await? else {
        return Ok(not_found(&state, &headers));
    };
    let baked = bake::bake(&png, &text).map_err(|error| {
        tracing::error!(
            assertion.id = assertion.id,
            "the image of {} cannot be baked: {error}",
            assertion.id
        );
        Problem::internal()
    })?;
    Ok(Answer::ok("image/png", PAGE, baked).to(&headers))
}

/// An award as a list shows it.
pub(super) fn card(state: &State, assertion: PublicAssertion) -> AwardCard {
    AwardCard {
        image_url: image_url(state, &assertion.badge_class),
        url: urls(state).page(&assertion.id),
        username: shown_name(assertion.username),
        date_in_words: dates::in_words(assertion.created),
        is_revoked: assertion.revoked.is_some(),
        badge_name: assertion.badge_class.display_name,
    }
}

pub(super) fn media_type(form: Representation) -> &'static str {
    match form {
        Representation::LinkedData => "application/ld+json",
        Representation::Json => "application/json",
        Representation::Page => "text/html; charset=utf-8",
    }
}

async fn find(state: &State, id: String) -> Result<Option<PublicAssertion>, Problem> {
    if !is_id(&id) {
        return Ok(None);
    }
    state
        .look_up("public_assertion", move |tx| api_reads::public_assertion(tx, &id))
        .await
}

/// The Open Badges document, if the assertion is one of ours.
fn text(state: &State, assertion: &PublicAssertion) -> Option<String> {
    let urls = urls(state);
    if assertion.backend != BUILTIN {
        return None;
    }
    if let Some((_, reason)) = &assertion.revoked {
        return Some(documents::revoked_assertion(&urls, &assertion.id, reason).to_string());
    }
    let (salt, recipient_hash) = assertion.recipient.as_ref()?;
    let parts = AssertionParts {
        id: &assertion.id,
        badge_class: &assertion.badge_class.public_id,
        salt,
        recipient_hash,
        evidence_url: assertion.evidence_url.as_deref(),
        issued_on: assertion.created,
    };
    Some(documents::assertion(&urls, &parts).to_string())
}

/// Another badge server has the document. It said itself where; an import, or an older version, may have stored whatever
/// it said.
fn elsewhere(state: &State, headers: &HeaderMap, url: &str) -> Response {
    if check_url(url).is_ok() && !url.starts_with(&urls(state).assertion("")) {
        return Redirect::temporary(url).into_response();
    }
    not_found(state, headers)
}

fn view(state: &State, assertion: PublicAssertion) -> AwardPage {
    let urls = urls(state);
    let PublicAssertion {
        badge_class, created, ..
    } = assertion;
    let profile = &state.issuer().profile;
    AwardPage {
        frame: frame(state),
        badge_url: urls.criteria(&badge_class.public_id),
        badge_image_url: image_url(state, &badge_class),
        badge_name: badge_class.display_name,
        badge_slug: badge_class.key.slug,
        description: badge_class.description,
        criteria: badge_class.criteria,
        username: shown_name(assertion.username),
        course_name: assertion.course_name,
        issuer_name: profile.name.clone(),
        issuer_url: profile.url.clone(),
        issued_date: dates::day(created),
        issued_in_words: dates::in_words(created),
        issued_year: created.year().to_string(),
        issued_month: created.month().to_string(),
        evidence_url: assertion.evidence_url.and_then(|url| redact::url(&url, "")),
        revocation: assertion.revoked.map(|(at, reason)| Revocation {
            date: dates::day(at),
            date_in_words: dates::in_words(at),
            reason: redact::text(&reason, ""),
        }),
        page_url: urls.page(&assertion.id),
        assertion_url: redact::url(&assertion.assertion_url, "").unwrap_or_default(),
        baked_image_url: redact::url(&assertion.image_url, "").unwrap_or_default(),
        assertion_id: assertion.id,
    }
}

/// Nobody's name after a retirement, and no e-mail address where a platform has such usernames.
fn shown_name(username: String) -> String {
    if username.is_empty() || username.contains('@') {
        return "a learner".to_owned();
    }
    username
}
