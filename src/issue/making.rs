//! A badge class is made at the backend before its first award: once, by whichever process comes first.

use std::time::Duration;

use super::{Issuer, delta};
use crate::{
    backend::{BackendError, MadeBadgeClass},
    domain::badge_class::BadgeClass,
    retry::Backoff,
    store::{StoreError, badge_classes, badge_classes::Making},
};

/// How the making of a badge class went.
pub(super) enum Made {
    /// It is there; with its id at the backend.
    Ready(Box<BadgeClass>),
    /// Another process is at it, or it was tried a moment ago.
    Busy,
    /// The backend did not make it. Nothing was said to it of any award.
    Failed(BackendError),
}

/// How long an award waits for a badge class that another process makes.
pub(super) const BUSY_PAUSE: Duration = Duration::from_secs(1);

impl Issuer {
    /// Makes sure that the backend has this badge class.
    pub(super) async fn made(&self, badge_class: &BadgeClass) -> Result<Made, StoreError> {
        if badge_class.is_made_at(self.backend.name()) {
            return Ok(Made::Ready(Box::new(badge_class.clone())));
        }
        let _one = self.making.lock().await;
        let id = badge_class.id;
        let stored = self
            .store
            .run(move |store| store.read("read_badge_class", |tx| badge_classes::get(tx, id)))
            .await?
            .ok_or(StoreError::NotFound)?;
        if stored.is_made_at(self.backend.name()) {
            return Ok(Made::Ready(Box::new(stored)));
        }
        // Both calls, and the time in which the second one's effect can still appear after a crash.
        let lease = delta(self.backend.timeout() * 3 + self.backend.settle_time() + Duration::from_secs(10));
        let backend = self.backend.name();
        let making = self
            .store
            .run(move |store| {
                store.transaction("claim_making", |tx| badge_classes::claim_making(tx, id, backend, lease))
            })
            .await?;
        match making {
            Some(making) => self.make(stored, making).await,
            None => Ok(Made::Busy),
        }
    }

    async fn make(&self, badge_class: BadgeClass, making: Making) -> Result<Made, StoreError> {
        let id = badge_class.id;
        match self.find_or_make(&badge_class, making).await? {
            Ok(made) => {
                let MadeBadgeClass { backend_id, image_url } = made.clone();
                let backend = self.backend.name();
                let kept = self
                    .store
                    .run(move |store| {
                        store.transaction("complete_making", |tx| {
                            badge_classes::complete_making(tx, id, making, (backend, &backend_id), image_url.as_deref())
                        })
                    })
                    .await?;
                if !kept {
                    return Ok(Made::Busy);
                }
                tracing::info!(
                    badge_class.slug = badge_class.key.slug,
                    "the badge class {} was made at {}",
                    badge_class.key.slug,
                    backend
                );
                Ok(Made::Ready(Box::new(BadgeClass {
                    backend: Some(backend.to_owned()),
                    backend_id: Some(made.backend_id),
                    backend_image_url: made.image_url,
                    ..badge_class
                })))
            }
            Err((error, uncertain)) => {
                let pause = match &error {
                    BackendError::NotSent { retry_after, .. } => retry_after.unwrap_or(BUSY_PAUSE),
                    _ if uncertain => self.backend.settle_time().max(Backoff::AWARDS.base),
                    _ => BUSY_PAUSE,
                };
                self.store
                    .run(move |store| {
                        store.transaction("give_up_making", |tx| {
                            badge_classes::give_up_making(tx, id, making, uncertain, delta(pause))
                        })
                    })
                    .await?;
                Ok(Made::Failed(error))
            }
        }
    }

    /// The badge class as the backend has it; or why not, and whether it may have been made all the same.
    async fn find_or_make(
        &self,
        badge_class: &BadgeClass,
        making: Making,
    ) -> Result<Result<MadeBadgeClass, (BackendError, bool)>, StoreError> {
        if making.must_look_up {
            let found = self.call(self.backend.find_badge_class(badge_class)).await;
            match found {
                Ok(Some(found)) => return Ok(Ok(found)),
                Ok(None) => {}
                Err(error) => return Ok(Err((error, true))),
            }
        }
        let id = badge_class.id;
        let image = self
            .store
            .run(move |store| store.read("read_badge_image", |tx| badge_classes::image(tx, id)))
            .await?;
        let made = self.call(self.backend.make_badge_class(badge_class, &image)).await;
        Ok(made.map_err(|error| {
            let uncertain = matches!(
                error,
                BackendError::Unknown { .. } | BackendError::AlreadyAwarded { .. }
            );
            (error, uncertain)
        }))
    }
}
