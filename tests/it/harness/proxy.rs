//! A way through 127.0.0.1 that can be cut, and on which everything can get stuck.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::thread::JoinHandle;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// What becomes of connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// They go through.
    Open,
    /// Those that are there are reset; new ones are, too.
    Cut,
    /// They stay, and new ones are taken, but nothing gets through, as if all packets were lost. What was sent
    /// arrives once the way is open.
    Silent,
}

/// Takes connections on a port of its own and passes them on. Dropping it resets them.
pub struct Proxy {
    port: u16,
    way: watch::Sender<Way>,
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl Proxy {
    /// In front of this port of 127.0.0.1.
    pub fn before(target: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("there is a free port");
        listener
            .set_nonblocking(true)
            .expect("sockets can be made non-blocking");
        let port = listener.local_addr().expect("a bound socket has an address").port();
        let (way, seen) = watch::channel(Way::Open);
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let served = stopped.run_until_cancelled(serve(listener, target, seen));
            runtime.expect("a runtime").block_on(served);
        });
        Self {
            port,
            way,
            stop,
            thread: Some(thread),
        }
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// From now on it is like this.
    pub fn set(&self, way: Way) {
        self.way.send_replace(way);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.stop.cancel();
        let ended = self.thread.take().map(JoinHandle::join);
        if !std::thread::panicking() {
            ended.expect("it was started").expect("a proxy does not panic");
        }
    }
}

async fn serve(listener: TcpListener, target: u16, way: watch::Receiver<Way>) {
    let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
    loop {
        let (inner, _) = listener.accept().await.expect("connections can be taken");
        let mut way = way.clone();
        tokio::spawn(async move {
            // A socket whose lingering is off resets its connection when it is dropped.
            inner.set_zero_linger().expect("an open socket");
            let mut cut = way.clone();
            tokio::select! {
                _ = cut.wait_for(|way| *way == Way::Cut) => {}
                () = pass(inner, target, &mut way) => {}
            }
        });
    }
}

/// Passes on what comes, both ways, until both ends are done or one breaks.
async fn pass(mut inner: TcpStream, target: u16, way: &mut watch::Receiver<Way>) {
    open(way).await;
    let Ok(mut outer) = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, target))).await else {
        return;
    };
    let _ = outer.set_nodelay(true);
    let _ = inner.set_nodelay(true);
    // Halves of their own would say goodbye when they are dropped, before the reset.
    let ((from_inner, to_inner), (from_outer, to_outer)) = (inner.split(), outer.split());
    let mut back = way.clone();
    // An end that breaks breaks the other; one that is only done may still listen.
    let _ = tokio::try_join!(copy(from_inner, to_outer, way), copy(from_outer, to_inner, &mut back));
}

async fn copy(mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, way: &mut watch::Receiver<Way>) -> std::io::Result<()> {
    let mut buffer = vec![0; 64 * 1_024];
    loop {
        let read = from.read(&mut buffer).await?;
        open(way).await;
        if read == 0 {
            return to.shutdown().await;
        }
        to.write_all(&buffer[..read]).await?;
    }
}

async fn open(way: &mut watch::Receiver<Way>) {
    // The sender is there as long as the proxy.
    let _ = way.wait_for(|way| *way == Way::Open).await;
}

#[test]
fn what_is_stuck_arrives_later_and_what_is_cut_is_reset() {
    use std::io::{ErrorKind, Read, Write};
    use std::time::Duration;
    let target = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let proxy = Proxy::before(target.local_addr().expect("an address").port());
    let connect = || std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.port())).expect("it takes connections");
    let mut client = connect();
    client.write_all(b"1").expect("sent");
    let (mut server, _) = target.accept().expect("a connection");
    let mut byte = [0];
    server.read_exact(&mut byte).expect("received");

    proxy.set(Way::Silent);
    client.write_all(b"2").expect("sent");
    server.set_read_timeout(Some(Duration::from_millis(200))).expect("set");
    let stuck = server.read(&mut byte).expect_err("nothing comes");
    assert_eq!(stuck.kind(), ErrorKind::WouldBlock);
    proxy.set(Way::Open);
    server.set_read_timeout(None).expect("set");
    server.read_exact(&mut byte).expect("received");
    assert_eq!(&byte, b"2");

    proxy.set(Way::Cut);
    let reset = client.read(&mut byte).expect_err("reset");
    assert_eq!(reset.kind(), ErrorKind::ConnectionReset);
    let refused = connect().read(&mut byte).expect_err("reset");
    assert_eq!(refused.kind(), ErrorKind::ConnectionReset);
}
