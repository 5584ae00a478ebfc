//! Badges that components ask for.

use std::collections::BTreeMap;

use super::{
    Item,
    fold::Fold,
    judged::{Judged, UNKNOWN_BADGE_CLASS},
    memory::Overlay,
};
use crate::{
    domain::{
        Event, EventBody, LearnerId,
        award::{Decision, Reason},
        badge_class::{BadgeClassId, BadgeClassKey},
    },
    store::{StoreError, Tx},
};

/// The award that a `badge.requested` asks for.
pub(super) type Request = (LearnerId, BadgeClassId, String);

/// Adds the decisions that were asked for, and judges the requests for badge classes that do not exist.
pub(super) fn requested(
    tx: &mut Tx<'_>,
    items: &[&Item],
    fold: &Fold,
    known: &mut Overlay<'_>,
    decisions: &mut Vec<Decision>,
    outcomes: &mut [Judged],
) -> Result<BTreeMap<usize, Request>, StoreError> {
    let asked: Vec<(usize, &Event, BadgeClassKey)> = items
        .iter()
        .enumerate()
        .filter_map(|(n, item)| {
            let event = item.event()?;
            Some((n, event, requested_class(event)?))
        })
        .collect();
    known.badge_classes(tx, asked.iter().map(|(_, _, key)| key))?;
    let mut requests = BTreeMap::new();
    for (n, event, key) in asked {
        let EventBody::BadgeRequested {
            learner,
            evidence_url,
            idempotency_key,
            ..
        } = &event.body
        else {
            continue;
        };
        let Some(badge_class) = known.badge_class(&key) else {
            outcomes[n] = Judged::Unprocessable(UNKNOWN_BADGE_CLASS.0);
            continue;
        };
        if fold.is_retired(learner.id) {
            continue;
        }
        let decision = Decision {
            learner: learner.id,
            badge_class,
            badge_class_key: key,
            idempotency_key: idempotency_key.clone(),
            reason: Reason::requested(Some(event.stamp.event_id.clone()), event.stamp.time),
            evidence_url: evidence_url.clone(),
        };
        requests.insert(n, request_of(&decision));
        decisions.push(decision);
    }
    Ok(requests)
}

/// The badge class that an event asks for.
fn requested_class(event: &Event) -> Option<BadgeClassKey> {
    match &event.body {
        EventBody::BadgeRequested {
            slug,
            issuing_component,
            course,
            ..
        } => Some(BadgeClassKey {
            slug: slug.clone(),
            issuing_component: issuing_component.clone(),
            course_id: course.as_ref().map(ToString::to_string).unwrap_or_default(),
        }),
        _ => None,
    }
}

pub(super) fn request_of(decision: &Decision) -> Request {
    (decision.learner, decision.badge_class, decision.idempotency_key.clone())
}
