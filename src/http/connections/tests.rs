use std::sync::atomic::{AtomicUsize, Ordering};

use axum::{
    extract::State,
    routing::{get, post},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::Notify,
    task::JoinHandle,
    time::timeout,
};

use super::*;

const DEADLINE: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(100);
const LONG: Duration = Duration::from_secs(3600);
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
const HELD: &[u8] = b"GET /held HTTP/1.1\r\nHost: x\r\n\r\n";
/// More than sockets hold by themselves.
const LARGE: usize = 64 << 20;

/// Where nobody is ever left.
const PATIENT: Limits = Limits {
    connections: 64,
    head: LONG,
    stalled: LONG,
    grace: LONG,
};

/// What handlers of these tests share.
#[derive(Clone, Default)]
struct Desk {
    /// Lets a request for `/held` go on.
    go: Arc<Notify>,
    /// A request for `/held` has begun.
    begun: Arc<Notify>,
    answered: Arc<AtomicUsize>,
}

struct Server {
    address: std::net::SocketAddr,
    desk: Desk,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Server {
    async fn start(limits: Limits) -> Self {
        let desk = Desk::default();
        let router = Router::new()
            .route(
                "/",
                get(async |State(desk): State<Desk>| {
                    desk.answered.fetch_add(1, Ordering::SeqCst);
                    "ok"
                }),
            )
            .route(
                "/held",
                get(async |State(desk): State<Desk>| {
                    desk.begun.notify_one();
                    desk.go.notified().await;
                    "held"
                }),
            )
            .route("/large", get(async || vec![0; LARGE]))
            .route("/body", post(async |body: String| format!("[{body}]")))
            .with_state(desk.clone());
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let stop = CancellationToken::new();
        let task = tokio::spawn(serve(listener, router, limits, stop.clone()));
        Self {
            address,
            desk,
            stop,
            task,
        }
    }

    /// A connection over which this was sent.
    async fn connect(&self, sent: &[u8]) -> TcpStream {
        let mut client = TcpStream::connect(self.address).await.expect("a connection");
        client.write_all(sent).await.expect("sent");
        client
    }

    async fn ended(self) {
        timeout(DEADLINE, self.task).await.expect("in time").expect("no panic");
    }
}

/// What still comes until the server closes the connection.
async fn rest(mut client: TcpStream) -> String {
    let mut all = Vec::new();
    let read = timeout(DEADLINE, client.read_to_end(&mut all));
    if let Err(error) = read.await.expect("closed in time") {
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }
    String::from_utf8_lossy(&all).into_owned()
}

async fn answer(client: &mut TcpStream) -> String {
    let mut answer = vec![0; 4096];
    let length = timeout(DEADLINE, client.read(&mut answer)).await.expect("in time");
    answer.truncate(length.expect("an answer"));
    String::from_utf8(answer).expect("a text")
}

#[tokio::test]
async fn who_sends_no_whole_request_is_left() {
    let server = Server::start(Limits { head: SHORT, ..PATIENT }).await;
    for begun in [&b""[..], b"GET / HT", b"GET / HTTP/1.1\r\nHost: x\r\nX-Half: "] {
        let said = rest(server.connect(begun).await).await;
        assert_eq!(said, "", "{begun:?}");
    }
    let said = rest(server.connect(REQUEST).await).await;
    assert!(
        said.starts_with("HTTP/1.1 200") && said.ends_with("ok"),
        "answered, then left: {said}"
    );
}

#[tokio::test]
async fn a_request_that_takes_long_is_answered_all_the_same() {
    let server = Server::start(Limits {
        head: SHORT,
        stalled: SHORT,
        ..PATIENT
    })
    .await;
    let mut waits = server.connect(HELD).await;
    server.desk.begun.notified().await;
    // Its patience is over when that of another one is, which came later.
    rest(server.connect(b"").await).await;
    server.desk.go.notify_one();
    assert!(answer(&mut waits).await.ends_with("held"));
}

#[tokio::test]
async fn who_does_not_read_the_answer_is_left() {
    let server = Server::start(Limits {
        connections: 1,
        stalled: SHORT,
        ..PATIENT
    })
    .await;
    let deaf = server.connect(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let mut next = server.connect(REQUEST).await;
    assert!(answer(&mut next).await.starts_with("HTTP/1.1 200"), "there is a place");
    assert!(rest(deaf).await.len() < LARGE);
}

#[tokio::test]
async fn a_head_has_its_size() {
    let server = Server::start(PATIENT).await;
    let with = |headers: &str| format!("GET / HTTP/1.1\r\nHost: x\r\n{headers}\r\n").into_bytes();
    let mut taken = server
        .connect(&with(&format!("Authorization: {}\r\n", "a".repeat(31 << 10))))
        .await;
    assert!(answer(&mut taken).await.starts_with("HTTP/1.1 200"));
    for (what, headers) in [
        ("bytes", format!("Authorization: {}\r\n", "a".repeat(33 << 10))),
        ("without an end", format!("Authorization: {}", "a".repeat(64 << 10))),
        ("many", "A: b\r\n".repeat(101)),
    ] {
        let said = rest(server.connect(&with(&headers)).await).await;
        assert!(said.starts_with("HTTP/1.1 431 "), "{what}: {said}");
    }
    assert_eq!(server.desk.answered.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn nothing_but_one_meaning_of_a_request_is_taken() {
    let server = Server::start(PATIENT).await;
    let http2 = rest(server.connect(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await).await;
    assert_eq!(http2, "", "HTTP/2 is not spoken");
    let two_lengths = b"POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc";
    let said = rest(server.connect(two_lengths).await).await;
    assert!(said.starts_with("HTTP/1.1 400 "), "{said}");
    // A request within the body of another one, for whoever goes by the length alone.
    let inner = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    for lengths in [
        "Content-Length: 4\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 4",
    ] {
        let smuggled = format!(
            "POST /body HTTP/1.1\r\nHost: x\r\n{lengths}\r\nConnection: close\r\n\r\n{:x}\r\n{inner}\r\n0\r\n\r\n",
            inner.len()
        );
        let said = rest(server.connect(smuggled.as_bytes()).await).await;
        assert!(said.ends_with(&format!("[{inner}]")), "{said}");
    }
    assert_eq!(server.desk.answered.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn further_connections_wait_until_there_is_a_place() {
    let server = Server::start(Limits {
        connections: 2,
        ..PATIENT
    })
    .await;
    let first = server.connect(REQUEST).await;
    let _second = server.connect(REQUEST).await;
    let mut third = server.connect(REQUEST).await;
    let mut byte = [0];
    assert!(timeout(SHORT, third.peek(&mut byte)).await.is_err(), "it waits");
    drop(first);
    assert!(answer(&mut third).await.starts_with("HTTP/1.1 200"));
    // With one place of two taken, a connection may stay: it is asked again.
    third.write_all(REQUEST).await.expect("sent");
    assert!(answer(&mut third).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn when_places_become_scarce_a_connection_is_for_one_request() {
    let server = Server::start(Limits {
        connections: 4,
        ..PATIENT
    })
    .await;
    let mut stay = Vec::new();
    for _ in 0..3 {
        let mut client = server.connect(REQUEST).await;
        assert!(answer(&mut client).await.starts_with("HTTP/1.1 200"));
        stay.push(client);
    }
    for _ in 0..3 {
        let said = rest(server.connect(REQUEST).await).await;
        assert!(said.contains("connection: close") && said.ends_with("ok"), "{said}");
    }
    stay[0].write_all(REQUEST).await.expect("sent");
    assert!(answer(&mut stay[0]).await.starts_with("HTTP/1.1 200"), "it stays");
}

#[tokio::test]
async fn at_a_stop_idle_connections_end_and_answers_are_given() {
    let server = Server::start(PATIENT).await;
    let mut idle = server.connect(REQUEST).await;
    assert!(answer(&mut idle).await.starts_with("HTTP/1.1 200"));
    let held = server.connect(HELD).await;
    server.desk.begun.notified().await;
    server.stop.cancel();
    assert_eq!(rest(idle).await, "");
    assert!(
        TcpStream::connect(server.address).await.is_err(),
        "nothing new is taken"
    );
    server.desk.go.notify_one();
    let said = rest(held).await;
    assert!(said.starts_with("HTTP/1.1 200") && said.ends_with("held"), "{said}");
    server.ended().await;
}

#[tokio::test]
async fn what_does_not_end_after_a_stop_is_cut_off() {
    let server = Server::start(Limits {
        grace: SHORT,
        ..PATIENT
    })
    .await;
    let held = server.connect(HELD).await;
    server.desk.begun.notified().await;
    server.stop.cancel();
    assert_eq!(rest(held).await, "");
    server.ended().await;
}

#[test]
fn half_of_the_files_that_may_be_open_are_for_connections() {
    let limits = "Limit                     Soft Limit           Hard Limit           Units     \n\
                  Max open files            256                  1048576              files     \n";
    assert_eq!(open_files(limits), Some(256));
    assert_eq!(
        open_files("Max open files            unlimited            unlimited"),
        None
    );
    assert_eq!(open_files(""), None);
    let here = Limits::of_this_process().connections;
    assert!((1..=MOST).contains(&here), "{here}");
}

#[tokio::test(start_paused = true)]
async fn what_goes_on_is_told_once_a_minute() {
    let (mut seldom, told) = (Seldom::default(), AtomicUsize::new(0));
    for _ in 0..130 {
        seldom.tell(|| {
            told.fetch_add(1, Ordering::SeqCst);
        });
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(told.into_inner(), 3);
}
