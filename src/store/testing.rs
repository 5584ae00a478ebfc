//! Databases for unit tests: SQLite in a temporary file, with a clock that a test can move.

use std::sync::Arc;

use super::{Settings, Store};
use crate::{clock::ManualClock, telemetry::Metrics};

/// A migrated SQLite database that is gone with this value.
pub(crate) struct TestDatabase {
    store: Arc<Store>,
    /// The clock of its store.
    pub(crate) clock: Arc<ManualClock>,
    _directory: tempfile::TempDir,
}

impl TestDatabase {
    /// The store.
    pub(crate) fn store(&self) -> Arc<Store> {
        Arc::clone(&self.store)
    }
}

/// A new, empty, migrated database.
pub(crate) fn sqlite() -> TestDatabase {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let url = format!("sqlite://{}", directory.path().join("test.db").display());
    let clock = Arc::new(ManualClock::default());
    let settings = Settings {
        url: url.parse().expect("a URL"),
        pool_size: 4,
    };
    let store = Arc::new(Store::open(&settings, clock.clone(), Arc::new(Metrics::new())));
    store.migrate().expect("migrations run");
    TestDatabase {
        store,
        clock,
        _directory: directory,
    }
}
