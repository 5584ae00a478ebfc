//! The issuer: its Open Badges profile, its page and its image.

use axum::{extract::State as Shared, http::HeaderMap, response::Response};

use super::{
    accept::{Representation, preferred},
    answer::{Answer, IMAGE, PAGE},
    award::media_type,
    frame, html, not_found,
    pages::IssuerPage,
    urls,
};
use crate::{
    backend::builtin::documents,
    http::{State, problem::Problem},
};

/// `/ob2/issuer`: JSON-LD, JSON or the page. The page shows no address; the profile must (Open Badges 2.0).
pub(super) async fn document(Shared(state): Shared<State>, headers: HeaderMap) -> Result<Response, Problem> {
    let (urls, profile) = (urls(&state), &state.issuer().profile);
    let form = preferred(&headers);
    let body = if form == Representation::Page {
        html(&IssuerPage {
            frame: frame(&state),
            name: profile.name.clone(),
            url: profile.url.clone(),
            description: profile.description.clone(),
            image_url: profile.has_image.then(|| urls.issuer_image()),
            json_url: urls.issuer(),
            badges: Vec::new(),
        })?
    } else {
        documents::issuer(&urls, profile).to_string()
    };
    Ok(Answer::ok(media_type(form), PAGE, body).varying().to(&headers))
}

/// `/ob2/issuer/image.png`, if the issuer has one.
pub(super) async fn image(Shared(state): Shared<State>, headers: HeaderMap) -> Response {
    match &state.issuer().image {
        Some(png) => Answer::ok("image/png", IMAGE, png.clone()).to(&headers),
        None => not_found(&state, &headers),
    }
}
