//! One HTTP request to a badge backend and its answer: what surely never left, what may have arrived, and the metrics.

use std::{
    error::Error as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use chrono::DateTime;
use reqwest::{
    Certificate, Client, RequestBuilder, Response,
    header::{HeaderMap, LINK, LOCATION, RETRY_AFTER},
    redirect::Policy,
};
use tokio::time::Instant;

use super::{BackendError, SetupError};
use crate::{clock::Clock, telemetry::Metrics};

/// A connection that is not there by then was refused.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// An idle connection is not used again after this long: a server that closes it just then leaves us not knowing.
const IDLE_TIMEOUT: Duration = Duration::from_secs(4);
/// Bytes of an answer about one thing: an assertion, a badge class, a token. `data` of it is kept, and told in an event.
pub(super) const ONE: usize = 256 << 10;
/// Bytes of a page of a list.
pub(super) const PAGE: usize = 8 << 20;
/// No server makes us wait longer.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 3600);

/// Sends the requests of one backend.
pub(super) struct Exchange {
    client: Client,
    backend: &'static str,
    timeout: Duration,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
}

/// What came back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Answer {
    /// HTTP status.
    pub(super) status: u16,
    /// `Retry-After`, in seconds or as a date.
    pub(super) retry_after: Option<Duration>,
    /// `Location`.
    pub(super) location: Option<String>,
    /// The `Link` header's `rel="next"`.
    pub(super) next: Option<String>,
    /// The body; `None` when it did not come whole.
    pub(super) body: Option<Vec<u8>>,
}

impl Exchange {
    /// A client that follows no redirect, since a redirected POST may be carried out twice or not at all.
    ///
    /// `timeout` is for one request, in all; `ca_file` holds further authorities as PEM.
    pub(super) fn new(
        backend: &'static str,
        timeout: Duration,
        ca_file: Option<&Path>,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
    ) -> Result<Self, SetupError> {
        let mut builder = Client::builder()
            .redirect(Policy::none())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .connect_timeout(CONNECT_TIMEOUT.min(timeout / 2))
            .user_agent(concat!("accolade/", env!("CARGO_PKG_VERSION")));
        if let Some(path) = ca_file {
            builder = builder.tls_certs_merge(certificates(path)?);
        }
        let client = builder
            .build()
            .map_err(|error| SetupError::Client { message: chain(&error) })?;
        Ok(Self {
            client,
            backend,
            timeout,
            clock,
            metrics,
        })
    }

    /// Makes requests to be given to [`Exchange::send`].
    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// The longest that one request takes.
    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Sends a request and reads its answer, whatever its status, until `by` and at most as long as one request takes.
    ///
    /// [`BackendError::NotSent`] only when no connection came about; every later failure is
    /// [`BackendError::Unknown`], also a success whose body is longer than `most`, [`ONE`] or [`PAGE`], in bytes.
    pub(super) async fn send(
        &self,
        operation: &'static str,
        request: RequestBuilder,
        by: Instant,
        most: usize,
    ) -> Result<Answer, BackendError> {
        let started = Instant::now();
        let within = by.saturating_duration_since(started).min(self.timeout);
        let sent = request.timeout(within).send().await;
        let result = match sent {
            Ok(response) => Ok(self.read(response, most).await),
            Err(error) => Err(error),
        };
        let code = match &result {
            Ok((answer, _)) => answer.status.to_string(),
            Err(error) if error.is_connect() => "connect".to_owned(),
            Err(error) if error.is_timeout() => "timeout".to_owned(),
            Err(_) => "broken".to_owned(),
        };
        let labels = [self.backend, operation];
        self.metrics
            .backend_requests
            .with_label_values(&[labels[0], labels[1], &code])
            .inc();
        self.metrics
            .backend_request_duration
            .with_label_values(&labels)
            .observe(started.elapsed().as_secs_f64());
        match result {
            // What an error means is known without its body.
            Ok((answer, true)) if answer.status < 400 => Err(BackendError::Unknown {
                detail: format!("{operation}: the answer is longer than {most} bytes"),
            }),
            Ok((answer, _)) => Ok(answer),
            Err(error) => Err(failure(operation, error)),
        }
    }

