//! Where the demo keeps its things, and its settings.

use std::{
    collections::HashMap,
    fs,
    io::ErrorKind,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use crate::{
    cli::{CliError, context::environment, output::print},
    config::Settings,
};

/// Settings of the demo that may come from the environment; others would bring it to somebody's database or broker.
const TAKEN: [&str; 8] = [
    "HTTP_LISTEN",
    "PUBLIC_URL",
    "LOG_FORMAT",
    "ISSUER_NAME",
    "ISSUER_URL",
    "ISSUER_EMAIL",
    "ISSUER_DESCRIPTION",
    "ISSUER_IMAGE",
];

/// A directory with the demo's database and settings: gone with this value, or kept.
pub(super) struct Place {
    directory: PathBuf,
    temporary: Option<TempDir>,
}

impl Place {
    /// A temporary directory, or this one.
    pub(super) fn make(keep: Option<&Path>) -> Result<Self, CliError> {
        let Some(directory) = keep else {
            let temporary = TempDir::with_prefix("accolade-demo-")
                .map_err(|error| CliError::failed(format!("no temporary directory: {error}; see TMPDIR")))?;
            return Ok(Self {
                directory: temporary.path().to_owned(),
                temporary: Some(temporary),
            });
        };
        let failed = |error| CliError::failed(format!("{}: {error}", directory.display()));
        fs::create_dir_all(directory).map_err(failed)?;
        let place = Self {
            directory: directory.canonicalize().map_err(failed)?,
            temporary: None,
        };
        if place.database().exists() {
            return Err(CliError::usage(format!(
                "--keep: {} is there already; name another directory, or look at it with `accolade --config {} serve`",
                place.database().display(),
                place.configuration().display(),
            )));
        }
        Ok(place)
    }

    /// The settings, which are kept beside the database.
    pub(super) fn settings(&self) -> Result<Settings, CliError> {
        let file = self.configuration();
        let text = format!(
            "DATABASE_URL = {:?}\n",
            format!("sqlite://{}", self.database().display())
        );
        fs::write(&file, text).map_err(|error| CliError::failed(format!("{}: {error}", file.display())))?;
        let mut environment = environment();
        let log_filter = environment.remove("RUST_LOG").unwrap_or_else(|| "warn".to_owned());
        environment.retain(|name, _| TAKEN.contains(&name.strip_suffix("_FILE").unwrap_or(name)));
        environment.insert("RUST_LOG".to_owned(), log_filter);
        listen(&mut environment)?;
        Settings::load(Some(&file), &environment)
            .map_err(|errors| CliError::Usage(errors.iter().map(ToString::to_string).collect()))
    }

    /// Says what is kept.
    pub(super) fn farewell(&self) -> Result<(), CliError> {
        match self.temporary {
            Some(_) => Ok(()),
            None => print(&format!(
                "Kept: `accolade --config {} serve` shows it again.",
                self.configuration().display()
            )),
        }
    }

    fn database(&self) -> PathBuf {
        self.directory.join("accolade.db")
    }

    fn configuration(&self) -> PathBuf {
        self.directory.join("accolade-demo.toml")
    }
}

/// The usual port, or a free one where that is taken.
fn listen(environment: &mut HashMap<String, String>) -> Result<(), CliError> {
    if environment
        .get("HTTP_LISTEN")
        .is_some_and(|address| !address.is_empty())
    {
        return Ok(());
    }
    match TcpListener::bind((Ipv4Addr::LOCALHOST, 8080)) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            environment.insert("HTTP_LISTEN".to_owned(), "127.0.0.1:0".to_owned());
            Ok(())
        }
        Err(error) => Err(CliError::usage(format!("127.0.0.1:8080: {error}; set HTTP_LISTEN"))),
    }
}
