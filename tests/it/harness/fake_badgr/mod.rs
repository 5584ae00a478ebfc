//! A Badgr server over real HTTP, as the real one was measured, with faults to order and a ledger on disk.
//!
//! It runs on a thread and a runtime of its own, so that dropping it is as sudden as a kill: every
//! connection ends, nothing more is done. Started again on the same ledger and port, it knows what it knew.

mod api;
mod checks;
mod connection;
mod faults;
mod ledger;
mod limits;
mod multipart;
mod pages;
mod server;
mod tokens;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

pub use faults::{Fault, Operation};
pub use ledger::{Assertion, BadgeClass, RequestRecord};

use faults::Faults;
use ledger::Ledger;
use server::Shared;
use tokens::Tokens;

/// The user name that gets a token.
pub const USERNAME: &str = "badgr@example.com";
/// The password that gets a token.
pub const PASSWORD: &str = "canary-badgr-password";
/// The entity id of the only issuer.
pub const ISSUER_SLUG: &str = "issuer1";

/// The entity id of the account with that user name.
pub const ACCOUNT: &str = "user1";

/// What a fake Badgr is started with.
#[derive(Debug)]
pub struct Builder {
    ledger: Option<PathBuf>,
    port: u16,
    expires_in: u64,
    check_url_hosts: bool,
}

impl Builder {
    /// The file that outlives the server; without one, what it knew goes with it.
    pub fn ledger(mut self, path: impl Into<PathBuf>) -> Self {
        self.ledger = Some(path.into());
        self
    }

    /// The port on 127.0.0.1; 0 (the default) takes a free one.
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Seconds that an access token lives; Badgr's are 86,400.
    pub fn expires_in(mut self, seconds: u64) -> Self {
        self.expires_in = seconds;
        self
    }

    /// Whether a URL on a host without a dot is refused, as Badgr does. The default.
    pub fn check_url_hosts(mut self, check: bool) -> Self {
        self.check_url_hosts = check;
        self
    }

    /// Starts the server; it answers when this returns.
    pub async fn start(self) -> FakeBadgr {
        let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))).expect("the port is free");
        let address = listener.local_addr().expect("a bound socket has an address");
        listener
            .set_nonblocking(true)
            .expect("sockets can be made non-blocking");
        let (ledger, tokens) = Ledger::open(self.ledger);
        let shared = Arc::new(Shared {
            origin: format!("http://{address}"),
            check_url_hosts: self.check_url_hosts,
            ledger,
            tokens: Tokens::new(self.expires_in, tokens),
            faults: Faults::default(),
            stop: CancellationToken::new(),
        });
        let served = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("fake-badgr".to_owned())
            .spawn(move || server::run(listener, served))
            .expect("threads can be spawned");
        FakeBadgr {
            address,
            shared,
            thread: Some(thread),
        }
    }
}

/// A running fake Badgr. Dropping it stops it at once, in the middle of what it does.
pub struct FakeBadgr {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl FakeBadgr {
    /// What to start one with.
    pub fn builder() -> Builder {
        Builder {
            ledger: None,
            port: 0,
            expires_in: 86_400,
            check_url_hosts: true,
        }
    }

    /// A fresh one on a free port, without a file.
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    /// `BADGR_BASE_URL`: no slash at the end.
    pub fn url(&self) -> String {
        self.shared.origin.clone()
    }

    /// The port, to start it again on.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Orders a fault for the next request of this operation that has none yet; orders queue up.
    pub fn order(&self, operation: Operation, fault: Fault) {
        self.shared.faults.order(operation, fault);
    }

    /// Every request of this operation without an order of its own meets this fault, until [`clear_faults`].
    ///
    /// [`clear_faults`]: Self::clear_faults
    pub fn always(&self, operation: Operation, fault: Fault) {
        self.shared.faults.always(operation, fault);
    }

    /// Forgets every ordered fault. What already hangs goes on hanging.
    pub fn clear_faults(&self) {
        self.shared.faults.clear();
    }

    /// How many ordered faults no request has met yet.
    pub fn faults_left(&self) -> usize {
        self.shared.faults.left()
    }

    /// Every request takes this much longer; it is done even when the client has gone meanwhile.
    pub fn delay(&self, delay: Duration) {
        self.shared.faults.delay(delay);
    }

    /// Returns when everything that was sent before has been dealt with, also what clients no longer wait for: one
    /// thread takes requests in the order in which they come.
    pub async fn catches_up(&self) {
        let answer = reqwest::get(self.url()).await;
        answer.expect("it answers");
    }

    /// Every access token is refused from now on; refresh tokens stay good.
    pub fn expire_tokens(&self) {
        self.shared.tokens.expire_all();
    }

    /// Every assertion, revoked ones too, in the order of their making.
    pub fn assertions(&self) -> Vec<Assertion> {
        self.shared.ledger.assertions()
    }

    /// What this address holds that is not revoked; addresses without case.
    pub fn live_assertions_of(&self, email: &str) -> Vec<Assertion> {
        let mut found = self.assertions();
        found.retain(|a| a.revoked.is_none() && a.email.eq_ignore_ascii_case(email));
        found
    }

    /// Another live assertion of the same recipient and badge class, made by this account; its entity id.
    pub fn made_again(&self, entity_id: &str, account: &str) -> String {
        let mut again = self.assertions();
        again.retain(|assertion| assertion.entity_id == entity_id);
        let again = Assertion {
            entity_id: ledger::new_entity_id(),
            salt: ledger::new_entity_id(),
            issued_on: chrono::Utc::now(),
            created_by: account.to_owned(),
            ..again.remove(0)
        };
        self.shared.ledger.add_assertion(again.clone());
        again.entity_id
    }

    /// Somebody revokes an assertion at Badgr itself.
    pub fn revoked_by_hand(&self, entity_id: &str, reason: &str) {
        let revoked = self.shared.ledger.revoke(entity_id, reason);
        revoked.expect("it was live");
    }

    /// An assertion is there no more.
    pub fn loses(&self, entity_id: &str) {
        self.shared.ledger.lose(entity_id);
    }

    /// Every badge class, in the order of their making.
    pub fn badge_classes(&self) -> Vec<BadgeClass> {
        self.shared.ledger.badge_classes()
    }

    /// The requests with this method (any case) whose path begins so, in the order in which they were dealt with,
    /// also those of before a restart on the same ledger.
    pub fn requests(&self, method: &str, path_prefix: &str) -> Vec<RequestRecord> {
        let mut found = self.shared.ledger.requests();
        found.retain(|r| r.method.eq_ignore_ascii_case(method) && r.path.starts_with(path_prefix));
        found
    }

    /// The requests for tokens.
    pub fn token_requests(&self) -> Vec<RequestRecord> {
        self.requests("POST", "/o/token")
    }
}

impl Drop for FakeBadgr {
    fn drop(&mut self) {
        self.shared.stop.cancel();
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            if !std::thread::panicking() {
                ended.expect("the fake Badgr does not panic");
            }
        }
    }
}
