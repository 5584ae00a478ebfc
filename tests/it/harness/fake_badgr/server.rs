//! From a connection to an answer, or to what was ordered instead of one.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use chrono::Utc;
use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::api;
use super::connection::{CuttableListener, Cutter};
use super::faults::{Fault, Faults};
use super::ledger::{Ledger, RequestRecord};
use super::tokens::Tokens;

const HTML: &str = "text/html";

/// What all requests share.
pub struct Shared {
    pub origin: String,
    pub check_url_hosts: bool,
    pub ledger: Ledger,
    pub tokens: Tokens,
    pub faults: Faults,
    pub stop: CancellationToken,
}

/// One request, read whole.
pub struct Call {
    pub method: String,
    pub path: String,
    pub query: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Call {
    /// A header's text, if it is text.
    pub fn header(&self, name: header::HeaderName) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The values of a query parameter.
    pub fn query_values(&self, name: &str) -> Vec<String> {
        url::form_urlencoded::parse(self.query.as_bytes())
            .filter(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
            .collect()
    }

    /// The body as a form.
    pub fn form(&self) -> HashMap<String, String> {
        url::form_urlencoded::parse(&self.body).into_owned().collect()
    }
}

/// One answer.
pub struct Answer {
    pub status: u16,
    pub content_type: String,
    pub headers: Vec<(header::HeaderName, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn new(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            content_type: content_type.to_owned(),
            headers: Vec::new(),
            body: body.into(),
        }
    }

    pub fn json(status: u16, content_type: &str, body: &Value) -> Self {
        Self::new(status, content_type, body.to_string())
    }

    /// Django's page for what nobody handled.
    pub fn server_error() -> Self {
        Self::new(
            500,
            HTML,
            "<!doctype html><title>Server Error (500)</title><h1>Server Error (500)</h1>",
        )
    }

    /// 429 as the token endpoint says it: JSON that calls itself HTML, and no `Retry-After`.
    pub fn throttled(expires: u64) -> Self {
        let body = json!({
            "error_description": "Too many login attempts. Please wait and try again.",
            "error": "login attempts throttled", "expires": expires,
        });
        Self::json(429, HTML, &body)
    }

    fn into_response(self, body: Body) -> Response {
        let mut response = Response::builder()
            .status(StatusCode::from_u16(self.status).expect("answers have a status"))
            .header(header::CONTENT_TYPE, self.content_type)
            .header(header::CONTENT_LENGTH, self.body.len());
        for (name, value) in self.headers {
            response = response.header(name, value);
        }
        response.body(body).expect("answers are well formed")
    }
}

enum Ending {
    Answer(Answer),
    Truncated(Answer),
    Reset,
    Hang,
}

/// Serves until stopped. Returning drops the runtime, and with it every connection and all work.
pub fn run(listener: std::net::TcpListener, shared: Arc<Shared>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime can be built");
    runtime.block_on(async move {
        let listener = tokio::net::TcpListener::from_std(listener).expect("the listener is non-blocking");
        let stop = shared.stop.clone();
        let service = Router::new()
            .fallback(handle)
            .with_state(shared)
            .into_make_service_with_connect_info::<Cutter>();
        tokio::select! {
            () = stop.cancelled() => {}
            served = async { axum::serve(CuttableListener(listener), service).await } => {
                served.expect("serving goes on until it is stopped");
            }
        }
    });
}

async fn handle(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(cutter): ConnectInfo<Cutter>,
    request: Request,
) -> Response {
    let (head, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, 64 << 20).await else {
        return Answer::server_error().into_response(Body::empty());
    };
    let call = Call {
        method: head.method.as_str().to_owned(),
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        headers: head.headers,
        body,
    };
    // On a task of its own: a client that has gone does not stop what a server has begun.
    let ending = tokio::spawn(async move { deal_with(&shared, &call).await })
        .await
        .expect("dealing with a request does not panic");
    match ending {
        Ending::Answer(mut answer) => {
            let body = Body::from(answer.body.clone());
            let empty = matches!(answer.status, 204 | 304);
            if empty {
                answer.body.clear();
            }
            answer.into_response(if empty { Body::empty() } else { body })
        }
        Ending::Truncated(answer) => {
            let half = Bytes::copy_from_slice(&answer.body[..answer.body.len() / 2]);
            let cut = async {
                // The half goes out while this is pending.
                tokio::task::yield_now().await;
                Err(std::io::Error::from(std::io::ErrorKind::ConnectionAborted))
            };
            let halves = futures_util::stream::iter([Ok(half)]).chain(futures_util::stream::once(cut));
            answer.into_response(Body::from_stream(halves))
        }
        Ending::Reset => {
            cutter.cut();
            Answer::server_error().into_response(Body::empty())
        }
        Ending::Hang => std::future::pending().await,
    }
}

async fn deal_with(shared: &Shared, call: &Call) -> Ending {
    let time = Utc::now();
    let record = |did: String| {
        shared.ledger.add_request(RequestRecord {
            time,
            method: call.method.clone(),
            path: call.path.clone(),
            query: call.query.clone(),
            did,
        });
    };
    let route = api::Route::of(call);
    let (fault, delay) = shared.faults.take(route.operation());
    if let Some(ending) = fault.as_ref().and_then(instead) {
        let fault = fault.expect("the ending is this fault's");
        record(format!("nothing: {fault:?}"));
        return ending;
    }
    let checked = api::check(shared, call, route);
    let slow = if let Some(Fault::Slow(slow)) = fault {
        slow
    } else {
        Duration::ZERO
    };
    if slow + delay > Duration::ZERO {
        tokio::time::sleep(slow + delay).await;
    }
    let (answer, did) = match checked {
        Ok(work) => api::carry_out(shared, call, work),
        Err(answer) => {
            let did = format!("nothing: {}", answer.status);
            (answer, did)
        }
    };
    record(did);
    match fault {
        Some(Fault::HangAfter) => Ending::Hang,
        Some(Fault::ErrorAfter) => Ending::Answer(Answer::server_error()),
        Some(Fault::ResetAfter) => Ending::Reset,
        Some(Fault::Truncated) => Ending::Truncated(answer),
        _ => Ending::Answer(answer),
    }
}

/// How a fault that comes before the work ends; `None` for the others.
fn instead(fault: &Fault) -> Option<Ending> {
    Some(match fault {
        Fault::HangBefore => Ending::Hang,
        Fault::ResetBefore => Ending::Reset,
        Fault::ErrorBefore => Ending::Answer(Answer::server_error()),
        Fault::Unauthorized => Ending::Answer(api::unauthorized()),
        Fault::NotFound => Ending::Answer(api::not_found()),
        Fault::RetryAfter(seconds) => {
            let mut answer = Answer::new(429, HTML, "Too Many Requests");
            answer.headers.push((header::RETRY_AFTER, seconds.to_string()));
            Ending::Answer(answer)
        }
        Fault::Throttled(expires) => Ending::Answer(Answer::throttled(*expires)),
        Fault::BadRequest(body) => Ending::Answer(Answer::new(400, api::LD_JSON, body.as_bytes())),
        Fault::Status(status, body) => Ending::Answer(Answer::new(*status, HTML, body.as_bytes())),
        Fault::Redirect(status, url) => {
            let mut answer = Answer::new(*status, HTML, "");
            answer.headers.push((header::LOCATION, url.clone()));
            Ending::Answer(answer)
        }
        Fault::HangAfter | Fault::ErrorAfter | Fault::ResetAfter | Fault::Truncated | Fault::Slow(_) => {
            return None;
        }
    })
}
