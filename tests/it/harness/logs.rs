//! What the program says and must not say.

use std::io::Write;
use std::sync::{Arc, Mutex, Once, OnceLock};

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, fmt};

use super::{binary, fake_badgr, tokens};

/// `SECRET_KEY` of every service of the tests.
pub const SECRET_KEY: &str = "canary-secret-key-0123456789abcdef0123456789abcdef";

/// Secrets that every service of the tests has, whether it needs them or not. All begin alike, as do the password of its
/// database and the tokens of the fake Badgr.
pub const SECRETS: [(&str, &str); 8] = [
    ("SECRET_KEY", SECRET_KEY),
    ("JWT_SECRET_KEY", tokens::SECRET),
    ("BADGR_PASSWORD", fake_badgr::PASSWORD),
    ("BACKEND_TOKEN", "canary-backend-token"),
    ("KAFKA_SASL_PASSWORD", "canary-sasl-password"),
    ("KAFKA_SSL_KEY_PASSWORD", "canary-key-password"),
    ("ADMIN_USERNAME", "staff"),
    (
        "ADMIN_PASSWORD_HASH",
        "$argon2id$v=19$m=19456,t=2,p=1$canary-salt$canary-hash",
    ),
];

/// How each secret begins; and how the tokens of the callers do: `{"` in base64.
const CANARIES: [&str; 2] = ["canary-", "eyJ"];

static LOG: OnceLock<Log> = OnceLock::new();
static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());
static HOOK: Once = Once::new();

/// The log of this process, kept in memory.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0
            .lock()
            .expect("no one panics while writing")
            .extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    /// Listens to this process, to `accolade` at the level debug. It can be called again.
    pub fn of_this_process() -> &'static Self {
        HOOK.call_once(|| {
            let usual = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                if let Some(place) = panic.location().filter(|place| place.file().starts_with("src/")) {
                    let mut panics = PANICS.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    panics.push(format!("{place}: {panic}"));
                }
                usual(panic);
            }));
        });
        LOG.get_or_init(|| {
            let log = Self::default();
            let writer = log.clone();
            tracing_subscriber::registry()
                .with(EnvFilter::new("warn,accolade=debug"))
                .with(fmt::layer().with_ansi(false).with_writer(move || writer.clone()))
                .init();
            log
        })
    }

    /// How long it is now.
    pub fn len(&self) -> usize {
        self.0.lock().expect("no one panics while writing").len()
    }

    /// What was said since it was so long.
    pub fn since(&self, start: usize) -> String {
        String::from_utf8_lossy(&self.0.lock().expect("no one panics while writing")[start..]).into_owned()
    }
}

/// What panicked in the program itself, in this process, up to now.
pub fn panics() -> Vec<String> {
    PANICS.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
}

/// The first line that holds a secret or something personal of [`super::events::Learner`].
pub fn leak(log: &str) -> Option<&str> {
    log.lines().find(|line| {
        let personal = line.split("learner").skip(1).any(|rest| {
            let rest = rest.trim_start_matches(|c: char| c.is_ascii_digit());
            rest.starts_with("@example.com")
        });
        let named = line
            .split("Learner ")
            .skip(1)
            .any(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
        personal || named || CANARIES.iter().any(|canary| line.contains(canary))
    })
}

/// The same for what anybody may ask of the service at this `http://` address; nothing where nobody answers.
pub fn leak_by_http(http: &str) -> Option<String> {
    let address = http.strip_prefix("http://")?;
    ["/metrics", "/readyz"].into_iter().find_map(|path| {
        let said = binary::answer(address, path).unwrap_or_default();
        leak(&said).map(|line| format!("{path}: {line}"))
    })
}

#[test]
fn a_leak_by_http_is_seen() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let http = format!("http://{}", listener.local_addr().expect("an address"));
    let server = std::thread::spawn(move || {
        for said in ["accolade_up 1", "password canary-database-password"] {
            let (mut stream, _) = listener.accept().expect("a connection");
            let mut asked = [0; 1_024];
            std::io::Read::read(&mut stream, &mut asked).expect("a question");
            write!(stream, "HTTP/1.1 200 OK\r\n\r\n{said}\n").expect("it is answered");
        }
    });
    let leak = leak_by_http(&http).expect("a leak");
    assert_eq!(leak, "/readyz: password canary-database-password");
    server.join().expect("it answered twice");
    assert_eq!(leak_by_http(&http), None, "nobody is there");
    assert_eq!(leak_by_http(""), None);
}

#[test]
fn a_leak_is_seen_and_other_lines_are_not() {
    assert_eq!(
        leak("fine\nto learner42@example.com now"),
        Some("to learner42@example.com now")
    );
    assert!(leak("name=Learner 7").is_some() && leak(&format!("key {SECRET_KEY}")).is_some());
    let secrets = SECRETS.iter().filter(|(name, _)| *name != "ADMIN_USERNAME");
    for (name, secret) in secrets {
        assert!(leak(&format!("said: {secret}")).is_some(), "{name}");
    }
    assert!(leak(&tokens::Token::of("ada").hs256()).is_some());
    assert_eq!(leak("learner 42, learner42, badgr@example.com, Learner upserts"), None);
}
