//! The real program as a process of its own.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use super::logs;
use super::process::{self, Process};
use super::world::{PATIENCE, Plan, World};

/// `accolade serve`, with its log in a file. When this is dropped it is killed, and the log is searched for leaks.
pub struct BinaryApp {
    world: World,
    process: Process,
    log: PathBuf,
    roles: &'static str,
    may_panic: bool,
    /// Kept open.
    _pipe: Option<std::fs::File>,
}

const ALL_ROLES: &str = "ingest,award,publish,http";

impl BinaryApp {
    /// Starts the program and waits until it is ready.
    /// It needs a broker that is there.
    pub fn start(plan: Plan) -> Self {
        Self::with_roles(plan, ALL_ROLES)
    }

    /// The same with some of the loops only; `http` has to be among them.
    pub fn with_roles(plan: Plan, roles: &'static str) -> Self {
        let app = Self::launch_with_roles(plan, roles);
        app.wait_until_ready();
        app
    }

    /// Starts the program and waits for nothing.
    pub fn launch(plan: Plan) -> Self {
        Self::launch_with_roles(plan, ALL_ROLES)
    }

    /// Starts the program and waits until it is ready; what it says goes into a pipe that nobody reads, and
    /// [`Self::log`] knows nothing.
    pub fn start_unheard(plan: Plan) -> Self {
        let directory = process::directory("accolade", None);
        let pipe = directory.join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.is_ok_and(|status| status.success()), "mkfifo");
        // Open for both, so that nobody waits for the other end.
        let end = std::fs::File::options().read(true).write(true).open(&pipe);
        let mut app = Self::launched(plan, ALL_ROLES, directory.join("log"), &pipe);
        app._pipe = Some(end.expect("the pipe can be opened"));
        app.wait_until_ready();
        app
    }

    fn launch_with_roles(plan: Plan, roles: &'static str) -> Self {
        let log = process::directory("accolade", None).join("log");
        let output = log.clone();
        Self::launched(plan, roles, log, &output)
    }

    fn launched(mut plan: Plan, roles: &'static str, log: PathBuf, output: &Path) -> Self {
        let bootstrap = plan.settings.get("KAFKA_BOOTSTRAP_SERVERS").expect("a broker").clone();
        let address = format!("127.0.0.1:{}", process::free_port());
        plan.set("HTTP_LISTEN", &address);
        let process = spawn(&plan.program, &plan.settings, roles, output);
        Self {
            world: World::new(plan, &bootstrap, format!("http://{address}")),
            process,
            log,
            roles,
            may_panic: false,
            _pipe: None,
        }
    }

    /// The same again after an end, on the same port and database.
    pub fn start_again(&mut self) {
        self.start_again_as(self.roles);
    }

    /// The same without waiting for anything: what it needs may be away.
    pub fn launch_again(&mut self) {
        assert!(self.process.has_ended(), "it still runs");
        self.process = spawn(&self.world.program, &self.world.settings, self.roles, &self.log);
    }

    /// The same with other loops.
    pub fn start_again_as(&mut self, roles: &'static str) {
        assert!(self.process.has_ended(), "it still runs");
        self.roles = roles;
        self.process = spawn(&self.world.program, &self.world.settings, roles, &self.log);
        self.wait_until_ready();
    }

    /// The commands and the next start do without this setting.
    pub fn forget(&mut self, setting: &str) {
        self.world.settings.remove(setting);
    }

    /// The commands and the next start have this setting.
    pub fn remember(&mut self, setting: &str, value: &str) {
        self.world.settings.insert(setting.to_owned(), value.to_owned());
    }

    /// A panic was ordered.
    pub fn may_panic(&mut self) {
        self.may_panic = true;
    }

    /// From the next start on it is this program.
    pub fn replace_by(&mut self, program: &str) {
        program.clone_into(&mut self.world.program);
    }

    /// So many dead letters are right at the end.
    pub fn expect_dead_letters(&mut self, number: usize) {
        self.world.dead_letters = number;
    }

    /// How it ended; nothing as long as it runs.
    pub fn ended(&self) -> Option<ExitStatus> {
        self.process.exit_status()
    }

    /// `kill -9`.
    pub fn kill(&self) {
        self.process.end("KILL");
        let status = self.process.exit_status().expect("it has ended");
        assert_eq!(status.signal(), Some(9), "it ended before: {}", self.log());
    }

    /// SIGTERM; returns its exit code.
    pub fn terminate(&self) -> Option<i32> {
        self.signal("TERM");
        self.exit_code()
    }

    /// Sends a signal: `TERM`, `INT`, `STOP`, `CONT`.
    pub fn signal(&self, name: &str) {
        self.process.signal(name);
    }

    /// Waits until it has ended.
    pub fn exit_code(&self) -> Option<i32> {
        process::wait_until("the program ends", std::time::Duration::from_secs(40), || {
            self.process.has_ended()
        });
        self.process.exit_status().expect("it has ended").code()
    }

    /// What it said so far, over all its lives.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// The most memory that it held, in KiB.
    pub fn peak_memory_kib(&self) -> u64 {
        self.status("VmHWM:")
    }

    /// The memory that it holds, in KiB.
    pub fn memory_kib(&self) -> u64 {
        self.status("VmRSS:")
    }

    /// How many threads it has.
    pub fn threads(&self) -> u64 {
        self.status("Threads:")
    }

    /// How many files and sockets it has open.
    pub fn descriptors(&self) -> u64 {
        let open = std::fs::read_dir(format!("/proc/{}/fd", self.pid())).expect("it runs");
        open.count() as u64
    }

    fn status(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        number.expect("it is a number")
    }

    /// What it answers to a GET, headers and all.
    pub fn answer(&self, path: &str) -> std::io::Result<String> {
        answer(self.world.http.trim_start_matches("http://"), path)
    }

    /// Until `/readyz` says so; it must not end meanwhile.
    pub fn wait_until_ready(&self) {
        let address = self.world.http.trim_start_matches("http://").to_owned();
        let start = std::time::Instant::now();
        let mut answer = String::new();
        process::wait_until("the program is ready", PATIENCE * 2, || {
            assert!(!self.process.has_ended(), "it ended: {}", self.log());
            answer = readiness(&address).unwrap_or_else(|error| error.to_string());
            let is_ready = answer.starts_with(READY);
            assert!(
                is_ready || start.elapsed() < PATIENCE,
                "not ready within {PATIENCE:?}: {answer}"
            );
            is_ready
        });
    }
}

