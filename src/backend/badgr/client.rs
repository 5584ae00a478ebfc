//! Badgr's API, version 2: addresses, tokens, and one call.

use std::{path::Path, sync::Arc, time::Duration};

use reqwest::{Method, RequestBuilder};
use serde::Deserialize;
use serde_json::Value;
use tokio::time::Instant;
use url::Url;

use super::{
    Settings, answers,
    renewal::{Grant, Granted},
    sealed::Seal,
    token_cache::TokenCache,
    tokens::{Ask, Tokens},
};
use crate::{
    backend::{
        BackendError, SetupError,
        exchange::{self, Answer, Exchange},
    },
    clock::Clock,
    secret::Secret,
    telemetry::Metrics,
    wire::redact,
};

/// The throttle's own first step, for a 429 that names no time.
const UNNAMED_WAIT: Duration = Duration::from_secs(2);
/// Pages of a list that are followed.
const MOST_PAGES: usize = 1_000;

pub(super) struct Client {
    exchange: Arc<Exchange>,
    base: Url,
    tokens: Tokens,
}

#[derive(Deserialize)]
struct TokenAnswer {
    access_token: String,
    refresh_token: Option<String>,
    #[serde(default = "a_day")]
    expires_in: f64,
}

fn a_day() -> f64 {
    86_400.0
}

impl Client {
    pub(super) fn new(
        settings: &Settings,
        cache: Arc<dyn TokenCache>,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
    ) -> Result<Self, SetupError> {
        let wrong = SetupError::Url {
            setting: "BADGR_BASE_URL",
        };
        let base = Url::parse(&settings.base_url)
            .ok()
            .filter(|url| url.host().is_some() && !url.cannot_be_a_base());
        let base = base.ok_or(wrong)?;
        let ca_file = settings.ca_file.as_deref();
        let exchange = Exchange::new("badgr", settings.timeout, ca_file, clock.clone(), metrics)?;
        let exchange = Arc::new(exchange);
        // Tokens of another server or user do not open.
        let place = format!("{}\n{base}\n{}", settings.tokens_cache_key, settings.username);
        let seal = Seal::new(settings.secret_key.as_ref(), &place);
        let ask = ask(settings, exchange.clone(), at(&base, &["o", "token"]));
        let lease = settings.timeout * 2 + Duration::from_secs(5);
        Ok(Self {
            tokens: Tokens::new(ask, cache, seal, clock, lease),
            exchange,
            base,
        })
    }

    /// The longest that one call takes: one request's time for the token, one for the request itself.
    pub(super) fn longest_call(&self) -> Duration {
        self.exchange.timeout() * 2
    }

    /// A request to the path of these segments.
    pub(super) fn request(&self, method: Method, path: &[&str]) -> RequestBuilder {
        self.exchange.client().request(method, at(&self.base, path))
    }

    /// Sends a request about one thing with a token. A 401 was not carried out: it is sent once more, with a new token.
    pub(super) async fn call(
        &self,
        operation: &'static str,
        request: impl Fn() -> RequestBuilder,
    ) -> Result<Answer, BackendError> {
        self.call_for(exchange::ONE, operation, request).await
    }

    /// The same for an answer of this many bytes at most.
    async fn call_for(
        &self,
        most: usize,
        operation: &'static str,
        request: impl Fn() -> RequestBuilder,
    ) -> Result<Answer, BackendError> {
        let by = Instant::now() + self.longest_call();
        let access = self.token(by).await?;
        let answer = self
            .exchange
            .send(operation, request().bearer_auth(access.expose()), by, most)
            .await?;
        if answer.status != 401 {
            return Ok(answer);
        }
        self.tokens.reject(&access);
        let access = self.token(by).await?;
        if by.saturating_duration_since(Instant::now()) < self.exchange.timeout() / 4 {
            return Err(BackendError::NotSent {
                detail: format!("{operation}: Badgr's new token came too late to use it"),
                retry_after: None,
            });
        }
        let answer = self
            .exchange
            .send(operation, request().bearer_auth(access.expose()), by, most)
            .await?;
        if answer.status == 401 {
            self.tokens.reject(&access);
        }
        Ok(answer)
    }

