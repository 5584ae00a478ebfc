//! A server behind TLS: ends it on a port of its own, passes on what it reads, and keeps what came.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::thread::JoinHandle;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_native_tls::TlsAcceptor;
use tokio_native_tls::native_tls::{self, Identity};
use tokio_util::sync::CancellationToken;

use super::certificates::Certificate;

/// What clients sent.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Connections whose handshake both sides completed.
    pub handshakes: usize,
    /// Connections that ended in the handshake.
    pub refused: usize,
    /// As it came over the wire.
    pub sent: Vec<u8>,
    /// As it was meant.
    pub read: Vec<u8>,
}

/// Ends TLS before a server on 127.0.0.1. Dropping it ends its connections.
pub struct Tls {
    port: u16,
    seen: Arc<Mutex<Seen>>,
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl Tls {
    /// In front of this port, with this certificate.
    pub fn before(target: u16, certificate: &Certificate) -> Self {
        let identity = Identity::from_pkcs8(certificate.certificate.as_bytes(), certificate.key.as_bytes());
        let acceptor = native_tls::TlsAcceptor::new(identity.expect("a certificate and its key"));
        let acceptor = TlsAcceptor::from(acceptor.expect("an acceptor"));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("there is a free port");
        listener.set_nonblocking(true).expect("sockets can be non-blocking");
        let port = listener.local_addr().expect("a bound socket has an address").port();
        let (seen, stop) = (Arc::new(Mutex::new(Seen::default())), CancellationToken::new());
        let (seeing, stopped) = (Arc::clone(&seen), stop.clone());
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let served = stopped.run_until_cancelled(serve(listener, target, acceptor, seeing));
            runtime.expect("a runtime").block_on(served);
        });
        Self {
            port,
            seen,
            stop,
            thread: Some(thread),
        }
    }

    /// `127.0.0.1:PORT`
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// What came up to now.
    pub fn seen(&self) -> Seen {
        self.seen.lock().expect("nobody panics with it").clone()
    }
}

impl Drop for Tls {
    fn drop(&mut self) {
        self.stop.cancel();
        let ended = self.thread.take().map(JoinHandle::join);
        if !std::thread::panicking() {
            ended.expect("it was started").expect("it does not panic");
        }
    }
}

async fn serve(listener: TcpListener, target: u16, acceptor: TlsAcceptor, seen: Arc<Mutex<Seen>>) {
    let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
    loop {
        let (stream, _) = listener.accept().await.expect("connections can be taken");
        let (acceptor, seen) = (acceptor.clone(), Arc::clone(&seen));
        tokio::spawn(async move {
            let on_the_wire = Recorded {
                stream,
                seen: Arc::clone(&seen),
                into: |seen| &mut seen.sent,
            };
            let accepted = acceptor.accept(on_the_wire).await;
            {
                let mut seen = seen.lock().expect("nobody panics with it");
                *(if accepted.is_ok() {
                    &mut seen.handshakes
                } else {
                    &mut seen.refused
                }) += 1;
            }
            let (Ok(stream), Ok(mut outer)) = (
                accepted,
                TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, target))).await,
            ) else {
                return;
            };
            let mut inner = Recorded {
                stream,
                seen,
                into: |seen| &mut seen.read,
            };
            // One end has gone; so does the other.
            let _ = tokio::io::copy_bidirectional(&mut inner, &mut outer).await;
        });
    }
}

/// A stream, and where what is read from it is kept.
struct Recorded<S> {
    stream: S,
    seen: Arc<Mutex<Seen>>,
    into: fn(&mut Seen) -> &mut Vec<u8>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Recorded<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        let mut seen = self.seen.lock().expect("nobody panics with it");
        (self.into)(&mut seen).extend_from_slice(&buf.filled()[before..]);
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Recorded<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
