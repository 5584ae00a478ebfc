//! Badge backends: who makes an assertion of a decision.
//!
//! A backend speaks to its server and says what came of it; it keeps nothing and retries nothing. The issue loop keeps
//! the state, and decides by [`BackendError`] alone what to do next.

pub mod badgr;
pub mod builtin;
mod error;
mod exchange;
mod held;
pub mod http;
mod request;
mod setup;
#[cfg(test)]
mod testing;

use std::{future::Future, pin::Pin, time::Duration};

use serde_json::Value;

pub use self::{
    error::BackendError,
    held::{Held, HeldPage, Recipient},
    request::{AwardRequest, Issued, MadeBadgeClass, RevokeRequest},
    setup::SetupError,
};
use crate::domain::badge_class::BadgeClass;

/// A boxed future, so that backends can be chosen at run time.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A badge generator.
///
/// # Adding one
/// 1. Implement this trait in a module beside [`badgr`], [`builtin`] and [`http`]: seven calls, most of them one request, and two more where
///    the server can list what it holds.
///    The module speaks to its server and translates; it needs no table, no loop, no retry and no lock.
/// 2. Say what came of each call by [`BackendError`]. That choice is all that decides what happens next, so it is the
///    part to think about: `NotSent` only where surely nothing was carried out, `Unknown` wherever it may have been.
/// 3. Give [`config::Backend`](crate::config::Backend) a variant with its settings. The compiler then names the places
///    that build it: `app::parts::backend`, and `cli::backend::reach` for `accolade check`.
///
/// A generator in another language needs none of this: the backend [`http`] speaks a small protocol of its own.
///
/// # What is asked for, and when
/// For the first award of a badge class, [`make_badge_class`](Self::make_badge_class), once, by one process at a time.
/// Then, for each award, [`award`](Self::award); many at once, from several processes, but one award by one process at a
/// time. When its outcome is not known, [`look_up`](Self::look_up) is asked after [`settle_time`](Self::settle_time),
/// and only when that finds nothing the award is sent again. [`revoke`](Self::revoke) may be asked again at any time.
/// Every call may be dropped half-way, when it takes longer than [`timeout`](Self::timeout) or the process ends: that is
/// an unknown outcome too.
///
/// # Rules
/// - Nothing that leaves through [`Issued::data`] or an error's `detail` may hold an e-mail address.
/// - An award is told apart by [`AwardRequest::award`]; a server that takes an idempotency key gets that one.
/// - No call may wait for ever: [`timeout`](Self::timeout) is believed.
///
/// # Example
/// A generator that keeps its badges on a shelf, and knows an award again by its id:
/// ```
/// use std::{collections::HashMap, sync::Mutex, time::Duration};
///
/// use accolade::{
///     backend::{AwardRequest, BackendError, BadgingBackend, BoxFuture, Issued, MadeBadgeClass, RevokeRequest},
///     domain::{
///         LearnerId,
///         award::{AwardId, Reason, RuleKind},
///         badge_class::{BadgeClass, BadgeClassId, BadgeClassKey},
///     },
/// };
/// use serde_json::json;
///
/// #[derive(Default)]
/// struct Shelf {
///     badges: Mutex<HashMap<AwardId, Issued>>,
/// }
///
/// impl Shelf {
///     fn put(&self, request: &AwardRequest) -> Result<Issued, BackendError> {
///         if !request.recipient.contains('@') {
///             // Sent again it is refused again: the award becomes `failed`, and a person is told.
///             return Err(BackendError::Refused { detail: "the recipient has no address".to_owned() });
///         }
///         let url = format!("https://shelf.example.com/badges/{}", request.award.0);
///         let issued = Issued {
///             image_url: format!("{url}.png"),
///             assertion_url: url,
///             issuer: "https://shelf.example.com".to_owned(),
///             backend_id: Some(request.award.0.to_string()),
///             public_id: None,
///             recipient_hash: None,
///             data: json!({"badge": request.badge_class.key.slug}),
///         };
///         let mut badges = self.badges.lock().expect("nobody panicked");
///         Ok(badges.entry(request.award).or_insert(issued).clone())
///     }
/// }
///
/// impl BadgingBackend for Shelf {
///     fn name(&self) -> &'static str {
///         "shelf"
///     }
///
///     fn is_local(&self) -> bool {
///         false
///     }
///
///     fn timeout(&self) -> Duration {
///         Duration::from_secs(10)
///     }
///
///     fn needs_image(&self) -> bool {
///         false
///     }
///
///     fn settle_time(&self) -> Duration {
///         Duration::ZERO
///     }
///
///     fn make_badge_class<'a>(
///         &'a self,
///         badge_class: &'a BadgeClass,
///         _image: &'a [u8],
///     ) -> BoxFuture<'a, Result<MadeBadgeClass, BackendError>> {
///         // This shelf has no badge classes of its own: ours will do.
///         let made = MadeBadgeClass { backend_id: badge_class.public_id.clone(), image_url: None };
///         Box::pin(async { Ok(made) })
///     }
///
///     fn find_badge_class<'a>(
///         &'a self,
///         badge_class: &'a BadgeClass,
///     ) -> BoxFuture<'a, Result<Option<MadeBadgeClass>, BackendError>> {
///         Box::pin(async { self.make_badge_class(badge_class, &[]).await.map(Some) })
///     }
///
///     fn award<'a>(&'a self, request: &'a AwardRequest) -> BoxFuture<'a, Result<Issued, BackendError>> {
///         Box::pin(async { self.put(request) })
///     }
///
///     fn look_up<'a>(&'a self, request: &'a AwardRequest) -> BoxFuture<'a, Result<Option<Issued>, BackendError>> {
///         Box::pin(async { Ok(self.badges.lock().expect("nobody panicked").get(&request.award).cloned()) })
///     }
///
///     fn revoke<'a>(&'a self, request: &'a RevokeRequest) -> BoxFuture<'a, Result<(), BackendError>> {
///         Box::pin(async {
///             self.badges.lock().expect("nobody panicked").remove(&request.award);
///             Ok(())
///         })
///     }
///
///     fn reach(&self) -> BoxFuture<'_, Result<String, BackendError>> {
///         Box::pin(async { Ok("a shelf".to_owned()) })
///     }
/// }
///
/// # let key = BadgeClassKey {
/// #     slug: "three".to_owned(),
/// #     issuing_component: "openedx__course".to_owned(),
/// #     course_id: String::new(),
/// # };
/// # let mut request = AwardRequest {
/// #     award: AwardId::of(LearnerId(42), &key, ""),
/// #     learner: LearnerId(42),
/// #     username: "ada".to_owned(),
/// #     full_name: None,
/// #     recipient: "ada@example.com".to_owned(),
/// #     badge_class: BadgeClass {
/// #         id: BadgeClassId(7),
/// #         key,
/// #         mode: String::new(),
/// #         display_name: "Three".to_owned(),
/// #         description: String::new(),
/// #         criteria: String::new(),
/// #         backend: None,
/// #         backend_id: None,
/// #         backend_image_url: None,
/// #         public_id: "p".to_owned(),
/// #     },
/// #     image: None,
/// #     others: Vec::new(),
/// #     evidence_url: None,
/// #     reason: Reason {
/// #         rule: RuleKind::Requested,
/// #         by_backfill: false,
/// #         threshold: None,
/// #         count: None,
/// #         configuration_id: None,
/// #         event_id: None,
/// #         event_time: None,
/// #     },
/// #     now: "2026-11-01T12:00:00Z".parse().expect("a time"),
/// # };
/// # let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
/// # runtime.block_on(async {
/// // `request` is what the issue loop hands over for learner 42 and the badge "three".
/// let shelf = Shelf::default();
/// assert_eq!(shelf.look_up(&request).await, Ok(None));
/// let issued = shelf.award(&request).await.expect("issued");
/// assert_eq!(shelf.award(&request).await, Ok(issued.clone()), "the same request, the same badge");
/// assert_eq!(shelf.look_up(&request).await, Ok(Some(issued)));
///
/// request.recipient = String::new();
/// assert_eq!(shelf.award(&request).await.expect_err("refused").code(), "refused");
/// # });
/// ```
pub trait BadgingBackend: Send + Sync + 'static {
    /// Its name in assertions, settings and metrics: `badgr`, `builtin`, `http`. Never changes: who issued an assertion
    /// is known by it, and only that backend is asked to revoke it.
    fn name(&self) -> &'static str;

    /// Whether it answers at once, without a network: awards are then issued and stored in large batches, one after the
    /// other, and are never looked up.
    fn is_local(&self) -> bool;

    /// The longest that one call takes, its own retries of a token included. A call that is not done two seconds later
    /// is dropped, as an unknown outcome; the lease of an award is four times this and more.
    fn timeout(&self) -> Duration;

    /// Whether [`AwardRequest::image`] must be filled. Reading it costs a query an award.
    fn needs_image(&self) -> bool;

    /// How long after a request that may have been sent its effect can still appear: as long as the server may work on a
    /// request that nobody waits for any more. Until then "not found" is not believed.
    fn settle_time(&self) -> Duration;

    /// Makes the badge class; asked once for each. The answer is kept as [`BadgeClass::backend_id`].
    ///
    /// `image` is a square PNG of less than 250 KiB. After [`BackendError::Unknown`] it is looked for before it is made
    /// again; after any other error the awards of this badge class wait, and it is asked for again.
    fn make_badge_class<'a>(
        &'a self,
        badge_class: &'a BadgeClass,
        image: &'a [u8],
    ) -> BoxFuture<'a, Result<MadeBadgeClass, BackendError>>;

    /// Looks for a badge class whose making may have succeeded unseen. Of several it finds the same one every time.
    fn find_badge_class<'a>(
        &'a self,
        badge_class: &'a BadgeClass,
    ) -> BoxFuture<'a, Result<Option<MadeBadgeClass>, BackendError>>;

    /// Issues one badge, at most once for each [`AwardRequest::award`] where the server can tell.
    ///
    /// [`AwardRequest::badge_class`] carries the [`backend_id`](BadgeClass::backend_id) that this backend gave. An `Ok`
    /// is final: the assertion is stored and `badge.awarded` goes out.
    fn award<'a>(&'a self, request: &'a AwardRequest) -> BoxFuture<'a, Result<Issued, BackendError>>;

    /// Issues one badge as [`Self::award`] does, without waiting for anything, in the transaction that decides it: what
    /// is not committed was never issued. `None`, as from every backend that asks a server: [`Self::award`] is asked
    /// afterwards.
    fn award_at_once(&self, _request: &AwardRequest) -> Option<Issued> {
        None
    }

    /// Looks for a live assertion of this request's recipient and badge class, but for [`AwardRequest::others`].
    ///
    /// With a backend that takes idempotency keys this may simply be the request again.
    fn look_up<'a>(&'a self, request: &'a AwardRequest) -> BoxFuture<'a, Result<Option<Issued>, BackendError>>;

    /// Revokes an assertion. One that is revoked already, or is gone, is no error.
    ///
    /// Asked again until it is `Ok`: soon after [`BackendError::NotSent`] and [`BackendError::Unknown`], seldom after
    /// others. Then `badge.revoked` goes out.
    fn revoke<'a>(&'a self, request: &'a RevokeRequest) -> BoxFuture<'a, Result<(), BackendError>>;

    /// Whether it can say what it holds: then what is stored is compared with that, by [`Self::held_of_class`] and
    /// [`Self::held`].
    fn can_be_compared(&self) -> bool {
        false
    }

    /// Some of the assertions that it holds of the badge class with this [`backend_id`](BadgeClass::backend_id), live
    /// and not; `page` is [`HeldPage::next`] of the page before. All pages together hold at least those that were there
    /// before the first was asked for.
    fn held_of_class<'a>(
        &'a self,
        _badge_class: &'a str,
        _page: Option<&'a str>,
    ) -> BoxFuture<'a, Result<HeldPage, BackendError>> {
        Box::pin(async { Err(cannot_be_compared()) })
    }

    /// The assertion of this [`Issued::backend_id`], live or not; `None` where it holds none, or does not show it.
    fn held<'a>(&'a self, _backend_id: &'a str) -> BoxFuture<'a, Result<Option<Held>, BackendError>> {
        Box::pin(async { Err(cannot_be_compared()) })
    }

    /// The id there of an assertion's badge class, as far as [`Issued::data`] says it. Imported assertions may be of
    /// another badge class there than the one that we award now.
    fn class_in<'a>(&self, _data: &'a Value) -> Option<&'a str> {
        None
    }

    /// Reaches the server and its credentials, for `check`: says in a line what was reached. Changes nothing there.
    fn reach(&self) -> BoxFuture<'_, Result<String, BackendError>>;
}

fn cannot_be_compared() -> BackendError {
    BackendError::Refused {
        detail: "this backend does not say what it holds".to_owned(),
    }
}
