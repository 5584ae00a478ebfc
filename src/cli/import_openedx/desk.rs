//! Where the steps of an import are done.

use crate::store::{Store, StoreError, Tx};

/// Where the steps are done: each in a transaction that lasts, or all in one that does not.
pub(super) trait Desk {
    /// Runs the closure in a transaction.
    fn transaction<T>(
        &mut self,
        name: &'static str,
        work: impl FnMut(&mut Tx<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError>;
}

/// Each step lasts: an import that is killed goes on where it was.
pub(super) struct Live<'a>(pub(super) &'a Store);

/// Nothing lasts.
pub(super) struct Rehearsal<'a, 'b>(pub(super) &'a mut Tx<'b>);

impl Desk for Live<'_> {
    fn transaction<T>(
        &mut self,
        name: &'static str,
        work: impl FnMut(&mut Tx<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.0.transaction(name, work)
    }
}

impl Desk for Rehearsal<'_, '_> {
    fn transaction<T>(
        &mut self,
        _name: &'static str,
        mut work: impl FnMut(&mut Tx<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        work(self.0)
    }
}
