//! Events, badge classes and configurations for the tests of this room, and what they look like in the database.

use std::sync::Arc;

use chrono::DateTime;
use diesel::{ExpressionMethods, JoinOnDsl, QueryDsl, RunQueryDsl};
use tokio_util::sync::CancellationToken;

use crate::{
    domain::{
        Event, EventBody, LearnerId,
        badge_class::{BadgeClassKey, COURSE_EVENTS_COMPONENT, NewBadgeClass},
        event::{CourseDetails, LearnerDetails, Stamp},
    },
    ingest::{Batch, Content, Health, Item, Settings, Shared},
    store::{
        Store, Tx, badge_classes, completion_images,
        schema::{award, badge_class, event_badges_configuration, learner, learner_course},
        testing::TestDatabase,
    },
    telemetry::Metrics,
    wire::record::Record,
};

/// What one consumer shares with nobody else.
pub fn shared(store: Arc<Store>) -> Shared {
    let metrics = Arc::new(Metrics::new());
    Shared {
        store,
        rules: Arc::default(),
        health: Arc::new(Health::new(1, Arc::clone(&metrics))),
        metrics,
        awards: Arc::default(),
        announcements: Arc::default(),
        breaker: Arc::default(),
        stop: CancellationToken::new(),
    }
}

pub fn writer(database: &TestDatabase) -> Batch {
    writer_to(database.store())
}

pub fn writer_to(store: Arc<Store>) -> Batch {
    writer_with(store, false)
}

pub fn writer_with(store: Arc<Store>, revoke_on_loss: bool) -> Batch {
    let settings = Settings {
        award: true,
        revoke_on_loss,
        evidence_url_template: Some("https://lms/{certificate_uuid}".to_owned()),
        ..Settings::default()
    };
    Batch::new(store, Arc::default(), settings)
}

pub fn stamp(seconds: i64) -> Stamp {
    Stamp {
        time: DateTime::from_timestamp(1_700_000_000 + seconds, 0).expect("a time"),
        event_id: format!("event-{seconds}"),
    }
}

pub fn item_of(content: Content) -> Item {
    Item {
        record: Record {
            topic: "events".into(),
            partition: 0,
            offset: 0,
            timestamp: None,
            key: None,
            value: Some(b"{}".to_vec()),
            headers: Vec::new(),
        },
        content,
    }
}

pub fn item(seconds: i64, body: EventBody) -> Item {
    item_of(Content::Event(Box::new(Event {
        stamp: stamp(seconds),
        body,
    })))
}

pub fn learner_details(id: i64) -> LearnerDetails {
    LearnerDetails {
        id: LearnerId(id),
        username: format!("user{id}"),
        email: Some(format!("user{id}@example.com")),
        name: None,
    }
}

pub fn course_details(number: usize) -> CourseDetails {
    CourseDetails {
        key: format!("course-v1:edX+C{number}+1").parse().expect("a key"),
        display_name: Some(format!("Course {number}")),
        start: None,
        end: None,
    }
}

pub fn enrollment(learner: i64, course: usize, is_active: bool) -> EventBody {
    EventBody::Enrollment {
        learner: learner_details(learner),
        course: course_details(course),
        mode: "honor".to_owned(),
        is_active,
    }
}

pub fn certificate(learner: i64, course: usize, passed: bool) -> EventBody {
    EventBody::Certificate {
        learner: learner_details(learner),
        course: course_details(course),
        mode: "honor".to_owned(),
        passed,
        uuid: Some("5f0c".to_owned()),
        url: None,
    }
}

pub fn requested(learner: i64, slug: &str, key: &str) -> EventBody {
    EventBody::BadgeRequested {
        learner: learner_details(learner),
        slug: slug.to_owned(),
        issuing_component: COURSE_EVENTS_COMPONENT.to_owned(),
        course: None,
        evidence_url: None,
        idempotency_key: key.to_owned(),
    }
}

