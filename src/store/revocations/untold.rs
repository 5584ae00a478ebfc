//! What `badge.awarded` would have said of an assertion that was issued before this service told of any, an imported one;
//! or did say of one so long ago that the event was deleted.

use diesel::{ExpressionMethods, OptionalExtension, QueryDsl, RunQueryDsl};

use crate::{
    domain::{
        LearnerId,
        award::{AwardId, Reason, RuleKind},
    },
    store::{
        StoreError, Tx, assertions, badge_classes,
        schema::{award, learner},
    },
    wire::badge_event::{AssertionPart, BadgeClassPart, BadgeEvent, ReasonPart, UserPart},
};

/// The body of the event.
pub(super) fn payload(tx: &mut Tx<'_>, whose: LearnerId, id: AwardId) -> Result<String, StoreError> {
    let assertion = assertions::of_award(tx, whose, id)?.ok_or(StoreError::NotFound)?;
    let badge_class = badge_classes::get(tx, assertion.badge_class)?.ok_or(StoreError::NotFound)?;
    let username: Option<String> = learner::table
        .find(whose.0)
        .select(learner::username)
        .first(tx.conn)
        .optional()?;
    let event = BadgeEvent {
        assertion: AssertionPart {
            id: &assertion.id.to_string(),
            created: assertion.created,
            backend: &assertion.backend,
            image_url: &assertion.image_url,
            assertion_url: &assertion.assertion_url,
            evidence_url: assertion.evidence_url.as_deref(),
            issuer: &assertion.issuer,
            data: &assertion.data,
        },
        badge_class: BadgeClassPart::new(
            &badge_class,
            badge_class.backend_image_url.as_deref().unwrap_or(&assertion.image_url),
        ),
        user: UserPart {
            id: whose,
            username: username.as_deref().unwrap_or_default(),
        },
        reason: ReasonPart::from(&reason(tx, whose, id)?),
        revocation: None,
    };
    Ok(event.to_json())
}

fn reason(tx: &mut Tx<'_>, whose: LearnerId, id: AwardId) -> Result<Reason, StoreError> {
    let (rule, by_backfill, threshold, count, configuration_id) = award::table
        .filter(award::learner_id.eq(whose.0))
        .filter(award::id.eq(id.0.to_string()))
        .select((
            award::rule,
            award::by_backfill,
            award::threshold,
            award::rule_count,
            award::configuration_id,
        ))
        .first::<(String, bool, Option<i32>, Option<i32>, Option<i32>)>(tx.conn)?;
    Ok(Reason {
        rule: RuleKind::parse(&rule).ok_or_else(|| StoreError::Corrupt(format!("rule {rule:?}")))?,
        by_backfill,
        threshold,
        count,
        configuration_id,
        event_id: None,
        event_time: None,
    })
}
