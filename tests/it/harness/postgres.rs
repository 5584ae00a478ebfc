//! A private PostgreSQL: real, on a free port of 127.0.0.1, with fsync.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use super::certificates::Certificate;
use super::process::{self, Process};
use super::small_disk::SmallDisk;

static SHARED: OnceLock<Postgres> = OnceLock::new();

/// What a server under load has, as one would run it in production: memory, and checkpoints by the clock.
#[allow(dead_code, reason = "for the benches")]
const UNDER_LOAD: &[&str] = &["shared_buffers=2GB", "max_wal_size=8GB"];

/// A cluster of one's own. It ends with this value, the shared one with the tests' process.
pub struct Postgres {
    binaries: PathBuf,
    directory: PathBuf,
    data: PathBuf,
    port: u16,
    user: Option<String>,
    /// Beyond what every server of the tests has.
    settings: &'static [&'static str],
    /// Whether it has a certificate.
    tls: bool,
    server: Option<Process>,
    /// Where its data are, if it has such a disk; unmounted when the server has ended.
    disk: Option<SmallDisk>,
}

impl Postgres {
    /// The cluster that all tests of this process share; each takes a database of its own.
    pub fn shared() -> &'static Self {
        SHARED.get_or_init(Self::own)
    }

    /// Lets all of this process share a cluster for load; before anybody asks for the shared one.
    #[allow(dead_code, reason = "for the benches")]
    pub fn share_under_load() {
        SHARED.get_or_init(|| Self::own_with(UNDER_LOAD));
    }

    /// A cluster for one test alone, which may stop it.
    pub fn own() -> Self {
        Self::own_with(&[])
    }

    fn own_with(settings: &'static [&'static str]) -> Self {
        let user = unprivileged_user();
        let directory = process::directory("postgres", user.as_deref());
        Self::made(user, directory, None, settings)
    }

    /// The same on a disk that the test may fill up; none where no disk can be mounted, as is said on standard error.
    pub fn on_small_disk() -> Option<Self> {
        let user = unprivileged_user();
        let directory = process::directory("postgres", user.as_deref());
        let disk = SmallDisk::mount(&directory, user.as_deref())?;
        Some(Self::made(user, directory, Some(disk), &[]))
    }

    fn made(
        user: Option<String>,
        directory: PathBuf,
        disk: Option<SmallDisk>,
        settings: &'static [&'static str],
    ) -> Self {
        let binaries = binaries();
        let data = disk.as_ref().map_or(directory.as_path(), SmallDisk::path).join("data");
        let mut initdb = match &user {
            Some(user) => {
                let mut command = Command::new("setpriv");
                command.args([
                    &format!("--reuid={user}"),
                    &format!("--regid={}", process::group_of(user)),
                    "--clear-groups",
                ]);
                command.arg(binaries.join("initdb"));
                command
            }
            None => Command::new(binaries.join("initdb")),
        };
        initdb.arg("-D").arg(&data).current_dir("/");
        initdb.args(["-U", "accolade", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]);
        let made = initdb.output().expect("initdb runs");
        assert!(
            made.status.success(),
            "initdb: {}",
            String::from_utf8_lossy(&made.stderr)
        );
        let mut cluster = Self {
            binaries,
            directory,
            data,
            port: process::free_port(),
            user,
            settings,
            tls: false,
            server: None,
            disk,
        };
        cluster.start();
        cluster
    }

    /// The port, the same after a stop and a start.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The server's process id, to stop and continue it.
    pub fn pid(&self) -> u32 {
        self.server.as_ref().expect("the server runs").pid()
    }

    /// Whether it stopped by itself.
    pub fn has_ended(&self) -> bool {
        self.server.as_ref().is_some_and(Process::has_ended)
    }

    /// What it said.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory.join("log")).unwrap_or_default()
    }

    /// The small disk, if it was made on one.
    pub fn disk(&self) -> &SmallDisk {
        self.disk.as_ref().expect("it was made on a small disk")
    }

    /// Makes an empty database and returns its URL.
    pub fn database(&self) -> String {
        let name = format!("t{}", uuid::Uuid::new_v4().simple());
        self.psql("postgres", &format!("CREATE DATABASE {name} TEMPLATE template0"));
        self.url(&name)
    }

    /// Runs SQL by psql and returns what it prints, unaligned, without headers.
    pub fn psql(&self, database: &str, sql: &str) -> String {
        self.try_psql(database, sql)
            .unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// The same for what may fail: psql's words then.
    pub fn try_psql(&self, database: &str, sql: &str) -> Result<String, String> {
        let output = Command::new(self.binaries.join("psql"))
            .args([
                "-X",
                "-A",
                "-t",
                "-q",
                "-v",
                "ON_ERROR_STOP=1",
                "-d",
                &self.url(database),
                "-c",
                sql,
            ])
            .output()
            .expect("psql runs");
        let text = |said: &[u8]| String::from_utf8_lossy(said).trim().to_owned();
        match output.status.success() {
            true => Ok(text(&output.stdout)),
            false => Err(text(&output.stderr)),
        }
    }

    /// Starts the server again, on the same port and data.
    pub fn start(&mut self) {
        let data = self.data.display().to_string();
        let port = self.port.to_string();
        let mut arguments = vec!["-D".to_owned(), data, "-p".to_owned(), port];
        for setting in [
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            "max_connections=300",
            "fsync=on",
            "shared_buffers=64MB",
        ]
        .iter()
        .chain(self.settings)
        {
            arguments.extend(["-c".to_owned(), (*setting).to_owned()]);
        }
        if self.tls {
            arguments.extend(["-c".to_owned(), "ssl=on".to_owned()]);
        }
        let program = self.binaries.join("postgres").display().to_string();
        let log = self.directory.join("log");
        let server = self
            .server
            .insert(Process::spawn(self.user.as_deref(), "QUIT", &program, &arguments, &log));
        process::wait_until("PostgreSQL accepts connections", Duration::from_secs(60), || {
            assert!(
                !server.has_ended(),
                "PostgreSQL ended: {}",
                std::fs::read_to_string(&log).unwrap_or_default()
            );
            Command::new(self.binaries.join("pg_isready"))
                .args(["-q", "-h", "127.0.0.1", "-p", &self.port.to_string()])
                .status()
                .is_ok_and(|status| status.success())
        });
    }

    /// From now on it takes TLS, with this certificate.
    pub fn certify(&mut self, certificate: &Certificate) {
        self.stop_immediately();
        for (name, pem) in [
            ("server.crt", &certificate.certificate),
            ("server.key", &certificate.key),
        ] {
            let path = self.data.join(name);
            std::fs::write(&path, pem).expect("the file can be written");
            let owner_alone = std::os::unix::fs::PermissionsExt::from_mode(0o600);
            std::fs::set_permissions(&path, owner_alone).expect("permissions can be set");
            process::give(&path, self.user.as_deref());
        }
        self.tls = true;
        self.start();
    }

    /// Stops it as a crash would: connections break, nothing is written any more.
    pub fn stop_immediately(&mut self) {
        self.server.take().expect("the server runs").end("QUIT");
    }

    fn url(&self, database: &str) -> String {
        // Whatever the password is, it is trusted.
        format!(
            "postgres://accolade:canary-database-password@127.0.0.1:{}/{database}",
            self.port
        )
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some(server) = self.server.take() {
            server.end("QUIT");
        }
        drop(self.disk.take());
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// The newest installed version's programs, else those of the path.
fn binaries() -> PathBuf {
    let installed = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<(u32, PathBuf)> = installed
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .filter(|(_, path)| path.join("initdb").exists())
        .collect();
    found.sort();
    if let Some((_, path)) = found.pop() {
        return path;
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .find(|path| path.join("initdb").exists())
        .expect("PostgreSQL's server programs are installed (tests/run installs them)")
}

/// PostgreSQL does not run as root; somebody else is needed then.
fn unprivileged_user() -> Option<String> {
    use std::os::unix::fs::MetadataExt;
    let is_root = std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
    let passwd = std::fs::read_to_string(Path::new("/etc/passwd")).unwrap_or_default();
    let exists = |name: &str| passwd.lines().any(|line| line.split(':').next() == Some(name));
    is_root.then(|| if exists("postgres") { "postgres" } else { "nobody" }.to_owned())
}
