//! One badge class: what is stored of it beside what the backend holds.

use std::collections::HashMap;

use serde_json::json;

use super::{
    Comparison, Ended,
    finding::{Finding, Mode, Repair},
    holdings::{Holdings, is_of_the_same_award},
};
use crate::{
    backend::{BackendError, Held, RevokeRequest},
    store::{
        StoreError, Tx, assertions,
        audit::{self, Action},
        comparison::{self, ComparedClass, StoredAssertion},
        revocations,
    },
};

/// So many that are gone are marked at most at once; the others in the next comparison.
const MOST_GONE: usize = 10_000;
/// More than this, and more than half of a badge class, is never marked by itself: the backend may be another, or have
/// gone back.
const MANY_GONE: usize = 20;
/// What is said at the backend of an assertion that is too many.
const SECOND: &str = "Issued twice by mistake; the other one holds.";
/// What is said of one that is no more at the backend.
const NO_MORE: &str = "It is no more where it was issued.";

/// One badge class on its way.
struct Class<'a> {
    class: &'a ComparedClass,
    holdings: Holdings,
    /// Badge classes of the backend that were asked for, and whether they were shown whole.
    listed: HashMap<String, bool>,
}

/// A stored assertion that holds no more at the backend, and why.
struct Lost {
    stored: StoredAssertion,
    backend_id: String,
    reason: String,
}