    /// The answer, and whether its body was longer than it may be.
    async fn read(&self, mut response: Response, most: usize) -> (Answer, bool) {
        let header = |name| text_of(response.headers(), &name);
        let mut answer = Answer {
            status: response.status().as_u16(),
            retry_after: header(RETRY_AFTER).and_then(|value| self.wait(&value)),
            location: header(LOCATION),
            next: header(LINK).and_then(|value| next_of(&value)),
            body: None,
        };
        let mut body = Vec::new();
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) if body.len() + chunk.len() <= most => body.extend_from_slice(&chunk),
                Ok(Some(_)) => return (answer, true),
                Err(_) => return (answer, false),
                Ok(None) => {
                    answer.body = Some(body);
                    return (answer, false);
                }
            }
        }
    }

    fn wait(&self, value: &str) -> Option<Duration> {
        let wait = match value.trim().parse::<u64>() {
            Ok(seconds) => Duration::from_secs(seconds),
            Err(_) => {
                let at = DateTime::parse_from_rfc2822(value.trim()).ok()?;
                (at.to_utc() - self.clock.now()).to_std().unwrap_or_default()
            }
        };
        Some(wait.min(LONGEST_WAIT))
    }
}

/// A wait in seconds as a backend says it, bounded.
pub(super) fn bounded_seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds.max(0.0)).map_or(LONGEST_WAIT, |wait| wait.min(LONGEST_WAIT))
}

fn failure(operation: &'static str, error: reqwest::Error) -> BackendError {
    // A request that could not be built was not sent either.
    let not_sent = error.is_connect() || error.is_builder();
    // The URL of a look-up holds the recipient's address.
    let detail = format!("{operation}: {}", chain(&error.without_url()));
    if not_sent {
        BackendError::NotSent {
            detail,
            retry_after: None,
        }
    } else {
        BackendError::Unknown { detail }
    }
}

/// What an error and its causes say, each once.
fn chain(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = error.source();
    }
    text
}

fn certificates(path: &Path) -> Result<Vec<Certificate>, SetupError> {
    let wrong = |message: String| SetupError::CaFile {
        path: PathBuf::from(path),
        message,
    };
    let pem = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
    let found = Certificate::from_pem_bundle(&pem).map_err(|error| wrong(chain(&error)))?;
    if found.is_empty() {
        return Err(wrong("holds no PEM certificate".to_owned()));
    }
    Ok(found)
}

fn text_of(headers: &HeaderMap, name: &reqwest::header::HeaderName) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

/// The target of `rel="next"` in a `Link` header (RFC 8288).
fn next_of(link: &str) -> Option<String> {
    link.split('<').skip(1).find_map(|part| {
        let (target, parameters) = part.split_once('>')?;
        let parameters = parameters.replace(['"', ' '], "").to_ascii_lowercase();
        let next = parameters.split([';', ',']).any(|parameter| parameter == "rel=next");
        next.then(|| target.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_found_in_a_link_header() {
        let link = "<https://b.example/x?cursor=1>; rel=\"prev\", <https://b.example/x?cursor=3>; rel=\"next\"";
        assert_eq!(next_of(link).as_deref(), Some("https://b.example/x?cursor=3"));
        assert_eq!(next_of("<https://b.example/x>; rel=\"prev\""), None);
        assert_eq!(next_of("nonsense"), None);
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let clock = Arc::new(crate::clock::ManualClock::default());
        let second = Duration::from_secs(1);
        let exchange = Exchange::new("badgr", second, None, clock.clone(), Arc::new(Metrics::new())).expect("a client");
        let date = (clock.now() + chrono::TimeDelta::seconds(90)).to_rfc2822();
        assert_eq!(exchange.wait("7"), Some(7 * second));
        assert!(
            exchange
                .wait(&date)
                .is_some_and(|wait| wait > 80 * second && wait <= 90 * second)
        );
        assert_eq!(exchange.wait("Wed, 21 Oct 2015 07:28:00 GMT"), Some(Duration::ZERO));
        assert_eq!(exchange.wait("99999999999"), Some(LONGEST_WAIT));
        assert_eq!(exchange.wait("soon"), None);
    }

    #[test]
    fn a_file_without_certificates_is_named() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let error = certificates(file.path()).expect_err("empty");
        assert!(error.to_string().starts_with("CA_FILE: "), "{error}");
        assert!(certificates(Path::new("/no/such/file")).is_err());
    }
}