/// Makes the badge classes that these three texts name, and activates them.
pub fn activate(database: &TestDatabase, enrolled: &str, completed: &str, groups: &str) {
    let run = |tx: &mut Tx<'_>| {
        let second = [enrolled, completed].into_iter().flat_map(str::lines);
        let slugs = second.filter_map(|line| line.split(',').nth(1));
        let first = groups.lines().filter_map(|line| line.split(',').next());
        for slug in slugs.chain(first) {
            badge_classes::get_or_create(tx, &new_badge_class(slug))?;
        }
        let now = tx.now()?;
        diesel::insert_into(event_badges_configuration::table)
            .values((
                event_badges_configuration::created_at.eq(now),
                event_badges_configuration::courses_enrolled.eq(enrolled),
                event_badges_configuration::courses_completed.eq(completed),
                event_badges_configuration::course_groups.eq(groups),
                event_badges_configuration::enabled.eq(true),
                event_badges_configuration::activated_at.eq(now),
            ))
            .execute(tx.conn)?;
        Ok(())
    };
    database.store().transaction("activate", run).expect("activated");
}

pub fn supply_images(database: &TestDatabase) {
    let supply = |tx: &mut Tx<'_>| completion_images::set(tx, "any", &[7], true);
    database.store().transaction("supply", supply).expect("supplied");
}

pub fn new_badge_class(slug: &str) -> NewBadgeClass {
    NewBadgeClass {
        key: BadgeClassKey {
            slug: slug.to_owned(),
            issuing_component: COURSE_EVENTS_COMPONENT.to_owned(),
            course_id: String::new(),
        },
        mode: String::new(),
        display_name: slug.to_owned(),
        description: String::new(),
        criteria: String::new(),
        image: vec![1],
    }
}

/// Every award as (learner, slug, idempotency key, state), sorted.
pub fn awards(database: &TestDatabase) -> Vec<(i64, String, String, String)> {
    let read = |tx: &mut Tx<'_>| {
        Ok(award::table
            .inner_join(badge_class::table.on(badge_class::id.eq(award::badge_class_id)))
            .select((
                award::learner_id,
                badge_class::slug,
                award::idempotency_key,
                award::state,
            ))
            .order((award::learner_id, badge_class::slug, award::idempotency_key))
            .load(tx.conn)?)
    };
    database.store().read("awards", read).expect("read")
}

/// The slugs that this learner was awarded, sorted.
pub fn slugs(database: &TestDatabase, learner: i64) -> Vec<String> {
    let mut slugs: Vec<String> = awards(database)
        .into_iter()
        .filter(|award| award.0 == learner)
        .map(|award| award.1)
        .collect();
    slugs.sort();
    slugs
}

/// All facts, names and counters, as text.
pub fn facts(database: &TestDatabase) -> String {
    let read = |tx: &mut Tx<'_>| {
        type Fact = (
            i64,
            Option<bool>,
            Option<String>,
            Option<bool>,
            Option<String>,
            Option<String>,
        );
        let mut facts: Vec<(String, Fact)> = learner_course::table
            .inner_join(
                crate::store::schema::course::table.on(crate::store::schema::course::id.eq(learner_course::course_id)),
            )
            .select((
                crate::store::schema::course::course_key,
                (
                    learner_course::learner_id,
                    learner_course::enrolled,
                    learner_course::enrolled_event,
                    learner_course::passed,
                    learner_course::passed_event,
                    learner_course::evidence_url,
                ),
            ))
            .load(tx.conn)?;
        facts.sort();
        type LearnerRow = (i64, String, Option<String>, Option<String>, i32, i32);
        let learners: Vec<LearnerRow> = learner::table
            .order(learner::learner_id)
            .select((
                learner::learner_id,
                learner::username,
                learner::username_event,
                learner::email,
                learner::enrolled,
                learner::completed,
            ))
            .load(tx.conn)?;
        Ok(format!("{facts:#?} {learners:#?}"))
    };
    database.store().read("facts", read).expect("read")
}

/// (enrolled, completed) of a learner.
pub fn counters(database: &TestDatabase, id: i64) -> (i32, i32) {
    let read = |tx: &mut Tx<'_>| {
        Ok(learner::table
            .find(id)
            .select((learner::enrolled, learner::completed))
            .first(tx.conn)?)
    };
    database.store().read("counters", read).expect("read")
}