impl Comparison<'_> {
    pub(super) async fn class(&mut self, class: &ComparedClass) -> Result<(), Ended> {
        let mut one = Class {
            class,
            holdings: Holdings::default(),
            listed: HashMap::new(),
        };
        let mut after = None;
        while let Some(slice) = self.slice(class, &mut after).await? {
            for stored in slice {
                stored.backend_id.iter().for_each(|id| one.holdings.is_stored(id));
            }
        }
        if let Some(id) = &class.backend_id
            && !self.list(&mut one, id).await?
        {
            return Ok(());
        }
        self.gone(&mut one).await?;
        self.second_ones(&mut one).await
    }

    /// The next assertions that are stored of this badge class; `None` at the end.
    async fn slice(
        &self,
        class: &ComparedClass,
        after: &mut Option<crate::store::awards::AwardKey>,
    ) -> Result<Option<Vec<StoredAssertion>>, Ended> {
        if self.stop.is_cancelled() {
            return Err(Ended::Stopped);
        }
        let (id, backend, from) = (class.id, self.issuer.backend.name(), *after);
        let read = move |tx: &mut Tx<'_>| comparison::assertions(tx, id, backend, from);
        let slice = self.read("compared_assertions", read).await?;
        *after = slice.last().map(|last| (last.learner, last.award));
        Ok(Some(slice).filter(|slice| !slice.is_empty()))
    }

    /// Reads what the backend holds of its badge class, once. Says whether that was all.
    async fn list(&mut self, one: &mut Class<'_>, id: &str) -> Result<bool, Ended> {
        if let Some(whole) = one.listed.get(id) {
            return Ok(*whole);
        }
        let mut page: Option<String> = None;
        loop {
            let backend = &self.issuer.backend;
            let error = match self.ask(backend.held_of_class(id, page.as_deref())).await? {
                Ok(held) => {
                    held.assertions.into_iter().for_each(|held| one.holdings.add(held));
                    match held.next {
                        None => break,
                        next if next != page => {
                            page = next;
                            continue;
                        }
                        _ => BackendError::Unknown {
                            detail: "its list does not go on".to_owned(),
                        },
                    }
                }
                Err(error) => error,
            };
            one.listed.insert(id.to_owned(), false);
            match error {
                // What was imported may be of a server that we do not know.
                BackendError::Blocked { .. } if one.class.backend_id.as_deref() != Some(id) => tracing::debug!(
                    error.code = error.code(),
                    "assertions of {} in a badge class of the badge backend that it does not show are not compared: {error}",
                    one.class.slug
                ),
                error => self.skip(one.class, error),
            }
            return Ok(false);
        }
        one.listed.insert(id.to_owned(), true);
        Ok(true)
    }

    /// Marks what is stored and holds no more at the backend.
    async fn gone(&mut self, one: &mut Class<'_>) -> Result<(), Ended> {
        let (mut after, mut lost, mut held) = (None, Vec::new(), 0);
        'all: while let Some(slice) = self.slice(one.class, &mut after).await? {
            for stored in slice.into_iter().filter(|stored| !stored.is_revoked) {
                let Some(backend_id) = stored.backend_id.clone() else {
                    continue;
                };
                self.so_far.assertions += 1;
                held += 1;
                if one.holdings.holds(&backend_id) {
                    continue;
                }
                match self.lost(one, &stored, &backend_id).await? {
                    Ok(None) => {}
                    Ok(Some(reason)) => {
                        lost.push(Lost {
                            stored,
                            backend_id,
                            reason,
                        });
                        if lost.len() == MOST_GONE {
                            break 'all;
                        }
                    }
                    Err(error) => {
                        self.skip(one.class, error);
                        break 'all;
                    }
                }
            }
        }
        let too_many = lost.len() > MANY_GONE && lost.len() * 2 > held;
        for one_lost in lost {
            self.mark(one.class, one_lost, too_many).await?;
        }
        Ok(())
    }

    /// Why the backend holds this stored one no more; `None` where it does, or cannot say. Asked for by its id: it may
    /// be newer than the list, or of another badge class there.
    async fn lost(
        &mut self,
        one: &mut Class<'_>,
        stored: &StoredAssertion,
        backend_id: &str,
    ) -> Result<Result<Option<String>, BackendError>, Ended> {
        let key = (stored.learner, stored.award);
        let read = move |tx: &mut Tx<'_>| assertions::of_award(tx, key.0, key.1);
        let Some(assertion) = self.read("compared_assertion", read).await? else {
            return Ok(Ok(None));
        };
        let own = one.class.backend_id.as_deref();
        let Some(class) = self.issuer.backend.class_in(&assertion.data).or(own) else {
            return Ok(Ok(None));
        };
        // A badge class that is not shown may be of another server, or of another account.
        if !self.list(one, class).await? || one.holdings.holds(backend_id) {
            return Ok(Ok(None));
        }
        Ok(self
            .ask(self.issuer.backend.held(backend_id))
            .await?
            .map(|held| match held {
                None => Some(NO_MORE.to_owned()),
                Some(Held { revoked: None, .. }) => None,
                Some(Held {
                    revoked: Some(reason), ..
                }) => Some(match reason.trim() {
                    "" => "Revoked where it was issued.".to_owned(),
                    reason => format!("Revoked where it was issued: {reason}"),
                }),
            }))
    }

    async fn mark(&mut self, class: &ComparedClass, lost: Lost, too_many: bool) -> Result<(), Ended> {
        let repair = match self.mode {
            Mode::Report => Repair::NotAsked,
            Mode::ByItself if too_many => Repair::Left {
                why: "so much is gone at once that a person must say so: accolade audit-backend --repair".to_owned(),
            },
            Mode::ByItself | Mode::ByHand(_) => {
                let actor = self.actor();
                let (id, key) = (lost.stored.id.clone(), (lost.stored.learner, lost.stored.award));
                let (backend_id, reason) = (lost.backend_id, lost.reason.clone());
                let write = move |tx: &mut Tx<'_>| {
                    let marked = revocations::found_revoked(tx, key, &backend_id, &reason)?;
                    if let (true, Some(actor)) = (marked, &actor) {
                        audit::record(tx, actor, Action::Revoke, &id, &json!({"reason": reason}))?;
                    }
                    Ok(marked)
                };
                if !self.write("mark_revoked_elsewhere", write).await? {
                    return Ok(());
                }
                self.issuer.metrics.badgr_lost_assertions.inc();
                self.issuer.published_wake.notify_one();
                Repair::Done
            }
        };
        self.tell(Finding::Gone {
            badge_class: class.slug.clone(),
            award: lost.stored.award,
            assertion: lost.stored.id,
            reason: lost.reason,
            repair,
        });
        Ok(())
    }

    /// Revokes what the backend holds beside what is stored.
    async fn second_ones(&mut self, one: &mut Class<'_>) -> Result<(), Ended> {
        let mut after = None;
        while one.holdings.has_unknown()
            && let Some(slice) = self.slice(one.class, &mut after).await?
        {
            for stored in slice.iter().filter(|stored| !stored.is_revoked) {
                let (Some(id), Some(address)) = (&stored.backend_id, &stored.recipient) else {
                    continue;
                };
                // The last one that is left is not too many.
                if !one.holdings.holds(id) {
                    continue;
                }
                for held in one.holdings.take_unknown_of(address) {
                    self.second(one.class, stored, id, held).await?;
                }
            }
        }
        Ok(())
    }

    async fn second(
        &mut self,
        class: &ComparedClass,
        kept: &StoredAssertion,
        kept_id: &str,
        second: Held,
    ) -> Result<(), Ended> {
        let kept_held = match self.ask(self.issuer.backend.held(kept_id)).await? {
            Ok(Some(held)) if held.revoked.is_none() => held,
            // It holds no more: the next comparison says so.
            Ok(_) => return Ok(()),
            Err(error) => {
                self.skip(class, error);
                return Ok(());
            }
        };
        let is_ours = is_of_the_same_award(&kept_held, kept.attempts, &second);
        if is_ours && !self.is_surplus(class, kept, &second).await? {
            return Ok(());
        }
        let repair = match self.mode {
            Mode::Report => Repair::NotAsked,
            Mode::ByItself | Mode::ByHand(_) if !is_ours => Repair::Left {
                why: "it is not surely this award's: whoever made it may revoke it at the badge backend".to_owned(),
            },
            Mode::ByItself | Mode::ByHand(_) => self.revoke_second(kept, &second).await?,
        };
        self.tell(Finding::Second {
            badge_class: class.slug.clone(),
            award: kept.award,
            assertion: kept.id.clone(),
            backend_id: second.backend_id,
            assertion_url: second.assertion_url,
            is_ours,
            repair,
        });
        Ok(())
    }

    async fn is_surplus(
        &self,
        class: &ComparedClass,
        kept: &StoredAssertion,
        second: &Held,
    ) -> Result<bool, StoreError> {
        let (class, kept, id) = (class.id, kept.clone(), second.backend_id.clone());
        let read = move |tx: &mut Tx<'_>| comparison::is_surplus(tx, class, &kept, &id);
        self.read("is_surplus", read).await
    }

    async fn revoke_second(&mut self, kept: &StoredAssertion, second: &Held) -> Result<Repair, Ended> {
        let request = RevokeRequest {
            award: kept.award,
            backend_id: Some(second.backend_id.clone()),
            assertion_url: second.assertion_url.clone(),
            reason: SECOND.to_owned(),
        };
        if let Err(error) = self.ask(self.issuer.backend.revoke(&request)).await? {
            return Ok(Repair::Left { why: error.to_string() });
        }
        self.issuer.metrics.badgr_duplicate_assertions.inc();
        if let Some(actor) = self.actor() {
            let (kept, id) = (kept.id.clone(), second.backend_id.clone());
            let write = move |tx: &mut Tx<'_>| {
                let details = json!({"reason": SECOND, "kept": kept});
                audit::record(tx, &actor, Action::Revoke, &id, &details)
            };
            self.write("record_second_revoked", write).await?;
        }
        Ok(Repair::Done)
    }

    fn actor(&self) -> Option<audit::Actor> {
        match self.mode {
            Mode::ByHand(actor) => Some(actor.clone()),
            Mode::Report | Mode::ByItself => None,
        }
    }

    fn skip(&mut self, class: &ComparedClass, error: BackendError) {
        // Another answer is the same in an hour.
        self.is_to_be_repeated |= matches!(error, BackendError::NotSent { .. } | BackendError::Unknown { .. });
        self.tell(Finding::Skipped {
            badge_class: class.slug.clone(),
            error,
        });
    }
}