/// The program: `ACCOLADE_BIN`, or the one that was built with the tests.
pub fn program() -> String {
    std::env::var("ACCOLADE_BIN").unwrap_or_else(|_| env!("CARGO_BIN_EXE_accolade").to_owned())
}

fn spawn(program: &str, settings: &BTreeMap<String, String>, roles: &str, log: &Path) -> Process {
    let mut arguments = vec!["-i".to_owned()];
    arguments.extend(settings.iter().map(|(name, value)| format!("{name}={value}")));
    arguments.extend([
        program.to_owned(),
        "serve".to_owned(),
        "--roles".to_owned(),
        roles.to_owned(),
    ]);
    Process::spawn(None, "KILL", "env", &arguments, log)
}

/// How the answer of a service begins that is ready.
pub(super) const READY: &str = "HTTP/1.1 200";

/// What `/readyz` answers, headers and all.
pub(super) fn readiness(address: &str) -> std::io::Result<String> {
    answer(address, "/readyz")
}

/// What a path answers, headers and all; asks without a runtime.
pub(super) fn answer(address: &str, path: &str) -> std::io::Result<String> {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(address)?;
    stream.set_read_timeout(Some(std::time::Duration::from_secs(5)))?;
    // In one piece: who answers before all is read would reset the connection.
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

impl Deref for BinaryApp {
    type Target = World;

    fn deref(&self) -> &World {
        &self.world
    }
}

impl Drop for BinaryApp {
    fn drop(&mut self) {
        let leak = if self.process.has_ended() || std::thread::panicking() {
            None
        } else {
            logs::leak_by_http(&self.world.http)
        };
        self.process.end("KILL");
        let log = self.log();
        if std::thread::panicking() {
            let from = log.len().saturating_sub(8_000);
            eprintln!(
                "the end of the log:\n{}",
                String::from_utf8_lossy(&log.as_bytes()[from..])
            );
            return;
        }
        assert_eq!(logs::leak(&log), None, "the log says what it must not");
        assert_eq!(leak, None, "HTTP says what it must not");
        assert!(
            self.may_panic || !log.contains("panicked at"),
            "something panicked: {log}"
        );
        let letters = self.world.letters();
        assert_eq!(letters.len(), self.world.dead_letters, "dead letters: {letters:?}");
    }
}
