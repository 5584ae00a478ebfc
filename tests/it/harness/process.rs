//! Programs beside the tests: on free ports, and never left behind.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::small_disk;

/// What the directories of the tests' programs are called; the owner's process id follows.
const DIRECTORY: &str = "accolade-test-";

/// A running program. It ends with this value, and with the process of the tests, however that ends.
pub struct Process {
    pid: u32,
    watch: JoinHandle<()>,
    exit: Arc<OnceLock<ExitStatus>>,
}

impl Process {
    /// Starts `program`; the signal is what it gets when the tests' process dies.
    pub fn spawn(user: Option<&str>, signal: &str, program: &str, arguments: &[String], log: &Path) -> Self {
        let mut command = Command::new("setpriv");
        if let Some(user) = user {
            command.args([
                &format!("--reuid={user}"),
                &format!("--regid={}", group_of(user)),
                "--clear-groups",
            ]);
        }
        command.args(["--pdeathsig", signal, program]).args(arguments);
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(log)
            .expect("the log can be written");
        command
            .stdout(log.try_clone().expect("files can be shared"))
            .stderr(log)
            .stdin(Stdio::null());
        command.current_dir("/");
        let exit = Arc::new(OnceLock::new());
        let ended = Arc::clone(&exit);
        let (started, pid) = mpsc::channel();
        let name = program.to_owned();
        // The signal comes when the thread that started the program ends, so that one stays until the program ends.
        let watch = std::thread::spawn(move || {
            let mut child = command
                .spawn()
                .unwrap_or_else(|error| panic!("{name} does not start: {error}"));
            started.send(child.id()).expect("someone waits for the pid");
            let status = child.wait().expect("a child can be waited for");
            ended.set(status).expect("a program ends once");
        });
        let pid = pid.recv().expect("the program starts");
        Self { pid, watch, exit }
    }

    /// The program's process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// How it ended, once it has.
    pub fn exit_status(&self) -> Option<ExitStatus> {
        self.has_ended().then(|| self.exit.get().copied()).flatten()
    }

    /// Whether it has ended by itself or by a signal.
    pub fn has_ended(&self) -> bool {
        self.watch.is_finished()
    }

    /// Sends a signal (`KILL`, `STOP`, …), unless it has ended.
    pub fn signal(&self, name: &str) {
        if !self.has_ended() {
            let status = Command::new("kill")
                .args([&format!("-{name}"), &self.pid.to_string()])
                .status();
            assert!(
                status.is_ok_and(|status| status.success()) || self.has_ended(),
                "kill -{name} {}",
                self.pid
            );
        }
    }

    /// Sends a signal and waits until the program has ended; after 20 seconds it is killed.
    pub fn end(&self, signal: &str) {
        self.signal(signal);
        let start = Instant::now();
        while !self.has_ended() {
            if start.elapsed() > Duration::from_secs(20) {
                self.signal("KILL");
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end("KILL");
    }
}

/// Below those that Linux gives to outgoing connections: whose server is started again finds its port free.
const PORTS: std::ops::Range<u16> = 10_000..32_000;

/// A port on 127.0.0.1 that was free a moment ago, and that this process was not given before: what is let go may be
/// given again at once, and two listeners of one server would have it.
pub fn free_port() -> u16 {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    loop {
        let port = rand::random_range(PORTS);
        let is_free = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
        if is_free && GIVEN.lock().expect("no one panics").insert(port) {
            return port;
        }
    }
}

/// A new directory that its owner alone enters; those of test processes that are no more are removed.
pub fn directory(what: &str, user: Option<&str>) -> PathBuf {
    let temp = std::env::temp_dir();
    for entry in std::fs::read_dir(&temp)
        .expect("the temporary directory can be read")
        .flatten()
    {
        let name = entry.file_name().to_string_lossy().into_owned();
        let pid = name.strip_prefix(DIRECTORY).and_then(|rest| rest.split('-').next());
        if pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            small_disk::unmount_below(&entry.path());
            // Another test process may be at it, too.
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
    let path = temp.join(format!(
        "{DIRECTORY}{}-{what}-{}",
        std::process::id(),
        uuid::Uuid::new_v4().simple()
    ));
    std::fs::create_dir(&path).expect("a new directory can be made");
    give(&path, user);
    path
}

/// Makes it this user's, if one is named.
pub fn give(path: &Path, user: Option<&str>) {
    if let Some(user) = user {
        let status = Command::new("chown").arg(user).arg(path).status();
        assert!(
            status.is_ok_and(|status| status.success()),
            "chown {user} {}",
            path.display()
        );
    }
}

/// Asks again and again until it is so; the deadline fails the test, with this text.
pub fn wait_until(what: &str, deadline: Duration, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < deadline, "not within {deadline:?}: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The id of a user's own group.
pub fn group_of(user: &str) -> String {
    let output = Command::new("id").args(["-g", user]).output().expect("id runs");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[test]
fn how_a_program_ended_is_known() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let log = directory.path().join("log");
    let script = ["-c".to_owned(), "echo said; exit 3".to_owned()];
    let program = Process::spawn(None, "KILL", "sh", &script, &log);
    wait_until("it ends", Duration::from_secs(20), || program.has_ended());
    assert_eq!(program.exit_status().and_then(|status| status.code()), Some(3));
    assert_eq!(std::fs::read_to_string(&log).expect("a log"), "said\n");
}
