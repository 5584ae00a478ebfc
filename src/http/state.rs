//! What handlers share.

use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};

use chrono::{DateTime, Utc};
use tokio::{
    sync::{Notify, Semaphore},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::{JwtSettings, Probes, ReadinessCheck, Settings, descriptions::Descriptions, ops, problem::Problem};
use crate::{
    backend::builtin::documents::IssuerProfile,
    store::{Store, StoreError, Tx, audit::Actor, dead_letters::Replay},
    telemetry::Metrics,
};

/// Replays the dead letter of this id for this person, as a consumer would process it, and says what came of it;
/// `None`: there is none. Blocks.
pub type ReplayDeadLetter = Arc<dyn Fn(i64, &Actor) -> Result<Option<Replay>, StoreError> + Send + Sync>;

/// The issuer, as pages and documents name it.
#[derive(Clone)]
pub struct Issuer {
    /// `ISSUER_…`; whether it has an image follows from [`Issuer::image`].
    pub profile: IssuerProfile,
    /// The content of `ISSUER_IMAGE`: a PNG.
    pub image: Option<Vec<u8>>,
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issuer")
            .field("profile", &self.profile)
            .finish_non_exhaustive()
    }
}

/// A request that finds no room by then is told to come again.
const ROOM_WITHIN: Duration = Duration::from_secs(1);

/// What handlers share; cheap to clone.
#[derive(Clone)]
pub struct State(Arc<Parts>);

struct Parts {
    settings: Settings,
    store: Arc<Store>,
    metrics: Arc<Metrics>,
    probes: Probes,
    readiness: ops::Known,
    decided: Arc<Notify>,
    replay: ReplayDeadLetter,
    stop: CancellationToken,
    /// For the requests that use, or wait for, a connection to the database.
    room: Arc<Semaphore>,
    descriptions: OnceLock<Descriptions>,
}

impl State {
    /// `decided` wakes the issue loop of this process, where there is one. `stop` is the token of the whole service: once it is cancelled, `/readyz` answers 503.
    pub fn new(
        mut settings: Settings,
        store: Arc<Store>,
        metrics: Arc<Metrics>,
        probes: Probes,
        decided: Arc<Notify>,
        replay: ReplayDeadLetter,
        stop: CancellationToken,
    ) -> Self {
        // Each holds a thread. As many again as can work wait; of more, most would wait in vain, and keep the loops waiting.
        let room = Arc::new(Semaphore::new(2 * store.pool_size()));
        settings.issuer.profile.has_image = settings.issuer.image.is_some();
        Self(Arc::new(Parts {
            settings,
            store,
            metrics,
            probes,
            readiness: ops::Known::default(),
            decided,
            replay,
            stop,
            room,
            descriptions: OnceLock::new(),
        }))
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.0.settings
    }

    pub(super) fn issuer(&self) -> &Issuer {
        &self.0.settings.issuer
    }

    pub(super) fn jwt(&self) -> &JwtSettings {
        &self.0.settings.jwt
    }

    pub(super) fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    pub(super) fn checks(&self) -> &[ReadinessCheck] {
        &self.0.probes.ready
    }

    /// What they said last.
    pub(super) fn known_readiness(&self) -> &ops::Known {
        &self.0.readiness
    }

    /// What hangs, if something does.
    pub(super) fn hanging(&self) -> Option<String> {
        (self.0.probes.hanging)()
    }

    /// What the service says of itself; made once.
    pub(super) fn descriptions(&self) -> &Descriptions {
        self.0.descriptions.get_or_init(|| Descriptions::of(self))
    }

    /// There is a new award.
    pub(super) fn wake_issue(&self) {
        self.0.decided.notify_one();
    }

    /// Replays a dead letter; what goes wrong is logged and becomes a problem.
    pub(super) async fn replay(&self, id: i64, actor: Actor) -> Result<Option<Replay>, Problem> {
        let replay = Arc::clone(&self.0.replay);
        self.run(move |_| replay(id, &actor)).await
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.0.stop.is_cancelled()
    }

    pub(super) fn now(&self) -> DateTime<Utc> {
        self.0.store.clock().now()
    }

    /// `PUBLIC_URL` and this path, which begins with a slash.
    pub(super) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.0.settings.public_url)
    }

    /// Changes the store in one transaction; what goes wrong there is logged and becomes a problem.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        name: &'static str,
        work: impl FnMut(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Problem> {
        self.run(move |store| store.transaction(name, work)).await
    }

    /// Reads from the store; what goes wrong there is logged and becomes a problem.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        name: &'static str,
        work: impl FnOnce(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Problem> {
        self.run(move |store| store.read(name, work)).await
    }

    /// The same for what is asked often and finds its few rows by an index.
    pub(super) async fn look_up<T: Send + 'static>(
        &self,
        name: &'static str,
        work: impl FnOnce(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Problem> {
        self.run(move |store| store.look_up(name, work)).await
    }

    /// Has this done with the store when there is room for it. It keeps its room to the end, also when nobody waits for
    /// it any more.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Problem> {
        let room = timeout(ROOM_WITHIN, Arc::clone(&self.0.room).acquire_owned()).await;
        let room = room
            .map_err(|_| Problem::busy())?
            .expect("the semaphore is never closed");
        let done = self.0.store.run(move |store| {
            let _room = room;
            work(store)
        });
        Ok(done.await?)
    }
}

#[cfg(test)]
mod tests;