    /// Every item of a list that has any number of pages.
    pub(super) async fn list(
        &self,
        operation: &'static str,
        subject: answers::Subject,
        recipient: &str,
        first: impl Fn() -> RequestBuilder,
    ) -> Result<Vec<Value>, BackendError> {
        let (mut items, mut next) = self.page(operation, subject, recipient, first).await?;
        for _ in 1..MOST_PAGES {
            let Some(url) = next else { return Ok(items) };
            let page = || self.exchange.client().get(url.clone());
            let (mut more, following) = self.page(operation, subject, recipient, page).await?;
            items.append(&mut more);
            next = following;
        }
        match next {
            None => Ok(items),
            Some(_) => Err(BackendError::Unknown {
                detail: format!("{operation}: Badgr's list does not end"),
            }),
        }
    }

    /// One page of a list, and where the next one is.
    pub(super) async fn page(
        &self,
        operation: &'static str,
        subject: answers::Subject,
        recipient: &str,
        request: impl Fn() -> RequestBuilder,
    ) -> Result<(Vec<Value>, Option<Url>), BackendError> {
        let asked = request().build().map(|request| request.url().clone()).ok();
        let answer = self.call_for(exchange::PAGE, operation, request).await?;
        let items = answers::result(&answer, subject, recipient)?;
        let next = match (answer.next.as_deref(), asked) {
            (Some(link), Some(asked)) => Some(following(&asked, link).ok_or_else(|| BackendError::Unknown {
                detail: format!("{operation}: Badgr does not say how its list goes on"),
            })?),
            _ => None,
        };
        Ok((items, next))
    }

    /// The next page of a list, by what [`Self::page`] said of it.
    pub(super) async fn next_page(
        &self,
        operation: &'static str,
        subject: answers::Subject,
        next: &str,
    ) -> Result<(Vec<Value>, Option<Url>), BackendError> {
        let url = Url::parse(next).ok().filter(|url| url.origin() == self.base.origin());
        let url = url.ok_or_else(|| BackendError::Unknown {
            detail: format!("{operation}: that page is not of this Badgr"),
        })?;
        self.page(operation, subject, "", || self.exchange.client().get(url.clone()))
            .await
    }

    async fn token(&self, by: Instant) -> Result<Secret, BackendError> {
        let by = by.min(Instant::now() + self.exchange.timeout());
        tokio::time::timeout_at(by, self.tokens.get())
            .await
            .unwrap_or_else(|_| {
                Err(BackendError::NotSent {
                    detail: "no token from Badgr in time".to_owned(),
                    retry_after: None,
                })
            })
    }
}

/// The page after the one that was asked for: the same address with the query of the link. The rest of a link is what Badgr
/// takes its own address to be, which is wrong behind many a proxy (badgr-server.md: without the port); and the token goes to
/// no other server.
fn following(asked: &Url, link: &str) -> Option<Url> {
    let link = asked.join(link).ok()?;
    let mut next = asked.clone();
    next.set_query(Some(link.query()?));
    Some(next)
}

fn at(base: &Url, path: &[&str]) -> Url {
    let mut url = base.clone();
    url.path_segments_mut()
        .expect("the base was checked to be one")
        .pop_if_empty()
        .extend(path);
    url
}

fn ask(settings: &Settings, exchange: Arc<Exchange>, url: Url) -> Ask {
    let (username, password) = (settings.username.clone(), settings.password.clone());
    let password_file = settings.password_file.clone();
    Box::new(move |grant| {
        let form: Vec<(&str, String)> = match &grant {
            Grant::Password => vec![
                ("grant_type", "password".to_owned()),
                ("username", username.clone()),
                (
                    "password",
                    replaced(password_file.as_deref()).unwrap_or_else(|| password.expose().to_owned()),
                ),
            ],
            Grant::Refresh(token) => vec![
                ("grant_type", "refresh_token".to_owned()),
                ("refresh_token", token.expose().to_owned()),
            ],
        };
        let (exchange, request) = (exchange.clone(), exchange.client().post(url.clone()).form(&form));
        Box::pin(async move {
            let by = Instant::now() + exchange.timeout();
            match exchange.send("token", request, by, exchange::ONE).await {
                Ok(answer) => granted(&answer),
                Err(error) => Granted::Failed {
                    detail: error.to_string(),
                },
            }
        })
    })
}

