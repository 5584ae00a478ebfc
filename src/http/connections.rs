//! Connections: how many there are, how long an idle or slow one is kept, and how they end at a stop.
//!
//! A connection costs memory and a file descriptor before anybody showed a token. Whoever opens one and sends nothing,
//! sends half a request, or does not read the answer is left after a while; so is who keeps a connection without using
//! it. A request that was read whole may be worked on for as long as [`limits`](super::limits) let it.

mod stalled;

use std::{fs, io, pin::pin, sync::Arc, time::Duration};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use stalled::StalledWrites;

/// The head of a request, its first line and headers, is this long at most; a token of 8 KiB and the cookies of a whole
/// platform fit. Of headers there are 100 at most, which is hyper's own bound.
const HEAD_BYTES: usize = 32 * 1024;
/// What a connection holds of bodies and answers that are on their way.
const BUFFER_BYTES: usize = 64 * 1024;
/// More connections than this help nobody: a process answers some thousand requests a second over a few dozen.
const MOST: usize = 512;
/// A line about connections is logged this often at most.
const TOLD_EVERY: Duration = Duration::from_secs(60);

/// How many connections there may be, and how long they are waited for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Connections at once. Further ones wait until one ends; from three quarters of them on a new one gets one answer.
    pub(super) connections: usize,
    /// From the beginning of a connection, or the end of an answer, until the head of the next request is there.
    pub(super) head: Duration,
    /// As long as a client takes nothing of its answer.
    pub(super) stalled: Duration,
    /// What is in flight at a stop gets this long to end.
    pub(super) grace: Duration,
}

impl Limits {
    /// What fits this process: half of the files that it may open.
    pub(super) fn of_this_process() -> Self {
        let files = fs::read_to_string("/proc/self/limits").ok();
        let files = files.as_deref().and_then(open_files).unwrap_or(usize::MAX);
        Self {
            connections: MOST.min(files / 2).max(1),
            head: Duration::from_secs(10),
            stalled: Duration::from_secs(30),
            grace: Duration::from_secs(10),
        }
    }
}

/// Serves until `stop`; then takes no further connections, and gives the requests in flight [`Limits::grace`] to end.
pub(super) async fn serve(listener: TcpListener, router: Router, limits: Limits, stop: CancellationToken) {
    let places = Places::new(limits.connections);
    let (mut busy, mut failing) = (Seldom::default(), Seldom::default());
    let mut connections = JoinSet::new();
    loop {
        let next = async {
            let place = places.take(&mut busy).await;
            (listener.accept().await, place)
        };
        let (accepted, place) = tokio::select! {
            () = stop.cancelled() => break,
            Some(_) = connections.join_next() => continue,
            next = next => next,
        };
        match accepted {
            Ok((stream, _)) => {
                connections.spawn(talk(stream, router.clone(), limits, place, stop.clone()));
            }
            Err(error) if is_of_the_client(&error) => {}
            Err(error) => {
                failing.tell(|| {
                    tracing::warn!("cannot take HTTP connections: {error}; may this process open enough files?");
                });
                // Most likely there is no file descriptor left: others have to be closed first.
                tokio::select! {
                    () = stop.cancelled() => break,
                    () = tokio::time::sleep(Duration::from_secs(1)) => {}
                }
            }
        }
    }
    drop(listener);
    let all = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(limits.grace, all).await.is_err() {
        tracing::warn!(
            "requests were still in flight {} s after the stop; they are cut off",
            limits.grace.as_secs()
        );
    }
}

/// One connection, to its end.
async fn talk(stream: TcpStream, router: Router, limits: Limits, place: Place, stop: CancellationToken) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_header_size(HEAD_BYTES)
        .max_buf_size(BUFFER_BYTES)
        .keep_alive(place.may_stay)
        .serve_connection(
            TokioIo::new(StalledWrites::new(stream, limits.stalled)),
            TowerToHyperService::new(router),
        );
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!("an HTTP connection ended: {error}");
    }
    drop(place);
}

/// The places for connections.
struct Places {
    free: Arc<Semaphore>,
    all: usize,
}

/// A place that a connection holds.
struct Place {
    _permit: OwnedSemaphorePermit,
    /// Whether further requests are answered on this connection. Without that, whoever kept all places busy with small
    /// requests would keep others out for ever.
    may_stay: bool,
}

impl Places {
    fn new(all: usize) -> Self {
        Self {
            free: Arc::new(Semaphore::new(all)),
            all,
        }
    }

    async fn take(&self, busy: &mut Seldom) -> Place {
        if self.free.available_permits() == 0 {
            busy.tell(|| tracing::warn!("all {} HTTP connections are taken; further ones wait", self.all));
        }
        let permit = Arc::clone(&self.free).acquire_owned().await;
        Place {
            _permit: permit.expect("the semaphore is never closed"),
            may_stay: self.free.available_permits() >= self.all / 4,
        }
    }
}

/// Says something now, and then for a while nothing.
#[derive(Default)]
struct Seldom(Option<Instant>);

impl Seldom {
    fn tell(&mut self, what: impl FnOnce()) {
        if self.0.is_none_or(|told| told.elapsed() >= TOLD_EVERY) {
            what();
            self.0 = Some(Instant::now());
        }
    }
}

/// Whether the connection broke before it was taken, which says nothing of this process.
fn is_of_the_client(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset
    )
}

/// The soft limit of open files in the text of `/proc/self/limits` (Linux); `None`: it is not told, or there is none.
fn open_files(limits: &str) -> Option<usize> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests;
