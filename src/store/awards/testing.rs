//! Learners, badge classes and decisions for tests of what happens to awards.

use chrono::{DateTime, TimeDelta};
use diesel::{
    RunQueryDsl, sql_query,
    sql_types::{BigInt, Nullable, Text},
};
use uuid::Uuid;

use super::{ClaimedAward, Completed, claim, insert_decisions};
use crate::{
    domain::{
        LearnerId,
        award::{AwardState, Decision, Reason, RuleKind},
        badge_class::{BadgeClass, BadgeClassKey, NewBadgeClass},
    },
    store::{Store, assertions::NewAssertion, badge_classes, testing::TestDatabase},
};

/// Claims last this long in tests.
pub(crate) const LEASE: TimeDelta = TimeDelta::seconds(60);

impl TestDatabase {
    /// Makes a learner known.
    pub(crate) fn learner(&self, id: i64, email: Option<&str>) {
        self.store()
            .transaction("test", |tx| {
                sql_query("INSERT INTO learner (learner_id, username, email) VALUES ($1, $2, $3)")
                    .bind::<BigInt, _>(id)
                    .bind::<Text, _>(format!("learner{id}"))
                    .bind::<Nullable<Text>, _>(email)
                    .execute(tx.conn)?;
                Ok(())
            })
            .expect("stored");
    }

    /// Lets every award that waits for its time be due.
    pub(crate) fn all_are_due(&self) {
        self.store()
            .transaction("test", |tx| {
                let due = "UPDATE award SET next_attempt_at = '2020-01-01 00:00:00'";
                Ok(sql_query(due).execute(tx.conn)?)
            })
            .expect("stored");
    }

    /// Marks a learner as retired, and nothing else.
    pub(crate) fn retire(&self, learner: i64) {
        self.store()
            .transaction("test", |tx| {
                let retired = sql_query("UPDATE learner SET retired_at = CURRENT_TIMESTAMP WHERE learner_id = $1");
                Ok(retired.bind::<BigInt, _>(learner).execute(tx.conn)?)
            })
            .expect("stored");
    }

    /// The badge class of this slug.
    pub(crate) fn badge_class(&self, slug: &str) -> BadgeClass {
        let new = NewBadgeClass {
            key: BadgeClassKey {
                slug: slug.to_owned(),
                issuing_component: "openedx__course".to_owned(),
                course_id: String::new(),
            },
            mode: String::new(),
            display_name: slug.to_owned(),
            description: "D".to_owned(),
            criteria: "C".to_owned(),
            image: b"png".to_vec(),
        };
        let stored = self
            .store()
            .transaction("test", |tx| badge_classes::get_or_create(tx, &new));
        stored.expect("stored").0
    }

    /// Decides that each of these learners, with an e-mail address, gets the badge.
    pub(crate) fn decide(&self, learners: impl IntoIterator<Item = i64>, badge_class: &BadgeClass) {
        let decisions: Vec<Decision> = learners
            .into_iter()
            .inspect(|id| self.learner(*id, Some("a@example.com")))
            .map(|id| decision(id, badge_class))
            .collect();
        let new = self.store().transaction("test", |tx| insert_decisions(tx, &decisions));
        assert_eq!(new.expect("stored").len(), decisions.len());
    }

    /// How many awards stand in each state that there are any in.
    pub(crate) fn states(&self) -> Vec<(AwardState, i64)> {
        states(&self.store())
    }
}

/// How many awards stand in each state that there are any in.
pub(crate) fn states(store: &Store) -> Vec<(AwardState, i64)> {
    let counted = store.read("test", |tx| {
        let mut counts = super::counts_by_open_state(tx)?;
        counts.push((AwardState::Published, super::count_published(tx)?));
        Ok(counts)
    });
    counted
        .expect("read")
        .into_iter()
        .filter(|(_, count)| *count > 0)
        .collect()
}

/// That this learner gets this badge.
pub(crate) fn decision(learner: i64, badge_class: &BadgeClass) -> Decision {
    Decision {
        learner: LearnerId(learner),
        badge_class: badge_class.id,
        badge_class_key: badge_class.key.clone(),
        idempotency_key: String::new(),
        reason: Reason {
            rule: RuleKind::CoursesEnrolled,
            by_backfill: false,
            threshold: Some(3),
            count: Some(3),
            configuration_id: Some(1),
            event_id: Some("e1".to_owned()),
            event_time: Some(DateTime::UNIX_EPOCH),
        },
        evidence_url: None,
    }
}

/// Claims what is due.
pub(crate) fn claim_all(store: &Store) -> Vec<ClaimedAward> {
    let claimed = store.transaction("test", |tx| claim(tx, 100, LEASE, TimeDelta::seconds(30)));
    claimed.expect("claimed").awards
}

/// What is stored when the backend issued this award.
pub(crate) fn completed(award: &ClaimedAward) -> Completed {
    Completed {
        lease_token: award.lease_token,
        assertion: NewAssertion {
            learner: award.learner,
            award: award.award,
            id: Uuid::new_v4().to_string(),
            badge_class: award.badge_class.id,
            backend: "builtin".into(),
            backend_id: None,
            image_url: "https://b.example/i".to_owned(),
            assertion_url: "https://b.example/a".to_owned(),
            evidence_url: None,
            issuer: "https://b.example".to_owned(),
            recipient_hash: None,
            data: serde_json::json!({}),
            created: award.claimed_at,
        },
        event_id: award.award.event_id("badge.awarded").to_string(),
        event_type: "badge.awarded".to_owned(),
        payload: "{}".to_owned(),
        event_time: award.reason.event_time,
    }
}