/// What the file of the password holds by now: a line.
fn replaced(file: Option<&Path>) -> Option<String> {
    let text = std::fs::read_to_string(file?)
        .inspect_err(|error| tracing::warn!("BADGR_PASSWORD_FILE: the file cannot be read: {error}"))
        .ok()?;
    Some(text.trim_end_matches(['\r', '\n']).to_owned()).filter(|text| !text.is_empty())
}

fn granted(answer: &Answer) -> Granted {
    let body = answer.body.as_deref().unwrap_or_default();
    match answer.status {
        200..=299 => match serde_json::from_slice::<TokenAnswer>(body) {
            Ok(tokens) if !tokens.access_token.is_empty() => Granted::Tokens {
                access: Secret::new(tokens.access_token),
                refresh: tokens.refresh_token.map(Secret::new),
                expires_in: crate::backend::exchange::bounded_seconds(tokens.expires_in),
            },
            _ => Granted::Failed {
                detail: "token: Badgr's answer cannot be read".to_owned(),
            },
        },
        429 => Granted::Throttled {
            wait: answers::throttled_for(answer).unwrap_or(UNNAMED_WAIT),
        },
        400 | 401 | 403 => {
            let said: Option<Value> = serde_json::from_slice(body).ok();
            let text = |name: &str| said.as_ref()?.get(name)?.as_str().map(str::to_owned);
            let detail = text("error_description").or_else(|| text("error"));
            Granted::Refused {
                detail: redact::text(&detail.unwrap_or_else(|| answer.status.to_string()), ""),
            }
        }
        status => Granted::Failed {
            detail: format!("token: Badgr answers {status}"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_goes_on_where_it_was_asked_for_whatever_badgr_takes_its_address_to_be() {
        let asked =
            Url::parse("https://badgr.example.com:8443/api/v2/badgeclasses/c/assertions?num=100").expect("a URL");
        for link in [
            "http://badgr.example.com/v2/badgeclasses/c/assertions?cursor=x&num=100",
            "https://elsewhere.example.com/steal?cursor=x&num=100",
            "?cursor=x&num=100",
        ] {
            let next = following(&asked, link).expect("a next page");
            let whole = "https://badgr.example.com:8443/api/v2/badgeclasses/c/assertions?cursor=x&num=100";
            assert_eq!(next.as_str(), whole, "{link}");
        }
        assert_eq!(following(&asked, "http://badgr.example.com/v2"), None);
    }

    #[test]
    fn addresses_keep_the_bases_path_and_escape_ids() {
        for (base, url) in [
            ("https://b.example", "https://b.example/v2/issuers/a%2Fb"),
            ("https://b.example/badgr/", "https://b.example/badgr/v2/issuers/a%2Fb"),
        ] {
            let base = Url::parse(base).expect("a URL");
            assert_eq!(at(&base, &["v2", "issuers", "a/b"]).as_str(), url);
        }
    }

    #[test]
    fn the_token_endpoints_answers_have_their_meaning() {
        let answer = |status, body: &str| Answer {
            status,
            body: Some(body.as_bytes().to_vec()),
            ..Answer::default()
        };
        let throttled = granted(&answer(429, r#"{"error": "login attempts throttled", "expires": 8}"#));
        assert!(matches!(throttled, Granted::Throttled { wait } if wait == Duration::from_secs(8)));
        let refused = granted(&answer(
            400,
            r#"{"error":"invalid_grant","error_description":"Invalid credentials given."}"#,
        ));
        assert!(matches!(refused, Granted::Refused { detail } if detail == "Invalid credentials given."));
        let tokens = granted(&answer(200, r#"{"access_token":"a","expires_in":60}"#));
        assert!(
            matches!(tokens, Granted::Tokens { refresh: None, expires_in, .. } if expires_in == Duration::from_secs(60))
        );
        for broken in [
            answer(200, "<html>"),
            answer(502, "<html>"),
            answer(302, ""),
            answer(404, ""),
        ] {
            assert!(matches!(granted(&broken), Granted::Failed { .. }), "{broken:?}");
        }
    }
}
